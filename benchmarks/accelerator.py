"""Times the layers on a GPU or TPU: KERAS_BACKEND=jax or torch, and this program.

bandwidth: A copy moves every byte twice. A mix moves it three times: it reads the own
image and the partner's, and writes one. A row is the bandwidth of a layer, 3 bytes over
its time, over that of a copy, 2 bytes over its time. The layer draws for each sample
and mixes labels too. (CutMix needs only two bytes, so its row may exceed 1.) Calls are
queued, each with another seed, and the clock is read when the device is done.

peers: How many times as long timm and kornia take, on equal tensors, channels first.
They need PyTorch, and are left out with JAX.

step: What mixing adds to training: an epoch of `model.fit` with the layer and its loss,
over an epoch without them, on a batch that is already on the device. `fit` queues its
steps, as in real training; `train_on_batch` would wait for each loss. The time includes
the start of an epoch, which is the same for all, so use enough `--steps`. As Keras does
by default, JAX compiles the step, and PyTorch only with `--compile`.

Contenders take turns, in another order each round. A run takes the median of its rounds
for each contender. Printed are the median, least and largest of the runs' ratios.
"""

import argparse
import functools
import gc
import itertools
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

if os.environ.get("KERAS_BACKEND") not in ("jax", "torch"):
    sys.exit(
        "Set KERAS_BACKEND to jax or torch before you run benchmarks/accelerator.py"
    )

import accelerator_check
import keras
import numpy as np
import peers as _peers
from judging import print_row, print_summary

from keras_msda.layers import METHODS as _METHODS

BACKEND = keras.config.backend()
#: The layers of all methods by label, as in tables.
METHODS = {
    method.label: method.layer
    for method in _METHODS.values()
    if not method.layer().weight_needs_images
}
TABLES = ("bandwidth", "peers", "step")
PACKAGES = ("keras_msda", "keras", "jax", "jaxlib", "torch", "triton", "timm", "kornia")
#: Share of a copy's bandwidth to reach. FMix makes a field of noise, and has no limit.
LEAST_SHARE = dict.fromkeys(("MixUp", "CutMix", "HMix", "GMix"), 0.7)
#: Largest train step over the one without mixing.
MOST_STEP = 1.01
SEEDS = 64

Turn = Callable[[], float]
Times = dict[str, float]


class Library(NamedTuple):
    """What differs between JAX and PyTorch.

    Attributes:
        ways: How a function is called, by name.
        copy: Copies images.
        wait: Waits until a result, and what was queued before it, is there.
    """

    ways: dict[str, Callable[..., Any]]
    copy: Callable[[Any], Any]
    wait: Callable[[Any], Any]


class Row(NamedTuple):
    """A ratio that a table shows, and its limit."""

    name: str
    over: str
    under: str
    factor: float = 1.0
    limit: float | None = None
    least: bool = False  # Whether the limit is the least ratio and not the largest.


#: Contenders, the rows to show, and the bytes that the first contender moves.
Table = tuple[dict[str, Turn], list[Row], int]


def find_library(without: list[str]) -> Library:
    """Returns the backend's operations, without some ways of calling."""
    ways: dict[str, Callable[..., Any]]
    if BACKEND == "jax":
        import jax

        # XLA does not remove a copy that a function returns.
        ways, copy, wait = (
            {"jit": jax.jit},
            jax.jit(jax.numpy.copy),
            jax.block_until_ready,
        )
    else:
        import torch

        # It would stop compiling at eight versions of a function.
        torch.compiler.reset()
        # One graph of known shapes or an error, and no part of it eagerly.
        compiled = functools.partial(torch.compile, fullgraph=True, dynamic=False)
        ways = {"eager": lambda function: function, "compiled": compiled}
        gpu = torch.cuda.is_available()
        copy, wait = torch.clone, lambda _: gpu and torch.cuda.synchronize()
    return Library({x: ways[x] for x in ways if x not in without}, copy, wait)


def make_batch(batch: int, size: int, dtype: str, classes: int) -> tuple[Any, Any]:
    """Makes random images and class ids, on the device."""
    images = keras.random.uniform((batch, size, size, 3), dtype=dtype, seed=1)
    return images, keras.random.randint((batch,), 0, classes, seed=2)


def make_turn(call: Callable[[int], Any], library: Library, calls: int) -> Turn:
    """Returns a function that queues some calls and returns the seconds of one."""

    def turn() -> float:
        start = time.perf_counter()
        for number in range(calls):
            result = call(number)
        library.wait(result)
        return (time.perf_counter() - start) / calls

    library.wait(call(0))  # Compiles.
    turn()
    return turn


