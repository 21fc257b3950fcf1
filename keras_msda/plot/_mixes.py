"""Figures of mixes: a method per row, or a method per column as in the paper."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_msda import _checks, _errors
from keras_msda.plot import _samples, style
from keras_msda.plot._samples import Panels

HEADS = ("own", "partner", "mask", "mix")
LAYOUTS = ("rows", "columns")
_GAP = 0.3
_PAPERS_LAM = 0.65


def mixes(
    images: npt.ArrayLike,
    layers: keras.Layer | Sequence[keras.Layer],
    *,
    lam: float | Sequence[float] | None = None,
    seed: tuple[int, int] = (0, 0),
    layout: str = "rows",
) -> Figure:
    """Draws how layers mix a few images, a layer per row or a layer per column.

    Masks are random, and so are partners where the layer draws them. The same seed
    gives the same figure.

    Args:
        images: Two to four images or so, shape `(batch, height, width)` or
            `(batch, height, width, channels)` with 1 or 3 channels; integers in
            [0, 255] or floats in [0, 1].
        layers: One layer or several.
        lam: Lambda for all images, or one for each; None to let every layer draw it. In
            columns a single number, by default 0.65 as in the paper.
        seed: Two integers.
        layout: "rows", every image with its partner, mask and mix, or "columns", the
            paper's figure: the first two images on the left, then their mixes by each
            layer with the same lambda, and the masks below.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        ValueError: If the images are not pictures, or an argument is out of range.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> from keras_msda import plot
        >>> images = np.random.default_rng(0).random((2, 16, 16, 3))
        >>> layers = [msda.HMixLayer(pairing="roll"), msda.GMixLayer(pairing="roll")]
        >>> figure = plot.mixes(images, layers, lam=0.5)
        >>> print(figure.axes[3].get_title())
        mix
        weight 0.50
        >>> figure = plot.mixes(images, layers, lam=0.65, layout="columns")
        >>> print(figure.axes[2].get_title())
        HMix
        weight 0.65

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022, for the figure in columns.
    """
    members = layers if isinstance(layers, Sequence) else [layers]
    if _checks.check_choice("plot.mixes", "layout", layout, LAYOUTS) == "columns":
        asked = _PAPERS_LAM if lam is None else lam
        remedy = "In columns all methods have one lambda."
        asked = _checks.check_share("plot.mixes", "lam", asked, remedy)
        floats = _samples.as_floats(images)
        _check_two_images("plot.mixes", floats.shape)
        pair = floats[:2]
        drawn = [_samples.sample_pair(x, pair, lam=asked, seed=seed) for x in members]
        return column_figure(drawn, lam=asked)
    return panel_figure(
        [_samples.sample_panels(layer, images, lam=lam, seed=seed) for layer in members]
    )


def panel_figure(
    rows: Sequence[Panels],
    *,
    shown: int | None = None,
    heads: Sequence[str] = HEADS,
) -> Figure:
    """Draws panels, a method per row, with lambda and weight above each mask and mix.

    Args:
        rows: What to draw.
        shown: How many samples of each batch; all by default.
        heads: Names of the four columns.

    Returns:
        A Matplotlib figure on the Agg canvas.
    """
    samples = shown or len(rows[0].images)
    figure, grid = _empty_figure(rows, samples)
    for index, row in enumerate(rows):
        for sample in range(samples):
            names = heads if index == 0 else None
            _draw_sample(grid[index][4 * sample : 4 * sample + 4], row, sample, names)
        grid[index][0].set_ylabel(
            row.name, rotation=0, ha="right", va="center", fontsize=12
        )
    bar = figure.colorbar(
        grid[0][2].images[0], ax=[axes for row in grid for axes in row], aspect=40
    )
    bar.set_label(f"mask: share of the image under “{heads[0]}”")
    return figure


def _empty_figure(
    rows: Sequence[Panels], samples: int
) -> tuple[Figure, list[list[Axes]]]:
    """Makes the figure with four axes per sample and a gap between samples."""
    height, width = rows[0].images.shape[1:3]
    side = max(1.15, min(2.6, 12 / (4 * samples)))
    # The text above a panel takes a third of an inch, however flat the images are.
    tall = min(2.5, max(0.4, height / width)) * side + 0.35
    ratios = ([1.0] * 4 + [_GAP]) * samples
    figure = style.new_figure(side * sum(ratios) + 1.8, tall * len(rows) + 0.6)
    spec = figure.add_gridspec(len(rows), len(ratios) - 1, width_ratios=ratios[:-1])
    columns = [column for column in range(len(ratios) - 1) if column % 5 != 4]
    grid = [
        [figure.add_subplot(spec[row, column]) for column in columns]
        for row in range(len(rows))
    ]
    return figure, grid


def _draw_sample(
    axes: Sequence[Axes], row: Panels, sample: int, heads: Sequence[str] | None
) -> None:
    """Fills the four panels of one sample."""
    partner = row.images[row.partner[sample]]
    lam = "" if np.isnan(row.lam[sample]) else f"λ = {row.lam[sample]:.2f}"
    texts = ("", "", lam, f"weight {row.weight[sample]:.2f}")
    panels = (row.images[sample], partner, row.mask[sample], row.mixed[sample])
    for number, (axis, panel, text) in enumerate(zip(axes, panels, texts, strict=True)):
        title = f"{heads[number]}\n{text}" if heads else text
        show(axis, panel, title, colors=style.MASK_COLORS if number == 2 else "gray")


def column_figure(drawn: Sequence[Panels], *, lam: float) -> Figure:
    """Draws two images and what methods make of them, a method per column.

    Args:
        drawn: The same two images by each method; the first sample is shown.
        lam: Lambda of all of them.

    Returns:
        A Matplotlib figure on the Agg canvas.
    """
    count = len(drawn) + 2
    height, width = drawn[0].images.shape[1:3]
    side = max(1.3, min(2.2, 13 / count))
    # The words beside the colour bar take an inch and a half.
    tall = max(1.5, min(2.5, height / width) * side)
    figure = style.new_figure(side * count + 1.3, 2 * tall + 1.1)
    grid = figure.add_gridspec(2, count)
    top = [figure.add_subplot(grid[0, column]) for column in range(count)]
    below = [figure.add_subplot(grid[1, column]) for column in range(2, count)]
    for axes, image, head in zip(top, drawn[0].images, HEADS, strict=False):
        show(axes, image, f"{head}\n")
    for method, axes, under in zip(drawn, top[2:], below, strict=True):
        title = f"{method.name}\nweight {method.weight[0]:.2f}"
        show(axes, method.mixed[0], title)
        show(under, method.mask[0], "", colors=style.MASK_COLORS)
    bar = figure.colorbar(below[0].images[0], ax=below)
    bar.set_label(f"mask: share of “{HEADS[0]}”")
    figure.suptitle(f"λ = {lam:.2f}", fontsize=12)
    return figure


def show(
    axes: Axes, panel: Any, title: str, *, colors: str = "gray", size: int = 10
) -> None:
    """Shows an image or a mask.

    Args:
        axes: Where.
        panel: Values in [0, 1], shape `(height, width)` or `(height, width, channels)`.
        title: Text above it.
        colors: Name of the colours of values without channels.
        size: Size of the text.
    """
    axes.imshow(np.clip(panel, 0, 1), vmin=0, vmax=1, cmap=colors)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=size)


def _check_two_images(owner: str, shape: Any) -> None:
    """Checks for two images to mix with each other."""
    if shape[0] < 2:
        _errors.fail(
            owner,
            'with `layout="columns"` two images are mixed with each other.',
            f"images of shape {_errors.show(shape)}",
            "Give two images or more, of which the first two are shown.",
        )
