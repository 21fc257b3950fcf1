"""Positions of boxes and bumps, the coin of `probability`, and random choices."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

import keras_msda as msda
from benchmarks.laws import pvalues, recording
from benchmarks.laws.lambdas import count_pairs, split_blocks
from benchmarks.laws.pvalues import Law
from benchmarks.laws.recording import BATCH, LEVELS, SIZE, WEIGHTS, Recorder
from keras_msda import _backend
from keras_msda.layers import _planning

#: Layers whose centres are tested, and the size of their images.
CENTERED = {
    "CutMix, clip": (lambda: msda.CutMixLayer(), SIZE),
    "CutMix, wrap": (lambda: msda.CutMixLayer(border="wrap"), SIZE),
    "HMix": (lambda: msda.HMixLayer(), SIZE),
    "GMix": (lambda: msda.GMixLayer(), SIZE),
    "GMix, 20 x 50": (lambda: msda.GMixLayer(), (20, 50)),
    "SmoothMix": (lambda: msda.SmoothMixLayer(), SIZE),
}
#: Relative sides of boxes that lie inside.
RATIOS = (0.25, 0.75)
#: Values of `probability`, by what shares a coin.
COINS = {"sample": 0.3, "pair": 0.5, "batch": 0.9}
#: Weights of the layers in a random choice.
CHOICES = (1.0, 2.0, 5.0)


class _Layers(NamedTuple):
    """Recorders, which are compiled once."""

    centered: dict[str, Recorder]
    inside: Recorder
    exact: dict[str, Recorder]
    coins: dict[str, Recorder]


@functools.cache
def _make() -> _Layers:
    return _Layers(
        {name: Recorder(make(), size=size) for name, (make, size) in CENTERED.items()},
        Recorder(msda.CutMixLayer(ratio_range=RATIOS, pairing="roll")),
        {
            "CutMix, wrap": Recorder(msda.CutMixLayer(border="wrap", pairing="roll")),
            "CutMix, inside": Recorder(
                msda.CutMixLayer(border="inside", pairing="roll")
            ),
            "FMix": Recorder(msda.FMixLayer(pairing="roll"), size=(5, 7)),
            "GridMix": Recorder(msda.GridMixLayer(pairing="roll")),
        },
        {
            per: Recorder(
                msda.MixUpLayer(
                    per=per,
                    probability=probability,
                    pairing="reverse" if per == "pair" else "roll",
                )
            )
            for per, probability in COINS.items()
        },
    )


def count_steps(draws: int) -> int:
    """Returns in how many steps so many samples are drawn."""
    return -(-draws // BATCH)


def run_centers(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of the centres of boxes and bumps."""
    steps = count_steps(draws)
    for number, (name, recorder) in enumerate(_make().centered.items()):
        found = recorder(recording.draw_sequence(seed + number, steps))
        size = CENTERED[name][1]
        place = found["center 0"].astype("int64") * size[1] + found["center 1"]
        counts = np.bincount(place.ravel(), minlength=size[0] * size[1])
        p = pvalues.chi_square(counts) if len(counts) == size[0] * size[1] else 0.0
        yield Law("places", name, "centre", place.size, p)


