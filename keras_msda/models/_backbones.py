"""A model around another one, which it trains in a way of its own."""

from typing import Any

import keras

from keras_msda import _errors
from keras_msda.layers.base import MixLayer
from keras_msda.models import _graphs

Tensor = Any


class BackboneModel(keras.Model):
    """A model that is its backbone, except for what it does in training.

    It has the weights of the backbone, in the same order. `strip` returns the backbone.
    A class that derives from it ends its constructor with `finish`.

    Args:
        backbone: A functional model, or a sequential one whose input is known.
        name: As in Keras.
        dtype: As in Keras.
    """

    def __init__(
        self, backbone: keras.Model, *, name: str | None = None, dtype: Any = None
    ) -> None:
        check_backbone(type(self).__name__, backbone)
        # Inputs reach the backbone as they are: it casts them itself.
        super().__init__(autocast=False, name=name, dtype=dtype)
        self.backbone = backbone

    def finish(self) -> None:
        """Has Keras take the model as built, like its backbone."""
        shape = self.backbone.input_shape
        self.build(list(shape) if isinstance(shape, list) else shape)

    def build(self, input_shape: Any) -> None:
        """Does nothing: the backbone is built."""

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns what a symbolic call gives, as the backbone does."""
        return self.backbone.compute_output_spec(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the backbone's outputs."""
        return self.backbone.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the backbone and what Keras's models keep."""
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }


def check_model(owner: str, backbone: Any) -> None:
    """Checks for a model without mixing layers."""
    if not isinstance(backbone, keras.Model):
        _errors.fail(
            owner,
            "`backbone` must be a Keras model.",
            f"backbone of type {type(backbone).__name__}",
            "Give what `keras.Sequential` or `keras.Model(inputs, outputs)` has made.",
            TypeError,
        )
    inside = [x for x in _graphs.list_parts(backbone) if isinstance(x, MixLayer)]
    if inside:
        _errors.fail(
            owner,
            "`backbone` must not mix by itself.",
            f"a backbone with the mixing layer {inside[0].name!r}",
            "Give `keras_msda.strip(backbone)`.",
        )


def check_mixing_layer(owner: str, mixer: Any, remedy: str) -> None:
    """Checks for a mixing layer."""
    if not isinstance(mixer, MixLayer):
        _errors.fail(
            owner,
            "`mixer` must be a mixing layer.",
            f"mixer of type {type(mixer).__name__}",
            remedy,
            TypeError,
        )


def check_backbone(owner: str, backbone: Any) -> None:
    """Checks for a model whose layers, and how it calls them, are known."""
    check_model(owner, backbone)
    if _graphs.is_graph(backbone):
        return
    if isinstance(backbone, keras.Sequential):
        _errors.fail(
            owner,
            "the input of a sequential backbone must be known.",
            f"{backbone.name!r} without an input",
            "Let it start with `keras.Input(shape)`, or call it on a batch first.",
        )
    _errors.fail(
        owner,
        "the `call` of a subclassed model cannot be read, so that nothing can be "
        "inserted between its layers.",
        f"backbone of type {type(backbone).__name__}",
        "Write it as a function of `keras.Input`: `keras.Model(inputs, outputs)`. As "
        "one layer of such a model, `keras.Model(inputs, model(inputs))`, it can be "
        "mixed at its input.",
    )
