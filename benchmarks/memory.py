"""Measures the memory that a call of each method takes beside what it is given.

Twice: the temporary bytes that XLA sets aside for a call compiled as one program, and
the peak of resident memory during a call, over what was there before it. The peak holds
the result too: 1.00 is a call that needs its result and nothing else, as a plain copy
does. What labels of many classes cost is measured alone, and how the peak grows is
drawn. Each method has processes of its own. Linux alone has such peaks.
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
from judging import judged, summary

# After speed, which says what TensorFlow is to be like.
import tensorflow as tf  # isort: skip

#: What is freed goes back at once. As they are, TensorFlow's pool for oneDNN and malloc
#: keep it for the next call, in whose peak it would be missing.
ALLOCATORS = {
    "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "true",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
KINDS = {"map": "Dataset.map", "function": "tf.function", "xla": "XLA"}
#: Output batches that a call may take, its own one among them.
ROOM = 1.05
#: Distance from the line, over the largest peak, that still is a line. What grows as
#: the power 1.2 is farther off, at an R^2 above 0.99; what is linear stays below 0.01.
BEND = 0.02
CALLS = 3
CLASSES, LABELLED = 21843, (1024, 4, 4, 3)
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000")
MARKERS = "os^Dv"


class Point(NamedTuple):
    """What is called.

    Attributes:
        kind: How: "map", "function" or "xla".
        shape: Shape of the images.
        classes: Number of classes.
        dtype: Type of the images.
        targets: Labels that come out, "soft" or "pair".
    """

    kind: str = "map"
    shape: tuple[int, ...] = _speed.LARGE
    classes: int = 10
    dtype: str = "float32"
    targets: str = "soft"


class Row(NamedTuple):
    """A ratio that a table shows, with the largest it may be, or None."""

    name: str
    ratio: float
    limit: float | None = None


Found = dict[str, Any]


# In a process of its own.


def status(field: str) -> int:
    """Returns the bytes that this process has ("VmRSS") or had at most ("VmHWM")."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", text)[0])


def extra(call: Callable[[], Any]) -> tuple[int, list[int]]:
    """Returns the bytes of the result, and the peak over what was there, of a call."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # The peak is that of now.
    before = status("VmRSS")
    result = call()
    peak = status("VmHWM")
    sizes = [math.prod(x.shape) * x.dtype.size for x in tf.nest.flatten(result)]
    return peak - before, sizes


def mixer(method: str, point: Point) -> Callable[..., Any]:
    """Returns what mixes images and class ids."""
    if method == "copy":
        return _speed.copy
    if method in _speed.METHODS:
        classes = point.classes if point.targets == "soft" else None
        settings = {"num_classes": classes, "targets": point.targets}
        mixing: Callable[..., Any] = _speed.ours(method, point.dtype, **settings)
        return mixing
    peer = next(x for x in _peers.of_keras() if x.name == method)
    return lambda images, ids: peer.mix(images, tf.one_hot(ids, point.classes))


def measure(method: str, point: Point) -> Found:
    """Returns the peaks of some calls after others, and the sizes of the result."""
    tensors = [tf.constant(x) for x in _speed.batch_of(point.shape, point.dtype)]
    mix = mixer(method, point)
    if point.kind == "map":
        call = _speed.mapped(mix, *tensors)
    else:
        function = tf.function(mix, jit_compile=point.kind == "xla")

        def call() -> Any:
            return function(*tensors)

    # Traces, compiles, and starts all threads.
    for _ in range(3):
        call()
    peaks, sizes = zip(*(extra(call) for _ in range(CALLS)), strict=True)
    middle = int(statistics.median(peaks))
    return {"extra": middle, "extras": peaks, "images": sizes[0][0], "sizes": sizes[0]}


def work(given: str) -> None:
    """Prints what was found at each point, for the process that started this one."""
    method, points = json.loads(given)
    print("\n" + json.dumps([measure(method, Point(*point)) for point in points]))


# Processes.


def temporaries(folder: str) -> int:
    """Returns the temporary bytes of the largest program that XLA wrote down."""
    pattern = re.compile(r"^allocation \d+: size (\d+),.*\bpreallocated-temp", re.M)
    texts = [x.read_text() for x in Path(folder).glob("*buffer-assignment.txt")]
    return max(sum(map(int, pattern.findall(text))) for text in texts)


def run(method: str, points: list[Point]) -> list[Found]:
    """Measures points in a fresh process; of XLA's programs, one in each."""
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
            found[0]["temporary"] = temporaries(folder)
    pairs = zip(points, found, strict=True)
    return [{"method": method} | point._asdict() | part for point, part in pairs]


def run_kinds(method: str, settings: list[Point]) -> list[Found]:
    """Measures each point called in each way."""
    kinds = [kind for kind in KINDS if kind != "xla"]
    groups = [[x._replace(kind=kind) for x in settings for kind in kinds]]
    groups += [[x._replace(kind="xla")] for x in settings]
    return [part for group in groups for part in run(method, group)]


# Tables.


def large(options: Any) -> Iterator[tuple[list[Found], list[Row]]]:
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


def labels(_: Any) -> Iterator[tuple[list[Found], list[Row]]]:
    """Measures labels of many classes, over the bytes that soft ones occupy."""
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
    """Returns along what the peak grows: places on an axis, what is called there."""
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
    """Returns how far points are from their line, at most, over the largest."""
    line = np.polyval(np.polyfit(x, y, 1), x)
    return float(np.abs(line - y).max() / max(y))


def growth(options: Any) -> Iterator[tuple[list[Found], list[Row]]]:
    """Measures along each axis how far from a line the peak is."""
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
    "over the output batch, 128 of 224x224x3": large,
    f"over soft labels, 1024 of {CLASSES} classes": labels,
    "distance from a line, over the largest peak": growth,
}


def table(title: str, measured: Callable[..., Any], options: Any) -> Found:
    """Runs and prints a table, and returns what is written down of it."""
    print(f"\n{title}", flush=True)
    points: list[Found] = []
    rows: list[Found] = []
    for found, more in measured(options):
        points += found
        rows += [judged(row.name, [row.ratio], row.limit) for row in more]
    return {"title": title, "points": points, "rows": rows}


def chart(points: list[Found], path: Path) -> None:
    """Draws the peaks along each axis."""
    from matplotlib import pyplot as plt

    titles = list(dict.fromkeys(point["axis"] for point in points))
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    for axis, title in zip(all_axes, titles, strict=True):
        for number, method in enumerate(_speed.METHODS):
            own = [x for x in points if (x["axis"], x["method"]) == (title, method)]
            x, y = [p["x"] for p in own], [p["extra"] / 1e6 for p in own]
            style = {"color": COLORS[number], "marker": MARKERS[number]}
            # Those drawn later lie on the same line: larger ones show below.
            axis.plot(x, y, label=method, markersize=10 - 1.5 * number, **style)
        axis.set_xlabel(title)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("peak of a call, result included (MB)")
    all_axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> int:
    """Returns 1 if a row misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--chart", type=Path, help="picture to draw of the growth")
    parser.add_argument("--quick", action="store_true", help="floats and fewer points")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return 0
    found = [table(title, measured, options) for title, measured in TABLES.items()]
    if options.out:
        document = _speed.document(found) | {"allocators": ALLOCATORS}
        options.out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"\nwrote {options.out}")
    if options.chart:
        chart(found[-1]["points"], options.chart)
        print(f"wrote {options.chart}")
    return summary([row for part in found for row in part["rows"]])


if __name__ == "__main__":
    sys.exit(main())
