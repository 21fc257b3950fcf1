"""Functions of whole models."""

from typing import Any, NoReturn

import keras

from keras_msda import _errors
from keras_msda.layers.base import MixLayer
from keras_msda.models import _backbones, _graphs


def strip(model: keras.Model) -> keras.Model:
    """Returns a model without mixing layers, for serving.

    A model with mixing layers never mixes when it predicts and can be exported as it
    is; use this if no trace of them may remain in the graph. The new model shares all
    other layers, and so their weights, with the given one. Its inputs keep their names,
    shapes and dtypes: where a mixing layer cast bytes to floats, a Keras layer does. It
    is not compiled.

    Args:
        model: Sequential or functional, perhaps with such models inside, also within
            `keras.layers.TimeDistributed`; or a `ManifoldMixing`.

    Returns:
        A model of the same kind, inputs, outputs and name; the backbone of a
        `ManifoldMixing`.

    Raises:
        ValueError: If a subclassed model or another layer holds a mixing layer, because
            its `call` cannot be rewritten; or if a mixing layer casts floats to
            integers.

    Example:
        >>> import keras, keras_msda as msda
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), msda.HMixLayer(), keras.layers.Flatten()]
        ... )
        >>> print([type(layer).__name__ for layer in msda.strip(model).layers])
        ['Flatten']
    """
    _check_model("strip", model, keras.Model)
    if isinstance(model, _backbones.BackboneModel):
        return strip(model.backbone)
    if isinstance(model, keras.Sequential):
        return _strip_sequential(model)
    if _graphs.is_functional(model):
        inputs = keras.tree.map_structure(_graphs.copy_input, model.input)
        # Not compiled, unlike the given one: a clone would be compiled as that is.
        bare = keras.Model(model.input, model.output, name=model.name)
        clone = keras.models.clone_model(
            bare,
            input_tensors=inputs,
            clone_function=_strip_layer,
            call_function=_call_or_skip,
        )
        if _has_own_constructor(type(model)):
            return clone
        return type(model)(clone.input, clone.output, name=model.name)
    if any(isinstance(x, MixLayer) for x in _graphs.list_parts(model)):
        _fail_subclassed("strip", type(model).__name__)
    return model


def _strip_sequential(model: keras.Sequential) -> keras.Sequential:
    """Returns a sequential model without mixing layers."""
    # `model.layers` leaves the input out, and there may be none yet.
    first = [x for x in model._layers[:1] if isinstance(x, keras.layers.InputLayer)]
    layers: list[Any] = [_graphs.copy_input(x.output) for x in first]
    values = layers[0] if layers else None
    for layer in model.layers:
        kept = _strip_layer(layer)
        if _find_mixer(layer) is not None:
            dtype = None if values is None else values.dtype
            kept = _make_caster(layer, dtype)
        if kept is None:
            continue
        layers.append(kept)
        values = None if values is None else _infer_output(kept, values)
    if all(hasattr(x, "shape") for x in layers):  # A model without layers fails.
        layers.append(keras.layers.Identity())
    return keras.Sequential(layers, name=model.name, trainable=model.trainable)


def _infer_output(layer: Any, values: Any) -> Any:
    """Returns a layer's symbolic output, or None if the layer cannot infer it."""
    try:
        return layer(values)
    except NotImplementedError:
        return None


def _has_own_constructor(kind: type) -> bool:
    """Returns whether a class of functional models may take other arguments."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            return not base.__module__.startswith("keras.")
    return False


def _find_mixer(layer: Any) -> MixLayer | None:
    """Returns the mixing layer that a layer is, or that it calls for each frame."""
    inner = layer
    while isinstance(inner, keras.layers.TimeDistributed):
        inner = inner.layer
    return inner if isinstance(inner, MixLayer) else None


def _strip_layer(layer: Any) -> Any:
    """Returns a layer as it is, or a model inside the model without mixing layers."""
    mixes = any(isinstance(x, MixLayer) for x in _graphs.list_parts(layer))
    if not mixes or _find_mixer(layer) is not None:
        return layer
    if isinstance(layer, keras.Model):
        return strip(layer)
    if isinstance(layer, keras.layers.TimeDistributed):
        return keras.layers.TimeDistributed(
            _strip_layer(layer.layer), name=layer.name, dtype=layer.dtype_policy
        )
    return _fail_subclassed("strip", type(layer).__name__)


def _call_or_skip(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer, or returns what it is called with if it mixes."""
    if _find_mixer(layer) is None:
        return layer(*args, **kwargs)
    caster = _make_caster(layer, args[0].dtype)
    return args[0] if caster is None else caster(args[0])


def _make_caster(layer: Any, dtype: str | None) -> keras.layers.Layer | None:
    """Returns a layer that casts as a mixing layer that does not mix, or None.

    Args:
        layer: The mixing layer, or one that calls it for each frame.
        dtype: Of the images; None if it is not known, as a rule that of floats.
    """
    mixer = _find_mixer(layer)
    target = mixer.compute_dtype if mixer is not None else dtype
    if dtype in (None, target):
        return None
    if not keras.backend.is_float_dtype(target):
        _fail_cast("strip", layer.name, str(dtype), str(target))
    # Keras's own casting of inputs is for floats alone.
    if keras.backend.is_float_dtype(dtype):
        return keras.layers.Identity(name=layer.name, dtype=target)
    return keras.layers.Rescaling(1.0, name=layer.name, dtype=target)


def _check_model(owner: str, model: Any, kind: type) -> None:
    """Checks for a Keras model."""
    if not isinstance(model, kind):
        _errors.fail(
            owner,
            "`model` must be a Keras model.",
            f"model of type {type(model).__name__}",
            "Give what `keras.Sequential` or `keras.Model` has made.",
            TypeError,
        )


def _fail_subclassed(owner: str, name: str) -> NoReturn:
    """Raises the error for a mixing layer that cannot be taken out."""
    _errors.fail(
        owner,
        "the `call` of a subclassed model cannot be rewritten.",
        f"{name} with a mixing layer inside",
        "Export it as it is, since it never mixes when it predicts, or build it "
        "without the layer and load its weights.",
    )


def _fail_cast(owner: str, name: str, given: str, dtype: str) -> NoReturn:
    """Raises the error for a mixing layer that rounds, which no Keras layer does."""
    _errors.fail(
        owner,
        "a mixing layer that casts to integers cannot be taken out.",
        f"{name} of dtype {dtype} after outputs of dtype {given}",
        "Export the model as it is, since it never mixes when it predicts.",
    )
