"""The networks of experiments, by name: from images in [0, 1] to logits."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_msda.experiments import _residual_networks

Tensor = Any


def normalize(images: Tensor) -> Tensor:
    """Brings images in [0, 1] to about zero mean and unit variance."""
    return layers.Rescaling(4.0, offset=-2.0, name="normalize")(images)


def build_resnet8(
    shape: tuple[int, ...], classes: int, *, stride: int = 1
) -> keras.Model:
    """Builds a residual network of one block in each of three stages.

    Args:
        shape: Shape of an image, `(height, width, channels)`.
        classes: Number of logits.
        stride: Of the first convolution; 2 takes a quarter of the work.

    Returns:
        A new model of some 78,000 weights.
    """
    inputs = keras.Input(shape)
    x = _convolve(normalize(inputs), 16, stride=stride, name="stem")
    x = layers.ReLU(name="stem_relu")(_batch_norm(x, "stem_norm"))
    for stage, filters in enumerate((16, 32, 64), 1):
        x = _basic_block(x, filters, stride=min(stage, 2), name=f"stage{stage}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    # float32 under mixed precision, too.
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="resnet8")


def _basic_block(x: Tensor, filters: int, *, stride: int, name: str) -> Tensor:
    """Adds two convolutions, and the input or its projection."""
    short = x
    if stride != 1 or x.shape[-1] != filters:
        short = _convolve(x, filters, kernel=1, stride=stride, name=f"{name}_project")
        short = _batch_norm(short, f"{name}_project_norm")
    x = _convolve(x, filters, stride=stride, name=f"{name}_first")
    x = layers.ReLU(name=f"{name}_first_relu")(_batch_norm(x, f"{name}_first_norm"))
    x = _convolve(x, filters, name=f"{name}_second")
    x = layers.Add(name=f"{name}_add")([_batch_norm(x, f"{name}_second_norm"), short])
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolve(
    x: Tensor, filters: int, *, name: str, kernel: int = 3, stride: int = 1
) -> Tensor:
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _batch_norm(x: Tensor, name: str) -> Tensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


#: Functions of the shape of an image and the number of classes.
NETWORKS: dict[str, Callable[[tuple[int, ...], int], keras.Model]] = {
    "resnet8": build_resnet8,
    "resnet8-half": functools.partial(build_resnet8, stride=2),
    **_residual_networks.NETWORKS,
}
