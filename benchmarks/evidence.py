"""Writes the tables of docs/evidence.md and the README, and a figure, from all lines.

python benchmarks/evidence.py              writes them
python benchmarks/evidence.py --check      fails if a page is not that of the lines
"""

import argparse
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from keras_msda.experiments import _config, _lines, _statistics, _tables
from keras_msda.experiments._config import Config, Group
from keras_msda.experiments._statistics import Estimate
from keras_msda.layers import METHODS
from keras_msda.plot import style

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "evidence.md", ROOT / "README.md")
FIGURE = ROOT / "docs" / "evidence.png"
FOLDER = ROOT / "benchmarks" / "experiments"
RESULTS = FOLDER / "results"
#: Lines of a config that was run again, on another machine.
AGAIN = RESULTS / "again"
#: Configs whose rows are the methods, with a heading for each of their groups.
GAINS = {
    "fashion_1k": ("Fashion 1k",),
    "fashion_5k": ("Fashion 5k",),
    "cifar_1k": ("CIFAR 1k",),
    "cifar_5k": ("CIFAR 5k",),
}
#: The same for wrong labels, by data set.
WRONG = {
    "Fashion": {
        "fashion_1k_wrong": ("1k, 20 % wrong", "1k, 40 % wrong"),
        "fashion_5k_wrong": ("5k, 20 % wrong", "5k, 40 % wrong"),
    },
    "CIFAR": {
        "cifar_1k_wrong": ("1k, 20 % wrong", "1k, 40 % wrong"),
        "cifar_5k_wrong": ("5k, 20 % wrong", "5k, 40 % wrong"),
    },
}
ABLATIONS = {"ablations_fashion": ("Fashion",), "ablations_cifar": ("CIFAR",)}
#: What each ablation compares: the first row minus the second.
PAIRS = (
    ("cutmix, clip", "cutmix, wrap"),
    ("cutmix, clip", "cutmix, inside"),
    ("hmix, clip", "hmix, wrap"),
    ("hmix, clip", "hmix, inside"),
    ("gmix, clip", "gmix, wrap"),
    ("fmix, isotropic spectrum", "fmix, official spectrum"),
    ("mixup, alpha 1", "mixup, one lambda per batch"),
    ("cutmix, clip", "cutmix, one lambda per batch"),
    ("mixup, alpha 1", "mixup, derangement"),
    ("cutmix, clip", "cutmix, derangement"),
    *(("mixup, alpha 1", f"mixup, alpha {alpha}") for alpha in (0.1, 0.2, 0.5, 2, 4)),
    *(("cutmix, clip", f"cutmix, alpha {alpha}") for alpha in (0.1, 0.2, 0.5, 2, 4)),
    ("puzzlemix, exact", "puzzlemix, 2 sweeps"),
    ("puzzlemix, exact", "puzzlemix, 3 sweeps"),
)
#: Scores of the table of robustness, by heading: where a line has them.
ROBUST = {
    "NLL": ("nll",),
    "ECE": ("ece",),
    "FGSM 4/255": ("fgsm", "4"),
    "occlusion 0.2": ("occlusion", "0.2"),
    "noise 0.1": ("noise", "0.1"),
    "blur 1": ("blur", "1"),
}
RESAMPLES = 10_000
#: Configs of the table of the README, with a heading for each.
SUMMARISED = {"fashion_5k": "Fashion-MNIST", "cifar_5k": "CIFAR-10"}
#: Its scores: where a line has them, factor and form without mixing, and the heading.
SUMMARY = (("accuracy", 100, "{:.1f} %", "accuracy"), ("nll", 1, "{:.2f}", "NLL"))
Sections = Mapping[str, Callable[[], str]]
#: Rows of the README that are not called as their method.
LABELS = {"stochastic": "MixUp or CutMix", "manifold": "Manifold Mixup"}


class Found(NamedTuple):
    """The runs of a config.

    Attributes:
        config: The config.
        lines: Their lines, by group, row and seed.
    """

    config: Config
    lines: dict[Group, dict[str, dict[int, Any]]]


class Point(NamedTuple):
    """A method with one data set: what theory says, and what training gained."""

    group: Group
    method: str
    strength: float
    gain: float


def read_results(name: str, folder: Path = RESULTS) -> Found | None:
    """Returns a config with its lines, or None before its first run."""
    path = folder / f"{name}.jsonl"
    config = _config.read_config(FOLDER / f"{name}.yaml")
    lines = _lines.match_lines(path, _lines.read_lines(path), config.list_runs()).ours
    found: dict[Group, dict[str, dict[int, Any]]] = {}
    for line in lines:
        group = Group(*(line[key] for key in Group._fields))
        found.setdefault(group, {}).setdefault(line["row"], {})[line["seed"]] = line
    return Found(config, found) if found else None


def list_groups(names: dict[str, Sequence[str]]) -> Iterator[tuple[str, Any]]:
    """Yields heading and rows of each group that has runs."""
    for name, headings in names.items():
        found = read_results(name)
        if found is not None:
            groups = found.config.groups
            for heading, group in zip(headings, groups, strict=True):
                if group in found.lines:
                    yield heading, found.lines[group]


