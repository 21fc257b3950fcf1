"""Times every method beside a plain copy and beside other libraries.

All contenders of a table take turns, round by round, so that other work on the machine
slows all of them alike. A run takes the median of its rounds for each contender. A row
prints the median, least and largest of the runs' ratios. Times alone say little and are
not printed: `benchmarks/results/speed.json` has them.
"""

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# PyTorch's waiting threads would take the cores from TensorFlow's.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import peers as _peers
import tensorflow as tf
from judging import print_row, print_summary

from keras_msda import layers as _layers

RESULTS = Path(__file__).parent / "results"
#: The layers of all methods by label, as in tables.
#: Not PuzzleMix, which has a benchmark of its own: no loss inside a model knows it.
METHODS = {
    method.label: method.layer
    for method in _layers.METHODS.values()
    if not method.layer().weight_needs_images
}
#: Largest time over a copy's in the first table; none for a method without an entry.
LIMITS = {"MixUp": 1.75, "CutMix": 2.0, "HMix": 2.0, "GMix": 2.0, "FMix": 12.0}
#: How a layer is called, and what shares one draw.
KINDS = ("map sample", "map batch", "function sample")
#: The same for small images, after a millisecond was subtracted.
SMALL_LIMITS = {"MixUp": 1.3, "CutMix": 1.3, "HMix": 1.3, "GMix": 1.3, "FMix": 5.0}
LARGE, SMALL, STEP_SHAPE = (128, 224, 224, 3), (512, 32, 32, 3), (64, 64, 64, 3)
#: The tables, by the names that the command line takes.
TITLES = {
    "large": "float32, 128 of 224x224x3",
    "bytes": "uint8 and float32, 128 of 224x224x3",
    "small": "float32, 512 of 32x32x3",
    "small-bytes": "uint8, 512 of 32x32x3",
    "small-step": "a train step of three convolutions, 64 of 64x64x3",
    "large-step": "a train step of ResNet-50, 4 of 128x128x3",
}
PACKAGES = (
    *("keras_msda", "keras", "tensorflow", "numpy"),
    *("torch", "timm", "kornia", "torchvision"),
)
#: Largest error of labels that count as right.
RIGHT = 1e-3


class Row(NamedTuple):
    """A ratio that a table shows.

    Attributes:
        name: Which contender is over which.
        over: Contender in the numerator.
        under: Contenders in the denominator, of which the fastest counts.
        limit: The limit of the ratio, or None.
        least: Whether the limit is the least ratio and not the largest.
        spare: Seconds that are subtracted from the numerator.
    """

    name: str
    over: str
    under: tuple[str, ...]
    limit: float | None = None
    least: bool = False
    spare: float = 0.0


Times = dict[str, float]


# The contenders.


