"""The accuracy that matches mixed batches."""

from typing import Any

import keras

from keras_msda import _backend, _checks, _errors, _handoff, plans
from keras_msda.masks import _factored
from keras_msda.parts import _targets

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_msda")
class MixedAccuracy(_handoff.Listener, keras.metrics.Mean):
    """Share of correct outputs, where each label counts with its weight.

    A sample counts `weight * [output is label i] + (1 - weight) * [output is label j]`;
    with sample weights the terms get `w_i` and `w_j`. On mixed batches even a perfect
    model stays below 1; on unmixed ones this is the plain accuracy. With `dominant`
    only the label with the larger weight counts, so that a training curve can reach 1.

    Args:
        layer: The mixing layer inside the model; None for packed or soft labels.
        k: An output is correct if the label is among its k largest.
        dominant: Whether to count only the label of a mix that has the larger weight,
            or the own one if both are equal.
        ids: Whether labels are class ids (True) or soft (False). None decides by the
            shape, and for three classes without a layer by how a `MixedLoss` has read
            the same labels in the same step.
        per_pixel: As in `MixedLoss`.
        name: Name of the metric; None for "accuracy", "top_5_accuracy" and the like,
            after "dominant_" where that counts.
        dtype: As in Keras's metrics.

    Raises:
        ValueError: When updated without a layer with labels that are neither packed nor
            of the outputs' shape, or that could be both if no loss has read them; for
            labels that cannot be compared with the outputs.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> metric = msda.MixedAccuracy()
        >>> packed = np.array([[0, 1, 0.75]], "float32")  # Own id, partner's, weight.
        >>> metric.update_state(packed, np.array([[0.5, 0.4, 0.1, 0.0]], "float32"))
        >>> print(float(metric.result()))
        0.75
    """

    #: Whether labels can be nothing but class ids or soft labels of the outputs' shape.
    of_classes = True

    def __init__(
        self,
        layer: Any = None,
        *,
        k: int = 1,
        dominant: bool = False,
        ids: bool | None = None,
        per_pixel: bool | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        k = _checks.check_count(type(self).__name__, "k", k)
        if name is None:
            name = "accuracy" if k == 1 else f"top_{k}_accuracy"
            name = f"dominant_{name}" if dominant else name
        super().__init__(name=name, dtype=dtype)
        self.k = k
        self.dominant = bool(dominant)
        self.ids = ids
        self.per_pixel = per_pixel
        self.attach_layer(layer)

    def mirror_state(self, layer: Any) -> None:
        """Makes room for copies of what a layer remembers.

        Args:
            layer: The mixing layer inside the model.
        """
        if self._mirrored is None:
            self._mirrored = [
                self.add_variable(x.shape, "zeros", dtype=x.dtype, name=f"mirrored_{n}")
                for n, x in enumerate(layer.remembered())
            ]
            _handoff.REGISTRY.add_mirror(self)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Labels: packed, soft, or as the layer's batch has them.
            y_pred: Outputs of the model, `(batch, classes)`.
            sample_weight: Shape `(batch,)` or `(batch, 1)`.
        """
        targets = _targets.read_targets(
            self, y_true, outputs=y_pred, sample_weight=sample_weight
        )
        own = targets.own
        _check_counted(type(self).__name__, own.shape, y_pred.shape)
        if self.dominant and targets.premixed:
            own = _select_strongest(own)
        hits = _count_hits(own, y_pred, self.k)
        if targets.weight is not None:
            weight = _round_weight(targets.weight) if self.dominant else targets.weight
            weight = _factored.append_axes(weight, len(hits.shape) - len(weight.shape))
            other = _count_hits(targets.other, y_pred, self.k)
            mixed = plans.blend(hits, other, weight, "float32")
            hits = _factored.keep_nan(mixed, weight)
        if targets.known is not None:
            hits = _factored.keep_nan(hits, targets.known)
        super().update_state(hits, targets.sample_weight)

    def is_rehearsal(self) -> bool:
        """Returns whether Keras only makes the metric's state, with symbolic labels.

        It does so before any loss has read labels, and discards the result. A value
        that is assigned then does not reach the variable; nor does it in a stateless
        call, to which the variable's value is passed.

        Returns:
            True or False.
        """
        variable = self.variables[0]
        if _backend.get_backend_ops().has_passed_value(variable):
            return False
        variable.assign(variable.value + 0.0)  # A new tensor.
        now = variable.value
        with keras.StatelessScope():
            return variable.value is not now

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration, in which a uid stands for the layer."""
        config: dict[str, Any] = super().get_config()
        return (
            config
            | self.get_layer_config()
            | {
                "k": self.k,
                "dominant": self.dominant,
                "ids": self.ids,
                "per_pixel": self.per_pixel,
            }
        )


def _round_weight(weight: Tensor) -> Tensor:
    """Returns 1 for weights of 1/2 or more, else 0; NaN stays NaN."""
    ops = _backend.get_ops(weight)
    whole = ops.cast(weight >= 0.5, "float32")
    return ops.where(weight == weight, whole, weight)


def _select_strongest(labels: Tensor) -> Tensor:
    """Returns soft labels with all weight on the strongest class."""
    ops = _backend.get_ops(labels)
    labels = ops.convert(labels)
    if labels.shape[-1] == 1:
        return ops.cast(labels > 0.5, "float32")
    return ops.one_hot(ops.argmax(labels), labels.shape[-1])


def _count_hits(labels: Tensor, outputs: Tensor, k: int) -> Tensor:
    """Returns the share of each label that lies on the output's choice, float32.

    Args:
        labels: Class ids, `(batch, ...)`, perhaps with a last axis of length 1, or soft
            labels of the outputs' shape; of one output, 0 or 1.
        outputs: `(batch, ..., classes)`, or 1 for two classes, with a threshold of 1/2.
        k: How many of the largest outputs are the choice.
    """
    ops = _backend.get_ops(outputs)
    labels, outputs = ops.cast(labels, "float32"), ops.convert(outputs)
    classes = outputs.shape[-1]
    if classes == 1:
        choice = ops.cast(outputs[..., 0] > 0.5, "float32")
        share = ops.reshape(labels, ops.shape(choice))
        return 1.0 - choice - share + 2.0 * choice * share
    soft = tuple(labels.shape[1:]) == tuple(outputs.shape[1:])
    if k == 1:
        choice = ops.argmax(outputs)
        if soft:
            return ops.sum(labels * ops.one_hot(choice, classes), -1)
        labels = ops.reshape(labels, ops.shape(choice))
        return ops.cast(labels == ops.cast(choice, "float32"), "float32")
    least = ops.top_values(outputs, min(k, classes))[..., -1:]
    chosen = ops.cast(outputs >= least, "float32")
    if soft:
        return ops.sum(labels * chosen, -1)
    ids = ops.reshape(labels, [-1, 1])
    known = (ids >= 0) & (ids < classes)
    rows = ops.reshape(chosen, [-1, classes])
    hits = ops.take_along(rows, ops.truncate(ops.where(known, ids, 0.0)))
    hits = ops.where(known, hits, 0.0)
    return ops.reshape(hits, ops.shape(outputs)[:-1])


def _check_counted(owner: str, labels: Any, outputs: Any) -> None:
    """Checks that an accuracy can compare labels with outputs."""
    _checks.check_two_columns(owner, labels, outputs)
    wanted = {tuple(outputs[1:]), tuple(outputs[1:-1]), (*outputs[1:-1], 1)}
    given = tuple(labels[1:])
    if not any(
        len(given) == len(shape) and not any(map(_errors.differ, given, shape))
        for shape in wanted
    ):
        _errors.fail(
            owner,
            "the labels must be class ids, one for each output, or soft labels of the "
            "outputs' shape.",
            _errors.show_both(labels, outputs),
            "Use `MixedAccuracy()` without the layer for what a pipeline has packed.",
        )
