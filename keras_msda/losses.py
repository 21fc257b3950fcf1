"""The loss that matches mixed batches."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import keras

from keras_msda import _backend, _checks, _errors, _handoff, plans
from keras_msda.masks import _factored
from keras_msda.parts import _targets

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_msda")
class MixedLoss(_handoff.Listener, keras.losses.Loss):
    """The mix of a loss against both labels: `weight * l_i + (1 - weight) * l_j`.

    If a loss is linear in the label, as cross-entropy is, this equals the loss against
    the mixed label; if not, it is the mix of two losses. With sample weights the terms
    are `w_i weight l_i + w_j (1 - weight) l_j`.

    Partners and weights come from one of two places: from labels that a layer with
    `targets="pair"` has packed in a pipeline, or from a layer inside the model, which
    draws them again from the seed of its last call. If that layer was never called, or
    called with another batch, the loss is NaN. If its last call did not mix, as in
    `evaluate`, the loss is the plain one. With a layer inside the model, labels are
    never read as packed, whatever their width.

    Args:
        loss: A Keras loss, its name, or a function of (labels, outputs) that returns
            one value per sample. It may take class ids or soft labels.
        layer: The mixing layer inside the model. None for packed labels, floats of the
            outputs' rank: 3 numbers for ids, 2 C + 1 for C outputs. Soft labels of the
            outputs' shape, which need no mixing, are used as they are.
        ids: Whether labels are class ids (True) or soft (False); None for what a Keras
            loss takes. Required for a function where, without a layer, three numbers
            could be either of them, or targets that are not packed.
        class_weight: Weights by class id, 1 for those left out: each of the two losses
            is weighted by its own label. A soft label has the mean over its classes.
        per_pixel: Whether each pixel has a label, as in segmentation with a layer
            inside the model: losses are then mixed by the mask instead of its mean.
            None: if the outputs have the images' rank.
        reduction: As in Keras's losses; None for the given loss's own.
        name: Name of the loss; None for the given loss's own.
        dtype: As in Keras's losses.

    Raises:
        ValueError: When called without a layer on labels that are not packed, or, for a
            function without `ids`, on three numbers; for a loss that returns one value
            for the whole batch, or for all pixels; for labels of two columns and one
            output; for class weights with labels that are mixed already; for outputs
            of the images' rank that have another size.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> loss = msda.MixedLoss("sparse_categorical_crossentropy")
        >>> packed = np.array([[0, 1, 0.75]], "float32")  # Own id, partner's, weight.
        >>> value = loss(packed, np.array([[0.5, 0.25, 0.25]], "float32"))
        >>> print(round(float(value), 4))  # -(0.75 ln 0.5 + 0.25 ln 0.25)
        0.8664
    """

    _is_loss = True
    #: Whether labels can be nothing but class ids or soft labels of the outputs' shape.
    of_classes = False

    def __init__(
        self,
        loss: Any,
        layer: Any = None,
        *,
        ids: bool | None = None,
        class_weight: dict[int, float] | None = None,
        per_pixel: bool | None = None,
        reduction: str | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        base = keras.losses.get(loss)
        own = isinstance(base, keras.losses.Loss)
        default = base.reduction if own else "sum_over_batch_size"
        super().__init__(
            name=name or (base.name if own else _find_name(base)),
            reduction=reduction or default,
            dtype=dtype,
        )
        self.loss = base
        self.ids = _takes_ids(base) if ids is None else ids
        self.class_weight = _check_class_weight(type(self).__name__, class_weight)
        self.per_pixel = per_pixel
        self.attach_layer(layer)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Returns the reduced loss of a batch.

        Args:
            y_true: Labels: packed, or as the layer's batch has them.
            y_pred: Outputs of the model, `(batch, classes)`.
            sample_weight: Shape `(batch,)` or `(batch, 1)`, of the unmixed samples for
                a layer inside the model.
        """
        targets = _targets.read_targets(
            self, y_true, outputs=y_pred, sample_weight=sample_weight
        )
        if self.layer is not None:
            self._check_plain(targets.own.shape, y_pred.shape)
        if self.class_weight is not None:
            targets = self._apply_class_weight(targets, y_pred, self.class_weight)
        structure = {"own": targets.own}
        if targets.other is not None:
            structure |= {"other": targets.other, "weight": targets.weight}
        elif targets.known is not None:
            structure["known"] = targets.known
        return super().__call__(structure, y_pred, targets.sample_weight)

    def _check_plain(self, labels: Any, outputs: Any) -> None:
        """Refuses labels that a Keras loss with a layer inside the model misreads."""
        owner, ids = type(self).__name__, _takes_ids(self.loss)
        if ids is not None:
            _check_plain_labels(owner, labels, outputs, ids)
        name = _find_name(self.loss).lower()
        if ids is False and ("crossentropy" in name or "hinge" in name):
            _checks.check_two_columns(owner, labels, outputs)

    def _apply_class_weight(
        self, targets: _targets.Targets, y_pred: Tensor, class_weight: dict[int, float]
    ) -> _targets.Targets:
        """Returns the targets with class weights multiplied into their weights."""
        if targets.premixed:
            _fail_premixed(type(self).__name__, targets.own.shape)
        factor = _find_class_weights(class_weight, targets.own, y_pred)
        share = targets.weight
        if targets.other is not None:
            other = _find_class_weights(class_weight, targets.other, y_pred)
            share, factor = plans.weigh(factor, other, share)
        given = targets.sample_weight
        if given is not None:
            ops = _backend.get_ops(factor)
            given = ops.reshape(
                ops.convert(given), ops.shape(given)[: len(factor.shape)]
            )
            factor = factor * given
        return targets._replace(weight=share, sample_weight=factor)

    def call(self, y_true: dict[str, Tensor], y_pred: Tensor) -> Tensor:
        """Returns the loss of each sample.

        Args:
            y_true: "own" labels, and "other" labels with "weight" where there are two;
                where there is one, perhaps "known", which is 1 or NaN.
            y_pred: Outputs of the model.
        """
        own = self._evaluate(y_true["own"], y_pred)
        if "other" not in y_true:
            if self.class_weight is not None:
                self._check_values(own, y_pred.shape[:1], y_true["own"], y_pred)
            return _multiply(own, y_true["known"]) if "known" in y_true else own
        weight = y_true["weight"]
        self._check_values(own, weight.shape, y_true["own"], y_pred)
        weight = _factored.append_axes(weight, len(own.shape) - len(weight.shape))
        other = self._evaluate(y_true["other"], y_pred)
        dtype = keras.backend.standardize_dtype(own.dtype)
        mixed = plans.blend(own, other, weight, dtype)
        if hasattr(own, "_keras_mask"):
            # Keras 3.15 marks labels to be left out so (`ignore_class`). A sample stays
            # if one of the labels that it shows counts.
            counted = own._keras_mask & (weight > 0.0)
            mixed._keras_mask = counted | (other._keras_mask & (weight < 1.0))
        return mixed

    def _check_values(
        self, values: Tensor, weights: Any, labels: Tensor, outputs: Tensor
    ) -> None:
        """Checks that the given loss returns values that can be weighted."""
        owner, name = type(self).__name__, _find_name(self.loss)
        batches = outputs.shape, labels.shape
        _check_loss_values(owner, name, values.shape, weights, *batches)

    def _evaluate(self, labels: Tensor, outputs: Tensor) -> Tensor:
        """Returns the given loss of each sample."""
        if len(labels.shape) < len(outputs.shape) and outputs.shape[-1] == 1:
            labels = labels[..., None]  # As Keras's losses take labels of one output.
        return getattr(self.loss, "call", self.loss)(labels, outputs)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration, in which a uid stands for the layer."""
        config: dict[str, Any] = super().get_config()
        return (
            config
            | self.get_layer_config()
            | {
                "loss": keras.saving.serialize_keras_object(self.loss),
                "ids": self.ids,
                "class_weight": self.class_weight,
                "per_pixel": self.per_pixel,
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixedLoss":
        """Makes the loss again; its layer is found by the uid, now or later."""
        config = dict(config)
        config["loss"] = keras.saving.deserialize_keras_object(config["loss"])
        return super().from_config(config)


def _find_name(loss: Any) -> str:
    """Returns the name of a function, or that of an object's class."""
    # TensorFlow takes no brackets in the name of a scope: "<lambda>".
    return str(getattr(loss, "__name__", type(loss).__name__)).strip("<>")


