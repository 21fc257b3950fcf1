"""Draws what each method makes of pairs of a user's own pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

from keras_msda import plot
from keras_msda.cli import _files
from keras_msda.cli._photos import Pair
from keras_msda.layers import METHODS
from keras_msda.plot import _pairs


def preview(
    pairs: Sequence[Pair],
    out: Path,
    *,
    methods: Sequence[str],
    lam: float,
    seed: int,
) -> list[list[plot.Panels]]:
    """Mixes the pairs and writes the drawing.

    Args:
        pairs: From `_photos`.
        out: The file to write.
        methods: Names in `METHODS`, one row each.
        lam: Lambda of every row.
        seed: Seed of the masks.

    Returns:
        The panels that are shown: one row for each method, one column for each pair.
    """
    rows = [
        [
            plot.sample_panels(
                METHODS[method].layer(pairing="roll"),
                pair.images,
                lam=lam,
                seed=(seed, number + column * len(methods)),
            )
            for column, pair in enumerate(pairs)
        ]
        for number, method in enumerate(methods)
    ]
    if len(pairs) == 1:
        single = [row[0] for row in rows]
        figure = plot.panel_figure(single, shown=1, heads=("A", "B", "mask", "mix"))
    else:
        figure = _pairs.pairs_figure(rows, [pair.names for pair in pairs])
    with _files.replacing(out) as part:
        figure.savefig(part)
    return rows


def format_rows(rows: Sequence[Sequence[plot.Panels]]) -> str:
    """Lays out lambda and the label weights, one line for each method.

    Args:
        rows: From `preview`.

    Returns:
        The text to print.
    """
    width = max([7, *(len(row[0].name) for row in rows)])
    lines = []
    for row in rows:
        first = row[0]
        lam = "none" if math.isnan(first.lam[0]) else f"{first.lam[0]:.2f}"
        weights = " ".join(f"{panels.weight[0]:.2f}" for panels in row)
        lines.append(f"{first.name:<{width}} lambda {lam}  weight {weights}")
    return "\n".join(lines)
