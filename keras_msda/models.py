"""What is done to whole models."""

from typing import Any

import keras

from keras_msda import _checks
from keras_msda.layers.base import MixLayer


def strip(model: keras.Model) -> keras.Model:
    """Returns a model without mixing layers, for those who serve it.

    A model with them never mixes when it predicts, and can be exported as it is; this
    is for those who want no trace of them in the graph. The new model shares all other
    layers with the given one, and with them the weights. It is not compiled.

    Args:
        model: Sequential or functional, perhaps with such models inside.

    Returns:
        A model of the same kind, inputs, outputs and name.

    Raises:
        ValueError: If a subclassed model holds a mixing layer: what its `call` does
            cannot be rewritten.

    Example:
        >>> import keras, keras_msda as msda
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), msda.HMixLayer(), keras.layers.Flatten()]
        ... )
        >>> print([type(layer).__name__ for layer in msda.strip(model).layers])
        ['Flatten']
    """
    _checks.check_model("strip", model, keras.Model)
    if isinstance(model, keras.Sequential):
        inputs = [keras.Input(batch_shape=model.input_shape)] if model.built else []
        kept = [x for x in model.layers if not isinstance(x, MixLayer)]
        return keras.Sequential([*inputs, *map(_stripped, kept)], name=model.name)
    if _is_functional(model):
        return keras.models.clone_model(
            model, clone_function=_stripped, call_function=_passed
        )
    if any(isinstance(x, MixLayer) for x in _parts(model)):
        _checks.fail_subclassed("strip", type(model).__name__)
    return model


def _is_functional(model: Any) -> bool:
    """Tells functional models: Keras has no public name for their class."""
    return hasattr(model, "operations") and hasattr(model, "get_layer")


def _parts(layer: Any) -> list[Any]:
    """Returns all layers inside a layer."""
    return list(layer._flatten_layers(include_self=False))


def _stripped(layer: Any) -> Any:
    """Returns a layer as it is, and a model inside a model without mixing layers."""
    mixes = any(isinstance(x, MixLayer) for x in _parts(layer))
    if mixes and isinstance(layer, keras.Model):
        return strip(layer)
    if mixes and not isinstance(layer, MixLayer):
        _checks.fail_subclassed("strip", type(layer).__name__)
    return layer


def _passed(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer, or returns what it is called with if it mixes."""
    if isinstance(layer, MixLayer):
        return args[0]
    return layer(*args, **kwargs)
