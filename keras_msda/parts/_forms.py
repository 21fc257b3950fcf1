"""Forms of labels: soft ones of class ids, sets of them, and both labels in one."""

from typing import Any

import keras

from keras_msda import _backend, _checks, plans
from keras_msda.masks import _factored

Tensor = Any


def encode_labels(labels: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
    """Returns class ids as soft labels, float32 `(batch, num_classes)`.

    Args:
        labels: Integers, shape `(batch,)` or `(batch, 1)`. An id outside
            [0, num_classes) gives a row of NaN.
        num_classes: Number of classes.
        label_smoothing: Share s that is spread evenly over all classes: the class
            itself gets `1 - s + s / num_classes`, any other one `s / num_classes`.
    """
    ops = _backend.get_ops(labels)
    ids = ops.cast(ops.reshape(labels, [-1]), "int64")
    encoded = ops.one_hot(ids, num_classes)
    encoded = encoded * (1 - label_smoothing) + label_smoothing / num_classes
    known = (ids >= 0) & (ids < num_classes)
    return ops.where(known[:, None], encoded, float("nan"))


def unite_labels(labels: Tensor, threshold: float) -> Tensor:
    """Returns float32 labels that are 1 where a mixed label is above the threshold.

    All others are 0, except that NaN stays NaN.
    """
    ops = _backend.get_ops(labels)
    united = ops.cast(labels > threshold, "float32")
    return ops.where(labels == labels, united, float("nan"))


def pack_labels(
    labels: Tensor, plan: plans.Plan, num_classes: int | None = None
) -> Tensor:
    """Packs own label, partner's label and weight into one tensor for `MixedLoss`.

    Args:
        labels: Class ids `(batch,)` or `(batch, 1)`, or floats `(batch,)` or
            `(batch, ..., classes)`. float32 holds ids exactly up to 2^24; a larger one
            gets the weight NaN, which shows in the loss.
        plan: The plan of the batch.
        num_classes: Number of classes, if known: ids that are none of them get the
            weight NaN, too.

    Returns:
        float32, `(batch, 3)` for ids and `(batch, ..., 2 * classes + 1)` for floats:
        own label, partner's label and weight on the last axis. An unmixed sample has
        its own label twice.
    """
    ops = _backend.get_ops(labels)
    own = ops.cast(labels, "float32")
    if len(own.shape) == 1:
        own, labels = own[:, None], labels[:, None]
    share = weight = _factored.append_axes(plan.weight, len(own.shape) - 1)
    if not keras.backend.is_float_dtype(labels.dtype):
        wide = ops.cast(labels, "int64")  # The largest uint64 become negative.
        exact = (wide <= _checks.LARGEST_ID) & (wide >= -_checks.LARGEST_ID)
        if num_classes is not None:
            exact = exact & (wide >= 0) & (wide < num_classes)
        own_exact, other_exact = _take_both(exact, plan.partner, share)
        weight = ops.where(own_exact & other_exact, weight, float("nan"))
    own, other = _take_both(own, plan.partner, share)
    weight = ops.broadcast_to(weight, [*ops.shape(own)[:-1], 1])
    return ops.concat([own, other, weight], -1)


def _take_both(
    x: Tensor, partner: Tensor | None, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the entries of samples and partners, as `plans.take_both`.

    In a second batch, what lies beside an unmixed sample is not its partner.
    """
    own, other = plans.take_both(x, partner)
    if partner is not None:
        return own, other
    return own, _backend.get_ops(x).where(share == 1.0, own, other)


def unpack_labels(packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns own labels, partners' labels and weights of packed labels.

    Both labels have the shape `(batch, ..., classes)`, weights have `(batch,)`.
    """
    width = (packed.shape[-1] - 1) // 2
    weight = packed[..., -1]
    while len(weight.shape) > 1:
        weight = weight[:, 0]
    return packed[..., :width], packed[..., width:-1], weight
