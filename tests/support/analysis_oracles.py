"""Moments and coefficients of masks by brute force, in plain float64, for tests only.

Every mask that a method can make is listed with its probability; what is asked for is
then a sum over them. B = 1 - M is the partner's share of a pixel. Nothing is factored
and nothing wraps that the mask itself does not wrap.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import special

import keras_msda as msda
from tests.support import oracles

KINDS = {
    "mixup": msda.MixUpLayer,
    "cutmix": msda.CutMixLayer,
    "hmix": msda.HMixLayer,
    "gmix": msda.GMixLayer,
}


class Method(NamedTuple):
    """A mixing method and what its layer is made with."""

    kind: str
    arguments: tuple[tuple[str, object], ...] = ()

    def layer(self, **shared):
        return KINDS[self.kind](**dict(self.arguments), **shared)

    def get(self, name, default=None):
        return dict(self.arguments).get(name, default)


class Choice(NamedTuple):
    """A random choice among methods: (probability, method) pairs."""

    members: tuple[tuple[float, Method], ...]

    def layer(self, alpha=1.0, **shared):
        layers = [method.layer(alpha=alpha) for _, method in self.members]
        return msda.RandomMixLayer(layers, [c for c, _ in self.members], **shared)


def method(kind, **arguments):
    return Method(kind, tuple(arguments.items()))


# What a whole side's share may lack: two steps of float32, and half of one by rounding.
UNSEEN = 2.5 * 2.0**-24


class Masks(NamedTuple):
    """All that can be drawn: B `(draws, pixels)`, own weights and probabilities."""

    partner: np.ndarray
    weight: np.ndarray
    probability: np.ndarray


# One axis of a box


@functools.cache
def _box_places(side, length, border):
    """Lists the pixels that a box covers on one axis, at each equally likely place."""
    if border == "inside":
        starts = range(length - side + 1)
        rows = [[s <= y < s + side for y in range(length)] for s in starts]
    else:
        rows = [oracles.box_axis(c, side, length, border) for c in range(length)]
    return np.array(rows, np.float64)


def _box_sides(who, share, length, rank):
    """Lists (probability, side) on one axis; rounding noise makes two likely."""
    side = oracles.box_side(share, length, rank)
    if who.kind == "hmix" or who.get("border", "clip") in ("clip", "clip_odd"):
        return [(1.0, side)]
    up = oracles.box_side_chance(share, length, rank)
    return [
        (probability, k)
        for probability, k in ((1 - up, side), (up, side + 1))
        if probability > 0
    ]


def _ranged_sides(ratio_range, length, endpoint):
    """Lists (probability, side) of a range of relative sides, equally probable."""
    low, high = (math.floor(ratio * length + 1e-9) for ratio in ratio_range)
    high = high if endpoint or low == high else high - 1
    return [(1 / (high - low + 1), side) for side in range(low, high + 1)]


def _products(axes):
    """Multiplies out axes, each probabilities `(n,)` and rows `(n, length)`."""
    probability, rows = np.ones(1), np.ones((1, 1))
    for more, row in axes:
        probability = np.multiply.outer(probability, more).ravel()
        rows = np.einsum("ij,kl->ikjl", rows, row).reshape(len(probability), -1)
    return probability, rows


def _boxes(who, size, share):
    """Lists boxes: probabilities `(draws,)` and pixels covered `(draws, pixels)`."""
    axes = []
    for length in size:
        if who.get("ratio_range"):
            endpoint = who.get("ratio_endpoint", True)
            sides = _ranged_sides(who.get("ratio_range"), length, endpoint)
            border = "inside"
        else:
            sides = _box_sides(who, share, length, len(size))
            border = who.get("border", "clip")
        places = [(c, _box_places(side, length, border)) for c, side in sides]
        probabilities = [np.full(len(rows), c / len(rows)) for c, rows in places]
        axes.append(
            (np.concatenate(probabilities), np.concatenate([r for _, r in places]))
        )
    return _products(axes)


# Methods at a fixed lambda


def _cutmix(who, size, lam):
    probability, partner = _boxes(who, size, np.float32(1) - np.float32(lam))
    weight = 1 - partner.mean(1)
    if not who.get("exact_weight", True):
        weight = np.full_like(weight, lam)
    return Masks(partner, weight, probability)


def _hmix(who, size, lam):
    share = np.float32(who.get("box_ratio", 0.5)) * (np.float32(1) - np.float32(lam))
    probability, covered = _boxes(who, size, share)
    rest = 1 - covered.mean(1)
    level = np.divide(lam, rest, out=np.zeros_like(rest), where=rest > 0)
    mask = np.minimum(level, 1)[:, None] * (1 - covered)
    return Masks(1 - mask, mask.mean(1), probability)


@functools.cache
def _wrap_width(rho, size):
    return oracles.wrap_width(rho, size)


def _bumps(size, rho, border):
    """Returns the bump of share rho around every pixel, `(pixels, pixels)`."""
    count = math.prod(size)
    if rho == 0:
        return np.zeros((count, count))
    if border == "wrap" and rho * count <= 1:
        return np.eye(count) * rho * count
    width = _wrap_width(rho, size) if border == "wrap" else rho ** (2 / len(size))
    axes = []
    for length in size:
        y = np.arange(length)
        distance = np.abs(y[:, None] - y)
        if border == "wrap":
            distance = np.minimum(distance, length - distance)
        profile = np.exp(-np.pi * distance**2 / (width * length**2))
        axes.append((np.full(length, 1 / length), profile))
    return _products(axes)[1]


def _gmix(who, size, lam):
    bump = _bumps(size, min(lam, 1 - lam), who.get("border", "clip"))
    mask = bump if lam < 0.5 else 1 - bump
    probability = np.full(len(mask), 1 / len(mask))
    return Masks(1 - mask, mask.mean(1), probability)


def _mixup(_, size, lam):
    partner = np.full((1, math.prod(size)), 1 - lam)
    return Masks(partner, np.array([lam]), np.ones(1))


def masks_at(who, size, lam):
    """Lists all masks of a method at one lambda."""
    if isinstance(who, Choice):
        total = sum(probability for probability, _ in who.members)
        parts = [masks_at(member, size, lam) for _, member in who.members]
        shares = [probability / total for probability, _ in who.members]
        probability = [
            c * part.probability for c, part in zip(shares, parts, strict=True)
        ]
        partner, weight, _ = (np.concatenate(x) for x in zip(*parts, strict=True))
        return Masks(partner, weight, np.concatenate(probability))
    makers = {"mixup": _mixup, "cutmix": _cutmix, "hmix": _hmix, "gmix": _gmix}
    return makers[who.kind](who, size, float(lam))


# The distribution of lambda


def breaks(who, size):
    """Returns where a method's masks are no smooth function of lambda."""
    steps = {4.0**-k for k in range(1, 11)}  # Towards both ends, for their roots.
    steps |= {1 / math.prod(size), 0.5}
    ratio = who.get("box_ratio", 0.5) if who.kind == "hmix" else 1.0
    # At alpha .2 one lambda in fifty is too small to shorten a box that covers all.
    shares = {
        (k / length) ** len(size) - UNSEEN
        for length in size
        for k in range(1, length + 1)
    }
    sides = {1 - share / ratio for share in shares if share < ratio}
    return sorted(steps | {1 - x for x in steps} | sides)


