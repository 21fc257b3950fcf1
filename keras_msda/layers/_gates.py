"""A place inside a model where features may be mixed, as a layer."""

from typing import Any

import keras

from keras_msda.layers._features import FeatureMixing

Tensor = Any


class Gate(keras.layers.Layer):
    """A place inside a model where features may be mixed.

    Args:
        mixing: What mixes.
        number: Number of the gate.
        dtype_out: Dtype of the features that leave it; None for their own.
    """

    def __init__(
        self, mixing: FeatureMixing, number: int, dtype_out: str | None = None
    ) -> None:
        super().__init__(autocast=False, trainable=False)
        self.mixing = mixing
        self.number = number
        self.dtype_out = dtype_out
        self.built = True

    def call(self, features: Tensor) -> Tensor:
        """Returns the features, mixed if this step has chosen this gate.

        Args:
            features: Of a batch.
        """
        dtype = self.dtype_out or keras.backend.standardize_dtype(features.dtype)
        return self.mixing.mix_at(self.number, features, dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the features."""
        return input_shape

    def compute_output_spec(self, features: Any) -> Any:
        """Returns what a symbolic call gives."""
        return keras.KerasTensor(features.shape, self.dtype_out or features.dtype)

    def compute_mask(self, features: Any, previous_mask: Any = None) -> Any:
        """Returns Keras's mask of mixed sequences, see `MixLayer.compute_mask`."""
        symbolic = isinstance(previous_mask, keras.KerasTensor)
        if symbolic or not hasattr(previous_mask, "shape"):
            return None
        return self.mixing.mix_mask_at(self.number, previous_mask)
