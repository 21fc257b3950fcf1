"""Lambda, and the uniform and normal numbers that everything else is made from."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.laws import pvalues
from benchmarks.laws.pvalues import Law
from keras_msda import _backend, sampling

#: Parameters of lambda's distribution.
ALPHAS = (
    (0.05, 0.05),
    (0.2, 0.2),
    (1.0, 1.0),
    (5.0, 5.0),
    (2.0, 1.0),
    (0.5, 3.0),
)
#: Those of lambda for `targets="own"`.
OWN = ((1.0, 1.0), (0.4, 0.4), (2.0, 1.0))
#: Between these ends lambda is continuous up to the entries of the table. Nearer to 1
#: float32 has too few numbers, and all from 1 - 1e-6 on are 1.
LOW, HIGH = 1e-6, 1 - 1e-4
#: Draws in one call.
BLOCK = 1_000_000
UNIFORMS = 2**23
MOMENTS = ("mean", "2nd moment", "3rd moment", "4th moment")


def name_alpha(a: float, b: float, *, own: bool = False) -> str:
    """Returns what a table calls a distribution of lambda."""
    return f"Beta({a:g}, {b:g})" + (", own" if own else "")


def beta_cdf(a: float, b: float, *, own: bool = False) -> Any:
    """Returns the distribution function of lambda, by SciPy."""
    if not own:
        return stats.beta(a, b).cdf
    share, first, second = a / (a + b), stats.beta(a + 1, b), stats.beta(b + 1, a)
    return lambda x: share * first.cdf(x) + (1 - share) * second.cdf(x)


def beta_moments(a: float, b: float, *, own: bool = False) -> list[float]:
    """Returns the moments of lambda about 0, exactly: those of powers 0 to 8."""

    def plain(a: float, b: float) -> np.ndarray:
        steps = np.arange(8)
        return np.cumprod(np.concatenate([[1.0], (a + steps) / (a + b + steps)]))

    if not own:
        return list(plain(a, b))
    share = a / (a + b)
    return list(share * plain(a + 1, b) + (1 - share) * plain(b + 1, a))


def center_moments(raw: list[float]) -> list[float]:
    """Returns moments about the mean, of moments about 0."""
    return [
        sum(
            math.comb(power, k) * raw[k] * (-raw[1]) ** (power - k)
            for k in range(power + 1)
        )
        for power in range(len(raw))
    ]


def split_blocks(draws: int) -> Iterator[tuple[int, int]]:
    """Yields the number of each block of draws, and its length."""
    for number, start in enumerate(range(0, draws, BLOCK)):
        yield number, min(BLOCK, draws - start)


def seed_pair(*pair: int) -> Any:
    """Returns a seed pair as a tensor of the backend."""
    return _backend.get_backend_ops().convert(np.array(pair), "int32")


def count_lambdas(
    table: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws lambda.

    Returns:
        The distinct values of the table, how many entries have each, and how often it
        was drawn.
    """
    values, entries = np.unique(table, return_counts=True)
    counts = np.zeros(len(values), "int64")
    for number, length in split_blocks(draws):
        drawn = sampling.sample_lam(table, length, seed=seed_pair(seed, number))
        found = np.searchsorted(values, np.asarray(drawn))
        counts += np.bincount(found, minlength=len(values))
    return values, entries, counts


def run_lambda(
    a: float, b: float, draws: int, seed: int, *, own: bool = False
) -> Iterator[Law]:
    """Yields the tests of one distribution of lambda."""
    table = sampling.beta_table(a, b, reformulated=own)
    values, entries, counts = count_lambdas(table, draws, seed)
    yield from judge_lambda(values, entries, counts, (a, b), own=own)


def judge_lambda(
    values: np.ndarray,
    entries: np.ndarray,
    counts: np.ndarray,
    alpha: tuple[float, float],
    *,
    own: bool = False,
) -> Iterator[Law]:
    """Yields the tests of counted values; see `count_lambdas`."""
    subject, total = name_alpha(*alpha, own=own), int(counts.sum())

    def law(test: str, p: float) -> Law:
        return Law("lambda", subject, test, total, p)

    yield law("entries", pvalues.chi_square(counts, entries))
    inner = (values >= LOW) & (values <= HIGH)
    cdf = beta_cdf(*alpha, own=own)
    # Of lambda between the ends, which is the Beta distribution cut there.
    ends = cdf(np.array([LOW, HIGH]))
    _, p = pvalues.kolmogorov(
        values[inner].astype("float64"),
        counts[inner],
        lambda x: (cdf(x) - ends[0]) / (ends[1] - ends[0]),
    )
    yield law("KS", p)
    place = np.digitize(values, [LOW, HIGH])
    shares = np.bincount(place, entries) / entries.sum()
    if 1 - shares[1] > 1e-3:
        yield law("ends", pvalues.chi_square(np.bincount(place, counts), shares))
    exact = beta_moments(*alpha, own=own)
    found = pvalues.moments(values - exact[1], counts, center_moments(exact))
    for name, p in zip(MOMENTS, found, strict=True):
        yield law(name, p)


