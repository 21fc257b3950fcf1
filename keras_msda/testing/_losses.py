"""The law of the hand-off: a loss of the layer knows what the step has mixed.

Of sample i channel i is 1 and the others are 0, and its label is one-hot. Averaged over
the pixels, mixed images are mixed labels, weight * y_i + (1 - weight) * y_j. So a loss
that is linear in the label is 0 for partner j and that weight, and for no others.
"""

from typing import Any

import keras
import numpy as np

from keras_msda.losses import MixedLoss
from keras_msda.testing import _worlds
from keras_msda.testing._report import Report

Size = tuple[int, ...]

# Means of pixels, times levels of some units, in float32.
_EXACT = 1e-5
_WRONG = 0.05

MODES = {
    "tensorflow": {
        "eager": {"run_eagerly": True},
        "graph": {"jit_compile": False},
        "compiled": {"jit_compile": True},
    },
    "jax": {"eager": {"run_eagerly": True}, "compiled": {"jit_compile": True}},
    "torch": {"eager": {"run_eagerly": True}},
}


def list_modes() -> dict[str, dict[str, bool]]:
    """Returns arguments of `Model.compile` by the name of the world they train in."""
    return MODES[keras.config.backend()]


class _Distance(MixedLoss):
    """The mean distance from 0 of the samples' mixed losses: nothing cancels."""

    def __init__(self, layer: Any) -> None:
        super().__init__(_residual, layer, reduction="none")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        values = super().__call__(y_true, y_pred, sample_weight)
        return keras.ops.mean(keras.ops.abs(values))


def _residual(labels: Any, outputs: Any) -> Any:
    """Returns a function of (labels - outputs) that is linear, of each sample."""
    levels = np.random.default_rng(0).normal(size=labels.shape[-1]).astype("float32")
    levels = keras.ops.convert_to_tensor(levels)
    return keras.ops.sum((labels - outputs) * levels, axis=-1)


def check_handoff(
    report: Report, layer: Any, size: Size, *, batch: int, world: str
) -> None:
    """Checks the loss of a model that averages mixed images.

    Over two image sizes in turn and a smaller last batch.

    Args:
        report: Told of it.
        layer: A mixing layer.
        size: Spatial lengths.
        batch: Number of samples.
        world: A key of `list_modes`.
    """
    with report.checking("handoff", world, size):
        copy = _worlds.copy_layer(layer, exact_weight=True)
        model = _make_model(copy, len(size), batch)
        optimizer = keras.optimizers.SGD(0.0)
        model.compile(optimizer, _Distance(copy), **list_modes()[world])
        other = tuple(length + 1 for length in size)
        for count, lengths in ((batch, size), (batch, other), (batch - 1, size)):
            images, labels = _make_images(batch, lengths)
            loss = float(model.train_on_batch(images[:count], labels[:count]))
            report.require(
                loss <= _EXACT,
                "the loss of `layer.loss` must use partners and weights of its step.",
                f"loss {loss:.6f} instead of 0, for {count} images of size {lengths}",
                "Make hooks functions of their arguments: a loss runs them again.",
            )
        images, labels = _make_images(batch, size)
        loss = float(model.train_on_batch(images, np.roll(labels, 1, 0)))
        report.require(
            loss > _WRONG,
            "the loss for labels of other samples must not be 0.",
            f"loss {loss:.6f}",
            "This checks the check: report it, with the layer.",
        )


def _make_model(layer: Any, rank: int, channels: int) -> keras.Model:
    """Returns a model whose outputs are the means of mixed images."""
    pools = (
        keras.layers.GlobalAveragePooling1D,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.GlobalAveragePooling3D,
    )
    inputs = keras.Input((*[None] * rank, channels))
    pool = pools[rank - 1](data_format="channels_last")
    # Something to train, at a learning rate of 0.
    head = keras.layers.Dense(channels, use_bias=False, kernel_initializer="identity")
    return keras.Model(inputs, head(pool(layer(inputs))))


def _make_images(batch: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images, and one-hot labels."""
    images, labels = _worlds.make_batch(batch, size)
    return images[..., :batch], labels
