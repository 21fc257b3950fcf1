"""The accuracy that matches mixed batches."""

from typing import Any

import keras

from keras_msda import _backend, _factored, handoff, plans

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_msda")
class MixedAccuracy(keras.metrics.Mean):
    """Share of correct outputs, each label counted with its weight.

    A sample counts `weight * [output is label i] + (1 - weight) * [output is label j]`;
    with sample weights the terms get `w_i` and `w_j`. A perfect model reaches less than
    1 on mixed batches, and the plain accuracy on unmixed ones.

    Args:
        layer: The mixing layer inside the model; None for packed or soft labels.
        ids: Whether labels are class ids (True) or soft (False). None tells by the
            shape, which three classes without a layer do not allow.
        name: Name of the metric.
        dtype: As in Keras's metrics.

    Raises:
        ValueError: When updated without a layer with labels that are neither packed nor
            of the outputs' shape, or that could be both.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> metric = msda.MixedAccuracy()
        >>> packed = np.array([[0, 1, 0.75]], "float32")  # Own id, partner's, weight.
        >>> metric.update_state(packed, np.array([[0.5, 0.4, 0.1, 0.0]], "float32"))
        >>> print(float(metric.result()))
        0.75
    """

    def __init__(
        self,
        layer: Any = None,
        *,
        ids: bool | None = None,
        name: str = "accuracy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.layer = layer
        self.ids = ids

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Labels: packed, soft, or as the layer's batch has them.
            y_pred: Outputs of the model, `(batch, classes)`.
            sample_weight: Shape `(batch,)` or `(batch, 1)`.
        """
        targets = handoff.read_targets(
            self, y_true, y_pred, sample_weight, ids=self.ids
        )
        hits = _hits(targets.own, y_pred)
        if targets.other is not None:
            weight = _factored.per_draw(targets.weight, len(hits.shape) - 1)
            hits = plans.blend(hits, _hits(targets.other, y_pred), weight, "float32")
        super().update_state(hits, targets.sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; the layer is named by its uid."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "layer": self.layer and self.layer.uid,
            "ids": self.ids,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixedAccuracy":
        """Makes the metric again, with the newest layer of the uid."""
        layer = handoff.find(cls.__name__, config["layer"])
        return cls(**(config | {"layer": layer}))


def _hits(labels: Tensor, outputs: Tensor) -> Tensor:
    """Returns the share of each label that lies on the output's choice, float32.

    Args:
        labels: Class ids, `(batch,)` or `(batch, 1)`, or soft labels of the outputs'
            shape; of one output, 0 or 1.
        outputs: `(batch, classes)`, or `(batch, 1)` with a threshold of 1/2.
    """
    ops = _backend.of(outputs)
    labels = ops.cast(labels, "float32")
    if outputs.shape[-1] == 1:
        choice = ops.cast(ops.reshape(outputs, [-1]) > 0.5, "float32")
        share = ops.reshape(labels, [-1])
        return 1.0 - choice - share + 2.0 * choice * share
    choice = ops.argmax(outputs)
    if tuple(labels.shape[1:]) == tuple(outputs.shape[1:]):
        return ops.sum(labels * ops.one_hot(choice, outputs.shape[-1]), -1)
    labels = ops.reshape(labels, ops.shape(choice))
    return ops.cast(labels == ops.cast(choice, "float32"), "float32")
