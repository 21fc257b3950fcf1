"""What a plan may know of a batch besides its seed: saliency, images and labels."""

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
        if saliency is None:
            saliency = _saliency.contrast_saliency(
                checked["images"], layout.data_format
            )
        saliency = _average_rest(layer, saliency, len(layout.size))
    if layer.uses_images:
        images = _read_images(checked["images"], layer, layout)
    if layer.pairing == "label_similarity":
        labels = read_labels(
            type(layer).__name__, checked.get("labels"), layer.num_classes
        )
    return Content(saliency, images, labels)


def convert_content(
    layer: Any, batch: Any, size: Any, saliency: Any, labels: Any
) -> Content:
    """Returns what a sampled plan depends on, checked.

    Args:
        layer: A mixing layer.
        batch: Number of samples.
        size: Spatial lengths of the images.
        saliency: Shape `(batch, *size)`, or None.
        labels: One per sample, or None.
    """
    owner = type(layer).__name__
    similar = layer.pairing == "label_similarity"
    for name, value, used in (
        ("saliency", saliency, layer.uses_saliency),
        ("labels", labels, similar),
    ):
        if value is not None and not used:
            _errors.fail(
                owner,
                f"the plans of this layer do not depend on {name}.",
                f"`{name}`",
                f"Leave `{name}` out.",
            )
    layout = plans.Layout(batch, tuple(size), layer.data_format)
    given = {"saliency": saliency, "labels": labels}
    given = {key: value for key, value in given.items() if value is not None}
    checked = parts.check_parts(
        owner, given, layout=layout, settings=parts.Settings(targets="own")
    )
    if layer.uses_saliency and saliency is not None:
        saliency = _average_rest(layer, checked["saliency"], len(layout.size))
    if similar:
        labels = read_labels(owner, checked.get("labels"), layer.num_classes)
    return Content(saliency, None, labels)


def _average_rest(layer: Any, values: Tensor, rank: int) -> Tensor:
    """Returns the mean over the spatial axes that masks do not depend on."""
    places = layer._places(rank)
    rest = [axis + 1 for axis in range(rank) if axis not in places]
    return _backend.get_ops(values).mean(values, rest) if rest else values


def _read_images(images: Tensor, layer: Any, layout: plans.Layout) -> Tensor:
    """Returns images as floats, channels last, with the axes of the masks alone."""
    ops = _backend.get_ops(images)
    images = ops.cast(images, "float32")
    if layout.channels == 1:
        rank = len(layout.size)
        images = ops.transpose(images, [0, *range(2, rank + 2), 1])
    return _average_rest(layer, images, len(layout.size))


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
    if not hasattr(labels, "shape"):
        _errors.fail(
            owner,
            '`pairing="label_similarity"` needs labels with the images, one array.',
            "no labels" if labels is None else f"labels in a {type(labels).__name__}",
            "Call the layer as `layer(images, labels)`, or in the pipeline as "
            "`dataset.map(layer)`.",
        )
    ops = _backend.get_ops(labels)
    batch = ops.shape(labels)[0]
    if num_classes is not None and not keras.backend.is_float_dtype(labels.dtype):
        return ops.one_hot(ops.reshape(labels, [-1]), num_classes)
    return ops.reshape(ops.cast(labels, "float32"), [batch, -1])
