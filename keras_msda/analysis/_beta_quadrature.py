"""Means over lambda's Beta distribution, exact where the integrand is smooth.

Between breaks the integrand is smooth, so that each piece has a rule of Gauss. There
are enough pieces that none is wide compared with the distribution.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
from scipy import special

from keras_msda.analysis._types import Array

# SciPy's distribution function is NaN for some smaller parameters.
_LEAST = 1e-300
# A tail of less probability has no nodes.
_TAIL = 1e-17
# Jacobi's rule ends at -1, where all of a piece's probability is at 0.
_LEAST_POWER = -1 + 1e-9


def beta_nodes(
    alpha: tuple[float, float], breaks: Iterable[float], rank: int
) -> tuple[Array, Array]:
    """Returns nodes and weights, sum 1, of a mean over lambda ~ Beta(a, b).

    Gauss's rule on each piece between breaks, Jacobi's where the density is singular.
    The variable is the rank-th root of lambda below 1/2, and of 1 - lambda above: sides
    and widths of masks are smooth in it.

    Args:
        alpha: The pair (a, b).
        breaks: Values of lambda at which integrands jump or kink.
        rank: Number of spatial axes.

    Returns:
        Nodes and weights, `(nodes,)`.
    """
    a, b = (max(x, _LEAST) for x in alpha)
    below = sorted({x ** (1 / rank) for x in breaks if 0 < x < 0.5})
    above = sorted({(1 - x) ** (1 / rank) for x in breaks if 0.5 < x < 1})
    low, low_weights = _half(a, b, below, rank)
    high, high_weights = _half(b, a, above, rank)
    weights = np.concatenate([low_weights, high_weights])
    nodes = np.concatenate([low**rank, 1 - high**rank])
    return nodes, weights / weights.sum()


def _half(a: float, b: float, breaks: list[float], rank: int) -> tuple[Array, Array]:
    """Integrates the density of x, x^rank ~ Beta(a, b), from 0 to (1/2)^(1/rank)."""
    ends, count = _ends(a, b, breaks, rank)
    nodes, weights = [np.empty(0)], [np.empty(0)]
    for low, high in itertools.pairwise(ends):
        # The first rule holds (1 + t)^power, and x is half * (1 + t).
        power = 0.0 if low else max(rank * a - 1, _LEAST_POWER)
        points, factors = _gauss(count, power)
        x = low + (high - low) / 2 * (1 + points)
        density = factors * _relative_density(a, b, x, rank, singular=low == 0)
        # How probable a piece is follows without the rule, so nothing can underflow.
        ends_of_piece = np.array([low, high]) ** rank
        inside = np.diff(special.betainc(a, b, ends_of_piece))
        probability = max(0.0, float(inside[0]))
        nodes.append(x)
        weights.append(density * (probability / density.sum()))
    return np.concatenate(nodes), np.concatenate(weights)


@functools.lru_cache(maxsize=64)
def _gauss(count: int, power: float) -> tuple[Array, Array]:
    """Returns nodes t and weights for (1 + t)^power on [-1, 1]."""
    points, factors = special.roots_jacobi(count, 0.0, power)
    return points, factors


def _ends(
    a: float, b: float, breaks: list[float], rank: int
) -> tuple[list[float], int]:
    """Returns the ends of pieces, and how many nodes each needs."""
    total = a + b
    # How fast a density changes: as a bell's at a peak, as a power's at an end.
    scale = max(math.sqrt(a / total * (b / total) / (total + 1)), 1 / total)
    low = _least(lambda x: special.betainc(a, b, x) > _TAIL)
    low = low if low > scale / 8 else 0.0
    high = max(_least(lambda x: special.betaincc(a, b, x) <= _TAIL), min(scale, 0.5))
    if low >= high:
        return [], 0
    first, last = low ** (1 / rank), high ** (1 / rank)
    inner = [first, *(x for x in breaks if first < x < last), last]
    count, widest, ends = 8, 2 * scale, _graded(inner, 4)
    if len(ends) >= 100:  # Narrow ones then, most of them.
        count, widest, ends = 4, scale / 2, _graded(inner, 2)
    return _narrow(ends, widest, rank), count


def _least(reached: Callable[[float], bool]) -> float:
    """Returns the least number that reaches something, 1/2 if none below does.

    By bisection: SciPy's inverses of the distribution fail at a pair of 1000 and 1e9.
    """
    low, high = 0.0, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _relative_density(
    a: float, b: float, x: Array, rank: int, *, singular: bool
) -> Array:
    """Returns the density of x up to a factor, or without its power of x.

    Two large parts of a peak's logarithm almost cancel, so that each is taken relative
    to the middle of the nodes.
    """
    lam = x**rank
    if singular:
        return np.exp((b - 1) * np.log1p(-lam))
    middle = lam[len(lam) // 2]
    step = lam - middle
    low = (a - 1 / rank) * np.log1p(step / middle)
    logs = low + (b - 1) * np.log1p(-step / (1 - middle))
    return np.asarray(np.exp(logs - logs.max()), np.float64)


def _graded(ends: list[float], ratio: float) -> list[float]:
    """Returns ascending ends, none more than `ratio` times a positive one before it.

    So that a singularity at 0 affects the first piece only, which has its own rule.
    """
    found = ends[:2] if ends[0] == 0 else ends[:1]
    for end in ends[len(found) :]:
        while end > ratio * found[-1]:
            found.append(ratio * found[-1])
        found.append(end)
    return found


def _narrow(ends: list[float], widest: float, rank: int) -> list[float]:
    """Divides pieces of x until each is at most so wide in x^rank."""
    found = ends[:1]
    for low, high in itertools.pairwise(ends):
        # By 1 %, so that rounding off divides no piece that just fits.
        parts = math.ceil((high**rank - low**rank) / widest - 0.01)
        found += np.linspace(low, high, max(parts, 1) + 1)[1:].tolist()
    return found