def _takes_ids(loss: Any) -> bool | None:
    """Returns whether a loss takes class ids, None for a user's own loss.

    A user's function may have the name of one of Keras's and take anything.
    """
    kinds: Any = (loss,) if hasattr(loss, "__name__") else type(loss).__mro__
    for kind in kinds:
        name = str(kind.__name__)
        if kind is not keras.losses.Loss and kind is getattr(keras.losses, name, None):
            return name.lower().startswith("sparse")
    return None


def _multiply(values: Tensor, known: Tensor) -> Tensor:
    """Returns values times 1 or NaN, with Keras's mask of which of them count."""
    ops = _backend.get_ops(values)
    dtype = keras.backend.standardize_dtype(values.dtype)
    product = values * ops.cast(known, dtype)
    if hasattr(values, "_keras_mask"):
        product._keras_mask = values._keras_mask
    return product


def _find_class_weights(
    weights: dict[int, float], labels: Tensor, outputs: Tensor
) -> Tensor:
    """Returns the weight of each label, float32, of the labels' shape without classes.

    Args:
        weights: Weights by class id; others have 1.
        labels: Class ids `(batch, ...)`, perhaps with a last axis of length 1, or soft
            labels of the outputs' shape.
        outputs: `(batch, ..., classes)`, or 1 for two classes.
    """
    ops = _backend.get_ops(labels, outputs)
    binary = outputs.shape[-1] == 1
    count = max(2 if binary else outputs.shape[-1], max(weights, default=0) + 1)
    table = ops.convert([weights.get(index, 1.0) for index in range(count)], "float32")
    labels = ops.cast(ops.convert(labels), "float32")
    soft = tuple(labels.shape[1:]) == tuple(outputs.shape[1:])
    if soft and not binary:
        return ops.sum(labels * table[: labels.shape[-1]], -1)
    if len(labels.shape) == len(outputs.shape):
        labels = labels[..., 0]
    if binary:
        return (1.0 - labels) * table[0] + labels * table[1]
    known = (labels >= 0) & (labels < count)
    ids = ops.truncate(ops.where(known, labels, 0.0))
    return ops.where(known, ops.take(table, ids), 1.0)


