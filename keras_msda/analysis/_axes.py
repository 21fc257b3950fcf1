"""What boxes and bumps may be along one axis."""

import functools
import math

import numpy as np
import numpy.typing as npt
from scipy import optimize

from keras_msda.analysis._laws import Array, Axis, Shape

#: Sides that a box may have on an axis, with their chances.
Sides = tuple[tuple[int, float], ...]

# What `masks.box` forgives a share, 2^-23, and half of what float32 rounds off it.
_SLACK = 2.5 * 2.0**-24


def floor_side(share: float, length: int, rank: int) -> int:
    """Returns the largest k <= L with k^n <= L^n (share + slack), 0 for no share."""
    if share <= 0:
        return 0
    bound: float = length**rank * (share + _SLACK)
    side = int(bound ** (1 / rank))
    side += ((side + 1) ** rank <= bound) - (side**rank > bound)
    return int(min(side, length))


def rounded_sides(share: float, length: int, rank: int, border: str) -> Sides:
    """Returns the sides that rounding noise may give a box, with their chances."""
    if border in ("clip", "clip_odd"):
        return ((floor_side(share, length, rank), 1.0),)
    exact = length * share ** (1 / rank)
    side = min(int(exact), length)
    longer = exact - side if side < length else 0.0
    return ((side, 1 - longer), (side + 1, longer)) if longer > 0 else ((side, 1.0),)


def ranged_sides(
    length: int, ratio_range: tuple[float, float], endpoint: bool = True
) -> Sides:
    """Returns the sides of a range of ratios, floor(low L) ... floor(high L)."""
    # As in `masks.box`: some ratios, such as 0.7, are below their decimal.
    low, high = (int(length * end + 1e-4) for end in ratio_range)
    high = high if endpoint else max(high - 1, low)
    return tuple((side, 1 / (high + 1 - low)) for side in range(low, high + 1))


def side_changes(shape: Shape, ratio: float = 1.0) -> list[float]:
    """Returns the lambdas at which a side of `ratio * (1 - lambda)` grows by one.

    With the slack: at alpha = 0.2 lambda is less than that in 2 % of all draws.
    """
    powers = {(k / n) ** len(shape) for n in shape for k in range(1, n + 1)}
    return [1 - (power - _SLACK) / ratio for power in powers] if ratio > 0 else []


def centers(length: int, side: int, border: str) -> npt.NDArray[np.int_]:
    """Returns where the centre of a box may be, all places as likely."""
    if border == "inside":
        return np.arange(length - side + 1) + side // 2
    return np.arange(length)


def _covered(length: int, side: int, border: str) -> Array:
    """Returns what boxes of a side cover, one a row."""
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
def box_axis(length: int, side: int, border: str) -> Axis:
    """Returns the boxes of a side, wherever they are, as one group."""
    return Axis.of(_covered(length, side, border))


@functools.lru_cache(maxsize=1024)
def box_axis_by_cover(length: int, side: int, border: str) -> Axis:
    """Returns the boxes of a side in groups of those that cover as many pixels."""
    profiles = _covered(length, side, border)
    counts = profiles.sum(1)
    groups = [profiles[counts == count] for count in np.unique(counts)]
    chance = np.array([len(group) / len(profiles) for group in groups])
    return Axis.grouped([Axis.of(group) for group in groups], chance)


@functools.lru_cache(maxsize=4096)
def box_axis_of(length: int, sides: Sides, border: str) -> Axis:
    """Returns the boxes of several sides with their chances, as one group."""
    axes = [box_axis(length, side, border) for side, _ in sides]
    return Axis.mixture(axes, [chance for _, chance in sides])


def bump_axis(length: int, width: float, border: str) -> Axis:
    """Returns bumps of a relative width, wherever they are, as one group."""
    pixel = np.arange(length)
    distance = np.abs(pixel - pixel[:, None])
    if border == "wrap":
        distance = np.minimum(distance, length - distance)
    return Axis.of(np.exp(-math.pi / width * (distance / length) ** 2))


def torus_width(share: float, shape: Shape) -> float:
    """Returns the relative width at which a bump's mean on a torus is the share."""
    pixels = [np.arange(length) / length for length in shape]
    squares = [np.minimum(x, 1 - x) ** 2 for x in pixels]

    def excess(log_width: float) -> float:
        decay = math.pi * math.exp(-log_width)
        return math.prod(float(np.exp(-decay * x).mean()) for x in squares) - share

    return math.exp(float(optimize.brentq(excess, -28.0, 4.0, xtol=1e-13)))
