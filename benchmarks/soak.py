"""Trains for long and watches memory, step times and traces.

A small network trains on mixes of five methods, with the layer in the pipeline and with
the layer inside the model, in two processes at once; `evaluate` follows each epoch, and
then as many steps of the same network without mixing. The resident memory, the median
time of a step, that of a step without mixing, and the number of traces are noted in
equal intervals. After the warm-up, the medians of the first and of the last third of
the intervals must agree to 1 %, and nothing may be traced again. Of step times, the
ratio with and without mixing is compared: other work on the machine slows both. Needs
Linux.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from judging import print_row, print_summary

PLACES = ("pipeline", "model")
#: Intervals per place, and the share of them that is warm-up.
INTERVALS, WARM_UP = 240, 0.25
#: Columns of the results: those of each interval.
COLUMNS = ("seconds", "bytes", "seconds per step", "without mixing", "traces")
#: Largest growth of the median from the first third to the last.
LIMIT = 1.01
#: The last batch of an epoch is smaller, and is traced too.
IMAGES, BATCH, CLASSES = 1000, 64, 10


# Run in a process of its own.


def read_memory() -> int:
    """Returns the resident bytes of this process."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0])


def make_layer(place: str) -> Any:
    """Returns a layer that mixes each batch by one of five methods."""
    import keras_msda as msda

    methods = "mixup cutmix hmix gmix fmix".split()
    layers = [msda.layers.METHODS[method].layer() for method in methods]
    classes = CLASSES if place == "pipeline" else None
    return msda.RandomMixLayer(layers, num_classes=classes, seed=1)


def train(place: str, seconds: float) -> list[list[float]]:
    """Trains, and returns a row with `COLUMNS` per interval."""
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    images = rng.random((IMAGES, 32, 32, 3)).astype("float32")
    ids = rng.integers(0, CLASSES, IMAGES).astype("int32")
    layer, traced = make_layer(place), []

    def count(*batch: Any) -> Any:
        traced.append(1)  # Python runs this line when it traces, and not later.
        return batch

    data = tf.data.Dataset.from_tensor_slices((images, ids))
    data = data.shuffle(IMAGES, seed=1).batch(BATCH)
    validation = data.take(2)
    if place == "pipeline":
        data = data.map(lambda x, y: layer(*count(x, y)), num_parallel_calls=2)
        validation = validation.map(lambda x, y: layer(x, y, training=False))
    model = make_model(layer, place, count)
    plain = make_model(None, "nowhere", lambda: None)
    batch = tf.constant(images[:BATCH]), tf.constant(ids[:BATCH])
    watch = make_watch(seconds, traced, lambda: plain.train_on_batch(*batch))
    model.fit(
        data.prefetch(2),
        validation_data=validation,
        epochs=10**6,
        callbacks=[watch],
        verbose=0,
    )
    rows: list[list[float]] = watch.rows
    return rows


def make_model(layer: Any, place: str, count: Any) -> Any:
    """Returns a compiled network, with the layer inside or without it.

    Labels are soft ones if the layer is in the pipeline, and ids otherwise.
    """
    import keras

    class Counted(keras.layers.Layer):
        """Hands its inputs on, and counts its traces."""

        def call(self, inputs: Any) -> Any:
            count()
            return inputs

    parts = [layer] if place == "model" else []
    model = keras.Sequential([keras.Input((32, 32, 3)), *parts, Counted()])
    for filters in (16, 32):
        model.add(keras.layers.Conv2D(filters, 3, strides=2, activation="relu"))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    if place == "pipeline":
        loss, metric = "categorical_crossentropy", "accuracy"
    else:
        loss, metric = "sparse_categorical_crossentropy", "accuracy"
    if place == "model":
        loss, metric = layer.loss(loss), layer.accuracy()
    model.compile("adam", loss, metrics=[metric], jit_compile=False)
    return model


