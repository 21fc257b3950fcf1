"""Boxes: the mask of CutMix, and on a floor the mask of HMix.

The box shows the partner. Its sides are found by comparing products, never by a root
alone, so that they are the same integers in eager, graph and XLA.
"""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend, _checks
from keras_msda.masks import _factored, _given

Tensor = Any

#: What happens to a box at the border of an image; see `box_mask`.
BORDERS = ("clip", "wrap", "inside", "clip_odd")

# What float32 may have taken from a share that is computed as 1 - lambda. Without it
# lambda = 1 - (k / L)^n gives the side k - 1 in a quarter of all cases.
SHARE_SLACK = 2.0**-23


class Extent(NamedTuple):
    """The pixels of a box: `length` of them from `start`, along each axis.

    Attributes:
        start: int32 `(draws, rank)`; on a torus it may lie outside and wraps.
        length: int32 `(draws, rank)`, from 0 to the axis's length.
    """

    start: Tensor
    length: Tensor


def _convert_lengths(size: Sequence[Any], ops: Any) -> Tensor:
    """Returns int32 lengths, as a single number where all are equal.

    To broadcast `(2,)` would take longer than mixing small images does.
    """
    if all(isinstance(length, int) and length == size[0] for length in size):
        return ops.convert(size[0], "int32")
    return ops.stack(size)


def box_sides(share: Tensor, size: Sequence[Any], rounding: Any) -> Tensor:
    """Returns the sides of boxes that cover a share of the image.

    The largest integers with `(side - rounding)^rank <= length^rank * share`, which is
    `floor(length * share^(1 / rank) + rounding)`. With rounding uniform in [0, 1) the
    expected area is the share exactly.

    Args:
        share: float32 `(draws,)` in [0, 1].
        size: Spatial lengths.
        rounding: float32 in [0, 1), a number or `(draws, rank)`.

    Returns:
        int32 `(draws, rank)`.
    """
    ops = _backend.get_ops(share)
    rank = len(size)
    lengths = ops.cast(_convert_lengths(size, ops), "float32")
    share = (share + ops.minimum(share, SHARE_SLACK))[:, None]

    def power(x: Tensor) -> Tensor:
        return functools.reduce(operator.mul, [x] * rank)

    bound = power(lengths) * share

    def fits(side: Tensor) -> Tensor:
        return power(ops.maximum(side - rounding, 0.0)) <= bound

    # The root is right to one pixel; the comparisons decide.
    root = ops.exp(ops.log(ops.maximum(share, 1e-30)) / rank)
    guess = ops.cast(ops.truncate(lengths * root + rounding), "float32")
    side = ops.where(fits(guess), guess, guess - 1.0)
    side = ops.where(fits(side + 1.0), side + 1.0, side)
    side = ops.truncate(ops.minimum(ops.maximum(side, 0.0), lengths))
    return ops.broadcast_to(side, [*ops.shape(share)[:1], rank])


def side_bounds(
    lengths: Tensor, ratio_range: tuple[float, float], *, endpoint: bool = True
) -> tuple[Tensor, Tensor]:
    """Returns the shortest and the longest side of a range of ratios.

    Args:
        lengths: Spatial lengths L, float32.
        ratio_range: The pair (low, high), in [0, 1].
        endpoint: As in `pick_sides`.

    Returns:
        floor(low L) and floor(high L), int32, shaped as `lengths`.
    """
    ops = _backend.get_ops(lengths)
    # Some ratios, such as 0.7, are below their decimal in float32.
    low, high = (ops.truncate(lengths * end + 1e-4) for end in ratio_range)
    return low, high if endpoint else ops.maximum(high - 1, low)


def pick_sides(
    noise: Tensor,
    size: Sequence[Any],
    ratio_range: tuple[float, float],
    *,
    endpoint: bool,
) -> Tensor:
    """Turns uniform noise into sides, uniform on floor(low L) ... floor(high L).

    Args:
        noise: float32 `(draws, rank)` in [0, 1).
        size: Spatial lengths L.
        ratio_range: The pair (low, high), in [0, 1].
        endpoint: Whether the longest side can be picked. It always can where it is
            also the shortest.

    Returns:
        int32 `(draws, rank)`.
    """
    ops = _backend.get_ops(noise)
    lengths = ops.cast(_convert_lengths(size, ops), "float32")
    low, high = side_bounds(lengths, ratio_range, endpoint=endpoint)
    return low + ops.truncate(noise * ops.cast(high - low + 1, "float32"))


