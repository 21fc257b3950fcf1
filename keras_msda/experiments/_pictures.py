"""The pictures of an experiment: gains with intervals, and accuracy under attack."""

import math
from collections.abc import Sequence
from typing import Any

from keras_msda.experiments._config import Group
from keras_msda.experiments._statistics import Row
from keras_msda.layers import METHODS
from keras_msda.plot import style


def draw_gains(title: str, groups: Sequence[tuple[Group, list[Row]]]) -> Any:
    """Draws two panels for each group.

    Args:
        title: Of the figure.
        groups: Groups with their rows, one at least.

    Returns:
        A Matplotlib figure.
    """
    count = max(len(rows) for _, rows in groups)
    height = (1.2 + 0.32 * count) * len(groups) + 0.6
    figure = style.new_figure(11, max(3.5 * len(groups), height))
    figure.suptitle(title)
    panels = figure.subplots(len(groups), 2, squeeze=False)
    for (group, rows), (left, right) in zip(groups, panels, strict=True):
        _draw_gains(left, rows)
        _draw_attack(right, rows)
        left.set_title(str(group), fontsize="medium")
    return figure


def _draw_gains(axes: Any, rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row.gain is not None]
    lines = _lines(rows)
    for place, row in enumerate(shown):
        line, gain = lines[row.name], row.gain
        if gain is None:
            continue
        reach = None if math.isnan(gain.reach) else 100 * gain.reach
        axes.errorbar(
            100 * gain.mean,
            place,
            xerr=reach,
            color=line.color,
            marker=line.marker,
            capsize=3,
        )
    axes.axvline(0, color="#999999", linewidth=1)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel("gain of accuracy over no mixing, points")


def _draw_attack(axes: Any, rows: Sequence[Row]) -> None:
    lines = _lines(rows)
    for row in rows:
        epsilons = list(row.fgsm)
        axes.plot(
            epsilons,
            [100 * value.mean for value in row.fgsm.values()],
            color=lines[row.name].color,
            marker=lines[row.name].marker,
            markersize=4,
            label=row.name,
        )
    axes.set_xlabel("FGSM, epsilon in 1/255")
    axes.set_ylabel("accuracy, per cent")
    axes.legend(fontsize="small")


def _lines(rows: Sequence[Row]) -> dict[str, style.Line]:
    """Returns how each row is drawn: a method's name has the line of the method."""
    labels = {row.name: _label(row.name) for row in rows}
    found = style.lines_of(tuple(labels.values()))
    return {name: found[label] for name, label in labels.items()}


def _label(name: str) -> str:
    return METHODS[name].label if name in METHODS else name