def beta_nodes(a, b, breaks, order=10):
    """Returns lambda and probabilities: Gauss and Legendre in parts of quantiles."""
    ends = special.betainc(a, b, [0, *breaks, 1])
    points, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(ends)[:, None] / 2
    quantile = ends[:-1, None] + half * (points + 1)
    probability = (half * weights).ravel()
    kept = probability > 0
    return special.betaincinv(a, b, quantile.ravel()[kept]), probability[kept]


def weighted_nodes(a, b, breaks):
    """Returns the nodes of the paper's D~, the two betas of the theorem."""
    if a == b:
        return beta_nodes(a + 1, a, breaks)
    first, second = beta_nodes(a + 1, b, breaks), beta_nodes(b + 1, a, breaks)
    probability = np.concatenate([first[1] * a / (a + b), second[1] * b / (a + b)])
    return np.concatenate([first[0], second[0]]), probability


def distribution(who, size, alpha=1.0, *, own=False):
    """Lists `(probability, Masks)` over the distribution of lambda, D~ if `own`."""
    if isinstance(who, Choice):
        total = sum(probability for probability, _ in who.members)
        for share, member in who.members:
            for probability, masks in distribution(member, size, alpha, own=own):
                yield share / total * probability, masks
        return
    if who.get("ratio_range"):
        yield 1.0, masks_at(who, size, 0.5)
        return
    a, b = alpha if isinstance(alpha, tuple) else (alpha, alpha)
    nodes = weighted_nodes if own else beta_nodes
    for lam, probability in zip(*nodes(a, b, breaks(who, size)), strict=True):
        yield probability, masks_at(who, size, lam)


# Sums over all masks


def moments(parts):
    """Returns E[B] and E[B_j B_k] of what `distribution` lists."""
    mean = second = 0.0
    for probability, masks in parts:
        weighted = (probability * masks.probability)[:, None] * masks.partner
        mean = mean + weighted.sum(0)
        second = second + weighted.T @ masks.partner
    return mean, second


