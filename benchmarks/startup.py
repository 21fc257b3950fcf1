"""Times what comes before the first mix, and what `jit_compile` costs and gains.

Each number comes from a process of its own. First calls take one batch of 128 images of
224x224x3 from a `Dataset.map`: they trace, compile and mix. Later batches of the same
pipeline are compared with a plain copy.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judging import print_row, print_summary

#: `jit_compile`, and whether image sizes are known when the pipeline is traced.
CHOICES = (("auto", True), (False, True), ("auto", False), (True, False))
#: Largest seconds of the import, after that of Keras, and of a first call.
IMPORT_LIMIT, FIRST_LIMIT = 0.3, 2.0


def measure(task: str, *given: Any) -> list[float]:
    """Runs a worker of this file in its own process, and returns what it prints."""
    command = [sys.executable, "-W", "ignore", __file__, "--worker", task]
    done = subprocess.run(
        [*command, json.dumps(given)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{task}{given} failed:\n{done.stderr}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


# Run in a process of its own.


def time_import() -> list[float]:
    """Returns the seconds that importing keras_msda takes after Keras."""
    import keras  # noqa: F401

    start = time.perf_counter()
    import keras_msda  # noqa: F401

    return [time.perf_counter() - start]


def time_beta() -> list[float]:
    """Returns the seconds of the first layer that needs TensorFlow Probability."""
    import keras_msda

    start = time.perf_counter()
    keras_msda.MixUpLayer(alpha=0.2)
    return [time.perf_counter() - start]


def time_first_call(method: str, choice: bool | str, known: bool) -> list[float]:
    """Returns the seconds of the first batch, and those of later ones over a copy's."""
    import speed
    import tensorflow as tf

    images, ids = (tf.constant(x) for x in speed.make_batch(speed.LARGE, "float32"))
    copy = speed.map_batches(speed.copy, images, ids)
    copy()  # What TensorFlow does once does not count.
    start = time.perf_counter()
    layer = speed.make_layer(method, "float32", jit_compile=choice)

    def mix(images: Any, ids: Any) -> Any:
        if not known:
            anything = tf.TensorShape([None, None, None, 3])
            images = tf.raw_ops.PlaceholderWithDefault(input=images, shape=anything)
        return layer(images, ids)

    mixed = speed.map_batches(mix, images, ids)
    mixed()
    first = time.perf_counter() - start
    times = speed.time_turns({"copy": copy, "mixed": mixed}, 10)
    return [first, times["mixed"] / times["copy"]]


WORKERS = {"importing": time_import, "beta": time_beta, "first_call": time_first_call}


# Tables.


def measure_once(runs: int) -> Iterator[dict[str, Any]]:
    """Measures and prints what is paid once per process."""
    values = [measure("importing")[0] for _ in range(runs)]
    yield print_row("import keras_msda, after keras", values, IMPORT_LIMIT)
    values = [measure("beta")[0] for _ in range(runs)]
    yield print_row("the first layer of alpha other than 1", values)


def measure_calls(
    runs: int, choice: bool | str, known: bool
) -> Iterator[dict[str, Any]]:
    """Measures and prints first batches and later ones."""
    from keras_msda.layers import METHODS

    # Only the default has a limit.
    limit = FIRST_LIMIT if choice == "auto" else None
    known = [x for x in METHODS.values() if not x.layer().weight_needs_images]
    for method in (x.label for x in known):
        found = [measure("first_call", method, choice, known) for _ in range(runs)]
        yield print_row(f"{method}, first batch, seconds", [x[0] for x in found], limit)
        yield print_row(f"{method}, later batches / copy", [x[1] for x in found])


def measure_tables(runs: int) -> Iterator[dict[str, Any]]:
    """Measures and prints all tables, and returns what their results hold."""
    title = f"Seconds, {runs} processes each"
    print(title)
    yield {"title": title, "rows": list(measure_once(runs))}
    for choice, known in CHOICES:
        sizes = "known" if known else "unknown"
        title = f"jit_compile={choice!r}, image sizes {sizes} when traced"
        print(f"\n{title}")
        yield {"title": title, "rows": list(measure_calls(runs, choice, known))}


def main() -> int:
    """Returns 1 if a row misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        task, given = options.worker
        print(json.dumps(WORKERS[task](*json.loads(given))))
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found = list(measure_tables(options.runs))
    if options.out:
        import speed

        options.out.write_text(json.dumps(speed.make_document(found), indent=1) + "\n")
        print(f"\nwrote {options.out}")
    return print_summary([row for part in found for row in part["rows"]])


if __name__ == "__main__":
    sys.exit(main())
