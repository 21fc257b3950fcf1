"""Times every method in a pipeline, also those that speed.py leaves out.

The time is that of all cores together, so that other work on the machine changes it
little: each method over a plain copy of the batch, in turns.

python benchmarks/methods.py --out benchmarks/results/methods.json
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import speed
import tensorflow as tf
from judging import print_row

from keras_msda import layers

CLASSES = 10
#: By label, as in tables; a random choice is called after what it chooses among.
METHODS: dict[str, Callable[..., Any]] = {
    method.label: method.layer for method in layers.METHODS.values()
} | {
    "MixUp or CutMix": lambda **given: layers.RandomMixLayer(
        [layers.MixUpLayer(), layers.CutMixLayer()], **given
    )
}


def make_turns(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Makes a copy and all methods for batches of a shape, by name."""
    tensors = [tf.constant(x) for x in speed.make_batch(shape, "float32")]
    turns = {"copy": speed.map_batches(speed.copy, *tensors)}
    for method, make in METHODS.items():
        for per in ("sample", "batch"):
            layer = make(num_classes=CLASSES, seed=1, per=per)
            turns[f"{method} map {per}"] = speed.map_batches(layer, *tensors)
    return turns


def run_table(title: str, shape: tuple[int, ...], options: Any) -> dict[str, Any]:
    """Runs and prints a table, and returns what its results hold."""
    print(f"\n{title}: {options.runs} runs of {options.rounds} rounds", flush=True)
    turns = make_turns(shape)
    runs = [
        speed.time_turns(turns, options.rounds, time.process_time)
        for _ in range(options.runs)
    ]
    rows = [
        print_row(
            f"{method}, map {per} / copy",
            [times[f"{method} map {per}"] / times["copy"] for times in runs],
            None,
        )
        for method in METHODS
        for per in ("sample", "batch")
    ]
    return {"title": title, "runs": runs, "rows": rows}


def main() -> int:
    """Times the methods on large and on small images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    tables = [
        run_table("float32, 128 of 224x224x3", speed.LARGE, options),
        run_table("float32, 512 of 32x32x3", speed.SMALL, options),
    ]
    if options.out:
        found = speed.make_document(tables) | {"clock": "CPU time of the process"}
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
