"""The label forms of a pipeline: soft, packed in pairs, or the own label."""

from typing import Any

import keras

from keras_msda import _backend, _checks, plans

Tensor = Any


def checked(
    owner: str, labels: Any, images_shape: Any, form: str, num_classes: int | None
) -> Tensor:
    """Returns labels as a tensor that can take the form, or raises.

    Args:
        owner: Name that an error starts with.
        labels: Class ids, `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`.
        images_shape: Shape of the images they belong to.
        form: "soft", "pair" or "own".
        num_classes: Number of classes, or None.
    """
    ops = _backend.of(labels)
    _checks.check_not_ragged(owner, "labels", ops.is_ragged(labels), labels)
    labels = ops.convert(labels)
    _checks.check_batch(owner, "labels", labels.shape, images_shape)
    if num_classes is not None:
        _checks.check_not_soft(owner, labels.dtype, num_classes)
    elif form == "soft":
        _checks.check_soft(owner, labels.dtype)
    if form == "pair":
        _checks.check_packable(owner, labels.shape)
    if keras.backend.is_float_dtype(labels.dtype):
        return labels
    _checks.check_ids(owner, labels.shape)
    if ops.is_eager(labels):
        _check_values(owner, labels, form, num_classes)
    return labels


def _check_values(
    owner: str, labels: Tensor, form: str, num_classes: int | None
) -> None:
    """Checks the ids themselves, which only eager labels show."""
    ops = _backend.of(labels)
    if not ops.shape(labels)[0]:
        return
    wide = ops.cast(labels, "int64")
    low, high = -int(ops.max(-wide)), int(ops.max(wide))
    if num_classes is not None:
        _checks.check_id_range(owner, low, high, num_classes)
    if form == "pair" and high > _checks.LARGEST_ID:
        _checks.fail_ids(owner, f"the id {high}")


def mixed(
    labels: Tensor,
    plan: plans.MixPlan,
    form: str,
    num_classes: int | None,
    label_smoothing: float,
) -> Tensor:
    """Returns checked labels in the form that a plan gives them."""
    if form == "pair":
        return plans.pack_labels(labels, plan)
    if num_classes is not None:
        labels = plans.encode_labels(labels, num_classes, label_smoothing)
    return labels if form == "own" else plans.mix_labels(labels, plan)