def make_batch(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns random images of the full range, and class ids."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, shape, "uint8")
    if dtype != "uint8":
        images = (images / np.float32(255)).astype(dtype)
    return images, rng.integers(0, _peers.CLASSES, shape[0]).astype("int32")


def map_batches(function: Callable[..., Any], *tensors: Any) -> Callable[[], Any]:
    """Returns a function that takes a batch from a `Dataset.map` without prefetch."""
    dataset = tf.data.Dataset.from_tensors(tensors).repeat().map(function)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.inject_prefetch = False
    batches = iter(dataset.with_options(options))
    return lambda: next(batches)


def copy(images: Any, ids: Any) -> tuple[Any, Any]:
    """Copies the images, and does nothing else."""
    return tf.raw_ops.DeepCopy(x=images), ids


def make_layer(method: str, dtype: str, **settings: Any) -> Any:
    """Makes a layer that returns soft labels."""
    settings = {"num_classes": _peers.CLASSES, "dtype": dtype, "seed": 1} | settings
    return METHODS[method](**settings)


def make_contenders(
    shape: tuple[int, ...],
    dtype: str,
    others: list[_peers.Peer],
    kinds: tuple[str, ...] = KINDS,
) -> dict[str, Callable[[], Any]]:
    """Makes all contenders for batches of a shape and dtype, by name."""
    images, ids = make_batch(shape, dtype)
    tensors = tf.constant(images), tf.constant(ids)
    found = {"copy": map_batches(copy, *tensors)}
    for method in METHODS:
        for kind in kinds:
            caller, per = kind.split()
            layer = make_layer(method, dtype, per=per)
            if caller == "map":
                found[f"{method} {kind}"] = map_batches(layer, *tensors)
            else:
                call = tf.function(layer)
                found[f"{method} {kind}"] = lambda call=call: call(*tensors)
    for peer in others:
        prepared = peer.prepare(images, ids)
        if peer.inside:
            found[peer.name] = map_batches(peer.mix, *prepared)
        else:
            found[peer.name] = lambda peer=peer, given=prepared: peer.mix(*given)
    return found


def make_steps(
    network: Callable[[], Any], shape: tuple[int, ...]
) -> dict[str, Callable[[], Any]]:
    """Makes train steps without mixing and with each method inside the model."""
    images, ids = make_batch(shape, "float32")
    images, ids = tf.constant(images), tf.constant(ids)
    found = {}
    for method in (None, *METHODS):
        layer = None if method is None else METHODS[method](seed=1)
        loss: Any = "sparse_categorical_crossentropy"
        model = keras.Sequential([keras.Input(shape[1:])])
        if layer is not None:
            model.add(layer)
            loss = layer.loss(loss)
        model.add(network())
        model.compile("sgd", loss, jit_compile=False)
        name = "no mixing" if method is None else method
        found[name] = lambda model=model: model.train_on_batch(images, ids)
    return found


def build_small_network() -> Any:
    """Builds a network of three convolutions."""
    layers = [
        keras.layers.Conv2D(width, 3, 2, "same", activation="relu")
        for width in (32, 64, 128)
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([*layers, *head])


def build_resnet50() -> Any:
    """Builds Keras's ResNet-50 for ten classes."""
    shape = (128, 128, 3)
    return keras.applications.ResNet50(weights=None, input_shape=shape, classes=10)


# Timing.


def time_turns(
    turns: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Returns the median seconds of each contender, without the first two rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    order = random.Random(1)
    for _ in range(rounds + 2):
        # In another order each round, since some leave the caches colder than others.
        for name in order.sample(list(turns), len(turns)):
            start = clock()
            turns[name]()
            seconds[name].append(clock() - start)
    return {name: statistics.median(taken[2:]) for name, taken in seconds.items()}


def ratio(row: Row, times: Times) -> float:
    """Returns the ratio of a row in one run."""
    below = min(times[name] for name in row.under)
    return (times[row.over] - row.spare) / below


# Tables.


def copy_rows(limits: dict[str, float], kinds: tuple[str, ...] = KINDS) -> list[Row]:
    """Returns rows of each method over the copy, for each kind of call."""
    rows = []
    for method in METHODS:
        for kind in kinds:
            limit = limits.get(method) if kind == "map sample" else None
            rows.append(
                Row(f"{method}, {kind} / copy", f"{method} {kind}", ("copy",), limit)
            )
    return rows


def peer_rows(others: list[_peers.Peer], wrong: set[str]) -> list[Row]:
    """Returns rows of peers over ours: how many times as fast ours is."""
    least = {"keras MixUp": 2.5, "keras CutMix": 8.0}
    rows = []
    for name, method in ((peer.name, peer.method) for peer in others):
        under = (f"{method} map sample",)
        rows.append(Row(f"{name} / {method}", name, under, least.get(name), least=True))
    for method in METHODS:
        right = [x for x in others if (x.method, x.per) == (method, "sample")]
        names = tuple(x.name for x in right if x.name not in wrong)
        if names:
            # Over the fastest of them, so ours is in the numerator here.
            own = f"{method} map sample"
            rows.append(Row(f"{method} / fastest right peer", own, names, 1 / 3))
    return rows


def batch_rows() -> list[Row]:
    """Returns rows of one draw per batch over one draw per sample.

    If both are one pass over the images, the ratio is 1 up to 5 %.
    """
    return [
        Row(f"{x}, batch / sample", f"{x} map batch", (f"{x} map sample",), 1.05)
        for x in METHODS
    ]


def small_rows() -> list[Row]:
    """Returns rows of small images: some times the copy, and a millisecond."""
    rows = []
    for x in METHODS:
        name, limit = f"({x} - 1 ms) / copy", SMALL_LIMITS.get(x)
        rows.append(Row(name, f"{x} map sample", ("copy",), limit, spare=1e-3))
    return rows


def bytes_rows() -> list[Row]:
    """Returns rows of bytes over floats of the same shape."""
    return [
        Row(f"{x}, uint8 / float32", f"{x} uint8", (f"{x} float32",), 0.5)
        for x in METHODS
    ]


def step_rows() -> list[Row]:
    """Returns rows of train steps over the one without mixing."""
    return [Row(f"{x} / no mixing", x, ("no mixing",)) for x in METHODS]


def run_table(
    title: str,
    turns: Callable[[], dict[str, Callable[[], Any]]],
    rows: list[Row],
    options: Any,
) -> dict[str, Any]:
    """Runs and prints a table, and returns what its results hold."""
    print(f"\n{title}: {options.runs} runs of {options.rounds} rounds", flush=True)
    made = turns()
    runs = [time_turns(made, options.rounds) for _ in range(options.runs)]
    del made
    gc.collect()
    shown = []
    for row in rows:
        ratios = [ratio(row, times) for times in runs]
        shown.append(print_row(row.name, ratios, row.limit, least=row.least))
    return {"title": title, "runs": runs, "rows": shown}


def make_both_types() -> dict[str, Callable[[], Any]]:
    """Makes each method for bytes and for floats, by name."""
    turns = {}
    for dtype in ("float32", "uint8"):
        tensors = [tf.constant(x) for x in make_batch(LARGE, dtype)]
        for method in METHODS:
            turns[f"{method} {dtype}"] = map_batches(
                make_layer(method, dtype), *tensors
            )
    return turns


def run_tables(options: Any) -> Iterator[dict[str, Any]]:
    """Runs the tables that are asked for."""
    others = _peers.all_peers()
    errors = {peer.name: _peers.label_error(peer) for peer in others}
    wrong = {name for name, error in errors.items() if error > RIGHT}
    for name in wrong:
        print(f"{name}: labels are wrong by up to {errors[name]:.3f}; not compared")
    rows = [*copy_rows(LIMITS), *batch_rows(), *peer_rows(others, wrong)]
    small = [*small_rows(), *copy_rows({})]
    plans: dict[str, tuple[Callable[[], Any], list[Row]]] = {
        "large": (lambda: make_contenders(LARGE, "float32", others), rows),
        "bytes": (make_both_types, bytes_rows()),
        "small": (lambda: make_contenders(SMALL, "float32", []), small),
        "small-bytes": (lambda: make_contenders(SMALL, "uint8", []), small),
        "small-step": (
            lambda: make_steps(build_small_network, STEP_SHAPE),
            step_rows(),
        ),
        "large-step": (
            lambda: make_steps(build_resnet50, (4, 128, 128, 3)),
            step_rows(),
        ),
    }
    for key in options.table or plans:
        yield run_table(TITLES[key], *plans[key], options) | {"errors": errors}


def draw_chart(found: dict[str, Any], path: Path) -> None:
    """Draws a bar per contender: its time on large images over that of the copy."""
    from matplotlib import pyplot as plt

    runs = found["runs"]
    over = {x: statistics.median(t[x] / t["copy"] for t in runs) for x in runs[0]}
    bars: dict[str, float] = {}
    for method in reversed(METHODS):
        peers = [x for x in over if method in x.split() and not x.startswith(method)]
        bars |= {x: over[x] for x in sorted(peers, key=lambda x: -over[x])}
        bars[f"keras_msda {method}"] = over[f"{method} map sample"]
    figure, axis = plt.subplots(figsize=(8, 0.3 * len(bars) + 1), layout="constrained")
    colors = ["#0072b2" if x.startswith("keras_msda") else "#bbbbbb" for x in bars]
    drawn = axis.barh(list(bars), list(bars.values()), color=colors)
    axis.bar_label(drawn, fmt="%.1f", padding=3, size=8)
    axis.set_xscale("log")
    axis.set_xlim(0.8, 2 * max(bars.values()))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xlabel("time over that of a plain copy (logarithmic)")
    axis.set_title("A batch of 128 images of 224x224x3 in float32", size=10)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def make_document(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the results, with machine and versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    about = {"machine": machine, "cpu": read_cpu(), "versions": versions}
    return about | {"tables": found}


def read_cpu() -> str:
    """Returns the model of the processor, or "unknown"."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def main() -> int:
    """Returns 1 if a row misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--table", choices=TITLES, action="append")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--chart", type=Path, help="picture of the first table to draw")
    options = parser.parse_args()
    if options.chart and options.table and options.table[0] != "large":
        parser.error("--chart draws the table large: give --table large first")
    found = []
    for part in run_tables(options):
        found.append(part)
        if options.out:  # After each table, since the next one may fail.
            options.out.write_text(json.dumps(make_document(found), indent=1) + "\n")
    if options.chart:
        draw_chart(found[0], options.chart)
        print(f"wrote {options.chart}")
    return print_summary([row for part in found for row in part["rows"]])


if __name__ == "__main__":
    sys.exit(main())
