"""Partners: uniform permutations, matchings and cycles, and similar labels."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.laws import pvalues, recording
from benchmarks.laws.lambdas import BLOCK, seed_pair
from benchmarks.laws.pvalues import Law
from keras_msda import _backend, sampling

#: How partners are chosen, by what a table calls it.
KINDS = {
    "shuffle": {"pairing": "shuffle", "per": "sample"},
    "derangement": {"pairing": "derangement", "per": "sample"},
    "matching": {"pairing": "shuffle", "per": "pair"},
}
#: Numbers of samples whose partners are few enough to list them all.
FEW = (4, 5, 6)
#: Numbers of samples in the tests of larger batches.
MORE = 16
#: Labels of the samples, and the bandwidth, in the test of similar labels.
LABELS, BANDWIDTH = (0.0, 0.5, 1.0, 1.5, 3.0, 6.0), 1.0


def list_partners(kind: str, batch: int) -> list[tuple[int, ...]]:
    """Returns all partners that a kind can draw, each as likely as the others."""
    found = []
    for partner in itertools.permutations(range(batch)):
        cycles = sorted(map(len, find_cycles(partner)))
        odd = batch % 2
        fits = {
            "shuffle": True,
            "derangement": cycles == [batch],
            "matching": cycles == [1] * odd + [2] * (batch // 2),
        }
        if fits[kind]:
            found.append(partner)
    return found


def find_cycles(partner: tuple[int, ...]) -> list[list[int]]:
    """Returns the cycles of a permutation."""
    found: list[list[int]] = []
    left = set(range(len(partner)))
    while left:
        cycle = [left.pop()]
        while partner[cycle[-1]] in left:
            cycle.append(partner[cycle[-1]])
            left.remove(cycle[-1])
        found.append(cycle)
    return found


def draw_groups(kind: str, batch: int, draws: int, seed: int) -> np.ndarray:
    """Draws partners in many groups of one batch.

    Returns:
        Places in the group, `(groups, batch)`, for as many samples as `draws`, or more.
    """
    most = BLOCK // batch
    groups = -(-draws // batch)
    parts = []
    for number, start in enumerate(range(0, groups, most)):
        count = min(most, groups - start)
        partner = sampling.sample_partners(
            batch * count, groups=count, seed=seed_pair(seed, number), **KINDS[kind]
        ).partner
        own = np.repeat(np.arange(count) * batch, batch)
        parts.append((np.asarray(partner) - own).reshape(count, batch))
    return np.concatenate(parts)


@functools.cache
def compile_steps(kind: str, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that draws the partners of whole batches, one a step."""
    return recording.compile_map(
        lambda seed: (
            sampling.sample_partners(batch, groups=1, seed=seed, **KINDS[kind]).partner
        )
    )


def judge_all(kind: str, partners: np.ndarray) -> float:
    """Returns the p-value of "all possible partners are equally likely"."""
    batch = partners.shape[1]
    weights = batch ** np.arange(batch)
    codes = np.sort([np.dot(x, weights) for x in list_partners(kind, batch)])
    drawn = partners @ weights
    place = np.minimum(np.searchsorted(codes, drawn), len(codes) - 1)
    if not np.array_equal(codes[place], drawn):
        return 0.0  # Partners that the kind can never draw.
    return pvalues.chi_square(np.bincount(place, minlength=len(codes)))


def judge_rows(kind: str, partners: np.ndarray) -> float:
    """Returns the p-value of "all partners of a sample are equally likely".

    Each group gives the partner of one sample, because those of several depend on one
    another.
    """
    groups, batch = partners.shape
    own = np.arange(groups) % batch
    offset = (partners[np.arange(groups), own] - own) % batch
    table = np.zeros((batch, batch), "int64")
    np.add.at(table, (own, offset), 1)
    if kind == "shuffle" or (kind == "matching" and batch % 2):
        possible = table
    elif table[:, 0].any():
        return 0.0  # A sample is its own partner.
    else:
        possible = table[:, 1:]
    expected = possible.sum(1, keepdims=True) / possible.shape[1]
    freedom = batch * (possible.shape[1] - 1)
    return pvalues.chi_square(
        possible.ravel(), (expected + 0 * possible).ravel(), freedom=freedom
    )


def count_cycles(batch: int) -> np.ndarray:
    """Returns the probabilities of 0 ... `batch` cycles in a uniform permutation."""
    ways = [1]
    for size in range(batch):  # Stirling numbers of the first kind.
        shifted = [0, *ways]
        ways = [size * x + y for x, y in zip([*ways, 0], shifted, strict=True)]
    return np.array([x / math.factorial(batch) for x in ways])


