"""Writes cost and gains on the pages of docs/methods/, from the committed results.

python benchmarks/cards.py              writes them
python benchmarks/cards.py --check      fails if a page is not that of the results
"""

import functools
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import evidence

from keras_msda.experiments import _statistics, _tables
from keras_msda.layers import METHODS

FOLDER = evidence.ROOT / "docs" / "methods"
RESULTS = evidence.ROOT / "benchmarks" / "results"
PAGES = tuple(sorted(x for x in FOLDER.glob("*.md") if x.stem != "README"))
#: What is called otherwise in the results of benchmarks, and in experiments.
LABELS = {"random": "MixUp or CutMix", "manifold": "Manifold Mixup"}
ROWS = {"random": "stochastic"}
#: Files with times, and of which clock. The second file has all methods.
TIMES = {"speed": "time", "methods": "CPU time"}
WORDS_OF_COST = (
    "Ratios, on two CPU cores ([speed](../speed.md)). A copy runs on one core and a "
    "mix on\nseveral, so that CPU time, which adds up all cores, has the larger ratio."
)
WORDS_OF_GAINS = (
    "Differences from no mixing with 95 % intervals, bold where an interval excludes "
    "0: see\n[evidence](../evidence.md)."
)
COPY, STEP, PEAK = "that of a copy", "a step without mixing", "the mixed images"
#: Scores of the table of gains: how they are shown.
SCORES: dict[str, dict[str, Any]] = {
    "accuracy, points": {"score": ("accuracy",)},
    "NLL": {"score": ("nll",), "factor": 1, "digits": 2},
    "ECE": {"score": ("ece",), "factor": 1, "digits": 3},
    "FGSM 4/255": {"score": ("fgsm", "4")},
    "occlusion 0.2": {"score": ("occlusion", "0.2")},
    "noise 0.1": {"score": ("noise", "0.1")},
    "blur 1": {"score": ("blur", "1")},
}


@functools.cache
def read_json(name: str) -> Any:
    """Returns a file of results; nothing where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_medians(name: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields the title of each table in a file, and its medians by row."""
    for table in read_json(name).get("tables", ()):
        yield table["title"], {x["name"]: x["median"] for x in table["rows"]}


def list_times(label: str) -> Iterator[list[str]]:
    """Yields the rows of a method's times, of the clock and then of all cores."""
    for name, what in TIMES.items():
        for title, medians in read_medians(name):
            size = title.removeprefix("a train step of ")
            each = [
                medians.get(f"{label}, map {x} / copy") for x in ("sample", "batch")
            ]
            if each[0] is not None:
                yield [f"{what} / {COPY}, {size}", *map(show, each)]
            step = medians.get(f"{label} / no mixing")
            if step is not None:
                yield [f"{what} / {STEP}, {size}", show(step), ""]


def list_peaks(label: str) -> Iterator[list[str]]:
    """Yields the rows of a method's memory."""
    for title, medians in read_medians("memory"):
        for dtype in ("float32", "uint8"):
            peak = medians.get(f"{label}, {dtype}, peak, Dataset.map")
            if peak is not None:
                size = title.removeprefix("over the output batch, ")
                yield [f"peak memory / {PEAK}, {dtype}, {size}", show(peak), ""]


def list_saliency_steps(label: str) -> Iterator[list[str]]:
    """Yields the rows of steps whose saliency is a second pass."""
    begin, end = f"a step of {label} / a plain step, ", "ResNet-18, 64 of 64x64x3"
    for row in read_json("puzzlemix") or ():
        if row["name"].startswith(begin):
            kind = row["name"].removeprefix(begin)
            what = f"time / {STEP}, `SaliencyMixing`, {kind}, {end}"
            yield [what, show(row["median"]), ""]


def show(value: float | None) -> str:
    """Writes a ratio; nothing where there is none."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def make_cost(page: str) -> str:
    """Returns the table of a method's times and memory."""
    label = LABELS.get(page) or METHODS[page].label
    rows = [*list_times(label), *list_saliency_steps(label), *list_peaks(label)]
    if not rows:
        return "It is not in the benchmarks."
    table = _tables.align([["", "one mix per sample", "one per batch"], *rows])
    return f"{table}\n\n{WORDS_OF_COST}"


def list_groups() -> Iterator[tuple[str, Any]]:
    """Yields what was trained on, and the rows of its runs."""
    yield from evidence.list_groups(evidence.GAINS)
    for data, names in evidence.WRONG.items():
        for heading, rows in evidence.list_groups(names):
            yield f"{data} {heading}", rows


def make_gains(page: str) -> str:
    """Returns what a method changes on each data set."""
    row = ROWS.get(page, page)
    table = []
    for heading, rows in list_groups():
        if row in rows and "none" in rows:
            plain = [
                _statistics.read_score(x, ["accuracy"]) for x in rows["none"].values()
            ]
            cells = [compare(rows, row, **how) for how in SCORES.values()]
            table.append([heading, f"{100 * statistics.mean(plain):.1f}", *cells])
    if not table:
        return "It is not in our experiments so far."
    found = _tables.align([["", "none, accuracy", *SCORES], *table])
    return "\n\n".join(filter(None, [found, WORDS_OF_GAINS, make_choices(page)]))


def compare(rows: Any, row: str, score: Sequence[str], **how: Any) -> str:
    """Returns a method's difference from no mixing; nothing where it is not known."""
    try:
        return evidence.show(evidence.compare(rows, row, "none", score), **how)
    except KeyError:  # These runs do not have the score.
        return ""


def make_choices(page: str) -> str:
    """Returns what the choices within a method change, in points of accuracy."""
    groups = list(evidence.list_groups(evidence.ABLATIONS))
    table = []
    for first, second in evidence.PAIRS:
        if first.startswith(f"{page}, "):
            cells = [
                evidence.show(evidence.compare(rows, first, second, ["accuracy"]))
                for _, rows in groups
            ]
            if any(cells):
                table.append([first, second, *cells])
    if not table:
        return ""
    heads = [f"{heading}, points" for heading, _ in groups]
    return _tables.align([["this", "minus this", *heads], *table])


def list_sections(page: Path) -> evidence.Sections:
    """Returns what makes the text between the markers of a method's page."""
    return {
        "cost": lambda: make_cost(page.stem),
        "gains": lambda: make_gains(page.stem),
    }


def main() -> int:
    """Writes the pages, or compares them."""
    check = evidence.read_options(__doc__).check
    return evidence.fill_pages({x: list_sections(x) for x in PAGES}, check=check)


if __name__ == "__main__":
    sys.exit(main())
