"""The law of a mask given lambda, axis by axis, and its first two moments.

Every mask but FMix's is `1 - M = level + scale * prod_a b_a`, where the profile b_a of
an axis is independent of those of the others. Here are sums over all outcomes: nothing
is random, and no mask is made.
"""

import functools
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]


class Axis(NamedTuple):
    """What is known of the profiles b of one axis, in groups of outcomes.

    Attributes:
        chance: Of each group, `(groups,)`, sum 1.
        share: E[mean b] in each group, `(groups,)`.
        mean: E[b], `(groups, length)`.
        weighted: E[(mean b) b], `(groups, length)`.
        product: E[b(y) b(y + d)] by offset d, `(groups, 2 length - 1)`, the mean over
            all y for which both lie inside.
    """

    chance: Array
    share: Array
    mean: Array
    weighted: Array
    product: Array

    @classmethod
    def of(cls, profiles: Array) -> Self:
        """Sums up outcomes that are equally likely, a row each, as one group."""
        share = profiles.mean(1)
        return cls(
            np.ones(1),
            share.mean(keepdims=True),
            profiles.mean(0)[None],
            (share @ profiles / len(profiles))[None],
            autocorrelation(profiles, 1).mean(0)[None],
        )

    @classmethod
    def mixture(cls, axes: list[Self], chances: list[float]) -> Self:
        """Returns one group that is one of several, each of one group."""
        parts = zip(*axes, strict=True)
        return cls(*(np.tensordot(chances, part, 1) for part in parts))

    @classmethod
    def grouped(cls, groups: list[Self], chance: Array) -> Self:
        """Returns several as groups of one axis."""
        joined = (np.concatenate(parts) for parts in zip(*groups, strict=True))
        return cls(*joined)._replace(chance=chance)


class Law(NamedTuple):
    """A law of masks: `1 - M = level + scale * prod_a b_a`.

    Attributes:
        level: For each group of outcomes of the axes, `(groups_1, ..., groups_n)`, or
            of lengths 1.
        scale: As `level`.
        axes: One a spatial axis.
        own: Weight of the own label where it is not the mean of the mask.
    """

    level: Array
    scale: Array
    axes: tuple[Axis, ...]
    own: float | None = None


class Moments(NamedTuple):
    """First and second moments of B = 1 - M and of s, the partner's share of the label.

    Attributes:
        share: E[s].
        mean: E[B], `shape`.
        weighted: E[s B], `shape`.
        product: E[B_j B_k] by offset k - j, the mean over all pairs inside.
    """

    share: Array
    mean: Array
    weighted: Array
    product: Array

    def times(self, factor: float) -> "Moments":
        """Returns all of them times a number."""
        return Moments(*(np.multiply(factor, x) for x in self))

    def plus(self, other: "Moments") -> "Moments":
        """Returns the sums."""
        return Moments(*map(np.add, self, other))


def pair_counts(shape: Shape) -> Array:
    """Returns how many pairs of pixels have each offset, `(2 length - 1, ...)`."""
    axes = [n - np.abs(np.arange(1.0 - n, n)) for n in shape]
    return functools.reduce(np.multiply.outer, axes)


@functools.lru_cache(maxsize=16)
def _windows(length: int) -> Array:
    """Returns, by offset d, the weights of a mean over all y with y + d inside."""
    pixel = np.arange(length)
    other = pixel + np.arange(1 - length, length)[:, None]
    inside = (other >= 0) & (other < length)
    weights: Array = inside / pair_counts((length,))[:, None]
    return weights


def over_pairs(values: Array, rank: int) -> Array:
    """Returns by offset the mean over all pairs of the values at their two pixels.

    Args:
        values: Shape `(..., *shape)`.
        rank: Number of spatial axes, the last ones.
    """
    first = values
    for axis in range(-rank, 0):
        moved = np.tensordot(first, _windows(values.shape[axis]), (axis, 1))
        first = np.moveaxis(moved, -1, axis)
    # The second pixel of an offset is the first of the opposite one.
    return (first + np.flip(first, tuple(range(-rank, 0)))) / 2


def autocorrelation(values: Array, rank: int) -> Array:
    """Returns by offset the mean over all pairs of the product of their values.

    Args:
        values: Shape `(..., *shape)`.
        rank: Number of spatial axes, the last ones.
    """
    shape, axes = values.shape[-rank:], tuple(range(-rank, 0))
    padded = tuple(2 * length for length in shape)
    spectrum = np.fft.rfftn(values, padded, axes)
    power = spectrum.real**2 + spectrum.imag**2
    products = np.fft.irfftn(power, padded, axes)
    products = np.roll(products, [length - 1 for length in shape], axes)
    for axis, length in zip(axes, shape, strict=True):
        products = products.take(np.arange(2 * length - 1), axis)
    return np.asarray(products / pair_counts(shape), np.float64)


def moments(law: Law) -> Moments:
    """Returns the moments of a law, sums over all of its outcomes."""
    level, scale, axes = law.level, law.scale, law.axes
    chance = functools.reduce(np.multiply.outer, [a.chance for a in axes], np.ones(()))
    groups = chance.shape
    level, scale = np.broadcast_to(level, groups), np.broadcast_to(scale, groups)

    def expected(factor: Array, parts: list[Array]) -> Array:
        """Sums up factor * chance * prod_a parts_a over all groups."""
        total = factor * chance
        for part in parts:
            # The axis of groups in front gives way to one of pixels at the end.
            total = np.tensordot(total, part.reshape(len(part), -1), (0, 0))
        return total

    ones = [np.ones_like(axis.mean) for axis in axes]
    mean = [axis.mean for axis in axes]
    windowed = [x @ _windows(x.shape[1]).T for x in mean]
    one_sided = expected(level * scale, windowed)
    product = (
        expected(level**2, [np.ones_like(axis.product) for axis in axes])
        + one_sided
        + np.flip(one_sided)
        + expected(scale**2, [axis.product for axis in axes])
    )
    first = expected(level, ones) + expected(scale, mean)
    if law.own is not None:
        share = np.array(1 - law.own)
        return Moments(share, first, share * first, product)
    shares = [axis.share[:, None] * one for axis, one in zip(axes, ones, strict=True)]
    weighted = (
        expected(level**2, ones)
        + expected(level * scale, shares)
        + expected(level * scale, mean)
        + expected(scale**2, [axis.weighted for axis in axes])
    )
    share = np.asarray(first.mean(), np.float64)
    return Moments(share, first, weighted, product)
