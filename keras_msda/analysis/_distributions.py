"""The distribution of a mask given lambda, axis by axis, and its first two moments.

Every mask except for FMix's is `1 - M = level + scale * prod_a b_a`, where the profile
b_a of an axis is independent of those of the others. Here are sums over all outcomes:
nothing is random, and no mask is made.
"""

import functools
from typing import NamedTuple, Self

import numpy as np

from keras_msda.analysis._offsets import autocorrelation, pair_windows
from keras_msda.analysis._types import Array


class AxisDistribution(NamedTuple):
    """What is known of the profiles b of one axis, in groups of outcomes.

    Attributes:
        probability: Of each group, `(groups,)`, sum 1.
        share: E[mean b] in each group, `(groups,)`.
        mean: E[b], `(groups, length)`.
        weighted: E[(mean b) b], `(groups, length)`.
        product: E[b(y) b(y + d)] by offset d, `(groups, 2 length - 1)`, the mean over
            all y for which both lie inside.
    """

    probability: Array
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
    def mixture(cls, axes: list[Self], probabilities: list[float]) -> Self:
        """Returns one group that is one of several, each of one group."""
        parts = zip(*axes, strict=True)
        return cls(*(np.tensordot(probabilities, part, 1) for part in parts))

    @classmethod
    def grouped(cls, groups: list[Self], probability: Array) -> Self:
        """Returns several as groups of one axis."""
        joined = (np.concatenate(parts) for parts in zip(*groups, strict=True))
        return cls(*joined)._replace(probability=probability)


class MaskDistribution(NamedTuple):
    """A distribution of masks: `1 - M = level + scale * prod_a b_a`.

    Attributes:
        level: For each group of outcomes of the axes, `(groups_1, ..., groups_n)`, or
            of lengths 1.
        scale: As `level`.
        axes: One for each spatial axis.
        own: Weight of the own label where it is not the mean of the mask.
    """

    level: Array
    scale: Array
    axes: tuple[AxisDistribution, ...]
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


class _Groups(NamedTuple):
    """Combinations of the axes' groups, with level and scale of the masks in each."""

    probability: Array
    level: Array
    scale: Array

    @classmethod
    def of(cls, masks: MaskDistribution) -> Self:
        factors = [axis.probability for axis in masks.axes]
        probability = functools.reduce(np.multiply.outer, factors, np.ones(()))
        shape = probability.shape
        level, scale = (np.broadcast_to(x, shape) for x in (masks.level, masks.scale))
        return cls(probability, level, scale)

    def expect(self, factor: Array, parts: list[Array]) -> Array:
        """Sums up factor * probability * prod_a parts_a over all groups."""
        total = factor * self.probability
        for part in parts:
            # The axis of groups in front gives way to one of pixels at the end.
            total = np.tensordot(total, part.reshape(len(part), -1), (0, 0))
        return total


def moments(masks: MaskDistribution) -> Moments:
    """Returns the moments of a distribution, sums over all of its outcomes."""
    axes, groups = masks.axes, _Groups.of(masks)
    level, scale = groups.level, groups.scale
    ones = [np.ones_like(axis.mean) for axis in axes]
    mean = [axis.mean for axis in axes]
    first = groups.expect(level, ones) + groups.expect(scale, mean)
    product = _product(groups, axes)
    if masks.own is not None:
        share = np.array(1 - masks.own)
        return Moments(share, first, share * first, product)
    shares = [axis.share[:, None] * one for axis, one in zip(axes, ones, strict=True)]
    weighted = (
        groups.expect(level**2, ones)
        + groups.expect(level * scale, shares)
        + groups.expect(level * scale, mean)
        + groups.expect(scale**2, [axis.weighted for axis in axes])
    )
    share = np.asarray(first.mean(), np.float64)
    return Moments(share, first, weighted, product)


def _product(groups: _Groups, axes: tuple[AxisDistribution, ...]) -> Array:
    """Returns E[B_j B_k] by offset."""
    level, scale = groups.level, groups.scale
    windowed = [axis.mean @ pair_windows(axis.mean.shape[1]).T for axis in axes]
    one_sided = groups.expect(level * scale, windowed)
    return np.asarray(
        groups.expect(level**2, [np.ones_like(axis.product) for axis in axes])
        + one_sided
        + np.flip(one_sided)
        + groups.expect(scale**2, [axis.product for axis in axes])
    )