def make_call(
    method: str, way: Callable[..., Any], tensors: Any, **settings: Any
) -> Callable[[int], Any]:
    """Returns a function that calls a layer on images and ids, by a number's seed."""
    layer = METHODS[method](num_classes=_peers.CLASSES, **settings)
    mix = way(lambda images, ids, seed: layer.mix((images, ids), seed=seed))
    convert = keras.ops.convert_to_tensor
    seeds = [convert([1, number], "int32") for number in range(SEEDS)]
    return lambda number: mix(*tensors, seeds[number % SEEDS])


def make_mixes(batch: int, library: Library, options: Any, *, dtype: str) -> Table:
    """Makes a copy, and each method in each way of calling."""
    images, ids = make_batch(batch, options.size, dtype, _peers.CLASSES)
    turns = {"copy": make_turn(lambda _: library.copy(images), library, options.calls)}
    rows = []
    for method in options.method:
        for kind, way in library.ways.items():
            name = f"{method} {kind}"
            call = make_call(method, way, (images, ids), dtype=dtype)
            turns[name] = make_turn(call, library, options.calls)
            # Three bytes over its time, divided by two bytes over the copy's.
            share = "copy", name, 3 / 2, LEAST_SHARE.get(method), True
            rows.append(Row(f"{name}, share of the copy's", *share))
    return turns, rows, 2 * images.nbytes


def make_peers(batch: int, library: Library, options: Any) -> Table:
    """Makes peers, and our layers in each way of calling, on equal PyTorch tensors."""
    rng, shape = np.random.default_rng(1), (batch, options.size, options.size, 3)
    images, ids = rng.random(shape, "float32"), rng.integers(0, _peers.CLASSES, batch)
    calls, rows = {}, []
    others = [x for x in _peers.torch_peers() if x.per == "sample"]
    for peer in (x for x in others if x.method in options.method):
        print(f"{peer.name}: labels wrong by up to {_peers.label_error(peer):.4f}")
        # Tensors of its own, since timm overwrites them.
        given = [keras.ops.convert_to_tensor(x) for x in peer.prepare(images, ids)]
        own = [x.clone() for x in given]
        calls[peer.name] = lambda _, peer=peer, given=given: peer.mix(*given)
        for kind, way in library.ways.items():
            name = f"{peer.method} {kind}"
            rows.append(Row(f"{peer.name} / {name}", peer.name, name))
            if name not in calls:
                settings = {"dtype": "float32", "data_format": "channels_first"}
                calls[name] = make_call(peer.method, way, own, **settings)
    turns = {x: make_turn(call, library, options.calls) for x, call in calls.items()}
    return turns, rows, 0


def build_network(name: str, size: int) -> Any:
    """Builds a network for a thousand classes."""
    if name == "resnet50":
        shape = (size, size, 3)
        return keras.applications.ResNet50(weights=None, input_shape=shape)
    layers = keras.layers
    pooled = [layers.Conv2D(16, 3, 2, "same"), layers.GlobalAveragePooling2D()]
    return keras.Sequential([*pooled, layers.Dense(1000, "softmax")])


def time_epoch(model: Any, data: Any, steps: int, library: Library) -> float:
    """Trains on the same batch in every step, and returns the seconds of a step."""
    start = time.perf_counter()
    batches = (data for _ in itertools.count())
    history = model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    library.wait(model.trainable_variables[0].value)
    taken = (time.perf_counter() - start) / steps
    # A loss that did not get what its layer drew is NaN.
    if not math.isfinite(history.history["loss"][-1]):
        raise RuntimeError(f"The loss of {model.name} is not finite.")
    return taken


def make_steps(batch: int, library: Library, options: Any) -> Table:
    """Makes training without mixing, and with each method in the model."""
    keras.config.set_dtype_policy(options.policy)
    data, turns = make_batch(batch, options.size, "float32", 1000), {}
    for method in (None, *options.method):
        parts = [build_network(options.network, options.size)]
        loss: Any = "sparse_categorical_crossentropy"
        if method:
            layer = METHODS[method](seed=1)
            parts, loss = [layer, *parts], layer.loss(loss)
        model = keras.Sequential([keras.Input(data[0].shape[1:]), *parts])
        optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
        model.compile(optimizer, loss, jit_compile=options.compile or "auto")
        turn = functools.partial(time_epoch, model, data, options.steps, library)
        for _ in range(2):  # The second one may compile again.
            turn()
        turns[method or "no mixing"] = turn
    rows = [Row(f"{x} / no mixing", x, "no mixing", limit=MOST_STEP) for x in turns]
    return turns, rows[1:], 0