def compare(rows: Any, first: str, second: str, score: Sequence[str]) -> Estimate:
    """Returns the mean difference of two rows, paired by seed."""
    return _statistics.compare(rows.get(first, {}), rows.get(second, {}), score)


def show(value: Estimate, *, factor: float = 100, digits: int = 1) -> str:
    """Writes a difference with its interval; nothing for fewer than two seeds."""
    if value.number < 2:
        return ""
    return _tables.format_difference(value, factor, f"{{:+.{digits}f}}")


def make_gains(names: dict[str, Sequence[str]]) -> str:
    """Returns the gain of each method on each data set, in points of accuracy."""
    groups = list(list_groups(names))
    methods = [row for row in groups[0][1] if row != "none"] if groups else []
    methods = [x for x in read_order("fashion_1k") if x in methods]
    plain = []
    for _, group in groups:
        values = [
            _statistics.read_score(x, ["accuracy"]) for x in group["none"].values()
        ]
        plain.append(f"{100 * np.mean(values):.1f}")
    table = [
        [row, *(show(compare(group, row, "none", ["accuracy"])) for _, group in groups)]
        for row in methods
    ]
    heads = [heading for heading, _ in groups]
    return _tables.align([["", *heads], ["none, accuracy", *plain], *table])


def read_order(name: str) -> list[str]:
    """Returns the rows of a config in their order."""
    return list(_config.read_config(FOLDER / f"{name}.yaml").methods)


def make_robust(name: str) -> str:
    """Returns what each method changes in the other scores of a config's data."""
    found = read_results(name)
    if found is None:
        return ""
    (rows,) = found.lines.values()
    table = []
    for row in read_order(name):
        if row in rows and row != "none":
            cells = [
                show(compare(rows, row, "none", score), factor=1, digits=3)
                if len(score) == 1
                else show(compare(rows, row, "none", score))
                for score in ROBUST.values()
            ]
            table.append([row, *cells])
    return _tables.align([["", *ROBUST], *table])


def list_repeated(name: str) -> Iterator[tuple[str, Estimate, Estimate]]:
    """Yields the rows of a config that was run twice, with both gains of accuracy."""
    found = [read_results(name, folder) for folder in (RESULTS, AGAIN)]
    first, again = (next(iter(x.lines.values())) for x in found if x is not None)
    for row in read_order(name):
        if row in again and row != "none":
            gains = [
                compare(rows, row, "none", ["accuracy"]) for rows in (first, again)
            ]
            yield row, *gains


def make_again(name: str) -> str:
    """Returns both gains of accuracy of a config that was run twice."""
    table = [[row, show(x), show(y)] for row, x, y in list_repeated(name)]
    return _tables.align([["", "first", "again"], *table])


def make_summary(names: dict[str, str]) -> str:
    """Returns the table of the README: two scores of some configs."""
    found = {name: read_results(name) for name in names}
    groups = {
        name: next(iter(results.lines.values()))
        for name, results in found.items()
        if results is not None
    }
    heads, plain = [""], ["none"]
    for score, factor, form, words in SUMMARY:
        for name, rows in groups.items():
            values = [_statistics.read_score(x, [score]) for x in rows["none"].values()]
            heads.append(f"{words}, {names[name]}")
            plain.append(form.format(factor * np.mean(values)))
    table = []
    for row in read_order(next(iter(names))):
        if row != "none":
            label = LABELS.get(row) or METHODS[row].label
            table.append([label, *summarise_row(row, list(groups.values()))])
    return _tables.align([heads, plain, *table])


def summarise_row(row: str, groups: Sequence[Any]) -> list[str]:
    """Returns the differences of a method from no mixing, two scores of each group."""
    accuracy = [show(compare(rows, row, "none", ["accuracy"])) for rows in groups]
    nll = [
        show(compare(rows, row, "none", ["nll"]), factor=1, digits=2) for rows in groups
    ]
    return [*accuracy, *nll]


def make_ablations() -> str:
    """Returns the difference of accuracy of each pair of choices."""
    groups = list(list_groups(ABLATIONS))
    table = []
    for first, second in PAIRS:
        cells = [show(compare(g, first, second, ["accuracy"])) for _, g in groups]
        if any(cells):
            table.append([first, second, *cells])
    heads = [heading for heading, _ in groups]
    return _tables.align([["this", "minus this", *heads], *table])


def list_points() -> list[Point]:
    """Returns strength and gain of each method on each data set."""
    points = []
    for name in GAINS:
        found = read_results(name)
        for group, rows in found.lines.items() if found else ():
            reports = [x.get("recommendation") for x in rows["none"].values()]
            for row in set(rows) & set(METHODS):
                label = METHODS[row].label
                known = [
                    x["methods"][label] for x in reports if x and label in x["methods"]
                ]
                if known:
                    strength = float(np.mean([x["strength"] for x in known]))
                    gain = compare(rows, row, "none", ["accuracy"]).mean
                    points.append(Point(group, row, strength, gain))
    return sorted(points)


