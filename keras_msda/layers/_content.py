"""What a plan may know of a batch besides its seed: saliency, images and labels."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_msda import _backend, _errors, parts, plans
from keras_msda.masks import saliency as _saliency

Tensor = Any


class Content(NamedTuple):
    """Of a batch; followed by that of a second one where it holds the partners.

    Attributes:
        saliency: float32 `(batch, *size)`, over the axes that masks depend on; None
            stands for the same everywhere.
        images: float32 `(batch, *size, channels)`, or None.
        labels: float32 `(batch, numbers)`, by which partners are chosen; or None.
    """

    saliency: Tensor | None = None
    images: Tensor | None = None
    labels: Tensor | None = None


#: Of a call that knows of no batch.
NO_CONTENT = Content()


def read_content(
    layer: Any, checked: Mapping[str, Any], layout: plans.Layout
) -> Content:
    """Returns what the plans of a layer depend on.

    Args:
        layer: A mixing layer.
        checked: Checked parts of a batch, by key.
        layout: Of the images.
    """
    saliency = images = labels = None
    if layer.uses_saliency:
        saliency = checked.get("saliency")
        if saliency is None and "images" in checked:
            saliency = _saliency.measure_contrast(
                checked["images"], layout.data_format, jit_compile=layer.jit_compile
            )
        if saliency is not None:
            saliency = _average_rest(layer, saliency, len(layout.size))
    if layer.uses_images and "images" in checked:
        images = _read_images(checked["images"], layer, layout)
    if layer.pairing == "label_similarity":
        labels = read_labels(
            type(layer).__name__, checked.get("labels"), layer.num_classes
        )
    return Content(saliency, images, labels)


def convert_content(
    layer: Any, layout: plans.Layout, given: Mapping[str, Any]
) -> Content:
    """Returns what a sampled plan depends on, checked.

    Args:
        layer: A mixing layer.
        layout: Of the images that the plan is for.
        given: Images, saliency and labels, by key; None where they are not given.
    """
    owner = type(layer).__name__
    used = {"images": layer.uses_saliency, "saliency": layer.uses_saliency}
    used["labels"] = layer.pairing == "label_similarity"
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if not used[key]:
            _errors.fail(
                owner,
                f"the plans of this layer do not depend on {key}.",
                f"`{key}`",
                f"Leave `{key}` out.",
            )
    settings = parts.Settings(targets="own", num_classes=layer.num_classes)
    checked = parts.check_parts(owner, given, layout=layout, settings=settings)
    if "images" in given:
        checked["images"] = _check_images(owner, given["images"], layout)
    return read_content(layer, checked, layout)


def _check_images(owner: str, images: Any, layout: plans.Layout) -> Tensor:
    """Returns images as a tensor of the shape that a plan is for, or raises."""
    images = _backend.get_ops(images).convert(images)
    expected = (layout.batch, *layout.size)
    lengths = layout.lengths(images.shape)
    found = (images.shape[0], *(lengths or ()))
    if len(found) != len(expected) or any(map(_errors.differ, found, expected)):
        _errors.fail(
            owner,
            f"images must be as many and as large as the plan, {expected}.",
            f"images of shape {_errors.show(images.shape)}",
            "Give `batch` and `size` of these images; check `data_format`.",
        )
    return images


def _average_rest(layer: Any, values: Tensor, rank: int) -> Tensor:
    """Returns the mean over the spatial axes that masks do not depend on."""
    places = layer._places(rank)
    rest = [axis + 1 for axis in range(rank) if axis not in places]
    return _backend.get_ops(values).mean(values, rest) if rest else values


def _read_images(images: Tensor, layer: Any, layout: plans.Layout) -> Tensor:
    """Returns images as floats, channels last, with the axes of the masks alone.

    Values that are not finite count as 0.
    """
    ops = _backend.get_ops(images)
    images = ops.cast(images, "float32")
    images = ops.where(images - images == 0, images, 0.0)
    if layout.channels == 1:
        rank = len(layout.size)
        images = ops.transpose(images, [0, *range(2, rank + 2), 1])
    return _average_rest(layer, images, len(layout.size))


def check_labels(owner: str, labels: Any) -> None:
    """Checks that there are labels by which partners can be chosen."""
    if not hasattr(labels, "shape"):
        _errors.fail(
            owner,
            '`pairing="label_similarity"` needs labels with the images, one array.',
            "no labels" if labels is None else f"labels in a {type(labels).__name__}",
            "Call the layer as `layer(images, labels)`, or in the pipeline as "
            "`dataset.map(layer)`.",
        )


def read_labels(owner: str, labels: Any, num_classes: Any) -> Tensor:
    """Returns the numbers whose distances say how alike samples are, or raises.

    Args:
        owner: Name that an error starts with.
        labels: Checked labels, or None.
        num_classes: Of integer labels, which are then as far from each other as two
            one-hot vectors.

    Returns:
        float32 `(batch, numbers)`.
    """
    check_labels(owner, labels)
    ops = _backend.get_ops(labels)
    batch = ops.shape(labels)[0]
    if num_classes is not None and not keras.backend.is_float_dtype(labels.dtype):
        return ops.one_hot(ops.reshape(labels, [-1]), num_classes)
    # JAX and PyTorch do not find out how many numbers an empty batch would have.
    lengths = tuple(labels.shape[1:])
    count = -1 if None in lengths else math.prod(lengths)
    return ops.reshape(ops.cast(labels, "float32"), [batch, count])