def make_watch(
    seconds: float, traced: list[int], step_without: Callable[[], Any]
) -> Any:
    """Returns a callback that notes a row per interval, and stops after the last.

    Args:
        seconds: Length of the training.
        traced: As many entries as there were traces.
        step_without: Does a training step of another network, without mixing.
    """
    import keras

    class Watch(keras.callbacks.Callback):
        """Notes what a step takes."""

        def __init__(self) -> None:
            super().__init__()
            self.rows: list[list[float]] = []
            self.steps: list[float] = []
            self.without: list[float] = []
            self.start = self.begun = time.perf_counter()

        def on_train_batch_begin(self, *_: Any, **__: Any) -> None:
            self.begun = time.perf_counter()

        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            self.steps.append(time.perf_counter() - self.begun)

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            for _ in range(IMAGES // BATCH):
                begun = time.perf_counter()
                step_without()
                self.without.append(time.perf_counter() - begun)
            passed = time.perf_counter() - self.start
            if passed >= (len(self.rows) + 1) * seconds / INTERVALS:
                medians = map(statistics.median, (self.steps, self.without))
                row = [passed, read_memory(), *medians, len(traced)]
                self.rows.append([round(x, 6) for x in row])
                self.steps, self.without = [], []
            if passed >= seconds:
                self.model.stop_training = True

    return Watch()


# Judging and drawing.


def measure(place: str, seconds: float) -> list[list[float]]:
    """Runs a place in a process of its own, and returns its rows."""
    command = [sys.executable, "-W", "ignore", __file__, "--worker", place]
    done = subprocess.run(
        [*command, "--minutes", str(seconds / 60)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{place} failed:\n{done.stderr}")
    rows: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def judge(place: str, rows: list[list[float]]) -> list[dict[str, Any]]:
    """Prints how memory, step time and traces of a place went after the warm-up."""
    kept = rows[int(WARM_UP * len(rows)) :]
    third = len(kept) // 3
    found = []
    for values, words in (
        ([row[1] for row in kept], "memory"),
        ([row[2] / row[3] for row in kept], "step / step without mixing"),
    ):
        first, last = map(statistics.median, (values[:third], values[-third:]))
        name = f"{place}: {words}, last third / first third"
        found.append(print_row(name, [round(last / first, 4)], LIMIT))
    again = kept[-1][4] - kept[0][4]
    found.append(print_row(f"{place}: traces after the warm-up", [again], 0))
    return found


def draw(series: dict[str, list[list[float]]], chart: Path) -> None:
    """Draws memory and relative step times over the minutes."""
    from keras_msda.plot import style

    figure = style.new_figure(10, 4)
    titles = ("resident memory, MiB", "median step, relative to one without mixing")
    for axes, title in zip(figure.subplots(1, 2), titles, strict=True):
        for (place, rows), line in zip(series.items(), style.LINES[1:], strict=False):
            minutes = [row[0] / 60 for row in rows]
            memory = [row[1] * 2**-20 for row in rows]
            ratios = [row[2] / row[3] for row in rows]
            values = memory if title is titles[0] else ratios
            axes.plot(minutes, values, color=line.color, label=f"layer in the {place}")
        axes.axvline(WARM_UP * minutes[-1], color="#999999", linestyle=":")
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        axes.set_xlabel("minutes (dotted: end of the warm-up)")
        axes.set_ylabel(title)
    axes.legend()
    figure.savefig(chart)


def main() -> int:
    """Trains in both places, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="of both at once")
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    parser.add_argument("--chart", type=Path, help="draw memory and step times")
    parser.add_argument("--worker", choices=PLACES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    if options.worker:
        print(json.dumps(train(options.worker, seconds)))
        return 0
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda place: measure(place, seconds), PLACES)
        series = dict(zip(PLACES, found, strict=True))
    verdicts = [row for place in PLACES for row in judge(place, series[place])]
    code = print_summary(verdicts)
    if options.out:
        result = {"minutes": options.minutes, "columns": COLUMNS, "rows": series}
        options.out.write_text(json.dumps(result | {"verdicts": verdicts}) + "\n")
    if options.chart:
        draw(series, options.chart)
    return code


if __name__ == "__main__":
    sys.exit(main())
