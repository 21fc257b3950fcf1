"""Checks of `SaliencyMixing`, before any work."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_msda import _checks, _errors
from keras_msda.models import _backbones


def check_backbone(owner: str, backbone: Any) -> None:
    """Checks for a model that mixes nothing and takes floats."""
    _backbones.check_model(owner, backbone)
    for tensor in _find_inputs(backbone)[:1]:
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if not keras.backend.is_float_dtype(dtype):
            _errors.fail(
                owner,
                "`backbone` must take floats, which have a gradient and can be mixed.",
                f"an input of dtype {dtype}",
                'Declare it as `keras.Input(shape, dtype="float32")`; batches of bytes '
                "are cast to it.",
            )


def _find_inputs(backbone: keras.Model) -> list[Any]:
    """Returns the symbolic inputs of a model that has any, the images first."""
    if not getattr(backbone, "built", False) or not hasattr(backbone, "operations"):
        return []
    inputs = backbone.input
    if isinstance(inputs, Mapping):
        return [inputs["images"]] if "images" in inputs else []
    return keras.tree.flatten(inputs)  # type: ignore[no-any-return]


def check_mixer(owner: str, mixer: Any) -> None:
    """Checks for a mixing layer that uses saliency."""
    _backbones.check_mixing_layer(
        owner, mixer, "Use for example `keras_msda.PuzzleMixLayer(num_classes=10)`."
    )
    if not mixer.uses_saliency:
        _errors.fail(
            owner,
            "`mixer` must place its masks by saliency.",
            f"{type(mixer).__name__}, which does not",
            "Map the dataset with it instead, or put it into the model.",
        )


def check_clean_weight(owner: str, value: Any) -> float:
    """Returns a finite number that is not negative."""
    if not (_checks.is_number(value) and 0 <= value < math.inf):
        _errors.fail(
            owner,
            "`clean_weight` must be a finite number, not negative.",
            f"clean_weight={value!r}",
            "Use for example 1.0, or 0.0 for the mixed batch alone.",
        )
    return float(value)


def check_batch(owner: str, inputs: Any, labels: Any) -> None:
    """Checks that there are labels, and no saliency among the inputs."""
    if labels is None:
        _errors.fail(
            owner,
            "training needs labels beside the images.",
            "a batch without labels",
            "Use `fit(images, labels)`, or a dataset of (images, labels).",
        )
    if isinstance(inputs, Mapping) and "saliency" in inputs:
        _errors.fail(
            owner,
            "the saliency is the gradient of the loss.",
            'inputs with the key "saliency"',
            "Map a dataset with the mixing layer itself to use a map of your own.",
        )


def check_compiled(owner: str, losses: Any, targets: str) -> None:
    """Checks that a model was compiled with a loss, of what the labels become.

    Args:
        owner: Name that an error starts with.
        losses: As Keras was given them, or None.
        targets: Setting of the mixing layer.
    """
    if losses is None:
        _errors.fail(
            owner,
            "saliency is the gradient of the compiled loss.",
            "no loss",
            'Use for example `model.compile("adam", "categorical_crossentropy")`.',
        )
    for loss in keras.tree.flatten(losses) if targets in ("soft", "union") else ():
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
        name = name or type(loss).__name__
        if name.lower().replace("_", "").startswith("sparsecategorical"):
            _errors.fail(
                owner,
                "mixed labels are soft, and this loss takes class ids.",
                f"the loss {name!r}",
                'Use "categorical_crossentropy"; or a mixer with `targets="pair"` and '
                '`keras_msda.MixedLoss("sparse_categorical_crossentropy")`.',
            )