def box_center(position: Tensor, side: Any, size: Sequence[Any], border: str) -> Tensor:
    """Turns uniform positions in [0, 1) into the centre pixels of boxes.

    Uniform over the image, or for "inside" over all places where the box lies inside.

    Args:
        position: float32 `(draws, rank)` in [0, 1).
        side: int32 `(draws, rank)`; read for "inside" only.
        size: Spatial lengths.
        border: "clip", "clip_odd", "wrap" or "inside".

    Returns:
        int32 `(draws, rank)`.
    """
    ops = _backend.get_ops(position)
    lengths = _convert_lengths(size, ops)
    if border != "inside":
        return ops.truncate(position * ops.cast(lengths, "float32"))
    places = ops.cast(lengths - side + 1, "float32")
    return ops.truncate(position * places) + side // 2


def box_extent(
    side: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> Extent:
    """Returns the pixels that boxes cover.

    Args:
        side: int32 `(draws, rank)`.
        center: int32 `(draws, rank)`, in pixels.
        size: Spatial lengths.
        border: "clip" (sides made even, then cut at the border, as published),
            "clip_odd" (cut at the border), "wrap" (on a torus) or "inside" (moved
            inside).

    Returns:
        Start and length along each axis.
    """
    ops = _backend.get_ops(side)
    lengths = _convert_lengths(size, ops)
    if border == "clip":
        start = ops.maximum(center - side // 2, 0)
        stop = ops.minimum(center + side // 2, lengths)
        return Extent(start, stop - start)
    start = center - side // 2
    if border == "clip_odd":
        stop = ops.minimum(start + side, lengths)
        start = ops.maximum(start, 0)
        return Extent(start, stop - start)
    if border == "inside":
        start = ops.minimum(ops.maximum(start, 0), lengths - side)
    return Extent(start, side)


def uncovered_share(extent: Extent, size: Sequence[Any]) -> Tensor:
    """Returns the share of the pixels outside of boxes, float32 `(draws,)`.

    Pixels are counted in integers, so that 0 and 1 are exact; from 2^31 pixels on, in
    float32, axis by axis.
    """
    ops = _backend.get_ops(extent.length)
    if all(isinstance(length, int) for length in size):
        if math.prod(size) >= 2**31:
            return _multiply_uncovered(extent, size)
        return _count_uncovered(extent, ops.stack(size))
    # These are a few numbers per draw: both cost less than a branch.
    lengths = ops.stack(size)
    few = ops.prod(ops.cast(lengths, "float32")) < 2.0**31
    return ops.where(
        few, _count_uncovered(extent, lengths), _multiply_uncovered(extent, size)
    )


def _count_uncovered(extent: Extent, lengths: Tensor) -> Tensor:
    """Returns the share outside of boxes where an int32 can count the pixels."""
    ops = _backend.get_ops(extent.length)
    pixels = ops.prod(lengths)
    return _factored.exact_share(pixels - ops.prod(extent.length, 1), pixels)


def _multiply_uncovered(extent: Extent, size: Sequence[Any]) -> Tensor:
    """Returns the share outside of boxes, 1 minus the product of each axis's share."""
    covered = [
        _factored.exact_share(extent.length[:, axis], length)
        for axis, length in enumerate(size)
    ]
    return 1.0 - functools.reduce(operator.mul, covered)


def floor_level(lam: Tensor, extent: Extent, size: Sequence[Any]) -> Tensor:
    """Returns the level outside the box for which the mask has the mean lambda.

    It is `lam / uncovered share`, in [0, 1], and 0 where the box covers everything.
    """
    ops = _backend.get_ops(lam)
    rest = uncovered_share(extent, size)
    level = lam / ops.where(rest > 0, rest, 1.0)
    return ops.where(rest > 0, ops.minimum(level, 1.0), 0.0)


def build_box(level: Tensor, extent: Extent, size: Sequence[Any]) -> _factored.Mask:
    """Returns the masks that are 0 in a box and `level`, `(draws,)`, outside."""
    ops = _backend.get_ops(extent.start)
    profiles = []
    for axis, length in enumerate(size):
        start = extent.start[:, axis, None] % length
        side = extent.length[:, axis, None]
        # Whether the pixel's middle is less than half a side from the box's, around the
        # torus; both doubled, in integers. Dividing at every pixel would be slow.
        distance = (2 * ops.arange(length) + 1) - (2 * start + side)
        distance = ops.maximum(distance, -distance)
        inside = ops.minimum(distance, 2 * length - distance) < side
        profiles.append(ops.cast(inside, "float32"))
    return _factored.Mask.from_profiles(profiles, offset=level, scale=-level)


def box_mask(
    lam: Any,
    center: Any,
    size: Sequence[int],
    border: str = "clip",
    rounding: Any = 0.0,
) -> tuple[Tensor, Tensor]:
    """Returns the mask of CutMix: 0 in a box that covers 1 - lambda, 1 elsewhere.

    A centre c covers c - side // 2 ... c - side // 2 + side - 1 along each axis.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths of the images, one to three.
        border: "clip" makes sides even and cuts the box at the border, which is the
            published code; "clip_odd" keeps odd sides, as timm does since 1.0.29;
            "wrap" continues the box at the opposite side; "inside" moves it inside.
        rounding: Added to the sides before they are rounded down, in [0, 1), a number
            or `(draws, rank)`. Uniform draws make the expected area exact.

    Returns:
        The mask, float32 `(draws, *size)` of zeros and ones, and its mean, float32
        `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.box_mask([0.75], [[1, 1]], (4, 4))
        >>> print(mask.numpy()[0])
        [[0. 0. 1. 1.]
         [0. 0. 1. 1.]
         [1. 1. 1. 1.]
         [1. 1. 1. 1.]]
        >>> print(weight.numpy())
        [0.75]

    References:
        Yun, Han, Oh, Chun, Choe and Yoo, CutMix, 2019, equation 2.
    """
    owner = "box_mask"
    size = _given.check_size(owner, size)
    _checks.check_choice(owner, "border", border, BORDERS)
    lam, center = _given.convert_draws(owner, lam, center, size, border=border)
    rounding = _given.convert_rounding(owner, rounding, lam, ("rank", len(size)))
    side = box_sides(1.0 - lam, size, rounding)
    extent = box_extent(side, center, size, border)
    ops = _backend.get_ops(lam)
    level = ops.ones(ops.shape(lam), "float32")
    weight = uncovered_share(extent, size)
    return _factored.to_dense(build_box(level, extent, size), size), weight


def floor_box_mask(
    lam: Any,
    center: Any,
    size: Sequence[int],
    box_ratio: float = 0.5,
    border: str = "clip",
) -> tuple[Tensor, Tensor]:
    """Returns the mask of HMix: 0 in a box, one level elsewhere, with mean lambda.

    The box has the share `box_ratio * (1 - lam)`, sides rounded down; the level is
    `lam / uncovered share`, so that the mean is lambda also where the box is cut.
    A ratio of 0 is MixUp.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths of the images, one to three.
        box_ratio: Part of the partner's share that the box holds, in [0, 1].
        border: "clip", "clip_odd", "wrap" or "inside", as in `box_mask`.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.floor_box_mask([0.5], [[2]], (8,), box_ratio=0.5)
        >>> print(mask.numpy()[0].round(3), weight.numpy())
        [0.667 0.    0.    0.667 0.667 0.667 0.667 0.667] [0.5]

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        section 4 (HMix).
    """
    owner = "floor_box_mask"
    size = _given.check_size(owner, size)
    _checks.check_choice(owner, "border", border, BORDERS)
    remedy = "0.0 is MixUp, 1.0 is CutMix."
    _checks.check_share(owner, "box_ratio", box_ratio, remedy)
    lam, center = _given.convert_draws(owner, lam, center, size, border=border)
    side = box_sides(box_ratio * (1.0 - lam), size, 0.0)
    extent = box_extent(side, center, size, border)
    level = floor_level(lam, extent, size)
    weight = floor_box_weight(lam, extent, size)
    return _factored.to_dense(build_box(level, extent, size), size), weight


def floor_box_weight(lam: Tensor, extent: Extent, size: Sequence[Any]) -> Tensor:
    """Returns the mean of the mask of HMix, `(draws,)`: lambda except for rounding."""
    level = floor_level(lam, extent, size)
    return level * uncovered_share(extent, size)
