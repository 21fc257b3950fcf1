"""Tests of hypotheses that return p-values, and what many p-values say together."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

#: Expected number of draws in a cell of a chi-square test, at least.
CELL = 100


class Law(NamedTuple):
    """A test and what it found.

    Attributes:
        section: Part of the page that lists it.
        subject: What was drawn.
        test: What was tested.
        draws: How many draws were tested.
        p: The probability, if the draws follow the law, of draws that deviate more.
    """

    section: str
    subject: str
    test: str
    draws: int
    p: float


def z_test(difference: Any, error: Any) -> float:
    """Returns the two-sided p-value of a difference with a known standard error."""
    return float(2 * stats.norm.sf(abs(difference) / error))


def merge_cells(observed: Any, expected: Any) -> tuple[np.ndarray, np.ndarray]:
    """Merges neighbouring cells until `CELL` draws are expected in each.

    Args:
        observed: Numbers of draws.
        expected: Numbers that the law expects.
    """
    observed, expected = (np.ravel(x).astype("float64") for x in (observed, expected))
    starts, held = [0], 0.0
    for cell, wanted in enumerate(expected):
        if held >= CELL:
            starts.append(cell)
            held = 0.0
        held += wanted
    if held < CELL and len(starts) > 1:  # The last cells lack draws.
        starts.pop()
    return np.add.reduceat(observed, starts), np.add.reduceat(expected, starts)


def chi_square(
    observed: Any, shares: Any = None, *, freedom: int | None = None
) -> float:
    """Returns the p-value of counts whose shares are known.

    Args:
        observed: Numbers of draws.
        shares: Of each cell, up to a common factor; None for equal ones.
        freedom: Degrees of freedom; None for one less than the number of cells.
    """
    observed = np.asarray(observed, "float64")
    shares = np.ones_like(observed) if shares is None else np.asarray(shares, "float64")
    expected = shares * (observed.sum() / shares.sum())
    if freedom is None:
        observed, expected = merge_cells(observed, expected)
        freedom = len(observed) - 1
    return survive(((observed - expected) ** 2 / expected).sum(), freedom)


def survive(statistic: float, freedom: int) -> float:
    """Returns the probability of a larger chi-square statistic."""
    return float(stats.chi2.sf(statistic, freedom))


def independence(table: Any) -> float:
    """Returns the p-value of a contingency table whose margins are not known."""
    table = np.asarray(table)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def correlation(x: Any, y: Any) -> float:
    """Returns the p-value of the correlation of two samples."""
    x, y = (np.asarray(values, "float64").ravel() for values in (x, y))
    x, y = x - x.mean(), y - y.mean()
    r = (x @ y) / math.sqrt((x @ x) * (y @ y))
    return z_test(r, 1 / math.sqrt(len(x)))


def kolmogorov(
    values: Any, counts: Any, cdf: Callable[[Any], Any]
) -> tuple[float, float]:
    """Returns the Kolmogorov-Smirnov distance of counted values, and its p-value.

    Args:
        values: Distinct values, ascending.
        counts: How often each was drawn.
        cdf: The continuous distribution function that the draws should have.
    """
    total = counts.sum()
    after = np.cumsum(counts) / total
    expected = cdf(values)
    above = np.abs(after - expected).max()
    below = np.abs(after - counts / total - expected).max()
    distance = float(max(above, below))
    return distance, float(stats.kstwobign.sf(distance * math.sqrt(total)))


def moments(values: Any, counts: Any, exact: Sequence[float]) -> list[float]:
    """Returns the p-values of the first four moments.

    Args:
        values: Distinct values; for central moments less the exact mean.
        counts: How often each was drawn.
        exact: Moments of the law, of powers 0 to 8.
    """
    total, values = counts.sum(), np.asarray(values, "float64")
    found = []
    for power in range(1, 5):
        mean = (counts * values**power).sum() / total
        variance = exact[2 * power] - exact[power] ** 2
        found.append(z_test(mean - exact[power], math.sqrt(variance / total)))
    return found


def binomial(hits: Any, tries: int, probability: float) -> float:
    """Returns the p-value of a number of hits, by its normal approximation."""
    spread = math.sqrt(tries * probability * (1 - probability))
    return z_test(float(hits) - tries * probability, spread)


def uniform(values: Iterable[float]) -> float:
    """Returns the p-value of the hypothesis that p-values are uniform."""
    return float(stats.kstest(list(values), "uniform").pvalue)


def holm(values: Iterable[float]) -> float:
    """Returns the smallest of n p-values, corrected by Holm: n times it, at most 1."""
    values = list(values)
    return min(1.0, len(values) * min(values))
