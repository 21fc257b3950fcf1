"""The pictures of an experiment: gains with intervals, and accuracy under attack."""

import math
from collections.abc import Sequence
from typing import Any

from keras_msda.experiments._config import Group
from keras_msda.experiments._statistics import Row
from keras_msda.layers import METHODS
from keras_msda.plot import style

# More lines of accuracy under attack cannot be told apart.
_MOST_LINES = 12


def draw_gains(title: str, groups: Sequence[tuple[Group, list[Row]]]) -> Any:
    """Draws two panels for each group; of more than 12 rows the gains alone.

    Args:
        title: Of the figure.
        groups: Groups with their rows, one at least.

    Returns:
        A Matplotlib figure.
    """
    count = max(len(rows) for _, rows in groups)
    height = (1.2 + 0.32 * count) * len(groups) + 0.6
    columns = 2 if count <= _MOST_LINES else 1
    figure = style.new_figure(4 + 3.5 * columns, max(3.5 * len(groups), height))
    figure.suptitle(title)
    panels = figure.subplots(len(groups), columns, squeeze=False)
    for (group, rows), axes in zip(groups, panels, strict=True):
        _draw_gains(axes[0], rows)
        axes[0].set_title(str(group), fontsize="medium")
        for right in axes[1:]:
            _draw_attack(right, rows)
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
