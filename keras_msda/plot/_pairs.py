"""The figure of several pairs of images: two columns for a pair, a row for a method."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_msda.plot import _mixes, style
from keras_msda.plot._samples import Panels

_GAP = 0.15
# Letters of a name that fit above a panel of one inch.
_LETTERS = 15


def pairs_figure(
    rows: Sequence[Sequence[Panels]], names: Sequence[tuple[str, str]]
) -> Figure:
    """Draws pairs of images, and below them the mask and the mix of each method.

    Args:
        rows: A row for each method, with the panels of each pair. The first sample of
            each is shown.
        names: What the two images of each pair are called.

    Returns:
        A Matplotlib figure on the Agg canvas.
    """
    figure, grid, side = _empty_figure(rows)
    for column, (panels, called) in enumerate(zip(rows[0], names, strict=True)):
        images = (panels.images[0], panels.images[panels.partner[0]])
        for axes, image, letter, name in zip(
            grid[0][column], images, "AB", called, strict=True
        ):
            title = f"{letter}\n{_shorten(name, round(_LETTERS * side))}"
            _mixes.show(axes, image, title, size=8)
    for row, cells in zip(rows, grid[1:], strict=True):
        for panels, (under, axes) in zip(row, cells, strict=True):
            lam = "" if np.isnan(panels.lam[0]) else f"λ = {panels.lam[0]:.2f}"
            _mixes.show(under, panels.mask[0], lam, size=8, colors=style.MASK_COLORS)
            _mixes.show(axes, panels.mixed[0], f"weight {panels.weight[0]:.2f}", size=8)
        label = cells[0][0]
        label.set_ylabel(row[0].name, rotation=0, ha="right", va="center", fontsize=11)
    every = [axes for row in grid for cell in row for axes in cell]
    bar = figure.colorbar(grid[1][0][0].images[0], ax=every, aspect=40, shrink=0.5)
    bar.set_label("mask: share of the image under “A”")
    return figure


def _empty_figure(
    rows: Sequence[Sequence[Panels]],
) -> tuple[Figure, list[list[tuple[Axes, Axes]]], float]:
    """Makes a figure whose rows are as high, and whose panels as wide, as they must be.

    Returns:
        The figure, the axes by row, pair and place, and the height of a panel.
    """
    shapes = [panels.images.shape[1:3] for panels in rows[0]]
    wide = [min(2.0, max(0.6, width / height)) for height, width in shapes]
    side = min(1.8, max(1.0, 14 / (2 * sum(wide))))
    ratios = [ratio for each in wide for ratio in (each, each, _GAP)][:-1]
    # The text above a panel takes a quarter of an inch.
    tall = (side + 0.25) * (len(rows) + 1) + 0.6
    figure = style.new_figure(side * sum(ratios) + 2.2, tall)
    spec = figure.add_gridspec(len(rows) + 1, len(ratios), width_ratios=ratios)
    grid = [
        [
            (
                figure.add_subplot(spec[row, 3 * pair]),
                figure.add_subplot(spec[row, 3 * pair + 1]),
            )
            for pair in range(len(wide))
        ]
        for row in range(len(rows) + 1)
    ]
    return figure, grid, side


def _shorten(name: str, letters: int) -> str:
    """Returns the end of a name, which tells files apart."""
    return name if len(name) <= letters else f"…{name[1 - letters :]}"