def time_turns(turns: dict[str, Turn], rounds: int, rng: random.Random) -> Times:
    """Returns the median seconds of each contender."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name in rng.sample(list(turns), len(turns)):
            seconds[name].append(turns[name]())
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def run_table(name: str, make: Any, batch: int, options: Any) -> dict[str, Any]:
    """Runs and prints a table, and returns what its results hold."""
    title = f"{name}, {batch} of {options.size}x{options.size}x3"
    print(f"\n{title}: {options.runs} runs of {options.rounds} rounds", flush=True)
    library, rng = find_library(options.without), random.Random(options.seed)
    runs: list[Times] = []
    try:
        turns, rows, moved = make(batch, library, options)
        runs = [time_turns(turns, options.rounds, rng) for _ in range(options.runs)]
    except Exception as error:
        text = f"{type(error).__name__} {error}".lower().replace(" ", "")
        if batch < 4 or not ("outofmemory" in text or "resource_exhausted" in text):
            raise
    if not runs:
        print("Out of memory: trying half of the batch.", flush=True)
        turns = rows = None
        gc.collect()
        return run_table(
            name, make, batch // 4 * 2, options
        )  # timm needs an even batch.
    for first in list(turns)[:1]:
        seconds = statistics.median(times[first] for times in runs)
        rate = f", {moved / seconds / 1e9:.0f} GB/s" if moved else ""
        print(f"{first}: {seconds * 1e3:.3f} ms{rate}")
    shown = []
    for row in rows:
        ratios = [row.factor * x[row.over] / x[row.under] for x in runs]
        limit = row.limit if options.judge else None
        shown.append(print_row(row.name, ratios, limit, least=row.least))
    return {"title": title, "moved": moved, "runs": runs, "rows": shown}


def run_tables(options: Any) -> Iterator[dict[str, Any]]:
    """Runs the tables that are asked for."""
    if "bandwidth" in options.table:
        for dtype in options.dtype:
            make = functools.partial(make_mixes, dtype=dtype)
            yield run_table(f"bandwidth, {dtype}", make, options.batch, options)
    if "peers" in options.table and BACKEND == "torch":
        yield run_table("peers, float32", make_peers, options.batch, options)
    if "step" in options.table:
        name = f"step of {options.network}, {options.policy}"
        yield run_table(name, make_steps, options.step_batch, options)


def write_results(found: list[dict[str, Any]], options: Any) -> None:
    """Writes the results to the file that `--out` names, if any."""
    if not options.out:
        return
    loaded = {name: sys.modules.get(name) for name in PACKAGES}
    document = {
        "device": f"{options.device}, by {BACKEND}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {x: y.__version__ for x, y in loaded.items() if y},
        "options": {key: value for key, value in vars(options).items() if key != "out"},
        "tables": found,
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n")


def parse_options() -> Any:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--table", choices=TABLES, action="append", help="only this one")
    add("--method", choices=METHODS, action="append", help="only this one")
    add("--dtype", choices=("float32", "bfloat16"), action="append", help="only this")
    add("--without", choices=("eager", "compiled"), action="append", default=[])
    add("--batch", type=int, default=1024, help="images to mix; an even number")
    add("--size", type=int, default=224, help="height and width")
    add("--step-batch", type=int, default=256, help="images of a train step")
    add("--steps", type=int, default=30, help="train steps of an epoch")
    add("--network", choices=("resnet50", "small"), default="resnet50")
    add("--policy", default="mixed_bfloat16", help="Keras's dtype policy of a step")
    add("--compile", action="store_true", help="compile PyTorch's train step")
    add("--runs", type=int, default=5)
    add("--rounds", type=int, default=5, help="rounds of a run")
    add("--calls", type=int, default=40, help="calls that are queued")
    add("--seed", type=int, default=0, help="seed of the order of contenders")
    add("--out", type=Path, help="JSON file to write")
    add(
        "--allow-cpu",
        action="store_true",
        help="run without an accelerator, without verdicts",
    )
    options = parser.parse_args()
    names = ("batch", "size", "step_batch", "steps", "runs", "rounds", "calls")
    if min(getattr(options, name) for name in names) < 1 or options.batch % 2:
        parser.error("sizes and numbers must be positive, and --batch even")
    options.table, options.method = (
        options.table or TABLES,
        options.method or list(METHODS),
    )
    options.dtype = options.dtype or ["float32", "bfloat16"]
    return options


def main() -> int:
    """Returns 0 if all passes, 1 if a row fails, 2 if there is nothing to run on."""
    options = parse_options()
    options.device = accelerator_check.find_device(BACKEND)
    options.judge = bool(options.device)
    if not (options.device or options.allow_cpu):
        print(f"{BACKEND} sees no accelerator; --allow-cpu runs without one")
        return 2
    options.device = options.device or "CPU"
    print(f"{BACKEND} on {options.device}", flush=True)
    found: list[dict[str, Any]] = []
    for part in run_tables(options):
        found.append(part)
        write_results(found, options)  # After each, since the next may fail.
    return print_summary([row for part in found for row in part["rows"]])


if __name__ == "__main__":
    sys.exit(main())
