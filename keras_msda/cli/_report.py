"""What a training run leaves behind: the table, and the files in the output folder.

`results.json` is written after every row, `plans.npz` and `picture.png` at the end,
even if the run was interrupted.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_msda import datasets, plot
from keras_msda.cli import _files
from keras_msda.experiments._progress import format_seconds
from keras_msda.layers import METHODS

# Three samples per method, so that the picture shows what lambda does.
SHOWN_LAMBDAS = (0.3, 0.5, 0.7)
#: What the table of the included digits can show.
DIGITS_NOTE = (
    "These digits are easy: the table shows that every method trains, not what it "
    "gains. Use `--data` with harder pictures, or see docs/evidence.md."
)


class Settings(NamedTuple):
    """What the command line asks for.

    Attributes:
        methods: Names in `METHODS`, and "none", in the order of the table.
        epochs: Passes over the training pictures.
        place: Where the pictures are mixed: "model" or "pipeline".
        jit: Whether XLA compiles the training step.
        seed: Seed of split, weights, order and mixing.
        batch_size: Pictures per step.
        floor: The test accuracy that every row must reach.
        out: Folder for the results.
    """

    methods: tuple[str, ...]
    epochs: int
    place: str
    jit: bool
    seed: int
    batch_size: int
    floor: float
    out: Path


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        method: The method.
        accuracy: Test accuracy.
        loss: Test loss.
        seconds: What training and testing took.
    """

    method: str
    accuracy: float
    loss: float
    seconds: float


def format_table(rows: Sequence[Row]) -> str:
    """Lays the rows out in columns.

    Args:
        rows: The rows, in their order.

    Returns:
        A line of headings and one line per row.
    """
    width = max([8, *(len(row.method) + 2 for row in rows)])
    lines = [f"{'method':<{width}}{'accuracy':>10}{'loss':>9}"]
    lines += [
        f"{row.method:<{width}}{row.accuracy:>10.2%}{row.loss:>9.4f}" for row in rows
    ]
    return "\n".join(lines)


def estimate_left(done: int, count: int, seconds: float) -> str:
    """Returns the time that the remaining rows will take, in words.

    Args:
        done: Number of finished rows.
        count: Number of all rows.
        seconds: What the finished rows took.

    Returns:
        Such as ", about 40 s left"; empty as long as no row is finished.
    """
    if not done:
        return ""
    return f", about {format_seconds(seconds / done * (count - done))} left"


def judge(rows: Sequence[Row], floor: float) -> int:
    """Compares every row with the floor, and prints those below it.

    Args:
        rows: The rows of the table.
        floor: The least test accuracy.

    Returns:
        The exit code: 0, or 1 if a row is below the floor.
    """
    # "Not at least", so that NaN counts as below.
    missed = [row for row in rows if not row.accuracy >= floor]
    for row in missed:
        print(
            f"{row.method}: accuracy {row.accuracy:.2%} is under the floor of "
            f"{floor:.2%}. More --epochs may help, other data may need another --floor."
        )
    return 1 if missed else 0


def finish(
    rows: Sequence[Row],
    parts: datasets.Split,
    settings: Settings,
    start: float,
    *,
    note: str = "",
) -> None:
    """Prints the table and draws the finished rows.

    Args:
        rows: The finished rows; if there are none, nothing is written.
        parts: Source of the pictures.
        settings: What the command line asks for.
        start: When the command began, by `time.perf_counter`.
        note: What the table can show.
    """
    if not rows:
        return
    print(f"\n{format_table(rows)}\n")
    if note:
        print(f"{note}\n")
    mixing = [row.method for row in rows if row.method in METHODS]
    if mixing:
        _write_picture(mixing, parts, settings)
    seconds = time.perf_counter() - start
    print(f"The results are in {settings.out}. It took {seconds:.0f} seconds.")
    if mixing:
        print(f"The picture is in {settings.out / 'picture.png'}.")


def write_results(
    rows: Sequence[Row], name: str, parts: datasets.Split, settings: Settings
) -> None:
    """Writes the rows so far to `results.json`; a reader never finds half a file.

    Args:
        rows: The finished rows.
        name: Name of the data set.
        parts: Its two parts.
        settings: What the command line asks for.
    """
    results = {
        "data": name,
        "train_images": len(parts.train_labels),
        "test_images": len(parts.test_labels),
        "settings": {**settings._asdict(), "out": str(settings.out)},
        "rows": [row._asdict() for row in rows],
    }
    with _files.replacing(settings.out / "results.json") as part:
        part.write_text(json.dumps(results, indent=2) + "\n")


def _write_picture(
    methods: Sequence[str], parts: datasets.Split, settings: Settings
) -> None:
    """Writes the picture, and beside it the arrays that it shows."""
    # One picture of each of the first classes, so that a mix is easy to see.
    _, first = np.unique(parts.train_labels, return_index=True)
    images = parts.train_images[first[: len(SHOWN_LAMBDAS)]]
    panels = {}
    for number, method in enumerate(methods):
        # Rolled, since a drawn partner could be the image itself.
        panels[method] = plot.sample_panels(
            METHODS[method].layer(pairing="roll"),
            images,
            lam=SHOWN_LAMBDAS[: len(images)],
            seed=(settings.seed, number),
        )
    _write_plans(settings.out / "plans.npz", panels)
    figure = plot.panel_figure(list(panels.values()))
    with _files.replacing(settings.out / "picture.png") as part:
        figure.savefig(part)


def _write_plans(path: Path, panels: Mapping[str, plot.Panels]) -> None:
    """Writes arrays named after method and field, such as `hmix_mask`."""
    arrays = {
        f"{method}_{field}": values
        for method, drawn in panels.items()
        for field, values in drawn._asdict().items()
        if field != "name"
    }
    with _files.replacing(path) as part:
        np.savez_compressed(part, **arrays)
