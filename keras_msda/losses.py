"""The loss that matches mixed batches."""

from typing import Any

import keras

from keras_msda import _factored, handoff, plans

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_msda")
class MixedLoss(keras.losses.Loss):
    """The mix of a loss against both labels: `weight * l_i + (1 - weight) * l_j`.

    Where a loss is linear in the label, as cross-entropy is, this equals the loss
    against the mixed label; where it is not, it is the mix of losses. With sample
    weights the terms are `w_i weight l_i + w_j (1 - weight) l_j`.

    Partners and weights come from one of two places: from labels that a layer with
    `targets="pair"` has packed in a pipeline, or from a layer inside the model, which
    draws them again from the seed of its last call. If that layer was never called, or
    called with another batch, the loss is NaN. If its last call did not mix, as in
    `evaluate`, the loss is the plain one.

    Args:
        loss: A Keras loss, its name, or a function of (labels, outputs) that returns
            one value a sample. Class ids and soft labels are both fine.
        layer: The mixing layer inside the model; None for packed labels. Soft labels of
            the outputs' shape, which need no mixing, are taken as they are.
        ids: Whether labels are class ids (True) or soft (False); None for what a loss
            of Keras takes, and for a function by the shape of the labels.
        reduction: As in Keras's losses; None for the given loss's own.
        name: Name of the loss; None for the given loss's own.
        dtype: As in Keras's losses.

    Raises:
        ValueError: When called without a layer on labels that are not packed, or that
            could be both packed ids and soft labels of three classes.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> loss = msda.MixedLoss("sparse_categorical_crossentropy")
        >>> packed = np.array([[0, 1, 0.75]], "float32")  # Own id, partner's, weight.
        >>> value = loss(packed, np.array([[0.5, 0.25, 0.25]], "float32"))
        >>> print(round(float(value), 4))  # -(0.75 ln 0.5 + 0.25 ln 0.25)
        0.8664
    """

    def __init__(
        self,
        loss: Any,
        layer: Any = None,
        *,
        ids: bool | None = None,
        reduction: str | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        base = keras.losses.get(loss)
        own = isinstance(base, keras.losses.Loss)
        default = base.reduction if own else "sum_over_batch_size"
        super().__init__(
            name=name or (base.name if own else base.__name__),
            reduction=reduction or default,
            dtype=dtype,
        )
        self.loss = base
        self.layer = layer
        self.ids = _takes_ids(base) if ids is None else ids

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
        targets = handoff.read_targets(
            self, y_true, y_pred, sample_weight, ids=self.ids
        )
        structure = {"own": targets.own}
        if targets.other is not None:
            structure |= {"other": targets.other, "weight": targets.weight}
        return super().__call__(structure, y_pred, targets.sample_weight)

    def call(self, y_true: dict[str, Tensor], y_pred: Tensor) -> Tensor:
        """Returns the loss of each sample.

        Args:
            y_true: "own" labels, and "other" labels with "weight" where there are two.
            y_pred: Outputs of the model.
        """
        own = self._evaluate(y_true["own"], y_pred)
        if "other" not in y_true:
            return own
        weight = _factored.per_draw(y_true["weight"], len(own.shape) - 1)
        other = self._evaluate(y_true["other"], y_pred)
        dtype = keras.backend.standardize_dtype(own.dtype)
        mixed = plans.blend(own, other, weight, dtype)
        if hasattr(own, "_keras_mask"):
            # So Keras 3.15 tells labels to be left out (`ignore_class`). A sample stays
            # where one of the labels that it shows counts.
            counted = own._keras_mask & (weight > 0.0)
            mixed._keras_mask = counted | (other._keras_mask & (weight < 1.0))
        return mixed

    def _evaluate(self, labels: Tensor, outputs: Tensor) -> Tensor:
        """Returns the given loss of each sample."""
        if len(labels.shape) < len(outputs.shape) and outputs.shape[-1] == 1:
            labels = labels[..., None]  # As Keras's losses take labels of one output.
        return getattr(self.loss, "call", self.loss)(labels, outputs)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; the layer is named by its uid."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "layer": self.layer and self.layer.uid,
            "ids": self.ids,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MixedLoss":
        """Makes the loss again, with the newest layer of the uid."""
        config = dict(config)
        config["loss"] = keras.saving.deserialize_keras_object(config["loss"])
        config["layer"] = handoff.find(cls.__name__, config["layer"])
        return cls(**config)


def _takes_ids(loss: Any) -> bool | None:
    """Tells whether a loss takes class ids: yes, no, or None for a user's own."""
    name = getattr(loss, "__name__", type(loss).__name__)
    if name.lower().replace("_", "").startswith("sparse"):
        return True
    known = hasattr(keras.losses, name)
    return False if known else None
