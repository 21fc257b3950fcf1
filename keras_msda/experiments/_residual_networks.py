"""The residual networks of papers, by name: from images in [0, 1] to logits.

Trainable weights, of which normalisation has two for each channel:

| name | source | classes | weights |
|---|---|---|---|
| resnet56 | He et al., CVPR 2016, section 4.2 | 10 | 853,018 |
| wrn28-2 | Zagoruyko and Komodakis, BMVC 2016 | 10 | 1,467,610 |
| preactresnet18 | He et al., ECCV 2016 | 100 | 11,218,340 |
| preactresnet34 | He et al., ECCV 2016 | 100 | 21,326,500 |
| preactresnet50 | He et al., ECCV 2016 | 100 | 23,697,572 |
| resnet50 | He et al., CVPR 2016, as `keras.applications` has it | 1,000 | 25,583,592 |

All but the last begin with a convolution of 3x3, for small images. Strided convolutions
of 3x3 are padded by one pixel on each side, as the papers' code does, so that they are
centred on the pixels that the shortcut keeps. Convolutions are initialised by He et
al., ICCV 2015.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers, ops

Tensor = Any


class Form(NamedTuple):
    """What tells one residual network from another.

    Attributes:
        blocks: Number of blocks in each stage; all stages but the first halve the size.
        filters: Of the convolutions of 3x3 in each stage.
        stem: Filters of the first convolution.
        preactivated: Whether normalisation and ReLU come before each convolution, and
            projections are the shortcuts where shapes change. Otherwise they come after
            it, and shortcuts have no weights: zeros are the new channels.
        bottleneck: Whether blocks have convolutions of 1x1, 3x3 and 1x1, of which the
            last has four times the filters. Otherwise they have two of 3x3.
    """

    blocks: tuple[int, ...]
    filters: tuple[int, ...]
    stem: int
    preactivated: bool = True
    bottleneck: bool = False

    def list_convolutions(self, filters: int, stride: int) -> list[dict[str, int]]:
        """Returns filters, kernel and stride of the convolutions of a block."""
        middle = {"filters": filters, "kernel": 3, "stride": stride}
        if not self.bottleneck:
            return [middle, {"filters": filters, "kernel": 3}]
        ends = [{"filters": each, "kernel": 1} for each in (filters, 4 * filters)]
        return [ends[0], middle, ends[1]]


_IMAGENET = (64, 128, 256, 512)
FORMS = {
    "resnet56": Form((9, 9, 9), (16, 32, 64), 16, preactivated=False),
    "wrn28-2": Form((4, 4, 4), (32, 64, 128), 16),
    "preactresnet18": Form((2, 2, 2, 2), _IMAGENET, 64),
    "preactresnet34": Form((3, 4, 6, 3), _IMAGENET, 64),
    "preactresnet50": Form((3, 4, 6, 3), _IMAGENET, 64, bottleneck=True),
}


def build_network(form: Form, shape: tuple[int, ...], classes: int) -> keras.Model:
    """Builds a residual network for small images.

    Args:
        form: Which one.
        shape: Shape of an image, `(height, width, channels)`.
        classes: Number of logits.

    Returns:
        A new model of images in [0, 1], whose logits are float32 in mixed precision.
    """
    inputs = keras.Input(shape)
    x = _convolve(_normalize(inputs), form.stem, name="stem")
    if not form.preactivated:
        x = _activate(x, "stem")
    add = _add_preactivated_block if form.preactivated else _add_block
    stages = zip(form.blocks, form.filters, strict=True)
    for stage, (count, filters) in enumerate(stages, 1):
        for number in range(1, count + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            convolutions = form.list_convolutions(filters, stride)
            x = add(x, convolutions, stride=stride, name=f"stage{stage}_block{number}")
    if form.preactivated:
        x = _activate(x, "final")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, _classify(x, classes))


def build_resnet50(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Builds Keras's ResNet-50, without weights of a training.

    Args:
        shape: Shape of an image, `(height, width, channels)`, 32 pixels at least.
        classes: Number of logits.

    Returns:
        A new model of images in [0, 1], whose logits are float32 in mixed precision.
    """
    inputs = keras.Input(shape)
    base = keras.applications.ResNet50(
        include_top=False,
        weights=None,
        input_tensor=_normalize(inputs),
        pooling="avg",
    )
    initialize = keras.initializers.HeNormal()
    for layer in base.layers:
        if isinstance(layer, layers.Conv2D):  # Keras has Glorot's here.
            layer.kernel.assign(initialize(layer.kernel.shape))
    return keras.Model(inputs, _classify(base.output, classes), name="resnet50")


def _normalize(images: Tensor) -> Tensor:
    """Brings images in [0, 1] to about zero mean and unit variance."""
    return layers.Rescaling(4.0, offset=-2.0, name="normalize")(images)


def _classify(features: Tensor, classes: int) -> Tensor:
    """Returns logits, float32 under mixed precision, too."""
    return layers.Dense(classes, dtype="float32", name="logits")(features)


def _add_preactivated_block(
    x: Tensor, convolutions: list[dict[str, int]], *, stride: int, name: str
) -> Tensor:
    """Adds convolutions of the activated input, and the input or a projection."""
    width = convolutions[-1]["filters"]
    active, short = _activate(x, f"{name}_1"), x
    if stride != 1 or x.shape[-1] != width:
        # Both ways begin with the same activation.
        project = {"kernel": 1, "stride": stride}
        short = _convolve(active, width, **project, name=f"{name}_project")
    for number, options in enumerate(convolutions, 1):
        if number > 1:
            active = _activate(active, f"{name}_{number}")
        active = _convolve(active, **options, name=f"{name}_{number}")
    return layers.Add(name=f"{name}_add")([active, short])


def _add_block(
    x: Tensor, convolutions: list[dict[str, int]], *, stride: int, name: str
) -> Tensor:
    """Adds normalised convolutions and the input, and activates their sum."""
    short = _shrink(x, convolutions[-1]["filters"], stride)
    for number, options in enumerate(convolutions, 1):
        if number > 1:
            x = layers.ReLU(name=f"{name}_{number}_relu")(x)
        x = _convolve(x, **options, name=f"{name}_{number}")
        x = _batch_norm(x, f"{name}_{number}")
    x = layers.Add(name=f"{name}_add")([x, short])
    return layers.ReLU(name=f"{name}_relu")(x)


def _shrink(x: Tensor, filters: int, stride: int) -> Tensor:
    """Takes each second pixel, and adds channels of zeros on both sides."""
    more = filters - x.shape[-1]
    if stride == 1 and not more:
        return x
    widths = [[0, 0], [0, 0], [0, 0], [more // 2, more - more // 2]]
    return ops.pad(x[:, ::stride, ::stride], widths)


def _activate(x: Tensor, name: str) -> Tensor:
    return layers.ReLU(name=f"{name}_relu")(_batch_norm(x, name))


def _batch_norm(x: Tensor, name: str) -> Tensor:
    named = {"name": f"{name}_norm"}
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **named)(x)


def _convolve(
    x: Tensor, filters: int, *, name: str, kernel: int = 3, stride: int = 1
) -> Tensor:
    padding = "same"
    if stride > 1 and kernel > 1:  # Keras would pad below and to the right alone.
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_padding")(x)
        padding = "valid"
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


#: Functions of the shape of an image and the number of classes.
NETWORKS: dict[str, Callable[[tuple[int, ...], int], keras.Model]] = {
    **{name: functools.partial(build_network, form) for name, form in FORMS.items()},
    "resnet50": build_resnet50,
}
