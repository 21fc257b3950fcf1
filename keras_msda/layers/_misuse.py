"""Warnings and errors for uses that would train on labels of other images.

Keras tells a layer neither who calls it nor with what loss it is trained: both are
found on the stack.
"""

import sys
import types
from typing import Any, NoReturn

import keras

from keras_msda import _backend, _errors


def is_called_by(method: str, kind: type) -> bool:
    """Returns whether a method of an object of some class is running.

    Keras tells a layer neither that `TimeDistributed` calls it once a frame, nor that a
    trainer has computed its loss.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        named = frame.f_code.co_name == method
        if named and isinstance(frame.f_locals.get("self"), kind):
            return True
        frame = frame.f_back
    return False


def check_alone(layer: Any, images: Any) -> None:
    """Raises for, or warns of, calls with images alone that no loss will know of."""
    owner = type(layer).__name__
    check_replayable(layer)
    if _backend.in_any_pipeline(images):
        layer._say("pipeline", warn_images_alone, owner)
    if not _backend.get_ops(images).in_torch_compile() and is_called_by(
        "call", keras.layers.TimeDistributed
    ):
        fail_time_distributed(owner)


def check_replayable(layer: Any) -> None:
    """Checks that a loss can draw the plans of a layer again from their seeds alone."""
    owner = type(layer).__name__
    if layer.pairing == "label_similarity":
        _errors.fail(
            owner,
            '`pairing="label_similarity"` needs labels in the call, and a layer inside '
            "a model gets images alone.",
            "images alone, or a loss of the layer",
            "Mix in the pipeline, `dataset.map(layer)`, or call "
            "`layer(images, labels)` in a step of your own.",
        )
    if layer.weight_needs_images:
        _errors.fail(
            owner,
            "the weights of labels depend on the images, which a loss does not see.",
            "images alone, or a loss of the layer",
            "Mix images and labels together: in the pipeline, `dataset.map(layer)`, by "
            "`keras_msda.SaliencyMixing(model, layer)`, or as "
            "`layer(images, labels)` in a step of your own.",
        )


def is_like_grey(shape: Any) -> bool:
    """Returns whether signals may be grey images without an axis of channels."""
    if len(shape) != 3:
        return False
    return isinstance(shape[2], int) and shape[1] == shape[2] >= 16


def warn_of_signals(owner: str, shape: Any) -> None:
    """Warns of images that are read as signals."""
    _errors.warn(
        owner,
        "inputs (batch, length, channels) are signals, mixed along one axis.",
        f"shape {_errors.show(shape)}, which looks like grey images",
        "Give grey images an axis of channels, `images[..., None]`; for signals of as "
        "many channels, `mask_axes=(1,)` turns this warning off.",
    )


def warn_images_alone(owner: str) -> None:
    """Warns of images that a pipeline mixes without their labels."""
    _errors.warn(
        owner,
        "a pipeline must mix labels together with the images.",
        "images alone, with training=True, in a `tf.data` pipeline",
        "Map the layer over images and labels: `dataset.map(layer)`. Where there are "
        "no labels, filter this warning, of category `keras_msda.MixWarning`.",
    )


def warn_unheard(owner: str, name: str) -> None:
    """Warns of a model that is trained without the loss of its layer."""
    _errors.warn(
        owner,
        "a model with a mixing layer inside must be trained with that layer's loss.",
        f"a loss that has not asked what the layer {name!r} mixed",
        "Compile with `loss=layer.loss(...)`. If the labels are not to be mixed, "
        "filter this warning, of category `keras_msda.MixWarning`.",
    )


def fail_time_distributed(owner: str) -> NoReturn:
    """Raises the error for one call a frame, of which a loss would know the last."""
    _errors.fail(
        owner,
        "`TimeDistributed` mixes each frame by a plan of its own, and a loss knows the "
        "last one alone.",
        "a call in training inside `keras.layers.TimeDistributed`",
        "Call the layer on whole videos (batch, frames, height, width, channels) "
        "before it, with `mask_axes=(2, 3)` for one mask for all frames.",
    )