def count_fixed(batch: int) -> np.ndarray:
    """Returns the probabilities of 0 ... `batch` samples that keep themselves."""
    return np.array(
        [
            sum((-1) ** k / math.factorial(k) for k in range(batch - fixed + 1))
            / math.factorial(fixed)
            for fixed in range(batch + 1)
        ]
    )


def number_of_cycles(partners: np.ndarray) -> np.ndarray:
    """Returns how many cycles each row has: samples that no later one leads to."""
    batch = partners.shape[1]
    least = np.broadcast_to(np.arange(batch), partners.shape).copy()
    following = partners.copy()
    for _ in range(math.ceil(math.log2(batch)) + 1):
        least = np.minimum(least, np.take_along_axis(least, following, 1))
        following = np.take_along_axis(following, following, 1)
    return (least == np.arange(batch)).sum(1)


def run_kinds(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of the kinds of pairing."""
    for first, kind in enumerate(KINDS):
        # Kinds with the same seed would sort the same keys.
        own = seed + 100 * first

        def law(subject: str, test: str, count: int, p: float, kind: str = kind) -> Law:
            return Law("partners", f"{kind}, {subject}", test, count, p)

        for batch in FEW:
            found = draw_groups(kind, batch, draws, own + batch)
            test = f"{len(list_partners(kind, batch))} equally likely"
            yield law(f"{batch} samples", test, found.size, judge_all(kind, found))
        # Whole batches, one for each step of a layer.
        steps = max(draws // 100, 10 * pvalues.CELL)
        found = compile_steps(kind, 5)(recording.draw_sequence(own, steps))
        p = judge_all(kind, found)
        yield law("5 samples, steps", "equally likely", found.size, p)
        found = draw_groups(kind, MORE, draws, own + MORE)
        p = judge_rows(kind, found)
        yield law(f"{MORE} samples", "partner of each", found.size, p)
        if kind == "shuffle":
            cycles = np.bincount(number_of_cycles(found), minlength=MORE + 1)
            p = pvalues.chi_square(cycles, count_cycles(MORE))
            yield law(f"{MORE} samples", "number of cycles", found.size, p)
            fixed = (found == np.arange(MORE)).sum(1)
            fixed = np.bincount(fixed, minlength=MORE + 1)
            p = pvalues.chi_square(fixed, count_fixed(MORE))
            yield law(f"{MORE} samples", "own partner", found.size, p)


@functools.cache
def compile_similar(copies: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that draws partners with similar labels, in steps."""
    labels = np.tile(np.array(LABELS, "float32"), copies)[:, None]

    def draw(seed: Any) -> Any:
        ops = _backend.get_ops(seed)
        return sampling.sample_similar_partners(
            ops.convert(labels), BANDWIDTH, per="sample", groups=1, seed=seed
        ).partner

    return recording.compile_map(draw)


def run_similar(draws: int, seed: int) -> Iterator[Law]:
    """Yields the test of partners with similar labels."""
    kinds, copies = len(LABELS), 16
    steps = -(-draws // (kinds * copies))
    drawn = compile_similar(copies)(recording.draw_sequence(seed, steps)) % kinds
    own = np.broadcast_to(np.arange(kinds * copies) % kinds, drawn.shape)
    table = np.zeros((kinds, kinds), "int64")
    np.add.at(table, (own.ravel(), drawn.ravel()), 1)
    yield Law(
        "partners",
        "label similarity",
        "Gaussian of distance",
        drawn.size,
        judge_similar(table),
    )


def judge_similar(table: np.ndarray) -> float:
    """Returns the p-value of counts of (own label, partner's label)."""
    labels = np.array(LABELS)
    shares = np.exp(-0.5 * ((labels[:, None] - labels) / BANDWIDTH) ** 2)
    shares /= shares.sum(1, keepdims=True)
    expected = shares * table.sum(1, keepdims=True)
    # Cells of labels that are far apart are merged with the rarest one of their row.
    statistic, freedom = 0.0, 0
    for row, wanted in zip(table, expected, strict=True):
        order = np.argsort(wanted)
        counts, means = pvalues.merge_cells(row[order], wanted[order])
        statistic += ((counts - means) ** 2 / means).sum()
        freedom += len(counts) - 1
    return pvalues.survive(statistic, freedom)


def run_all(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of all that this module describes."""
    yield from run_kinds(draws, seed)
    yield from run_similar(draws, seed + 300)
