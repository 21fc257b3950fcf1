"""The tables and the picture of docs/laws.md, from the committed results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import evidence
from benchmarks.laws import pvalues
from keras_msda.experiments import _tables
from keras_msda.plot import style

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "laws.json"
PAGE = ROOT / "docs" / "laws.md"
FIGURE = ROOT / "docs" / "laws.png"
#: Sections whose tables have a column for each test; others have a row for each.
GRIDS = ("lambda", "runs", "fields")
LISTS = ("numbers", "partners", "places", "step")
#: Bars of the picture.
BINS = 20

Results = dict[str, Any]


def show(p: float) -> str:
    """Writes a p-value."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def make_grid(results: Results, section: str) -> str:
    """Returns p-values of a section, a row for what was drawn, a column for a test."""
    laws = [x for x in results["laws"] if x["section"] == section]
    tests = list(dict.fromkeys(x["test"] for x in laws))
    rows: dict[str, dict[str, str]] = {}
    for law in laws:
        rows.setdefault(law["subject"], {})[law["test"]] = show(law["p"])
    table = [
        [subject, *(cells.get(test, "") for test in tests)]
        for subject, cells in rows.items()
    ]
    return _tables.align([["", *tests], *table])


def make_list(results: Results, section: str) -> str:
    """Returns the tests of a section, a row for each."""
    table = [
        [x["subject"], x["test"], f"{x['draws']:,}", show(x["p"])]
        for x in results["laws"]
        if x["section"] == section
    ]
    return _tables.align([["what is drawn", "test", "draws", "p"], *table])


def make_tables(results: Results) -> str:
    """Returns how far each table of lambda is from its distribution."""
    table = [
        [
            subject,
            f"{x['distance']:.1e}",
            f"{x['moments']:.0e}",
            f"{100 * x['zero']:.2f} %",
            f"{100 * x['one']:.2f} %",
        ]
        for subject, x in results["tables"].items()
    ]
    heads = ["", "distribution function", "moments", "exactly 0", "exactly 1"]
    return _tables.align([heads, *table])


def make_slopes(results: Results) -> str:
    """Returns the power laws of FMix's noise."""
    table = [
        [subject, f"{power:.4f} ± {reach:.4f}"]
        for subject, (power, reach) in results["slopes"].items()
    ]
    return _tables.align([["size, `decay_power`", "measured power"], *table])


def make_summary(results: Results) -> str:
    """Returns what all p-values say together."""
    found = [x["p"] for x in results["laws"]]
    table = [
        ["tests", f"{len(found)}"],
        ["p < 0.05", share_below(found, 0.05)],
        ["p < 0.01", share_below(found, 0.01)],
        ["smallest p", show(min(found))],
        ["smallest p times the number of tests (Holm)", f"{pvalues.holm(found):.2f}"],
    ]
    return _tables.align([["", ""], *table])


def share_below(found: list[float], level: float) -> str:
    """Writes how many p-values are below a level, and how many chance makes so."""
    count = sum(p < level for p in found)
    return f"{count}, by chance {level * len(found):.0f}"


def make_repeats(results: Results) -> str:
    """Returns how many seed pairs came before."""
    x = results["repeats"]
    table = [
        [f"{x['steps']:,} steps of one layer", f"{x['repeats']}"],
        [
            f"{x['steps of each']:,} steps of each of {x['seeds']} neighbouring seeds",
            f"{x['repeats of seeds']}",
        ],
    ]
    return _tables.align([["seed pairs of", "repeats"], *table])


def make_seeds(results: Results) -> str:
    """Returns what the p-values of many seeds say."""
    x = results["many seeds"]
    values = [test["p"] for test in x["tests"]]
    table = [
        ["seeds", f"{x['seeds']}"],
        ["draws of each test", f"{x['draws']:,}"],
        ["p-values", f"{sum(x['histogram']):,}"],
        ["smallest", show(x["smallest"])],
        ["tests whose p-values are not uniform, p < 0.05", share_below(values, 0.05)],
        ["smallest p of these tests", show(min(values))],
        ["that times the number of tests (Holm)", f"{pvalues.holm(values):.2f}"],
    ]
    return _tables.align([["", ""], *table])


def list_sections(results: Results) -> dict[str, Callable[[], str]]:
    """Returns what makes the text between each pair of markers."""
    made = {
        "summary": make_summary,
        "tables": make_tables,
        "slopes": make_slopes,
        "repeats": make_repeats,
        "many seeds": make_seeds,
    }
    sections = {name: lambda f=f: f(results) for name, f in made.items()}
    sections |= {name: lambda n=name: make_grid(results, n) for name in GRIDS}
    return sections | {name: lambda n=name: make_list(results, n) for name in LISTS}


def read_results(path: Path = RESULTS) -> Results:
    """Returns the results of a run."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def fill(text: str, results: Results) -> str:
    """Returns the page with the tables of some results."""
    return evidence.fill(text, list_sections(results))


def draw_histogram(results: Results, path: Path) -> None:
    """Draws how the p-values of many seeds spread over [0, 1]."""
    counts = np.array(results["many seeds"]["histogram"])
    expected = counts.sum() / len(counts)
    spread = 2 * np.sqrt(expected * (1 - 1 / len(counts)))
    figure = style.new_figure(6, 3)
    axes = figure.subplots()
    edges = np.arange(len(counts)) / len(counts)
    axes.bar(edges, counts, 1 / len(counts), align="edge", color="#56b4e9", ec="white")
    axes.axhspan(expected - spread, expected + spread, color="#999999", alpha=0.4)
    axes.axhline(expected, color="#000000", linewidth=1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("p-value")
    axes.set_ylabel("how many")
    figure.savefig(path)


def write() -> None:
    """Writes the page and the picture from the committed results."""
    results = read_results()
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(fill(page, results), encoding="utf-8")
    draw_histogram(results, FIGURE)