def correlate(points: Sequence[Point]) -> tuple[float, float, float]:
    """Returns Spearman's rank correlation and the ends of its 95 % interval.

    The interval is that of a bootstrap of the points, whose draws are fixed.
    """
    values = np.array([(point.strength, point.gain) for point in points])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(values), (RESAMPLES, len(values)))
    ranks = stats.rankdata(values[drawn], axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    product = (ranks[..., 0] * ranks[..., 1]).sum(1)
    scale = np.sqrt((ranks**2).sum(1).prod(-1))
    known = product[scale > 0] / scale[scale > 0]
    low, high = np.quantile(known, [0.025, 0.975])
    return float(stats.spearmanr(*values.T).statistic), float(low), float(high)


def describe_theory() -> str:
    """Returns the rank correlation in words."""
    points = list_points()
    rho, low, high = correlate(points)
    verdict = "do" if low > 0 else "do not"
    text = (
        f"Over {len(points)} pairs of method and data set, Spearman's rank correlation "
        f"of strength and gain is {rho:.2f}, with a 95 % interval from {low:.2f} to "
        f"{high:.2f} (bootstrap of the pairs). These runs {verdict} show that stronger "
        "methods gain more."
    )
    return textwrap.fill(text, 88)


def draw_theory(path: Path) -> None:
    """Draws gain over strength, one panel for each of the four data sets."""
    points = list_points()
    groups = list(dict.fromkeys(point.group for point in points))
    figure = style.new_figure(8.2, 6.4)
    panels = figure.subplots(2, 2)
    labels = {point.method: METHODS[point.method].label for point in points}
    lines = style.lines_of(tuple(labels.values()))
    for axes, group in zip(panels.flat, groups, strict=True):
        for point in points:
            if point.group == group:
                line = lines[labels[point.method]]
                axes.plot(
                    point.strength,
                    100 * point.gain,
                    linestyle="none",
                    color=line.color,
                    marker=line.marker,
                    label=labels[point.method],
                )
        axes.axhline(0, color="#999999", linewidth=1)
        axes.set_title(f"{group.data}, {group.train_images:,}", fontsize="medium")
    for axes in panels[-1]:
        axes.set_xlabel("strength, by analysis.recommend")
    for axes in panels[:, 0]:
        axes.set_ylabel("gain of accuracy, points")
    panels[0, 0].legend(fontsize="small")
    figure.savefig(path)


def describe_runs() -> str:
    """Returns a line for each config: finished and planned runs."""
    table = []
    for name in (*GAINS, *WRONG["Fashion"], *WRONG["CIFAR"], *ABLATIONS):
        config = _config.read_config(FOLDER / f"{name}.yaml")
        found = read_results(name)
        rows = (
            [row for group in found.lines.values() for row in group.values()]
            if found
            else []
        )
        count, planned = sum(map(len, rows)), len(config.list_runs())
        file = f"../benchmarks/experiments/{name}.yaml"
        results = (
            f"[table](../benchmarks/experiments/results/{name}.md)" if count else ""
        )
        table.append(
            [f"[{name}]({file})", config.title, f"{count} of {planned}", results]
        )
    return _tables.align([["config", "what", "runs so far", "all scores"], *table])


SECTIONS: Sections = {
    "runs": describe_runs,
    "summary": lambda: make_summary(SUMMARISED),
    "gains": lambda: make_gains(GAINS),
    "wrong fashion": lambda: make_gains(WRONG["Fashion"]),
    "wrong cifar": lambda: make_gains(WRONG["CIFAR"]),
    "robust fashion 1k": lambda: make_robust("fashion_1k"),
    "robust fashion 5k": lambda: make_robust("fashion_5k"),
    "robust cifar 1k": lambda: make_robust("cifar_1k"),
    "robust cifar 5k": lambda: make_robust("cifar_5k"),
    "again": lambda: make_again("fashion_1k"),
    "ablations": make_ablations,
    "theory": describe_theory,
}


def fill(text: str, sections: Sections = SECTIONS) -> str:
    """Returns a page with the text between its markers made anew.

    Args:
        text: The page.
        sections: What makes the text of each marker, by its name.
    """
    for name, make in sections.items():
        marker = re.compile(
            rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL
        )
        if marker.search(text):
            made = make()
            text = marker.sub(lambda m, made=made: f"{m[1]}{made}\n{m[2]}", text)
    return text


def read_options(words: str) -> argparse.Namespace:
    """Reads the command line: whether to compare only."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    return parser.parse_args()


def fill_pages(pages: Mapping[Path, Sections], *, check: bool) -> int:
    """Writes pages, or compares them; returns 1 if one is not that of the results."""
    for page, sections in pages.items():
        before = page.read_text(encoding="utf-8")
        after = fill(before, sections)
        if check and before != after:
            print(f"{page.name} is not that of the results: run this without --check")
            return 1
        if before != after:
            page.write_text(after, encoding="utf-8")
    return 0


def main() -> int:
    """Writes the pages, or compares them."""
    options = read_options(__doc__)
    code = fill_pages(dict.fromkeys(PAGES, SECTIONS), check=options.check)
    if not options.check:
        draw_theory(FIGURE)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
