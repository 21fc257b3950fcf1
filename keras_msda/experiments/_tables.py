"""The tables of an experiment, in Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_msda.experiments import _statistics
from keras_msda.experiments._config import Config, Group
from keras_msda.experiments._statistics import Estimate, Row

Line = Mapping[str, Any]
_VERSIONS = ("python", "keras", "tensorflow", "numpy", "keras_msda")
_WORDS = """Accuracies are in per cent of the test images, and those on changed images
of the first {robust:,} of them. NLL is the negative log-likelihood, ECE the expected
calibration error over 15 bins. Each number is the mean over seeds with half the width
of its 95 % interval (Student's t). The gain is the difference of accuracy from `none`,
paired by seed, in points. It is bold where its interval excludes 0; of twenty methods
without any effect, one would be bold by chance."""
_ONE_SEED = """There is one seed, so there are no intervals, and no difference is shown
to be more than chance."""


def format_tables(config: Config, lines: Sequence[Line], command: str) -> str:
    """Lays out what runs have found.

    Args:
        config: The config.
        lines: Lines of its runs, of which some may be missing.
        command: What makes these numbers again.

    Returns:
        The text of a Markdown file.
    """
    single = len(config.seeds) == 1
    words = _WORDS.format(robust=config.settings["robust_images"])
    parts = [
        f"# {config.title}",
        f"    {command}",
        _format_counts(config, lines),
        " ".join((words if not single else f"{words}\n{_ONE_SEED}").split()),
    ]
    for group in config.groups:
        rows = _statistics.summarize(config, lines, group)
        parts.append(f"## {group}")
        parts += _format_group(config, rows) if rows else ["No run has finished yet."]
    return "\n\n".join(parts) + "\n"


def _format_counts(config: Config, lines: Sequence[Line]) -> str:
    """Returns numbers of seeds and runs, and versions."""
    total = len(config.list_runs())
    seeds = len(config.seeds)
    text = f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {len(lines)} of {total} runs."
    found = {
        ", ".join(f"{name} {line['versions'][name]}" for name in _VERSIONS)
        + f"; backend {line['versions']['backend']} on {line['versions']['device']}, "
        + f"threads {line['versions']['threads']}"
        for line in lines
    }
    return " ".join([text, *(f"Made with {each}." for each in sorted(found))])


def _format_group(config: Config, rows: Sequence[Row]) -> list[str]:
    """Returns a table and what its intervals allow to say."""
    heads = list(rows[0].scores)
    published = config.published or {}
    more = ["published"] if published else []
    table = [["method", *heads, "gain", *more]]
    for row in rows:
        cells = [_format_score(head, row.scores[head]) for head in heads]
        gain = "" if row.gain is None else _format_gain(row.gain)
        shown = published.get("rows", {}).get(row.name)
        own = ["" if shown is None else f"{shown:g}"] if published else []
        table.append([row.name, *cells, gain, *own])
    text = [align(table)]
    if published:
        text.append(f"Published: {published['source']}. These are not our numbers.")
    text.append("\n".join(f"- {_judge(row)}" for row in rows if row.gain is not None))
    return [each for each in text if each]


def align(table: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table, whose columns are as wide as their cells.

    Args:
        table: Texts by row; the first row is the head.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| "
        + " | ".join(x.ljust(width) for x, width in zip(row, widths, strict=True))
        + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _format_score(head: str, value: Estimate) -> str:
    if head in ("NLL", "ECE"):
        return _format(value, 1, "{:.3f}")
    return _format(value, 100, "{:.2f}")


def _format_gain(gain: Estimate) -> str:
    return format_difference(gain, 100, "{:+.2f}")


def format_difference(value: Estimate, factor: float, form: str) -> str:
    """Returns a difference with its interval, bold where that excludes 0.

    Args:
        value: The difference.
        factor: 100 for points, 1 for what is no share.
        form: Of the numbers, such as "{:+.2f}".
    """
    text = _format(value, factor, form)
    return f"**{text}**" if value.excludes_zero else text


def _format(value: Estimate, factor: float, form: str) -> str:
    """Returns mean and interval, or the mean alone."""
    if math.isnan(value.mean):
        return "-"
    text = form.format(value.mean * factor)
    if math.isnan(value.reach):
        return text
    return f"{text} ± {form.replace('+', '').format(value.reach * factor)}"


def _judge(row: Row) -> str:
    """Returns what the interval allows to say, in one sentence."""
    gain = row.gain
    if gain is None or not gain.excludes_zero:
        return f"{row.name}: no difference shown."
    return f"{row.name}: {'higher' if gain.mean > 0 else 'lower'} than without mixing."


def find_command(config: Config, lines: Sequence[Line], *, out: str | None) -> str:
    """Returns the command that makes the numbers again.

    Args:
        config: The config.
        lines: Its lines, which know the number of workers.
        out: Folder, if one was given.
    """
    path = config.path.name if config.path.is_absolute() else config.path.as_posix()
    words = ["python -m keras_msda experiment", path]
    counts = {line["versions"].get("workers") for line in lines} - {None}
    if len(counts) == 1 and counts != {1}:
        words.append(f"--workers {counts.pop()}")
    places = sorted({line["place"] for line in lines if line.get("place")})
    words += [f"--data {name}=PATH" for name in places]
    return " ".join([*words, *([f"--out {out}"] if out else [])])


def list_groups(config: Config, lines: Sequence[Line]) -> list[tuple[Group, list[Row]]]:
    """Returns the groups that have rows, with them."""
    found = [
        (group, _statistics.summarize(config, lines, group)) for group in config.groups
    ]
    return [(group, rows) for group, rows in found if rows]