def run_inside(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of boxes that lie inside: sides, and places given the side."""
    found = _make().inside(recording.draw_sequence(seed, count_steps(draws)))
    for axis, length in enumerate(SIZE):
        side, center = found[f"side {axis}"], found[f"center {axis}"].astype("int64")
        low, high = (round(length * ratio) for ratio in RATIOS)
        start = center - side // 2
        table = np.zeros((length + 1, length + 1), "int64")
        np.add.at(table, (side.ravel(), start.ravel()), 1)
        subject = f"CutMix, inside, axis {axis}"
        sides = table.sum(1)[low : high + 1]
        right = sides.sum() == side.size
        p = pvalues.chi_square(sides) if right else 0.0
        yield Law("places", subject, "side", side.size, p)
        statistic, freedom = 0.0, 0
        for side_length in range(low, high + 1):
            row = table[side_length, : length - side_length + 1]
            right &= row.sum() == table[side_length].sum()
            statistic += ((row - row.mean()) ** 2 / row.mean()).sum()
            freedom += len(row) - 1
        p = pvalues.survive(statistic, freedom) if right else 0.0
        yield Law("places", subject, "place, by side", side.size, p)


def run_weights(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of "the mean weight is lambda", where rounding is drawn."""
    for number, (name, recorder) in enumerate(_make().exact.items()):
        seeds = recording.draw_sequence(seed + number, count_steps(draws))
        found = recorder(seeds)
        lam = (found["lam"] + 0.5) / LEVELS
        difference = found["weight"] / WEIGHTS - lam
        # Truncation to whole units takes half of one, and 2^-23 is the slack of boxes.
        p = pvalues.z_test(
            difference.mean(), difference.std() / np.sqrt(difference.size)
        )
        yield Law("places", name, "mean weight is lambda", lam.size, p)


def run_cells(draws: int, seed: int) -> Iterator[Law]:
    """Yields the test of the cells that GridMix keeps."""
    layer, cells = msda.GridMixLayer(), 16
    kept, spread, total = np.zeros(cells), 0.0, -(-draws // cells)
    for number, length in split_blocks(total):
        mask, _ = layer.sample_masks(length, (4, 4), seed=(seed, number))
        mask = np.asarray(mask).reshape(length, cells)
        count = mask.sum(1)
        kept += mask.sum(0, dtype="float64")
        spread += float((count * (cells - count)).sum(dtype="float64"))
    yield Law("places", "GridMix", "cells", total * cells, judge_cells(kept, spread))


def judge_cells(kept: np.ndarray, spread: float) -> float:
    """Returns the p-value of "all cells are kept equally often".

    Args:
        kept: How often each cell was kept.
        spread: The sum over all draws of kept cells times others.
    """
    cells = len(kept)
    # The variance of a draw in each direction that leaves the number of cells alone.
    variance = spread / (cells * (cells - 1))
    statistic = ((kept - kept.mean()) ** 2).sum() / variance
    return pvalues.survive(statistic, cells - 1)


def run_coins(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of `probability`."""
    for number, (per, probability) in enumerate(COINS.items()):
        shared = {"sample": 1, "pair": 2, "batch": BATCH}[per]
        steps = count_steps(draws)
        found = _make().coins[per](recording.draw_sequence(seed + number, steps))
        yield from judge_coins(found["mixed"], per, probability, shared)


def judge_coins(
    mixed: np.ndarray, per: str, probability: float, shared: int
) -> Iterator[Law]:
    """Yields the tests of which samples were mixed, `(steps, batch)`."""
    subject = f"probability {probability}, per {per}"
    steps, batch = mixed.shape
    count = mixed.sum(1, dtype="int64")
    tries = steps * batch // shared
    p = pvalues.binomial(count.sum() / shared, tries, probability)
    if (count % shared).any():
        p = 0.0
    yield Law("places", subject, "share that is mixed", tries, p)
    each = batch // shared
    if each > 1:
        shares = stats.binom.pmf(np.arange(each + 1), each, probability)
        counts = np.bincount(count // shared, minlength=each + 1)
        p = pvalues.chi_square(counts, shares)
        yield Law("places", subject, "mixed in a batch", tries, p)


@functools.cache
def _compile_choice(per: str) -> Any:
    """Returns what draws the choices of a layer in steps."""
    members = [msda.MixUpLayer() for _ in CHOICES]
    layer = msda.RandomMixLayer(members, weights=list(CHOICES), per=per)
    draws = BATCH if per == "sample" else 1

    def draw(seed: Any) -> Any:
        ops = _backend.get_ops(seed)
        _, _, *seeds = ops.split_seed(seed, 4)
        choice, _ = _planning.draw_params(layer, draws, SIZE, seeds=seeds, lam=None)
        return choice

    return recording.compile_map(draw)


def run_choices(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of a random choice among layers."""
    for number, per in enumerate(("sample", "batch")):
        steps = count_steps(draws)
        found = _compile_choice(per)(recording.draw_sequence(seed + number, steps))
        counts = np.bincount(found.ravel(), minlength=len(CHOICES))
        subject = f"RandomMix 1 : 2 : 5, per {per}"
        p = pvalues.chi_square(counts, CHOICES)
        yield Law("places", subject, "choice", found.size, p)
        flat = found[:, 0]
        p = pvalues.independence(count_pairs(flat[:-1], flat[1:], len(CHOICES)))
        yield Law("places", subject, "next step", flat.size, p)


def run_all(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of all that this module describes."""
    yield from run_centers(draws, seed)
    yield from run_inside(draws, seed + 10)
    yield from run_weights(draws, seed + 20)
    yield from run_cells(draws, seed + 29)
    yield from run_coins(draws, seed + 30)
    yield from run_choices(draws, seed + 40)
