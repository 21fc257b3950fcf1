"""Means over lambda's Beta law, exact where the integrand is smooth between breaks."""

import itertools
from collections.abc import Iterable

import numpy as np
from scipy import special

from keras_msda.analysis._laws import Array


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
    """
    a, b = alpha
    below = sorted({x ** (1 / rank) for x in breaks if 0 < x < 0.5})
    above = sorted({(1 - x) ** (1 / rank) for x in breaks if 0.5 < x < 1})
    low, low_weights = _half(a, b, below, rank)
    high, high_weights = _half(b, a, above, rank)
    weights = np.concatenate([low_weights, high_weights])
    nodes = np.concatenate([low**rank, 1 - high**rank])
    return nodes, weights / weights.sum()


def _half(a: float, b: float, breaks: list[float], rank: int) -> tuple[Array, Array]:
    """Integrates n x^(na - 1) (1 - x^n)^(b - 1) over x from 0 to (1/2)^(1/n)."""
    ends = [0.0, *_graded([*breaks, 0.5 ** (1 / rank)])]
    count = 8 if len(ends) < 100 else 4
    power = rank * a - 1
    nodes, weights = [], []
    for low, high in itertools.pairwise(ends):
        half = (high - low) / 2
        if low == 0:
            points, factors = special.roots_jacobi(count, 0.0, power)
            # The rule holds (1 + t)^power, and x is half * (1 + t).
            factors = factors * half ** (power + 1)
        else:
            points, factors = special.roots_legendre(count)
            factors = factors * half * (low + half * (1 + points)) ** power
        x = low + half * (1 + points)
        nodes.append(x)
        weights.append(factors * rank * (1 - x**rank) ** (b - 1))
    return np.concatenate(nodes), np.concatenate(weights)


def _graded(ends: list[float]) -> list[float]:
    """Returns ascending ends, none more than four times the one before.

    So that no piece feels the singularity at 0 but the first, which has its rule.
    """
    found = ends[:1]
    for end in ends[1:]:
        while end > 4 * found[-1]:
            found.append(4 * found[-1])
        found.append(end)
    return found