def describe_table(a: float, b: float, *, own: bool = False) -> dict[str, float]:
    """Returns how far the table of lambda is from the distribution, without drawing.

    Its largest distance as a distribution function, the largest difference of the first
    four moments, and the shares that are exactly 0 and 1.
    """
    table = sampling.beta_table(a, b, reformulated=own)
    values, entries = np.unique(table, return_counts=True)
    shares = entries / len(table)
    exact, cdf = beta_moments(a, b, own=own), beta_cdf(a, b, own=own)
    wide = values.astype("float64")
    inner = (values >= LOW) & (values <= HIGH)
    after = np.cumsum(shares)
    distance = np.maximum(
        np.abs(after - cdf(wide)), np.abs(after - shares - cdf(wide))
    )[inner]
    moments = [abs((shares * wide**k).sum() - exact[k]) for k in range(1, 5)]
    return {
        "distance": float(distance.max()),
        "moments": float(max(moments)),
        "zero": float(shares[values == 0].sum()),
        "one": float(shares[values == 1].sum()),
    }


def run_uniforms(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of the uniform numbers."""
    high, low = np.zeros(2**16, "int64"), np.zeros(2**11, "int64")
    pairs, lags = np.zeros((64, 64), "int64"), np.zeros((64, 64), "int64")
    for number, length in split_blocks(draws):
        drawn = sampling.sample_uniform([length], seed=seed_pair(seed, number))
        whole = (np.asarray(drawn) * UNIFORMS).astype("int64")
        high += np.bincount(whole >> 7, minlength=len(high))
        low += np.bincount(whole & 2047, minlength=len(low))
        coarse = whole >> 17
        pairs += count_pairs(coarse[:-1], coarse[1:], 64)
        lags += count_pairs(coarse[:-4], coarse[4:], 64)

    def law(test: str, p: float) -> Law:
        return Law("numbers", "uniform", test, draws, p)

    yield law("first 16 bits", pvalues.chi_square(high))
    yield law("last 11 bits", pvalues.chi_square(low))
    yield law("KS", judge_steps(high))
    yield law("next number", pvalues.independence(pairs))
    yield law("fourth number", pvalues.independence(lags))


def run_normals(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of the normals, of which FMix's noise is made."""
    edges = stats.norm.ppf(np.arange(1, 2**16) / 2**16)
    cells, sums = np.zeros(2**16, "int64"), np.zeros(5)
    pairs = np.zeros((64, 64), "int64")
    for number, length in split_blocks(draws):
        drawn = sampling.sample_normal([length // 2, 2], seed=seed_pair(seed, number))
        drawn = np.asarray(drawn).astype("float64")
        place = np.searchsorted(edges, drawn)
        cells += np.bincount(place.ravel(), minlength=2**16)
        pairs += count_pairs(place[:, 0] >> 10, place[:, 1] >> 10, 64)
        sums += [(drawn**power).sum() for power in range(5)]
    total = int(cells.sum())

    def law(test: str, p: float) -> Law:
        return Law("numbers", "normal", test, total, p)

    yield law("cells", pvalues.chi_square(cells))
    yield law("KS", judge_steps(cells))
    # Means and variances of the powers of a standard normal.
    laws = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}
    for name, (power, (mean, variance)) in zip(MOMENTS, laws.items(), strict=True):
        p = pvalues.z_test(sums[power] / total - mean, (variance / total) ** 0.5)
        yield law(name, p)
    yield law("both of a pair", pvalues.independence(pairs))


def judge_steps(cells: np.ndarray) -> float:
    """Returns the p-value of the Kolmogorov-Smirnov distance at the edges of cells.

    Args:
        cells: Numbers of draws in cells that are equally likely.
    """
    total, count = cells.sum(), len(cells)
    steps = np.cumsum(cells) / total - np.arange(1, count + 1) / count
    return float(stats.kstwobign.sf(np.abs(steps).max() * total**0.5))


def count_pairs(x: np.ndarray, y: np.ndarray, cells: int) -> np.ndarray:
    """Returns the contingency table of two arrays of integers below `cells`."""
    flat = x.astype("int64") * cells + y
    return np.bincount(flat.ravel(), minlength=cells * cells).reshape(cells, cells)


def describe_tables() -> dict[str, dict[str, float]]:
    """Returns what `describe_table` says of each distribution that is tested."""
    found = {name_alpha(*x): describe_table(*x) for x in ALPHAS}
    own = {name_alpha(*x, own=True): describe_table(*x, own=True) for x in OWN}
    return found | own


def run_all(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of all that this module describes."""
    for number, (a, b) in enumerate(ALPHAS):
        yield from run_lambda(a, b, draws, seed + number)
    for number, (a, b) in enumerate(OWN, start=len(ALPHAS)):
        yield from run_lambda(a, b, draws, seed + number, own=True)
    yield from run_uniforms(draws, seed + 20)
    yield from run_normals(draws, seed + 21)
