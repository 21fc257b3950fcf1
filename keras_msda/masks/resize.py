"""The resized partner of ResizeMix: a box, and where each of its pixels comes from."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _errors
from keras_msda.masks import _factored, _given, box

Tensor = Any

#: The longest axis for which the sources of pixels are exact.
LONGEST_AXIS = 2**24


def check_lengths(owner: str, size: Sequence[Any]) -> None:
    """Checks that places of pixels are exact, for lengths that are integers."""
    if any(isinstance(n, int) and n > LONGEST_AXIS for n in size):
        _errors.fail(
            owner,
            f"an axis of images that are resized may have {LONGEST_AXIS:,} pixels at "
            "most.",
            f"size={tuple(size)!r}",
            "Cut the images into parts first.",
        )
    _given.check_countable(owner, size, 2**31 - 1)


def scaled_sides(scale: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the sides of resized images, max(1, round(scale * L)).

    Halves are rounded up. A single product is rounded in float32, so that sides are the
    same integers in eager, graph and XLA.

    Args:
        scale: float32 `(draws,)` in [0, 1].
        size: Spatial lengths.

    Returns:
        int32 `(draws, rank)`.
    """
    ops = _backend.get_ops(scale)
    lengths = ops.convert(ops.stack(size), "int32")
    halves = ops.truncate(scale[:, None] * ops.cast(2 * lengths, "float32"))
    return ops.minimum(ops.maximum((halves + 1) // 2, 1), lengths)


def place_inside(position: Tensor, side: Tensor, size: Sequence[Any]) -> box.Extent:
    """Returns boxes of given sides, uniform over all places inside.

    Args:
        position: float32 `(draws, rank)` in [0, 1), uniform.
        side: int32 `(draws, rank)`.
        size: Spatial lengths.
    """
    center = box.box_center(position, side, size, "inside")
    return box.box_extent(side, center, size, "inside")


def _find_sources(start: Tensor, side: Tensor, length: Any) -> Tensor:
    """Returns the partner's pixel that is shown at each pixel of an axis.

    It is floor((j + 1/2) L / side) for pixel j of the box: the pixel of the whole image
    in which the middle of a pixel of the small one lies. Outside of the box it is that
    of the nearest pixel inside.

    Args:
        start: int32 `(draws,)`, first pixels of the boxes.
        side: int32 `(draws,)`.
        length: Length L of the axis.

    Returns:
        int32 `(draws, length)`.
    """
    ops = _backend.get_ops(start)
    start, side = start[:, None], side[:, None]
    j = ops.minimum(ops.maximum(ops.arange(length) - start, 0), side - 1)
    length = ops.convert(length, "int32")
    double = 2 * j + 1
    ratio = ops.cast(length, "float32") / ops.cast(side, "float32")
    guess = ops.truncate(ops.cast(double, "float32") * 0.5 * ratio)
    # The products may leave the range of int32. Their difference is small and does not,
    # since both wrap around alike.
    rest = double * length - 2 * side * guess
    return guess + rest // (2 * side)


def find_sources(extent: box.Extent, size: Sequence[Any]) -> Tensor:
    """Returns the partner's pixel that is shown at each pixel.

    Args:
        extent: Boxes that hold the whole partner.
        size: Spatial lengths.

    Returns:
        int32 `(draws, *size)`, indices of pixels in row-major order.
    """
    ops = _backend.get_ops(extent.start)
    total = None
    for axis, length in enumerate(size):
        along = _find_sources(extent.start[:, axis], extent.length[:, axis], length)
        stride = functools.reduce(operator.mul, size[axis + 1 :], 1)
        factor = _factored.place_on_axis(along * stride, axis, rank=len(size))
        total = factor if total is None else total + factor
    return ops.broadcast_to(total, [*ops.shape(extent.start)[:1], *size])


def relative_sides(extent: box.Extent, size: Sequence[Any]) -> Tensor:
    """Returns the sides of boxes relative to the axes, float32 `(draws, rank)`."""
    ops = _backend.get_ops(extent.length)
    return _factored.exact_share(extent.length, ops.stack(size))


def resize_mask(
    scale: Any, position: Any, size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Returns the mask of ResizeMix: 0 in a box that shows the whole partner, small.

    Along an axis of L pixels the box has max(1, round(scale * L)) of them, halves
    rounded up, and lies inside.

    Args:
        scale: Relative sides, shape `(draws,)`, in [0, 1].
        position: Places among all where the box lies inside, in [0, 1) along each axis,
            shape `(draws, rank)`.
        size: Spatial lengths of the images, one to three.

    Returns:
        The mask, float32 `(draws, *size)` of zeros and ones, and its mean, float32
        `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.resize_mask([0.5], [[0.0, 0.9]], (4, 4))
        >>> print(mask.numpy()[0])
        [[1. 1. 0. 0.]
         [1. 1. 0. 0.]
         [1. 1. 1. 1.]
         [1. 1. 1. 1.]]
        >>> print(weight.numpy())
        [0.75]

    References:
        Qin, Fang, Zhang, Liu, Wang and Wang, ResizeMix: Mixing Data with Preserved
        Object Information and True Labels, 2020.
    """
    owner = "resize_mask"
    size = _given.check_size(owner, size)
    check_lengths(owner, size)
    scale = _given.convert_lam(owner, scale, position, name="scale")
    each = ("rank", len(size))
    position = _given.convert_noise(owner, "position", position, scale, each)
    ops = _backend.get_ops(scale)
    extent = place_inside(position, scaled_sides(scale, size), size)
    level = ops.ones(ops.shape(scale), "float32")
    weight = box.uncovered_share(extent, size)
    return _factored.to_dense(box.build_box(level, extent, size), size), weight
