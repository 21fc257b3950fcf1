"""Boxes and bumps along one axis: the sides, the places, and what they cover."""

import functools
import math

import numpy as np
import numpy.typing as npt
from scipy import optimize

from keras_msda import _backend
from keras_msda.analysis._distributions import AxisDistribution
from keras_msda.analysis._types import Array, Shape
from keras_msda.masks import box

#: Sides that a box may have on an axis, with their probabilities.
Sides = tuple[tuple[int, float], ...]

# What `masks.box` forgives a share, and half a step of float32 that rounding takes.
_SLACK = box.SHARE_SLACK + 2.0**-25


def floor_side(share: float, length: int, rank: int) -> int:
    """Returns the largest k <= L with k^n <= L^n (share + slack), 0 for no share."""
    if share <= 0:
        return 0
    bound: float = length**rank * (share + _SLACK)
    side = int(bound ** (1 / rank))
    side += ((side + 1) ** rank <= bound) - (side**rank > bound)
    return int(min(side, length))


def rounded_sides(share: float, length: int, rank: int, border: str) -> Sides:
    """Returns the sides that rounding noise may give a box, with probabilities."""
    if border in ("clip", "clip_odd"):
        return ((floor_side(share, length, rank), 1.0),)
    exact = length * share ** (1 / rank)
    side = min(int(exact), length)
    longer = exact - side if side < length else 0.0
    return ((side, 1 - longer), (side + 1, longer)) if longer > 0 else ((side, 1.0),)


def ranged_sides(
    length: int, ratio_range: tuple[float, float], endpoint: bool = True
) -> Sides:
    """Returns the sides of a range of ratios, which are equally likely."""
    lengths = _backend.get_backend_ops().convert(float(length), "float32")
    low, high = map(int, box.side_bounds(lengths, ratio_range, endpoint=endpoint))
    return tuple((side, 1 / (high + 1 - low)) for side in range(low, high + 1))


def side_changes(shape: Shape, ratio: float = 1.0) -> list[float]:
    """Returns the lambdas at which a side of `ratio * (1 - lambda)` grows by one.

    With the slack: at alpha = 0.2 lambda is less than that in 2 % of all draws.
    """
    powers = {(k / n) ** len(shape) for n in shape for k in range(1, n + 1)}
    return [1 - (power - _SLACK) / ratio for power in powers] if ratio > 0 else []


def centers(length: int, side: int, border: str) -> npt.NDArray[np.int_]:
    """Returns where the centre of a box may be, all places equally likely."""
    if border == "inside":
        return np.arange(length - side + 1) + side // 2
    return np.arange(length)


def _cover(length: int, side: int, border: str) -> Array:
    """Returns the pixels that boxes of a side cover, `(places, length)`."""
    pixel = np.arange(length)
    start = centers(length, side, border)[:, None] - side // 2
    if border == "clip":
        covered = (pixel >= start) & (pixel < start + 2 * (side // 2))
    elif border == "clip_odd":
        covered = (pixel >= start) & (pixel < start + side)
    else:
        covered = (pixel - start) % length < side
    return covered.astype(float)


@functools.lru_cache(maxsize=4096)
def box_profiles(length: int, side: int, border: str) -> AxisDistribution:
    """Returns the boxes of a side, wherever they are, as one group."""
    return AxisDistribution.of(_cover(length, side, border))


@functools.lru_cache(maxsize=1024)
def box_profiles_by_cover(length: int, side: int, border: str) -> AxisDistribution:
    """Returns the boxes of a side in groups of those that cover as many pixels."""
    profiles = _cover(length, side, border)
    counts = profiles.sum(1)
    groups = [profiles[counts == count] for count in np.unique(counts)]
    probability = np.array([len(group) / len(profiles) for group in groups])
    return AxisDistribution.grouped(
        [AxisDistribution.of(group) for group in groups], probability
    )


@functools.lru_cache(maxsize=4096)
def box_profiles_of_sides(length: int, sides: Sides, border: str) -> AxisDistribution:
    """Returns the boxes of several sides with their probabilities, as one group."""
    axes = [box_profiles(length, side, border) for side, _ in sides]
    return AxisDistribution.mixture(axes, [probability for _, probability in sides])


def bump_profiles(length: int, width: float, border: str) -> AxisDistribution:
    """Returns bumps of a relative width, wherever they are, as one group."""
    pixel = np.arange(length)
    distance = np.abs(pixel - pixel[:, None])
    if border == "wrap":
        distance = np.minimum(distance, length - distance)
    return AxisDistribution.of(np.exp(-math.pi / width * (distance / length) ** 2))


def torus_width(share: float, shape: Shape) -> float:
    """Returns the relative width at which a bump's mean on a torus is the share."""
    pixels = [np.arange(length) / length for length in shape]
    squares = [np.minimum(x, 1 - x) ** 2 for x in pixels]

    def excess(log_width: float) -> float:
        decay = math.pi * math.exp(-log_width)
        return math.prod(float(np.exp(-decay * x).mean()) for x in squares) - share

    return math.exp(float(optimize.brentq(excess, -28.0, 4.0, xtol=1e-13)))