def effective(parts):
    """Returns E[w B + s (1 - B)] and E[w B_j B_k + s (1 - B_j)(1 - B_k)]."""
    first = second = 0.0
    for probability, (partner, weight, odds) in parts:
        own = (probability * odds * weight)[:, None]
        other = (probability * odds * (1 - weight))[:, None]
        first = first + np.sum(own * partner + other * (1 - partner), 0)
        second = second + (own * partner).T @ partner
        second = second + (other * (1 - partner)).T @ (1 - partner)
    return first, second


def own_label(parts):
    """Sets all weights to 1: the partner's label is not used."""
    for probability, masks in parts:
        yield probability, masks._replace(weight=np.ones_like(masks.weight))


def mean_of_weights(parts, function):
    """Returns E[f(weight)]."""
    return sum(c * np.sum(m.probability * function(m.weight)) for c, m in parts)


@functools.cache
def _pairs(size):
    """Returns the index into an offset map of every pair of pixels, and its shape."""
    pixels = np.array(oracles.pixels(size))
    offset = pixels[None, :] - pixels[:, None] + np.array(size) - 1
    shape = tuple(2 * length - 1 for length in size)
    return np.ravel_multi_index(tuple(np.moveaxis(offset, -1, 0)), shape), shape


def pair_counts(size):
    """Returns how many pairs of pixels each offset has."""
    index, shape = _pairs(size)
    return np.bincount(index.ravel(), minlength=math.prod(shape)).reshape(shape)


def offset_map(matrix, size):
    """Averages a matrix over all pairs of pixels (j, j + d), for each offset d."""
    index, shape = _pairs(size)
    sums = np.bincount(index.ravel(), matrix.ravel(), math.prod(shape))
    return sums.reshape(shape) / pair_counts(size)


def pair_mean(offsets, size):
    """Averages an offset map over all pairs of pixels."""
    return np.sum(offsets * pair_counts(size)) / math.prod(size) ** 2


# Closed forms: E[B_j B_k | lambda] by offset


def torus_overlap(side, length, offset):
    """Returns the probability that a box of this side covers two pixels of a circle."""
    d = offset % length
    return (max(side - d, 0) + max(side - length + d, 0)) / length


def wrapped_cutmix(lam, size, offset):
    """Averages the overlap over the two sides of each axis, then multiplies."""
    value = 1.0
    for length, d in zip(size, offset, strict=True):
        exact = length * (1 - lam) ** (1 / len(size))
        side = math.floor(exact)
        probability = exact - side
        low, high = (torus_overlap(side + i, length, d) for i in (0, 1))
        value *= (1 - probability) * low + probability * high
    return value


def wrapped_hmix(lam, size, offset, box_ratio):
    """Returns nu^2 + 2 nu (1 - nu) q + (1 - nu)^2 times the overlap."""
    root = (box_ratio * (1 - lam)) ** (1 / len(size))
    sides = [math.floor(length * root) for length in size]
    q = math.prod(sides) / math.prod(size)
    nu = 1 - (lam / (1 - q) if q < 1 else 0.0)
    triples = zip(sides, size, offset, strict=True)
    both = math.prod(torus_overlap(*triple) for triple in triples)
    return nu**2 + 2 * nu * (1 - nu) * q + (1 - nu) ** 2 * both


def wrapped_gmix(lam, size, offset):
    """Returns the product of each axis's autocorrelation, plus 1 - 2 lam below 1/2."""
    rho = min(lam, 1 - lam)
    width = _wrap_width(rho, size)
    value = 1.0
    for length, d in zip(size, offset, strict=True):
        y = np.arange(length)
        bump = np.exp(-np.pi * np.minimum(y, length - y) ** 2 / (width * length**2))
        value *= np.mean(bump * np.roll(bump, d))
    return value + (1 - 2 * lam if lam < 0.5 else 0.0)


def clipped_cutmix(lam, size, offset):
    """Averages over pairs the published box's probability to cover both pixels."""
    value = 1.0
    for length, d in zip(size, offset, strict=True):
        half = math.floor(length * (1 - lam) ** (1 / len(size))) // 2
        probabilities = []
        for y in range(length - abs(d)):
            last = min(y + half, length - 1)
            first = max(y + abs(d) - half + 1, 0)
            probabilities.append(max(0, last - first + 1) / length)
        value *= sum(probabilities) / len(probabilities)
    return value


def by_offset(closed_form, lam, size, **arguments):
    """Fills an offset map from a closed form."""
    shape = tuple(2 * length - 1 for length in size)
    values = np.zeros(shape)
    for index in itertools.product(*map(range, shape)):
        offset = [i - length + 1 for i, length in zip(index, size, strict=True)]
        values[index] = closed_form(lam, size, offset, **arguments)
    return values
