"""Measures the memory that a call of each method needs beyond its arguments.

It measures two things: the temporary bytes that XLA reserves for a call compiled as one
program, and the peak of resident memory during a call, minus the memory before it. The
peak includes the result: 1.00 is a call that needs nothing but its result, such as a
plain copy. The cost of labels of many classes is measured separately, and the growth of
the peak is drawn. Each method has processes of its own. Such peaks need Linux.
"""

import argparse
import gc
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers as _peers
import speed as _speed
from judging import print_row, print_summary

# After speed, which sets TensorFlow's environment.
import tensorflow as tf  # isort: skip

#: Freed memory is returned at once. By default TensorFlow's pool for oneDNN and malloc
#: keep it for the next call, whose peak would lack it.
ALLOCATORS = {
    "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "true",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
KINDS = {"map": "Dataset.map", "function": "tf.function", "xla": "XLA"}
#: Largest peak of a call in output batches, including its own result.
ROOM = 1.05
#: Largest distance from a line, over the largest peak, that counts as linear. Growth
#: with the power 1.2 is farther away, at an R^2 above 0.99; linear growth stays below
#: 0.01.
BEND = 0.02
CALLS = 3
CLASSES, LABELLED = 21843, (1024, 4, 4, 3)


class Point(NamedTuple):
    """A call to measure.

    Attributes:
        kind: How it is called: "map", "function" or "xla".
        shape: Shape of the images.
        classes: Number of classes.
        dtype: Dtype of the images.
        targets: Labels that come out, "soft" or "pair".
    """

    kind: str = "map"
    shape: tuple[int, ...] = _speed.LARGE
    classes: int = 10
    dtype: str = "float32"
    targets: str = "soft"


class Row(NamedTuple):
    """A ratio that a table shows, with its upper limit or None."""

    name: str
    ratio: float
    limit: float | None = None


Found = dict[str, Any]


# Run in a process of its own.


def read_status(field: str) -> int:
    """Returns the bytes that this process has ("VmRSS"), or their peak ("VmHWM")."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", text)[0])


def measure_call(call: Callable[[], Any]) -> tuple[int, list[int]]:
    """Returns by how many bytes a call raises the peak, and the sizes of its result."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
    before = read_status("VmRSS")
    result = call()
    peak = read_status("VmHWM")
    sizes = [math.prod(x.shape) * x.dtype.size for x in tf.nest.flatten(result)]
    return peak - before, sizes


def make_mix(method: str, point: Point) -> Callable[..., Any]:
    """Returns a function that mixes images and class ids."""
    if method == "copy":
        return _speed.copy
    if method in _speed.METHODS:
        classes = point.classes if point.targets == "soft" else None
        settings = {"num_classes": classes, "targets": point.targets}
        mixing: Callable[..., Any] = _speed.make_layer(method, point.dtype, **settings)
        return mixing
    peer = next(x for x in _peers.keras_peers() if x.name == method)
    return lambda images, ids: peer.mix(images, tf.one_hot(ids, point.classes))


def measure(method: str, point: Point) -> Found:
    """Returns the peaks of some calls after the first ones, and the result's sizes."""
    tensors = [tf.constant(x) for x in _speed.make_batch(point.shape, point.dtype)]
    mix = make_mix(method, point)
    if point.kind == "map":
        call = _speed.map_batches(mix, *tensors)
    else:
        function = tf.function(mix, jit_compile=point.kind == "xla")

        def call() -> Any:
            return function(*tensors)

    # The first calls trace, compile, and start all threads.
    for _ in range(3):
        call()
    peaks, sizes = zip(*(measure_call(call) for _ in range(CALLS)), strict=True)
    middle = int(statistics.median(peaks))
    return {"extra": middle, "extras": peaks, "images": sizes[0][0], "sizes": sizes[0]}


def run_worker(given: str) -> None:
    """Prints what each point measures, for the process that started this one."""
    method, points = json.loads(given)
    print("\n" + json.dumps([measure(method, Point(*point)) for point in points]))


# Processes.


def read_temporaries(folder: str) -> int:
    """Returns the temporary bytes of the largest program that XLA dumped."""
    pattern = re.compile(r"^allocation \d+: size (\d+),.*\bpreallocated-temp", re.M)
    texts = [x.read_text() for x in Path(folder).glob("*buffer-assignment.txt")]
    return max(sum(map(int, pattern.findall(text))) for text in texts)


def run(method: str, points: list[Point]) -> list[Found]:
    """Measures points in a new process; for XLA there must be only one point."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | ALLOCATORS
        compiled = points[0].kind == "xla"
        if compiled:
            flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
            environment["XLA_FLAGS"] = flags
        given = json.dumps([method, points])
        command = [sys.executable, __file__, "--worker", given]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        if compiled:
            found[0]["temporary"] = read_temporaries(folder)
    pairs = zip(points, found, strict=True)
    return [{"method": method} | point._asdict() | part for point, part in pairs]


def run_kinds(method: str, settings: list[Point]) -> list[Found]:
    """Measures each point with each kind of call."""
    kinds = [kind for kind in KINDS if kind != "xla"]
    groups = [[x._replace(kind=kind) for x in settings for kind in kinds]]
    groups += [[x._replace(kind="xla")] for x in settings]
    return [part for group in groups for part in run(method, group)]


# Tables.


def measure_large(options: Any) -> Iterator[tuple[list[Found], list[Row]]]:
    """Measures all methods on large images, in floats and bytes."""
    for method in ("copy", "keras MixUp", "keras CutMix"):
        found = run(method, [Point()])
        ratio = found[0]["extra"] / found[0]["images"]
        yield found, [Row(f"{method}, float32, peak, Dataset.map", ratio)]
    dtypes = ["float32"] if options.quick else ["float32", "uint8"]
    for dtype in dtypes:
        ratio = 4 / (_speed.LARGE[-1] * np.dtype(dtype).itemsize)
        yield [], [Row(f"a dense float32 mask beside images in {dtype}", ratio)]
    for method in _speed.METHODS:
        found = run_kinds(method, [Point(dtype=dtype) for dtype in dtypes])
        rows = []
        for part in found:
            name, output = f"{method}, {part['dtype']}", part["images"]
            title = f"{name}, peak, {KINDS[part['kind']]}"
            rows.append(Row(title, part["extra"] / output, ROOM))
            if "temporary" in part:
                ratio = part["temporary"] / output
                rows.append(Row(f"{name}, temporaries of XLA", ratio, ROOM - 1))
        yield found, rows


def measure_labels(_: Any) -> Iterator[tuple[list[Found], list[Row]]]:
    """Measures labels of many classes, over the bytes of soft labels."""
    occupied = LABELLED[0] * CLASSES * np.dtype("float32").itemsize
    limits = {"soft": 2.0, "pair": 0.01}
    settings = [Point("", LABELLED, CLASSES, targets=targets) for targets in limits]
    found = run_kinds("MixUp", settings)
    rows = []
    for part in found:
        targets, ratio = part["targets"], part["extra"] / occupied
        title = f"{targets} labels, peak, {KINDS[part['kind']]}"
        rows.append(Row(title, ratio, limits[targets]))
    yield found, rows


def axes(quick: bool) -> dict[str, dict[float, Point]]:
    """Returns what the peak grows with: for each axis, its places and their calls."""
    batches = [32, 64, 128, 256][: 3 if quick else None]
    sizes = [64, 128, 224, 320][: 3 if quick else None]
    classes = [10, 1000, 10000, CLASSES]
    return {
        "images in a batch, 224x224x3": {
            n: Point(shape=(n, 224, 224, 3)) for n in batches
        },
        "thousand pixels an image, batch of 64": {
            n * n / 1e3: Point(shape=(64, n, n, 3)) for n in sizes
        },
        "thousand classes, 1,024 soft labels": {
            n / 1e3: Point(shape=LABELLED, classes=n) for n in classes
        },
    }


def bend(x: list[float], y: list[float]) -> float:
    """Returns the largest distance of points from a line, over the largest point."""
    line = np.polyval(np.polyfit(x, y, 1), x)
    return float(np.abs(line - y).max() / max(y))


def measure_growth(options: Any) -> Iterator[tuple[list[Found], list[Row]]]:
    """Measures how far from a line the peak is, along each axis."""
    along = axes(options.quick)
    places: list[Found] = [
        {"axis": title, "x": x} for title in along for x in along[title]
    ]
    points = [point for axis in along.values() for point in axis.values()]
    for method in _speed.METHODS:
        pairs = zip(places, run(method, points), strict=True)
        found = [place | part for place, part in pairs]
        rows = []
        for title in along:
            own = [part for part in found if part["axis"] == title]
            off = bend([x["x"] for x in own], [x["extra"] for x in own])
            rows.append(Row(f"{method}, {title}", off, BEND))
        yield found, rows


TABLES = {
    "over the output batch, 128 of 224x224x3": measure_large,
    f"over soft labels, 1024 of {CLASSES} classes": measure_labels,
    "distance from a line, over the largest peak": measure_growth,
}


def run_table(title: str, measured: Callable[..., Any], options: Any) -> Found:
    """Runs and prints a table, and returns what its results hold."""
    print(f"\n{title}", flush=True)
    points: list[Found] = []
    rows: list[Found] = []
    for found, more in measured(options):
        points += found
        rows += [print_row(row.name, [row.ratio], row.limit) for row in more]
    return {"title": title, "points": points, "rows": rows}


def draw_chart(points: list[Found], path: Path) -> None:
    """Draws the peaks along each axis."""
    from matplotlib import pyplot as plt

    from keras_msda.plot import style

    titles = list(dict.fromkeys(point["axis"] for point in points))
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    for axis, title in zip(all_axes, titles, strict=True):
        looks = style.lines_of(tuple(_speed.METHODS))
        for number, (method, line) in enumerate(looks.items()):
            own = [x for x in points if (x["axis"], x["method"]) == (title, method)]
            x, y = [p["x"] for p in own], [p["extra"] / 1e6 for p in own]
            # Methods lie on the same line, so earlier markers are larger and show.
            size = max(3, 10 - 1.5 * number)
            axis.plot(x, y, label=method, markersize=size, **line._asdict())
        axis.set_xlabel(title)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("peak of a call, including its result (MB)")
    all_axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> int:
    """Returns 1 if a row misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--chart", type=Path, help="picture of the growth to draw")
    parser.add_argument("--quick", action="store_true", help="floats and fewer points")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        run_worker(options.worker)
        return 0
    found = [run_table(title, measured, options) for title, measured in TABLES.items()]
    if options.out:
        document = _speed.make_document(found) | {"allocators": ALLOCATORS}
        options.out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"\nwrote {options.out}")
    if options.chart:
        draw_chart(found[-1]["points"], options.chart)
        print(f"wrote {options.chart}")
    return print_summary([row for part in found for row in part["rows"]])


if __name__ == "__main__":
    sys.exit(main())