def _check_plain_labels(owner: str, labels: Any, outputs: Any, ids: bool) -> None:
    """Refuses labels that a Keras loss with a layer inside the model cannot take."""
    if len(labels) != len(outputs) or len(labels) < 2:
        return
    width, classes = labels[-1], outputs[-1]
    packed = classes > 1 and width == (3 if ids else 2 * classes + 1)
    if packed or (ids and width not in (1, None)):
        kind = "class ids, of shape (batch,) or (batch, 1)" if ids else "not packed"
        _errors.fail(
            owner,
            f"with a layer inside the model the labels must be {kind}.",
            _errors.show_both(labels, outputs),
            "Use `MixedLoss(...)` without the layer for what a pipeline has packed, "
            'and for one-hot labels a loss such as "categorical_crossentropy".',
        )


def _fail_one_value(owner: str, values: Any, weights: Any) -> NoReturn:
    """Raises the error for a loss that sums over the pixels itself."""
    _errors.fail(
        owner,
        "with a label for each pixel the loss must return a value for each.",
        f"values of shape {_errors.show(values)} for weights of shape "
        f"{_errors.show(weights)}",
        "Mix the masks in the pipeline, under the key "
        '"segmentation_masks", for a loss of whole images such as Dice.',
    )


def _check_loss_values(
    owner: str, loss: str, values: Any, weights: Any, *batches: Any
) -> None:
    """Checks that a loss returns a value for each weight.

    Args:
        owner: Name that an error starts with.
        loss: Name of the loss.
        values: Shape of what it returned.
        weights: Shape of the labels' weights.
        *batches: Shapes that start with the batch, the outputs' first.
    """
    known = [shape[0] for shape in batches]
    batch = bool(len(values)) and not (
        isinstance(values[0], int) and values[0] not in known
    )
    if batch and len(values) >= len(weights):
        return
    if len(weights) > 1:
        _fail_one_value(owner, values, weights)
    outputs = batches[0]
    remedy = (
        "Leave the mean over the batch to Keras: take sums and means over the last "
        "axis alone, as in `keras.ops.mean(values, axis=-1)`."
    )
    name = loss.lower()
    if name in ("dice", "tversky"):
        axes = tuple(range(1, len(outputs)))
        axis = -1 if len(axes) == 1 else axes
        remedy = (
            f"Give it the axes of a sample: `keras.losses.{name.title()}(axis={axis})`."
        )
    _errors.fail(
        owner,
        "the loss must return one value per sample, as each sample has its own "
        "weights.",
        f"values of shape {_errors.show(values)} for outputs of shape "
        f"{_errors.show(outputs)}",
        remedy,
    )


def _check_class_weight(owner: str, value: Any) -> dict[int, float] | None:
    """Returns weights by class id."""
    if value is None:
        return None
    valid = isinstance(value, Mapping) and all(
        str(key).isdigit() and _checks.is_number(weight) and 0 <= weight < math.inf
        for key, weight in value.items()
    )
    if not valid:
        _errors.fail(
            owner,
            "`class_weight` must map class ids to finite, non-negative weights.",
            f"class_weight={value!r}",
            "Use for example `class_weight={0: 1.0, 1: 2.5}`; classes left out have 1.",
        )
    # Keys of a configuration in a file are words.
    return {int(key): float(weight) for key, weight in value.items()}


def _fail_premixed(owner: str, labels: Any) -> NoReturn:
    """Raises the error for class weights with labels that are mixed already."""
    _errors.fail(
        owner,
        "`class_weight` needs both labels of a mix, and soft labels hold only their "
        "sum.",
        f"labels of shape {_errors.show(labels)}",
        'Map the dataset with a layer of `targets="pair"`.',
    )
