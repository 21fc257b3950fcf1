"""Independence of draws: in a step, of steps, seeds, replicas, workers and epochs."""

import functools
import itertools
import sys
import types
from collections.abc import Iterator
from unittest import mock

import keras
import numpy as np

import keras_msda as msda
from benchmarks.laws import pvalues, recording
from benchmarks.laws.lambdas import count_pairs
from benchmarks.laws.places import count_steps
from benchmarks.laws.pvalues import Law
from benchmarks.laws.recording import LEVELS, SIZE, Draws, Recorder
from keras_msda.layers import _workers

#: Cells of each quantity in a contingency table.
CELLS = 16
#: What each sample draws; the partner's name stands for its distance in the batch.
NAMES = ("lam", "partner", "center 0", "center 1", "coin")
#: What a table calls them.
LABELS = {
    "lam": "lambda",
    "partner": "partner",
    "center 0": "centre y",
    "center 1": "centre x",
    "coin": "coin",
}
#: Steps between those that are compared; 100 stands for the next epoch of 100 steps.
LAGS = (1, 2, 100)


@functools.cache
def make_recorder() -> Recorder:
    """Returns the recorder of a layer that draws all of `NAMES`."""
    layer = msda.CutMixLayer(border="wrap", probability=0.5, pairing="derangement")
    return Recorder(layer)


def to_cells(draws: Draws) -> Draws:
    """Returns what was drawn, each quantity in 16 cells."""
    batch = draws["partner"].shape[1]
    distance = (draws["partner"].astype("int64") - np.arange(batch)) % batch
    levels = LEVELS // CELLS
    return {
        "lam": draws["lam"] // levels,
        "coin": draws["coin"] // levels,
        "partner": distance * CELLS // batch,
        "center 0": draws["center 0"] * CELLS // SIZE[0],
        "center 1": draws["center 1"] * CELLS // SIZE[1],
    }


def take_one(x: np.ndarray) -> np.ndarray:
    """Returns one sample of each step: partners of several depend on one another."""
    return x[np.arange(len(x)), np.arange(len(x)) % x.shape[1]]


def compare(section: str, subject: str, first: Draws, second: Draws) -> Iterator[Law]:
    """Yields tests of two runs: each quantity with itself, step by step.

    Args:
        section: Of the page.
        subject: What the runs are.
        first: Draws of a run, `(steps, batch)` each.
        second: Draws of another run.
    """
    cells = to_cells(first), to_cells(second)
    for name in NAMES:
        x, y = (found[name] for found in cells)
        if name == "partner":
            x, y = take_one(x), take_one(y)
        p = pvalues.independence(count_pairs(x, y, CELLS))
        yield Law(section, subject, LABELS[name], x.size, p)
    p = pvalues.correlation(first["lam"], second["lam"])
    yield Law(section, subject, "lambda, ranks", first["lam"].size, p)


def shift(draws: Draws, lag: int) -> tuple[Draws, Draws]:
    """Returns the steps that have a later one, and those later ones."""
    first = {name: x[:-lag] for name, x in draws.items()}
    return first, {name: x[lag:] for name, x in draws.items()}


def run_step(draws: Draws) -> Iterator[Law]:
    """Yields the tests of what a sample draws in a step, and of its neighbour."""
    cells = to_cells(draws)
    for one, other in itertools.combinations(NAMES, 2):
        x, y = cells[one], cells[other]
        p = pvalues.independence(count_pairs(x, y, CELLS))
        yield Law("step", f"{LABELS[one]}, {LABELS[other]}", "cells", x.size, p)
    for one, other in (("lam", "coin"), ("lam", "center 0"), ("lam", "center 1")):
        subject = f"{LABELS[one]}, {LABELS[other]}"
        p = pvalues.correlation(draws[one], draws[other])
        yield Law("step", subject, "ranks", draws[one].size, p)
    for name in NAMES:
        if name != "partner":
            x, y = cells[name][:, :-1], cells[name][:, 1:]
            p = pvalues.independence(count_pairs(x, y, CELLS))
            subject = f"{LABELS[name]}, that of the next sample"
            yield Law("step", subject, "cells", x.size, p)


def worker_seeds(seed: int, workers: int) -> list[int]:
    """Returns the seeds that a layer's draws begin with in workers of PyTorch.

    Workers have neighbouring seeds there; see `keras_msda.layers._workers`.
    """
    found = []
    for worker in range(workers):
        info = types.SimpleNamespace(seed=seed + worker)
        data = types.SimpleNamespace(get_worker_info=lambda info=info: info)
        with mock.patch.dict(sys.modules, {"torch.utils.data": data}):
            found.append(_workers._new_seed(seed))
    return found


def run_all(draws: int, seed: int) -> Iterator[Law]:
    """Yields the tests of all that this module describes."""
    steps, record = count_steps(draws), make_recorder()
    first = record(recording.draw_sequence(seed, steps))
    yield from run_step(first)
    for lag in LAGS:
        yield from compare("runs", f"steps t and t + {lag}", *shift(first, lag))
    second = record(recording.draw_sequence(seed + 1, steps))
    yield from compare("runs", "seeds s and s + 1", first, second)
    workers = [record(recording.draw_sequence(x, steps)) for x in worker_seeds(seed, 2)]
    yield from compare("runs", "two workers", *workers)
    yield from compare("runs", "worker and main process", first, workers[0])
    pairs = np.stack([np.full(steps, seed), np.arange(steps)], 1)
    drawn = record(pairs)
    yield from compare("runs", "seed pairs (s, t) and (s, t + 1)", *shift(drawn, 1))
    other = record(pairs + np.array([1, 0]))
    yield from compare("runs", "seed pairs (s, t) and (s + 1, t)", drawn, other)
    if keras.config.backend() != "tensorflow":
        return
    replicas = [record(x) for x in recording.draw_replicas(seed + 2, steps)]
    yield from compare("runs", "two replicas", *replicas)
    epochs = [record(recording.draw_epochs(seed, epoch, steps)) for epoch in (0, 1)]
    yield from compare("runs", "`mixing`, epochs 0 and 1", *epochs)
    yield from compare("runs", "`mixing`, batches t and t + 1", *shift(epochs[0], 1))
    other = record(recording.draw_epochs(seed + 1, 0, steps))
    yield from compare("runs", "`mixing`, seeds s and s + 1", epochs[0], other)


def count_repeats(steps: int, seeds: int, seed: int) -> dict[str, int]:
    """Returns how many seed pairs of a layer's steps came before.

    Args:
        steps: Of one layer; each of `seeds` neighbouring seeds makes a hundredth.
        seeds: How many.
        seed: The first.
    """
    alone = recording.draw_sequence(seed, steps)
    each = [recording.draw_sequence(seed + k, steps // 100) for k in range(seeds)]
    return {
        "steps": len(alone),
        "repeats": find_repeats(alone),
        "seeds": seeds,
        "steps of each": steps // 100,
        "repeats of seeds": find_repeats(np.concatenate(each)),
    }


def find_repeats(pairs: np.ndarray) -> int:
    """Returns how many seed pairs, int32 `(steps, 2)`, came before."""
    words = pairs.astype("uint32").astype("uint64")
    return len(words) - len(np.unique(words[:, 0] << np.uint64(32) | words[:, 1]))
