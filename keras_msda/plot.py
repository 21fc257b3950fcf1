"""Draws what a layer does: own image, partner, mask and mix, side by side.

Figures are made without pyplot, so nothing here needs a screen or leaves state behind.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_msda import plans

HEADS = ("own", "partner", "mask", "mix")
# Blue to yellow, also for colour-blind eyes, and never taken for a grey image.
MASK_COLORS = "cividis"
_GAP = 0.3


class Panels(NamedTuple):
    """What one layer drew for a batch, as NumPy arrays; exactly what is shown.

    Attributes:
        name: The method.
        images: Own images, float32 in [0, 1], shape `(batch, height, width, channels)`.
        partner: Index of each one's partner, shape `(batch,)`.
        mask: Share of the own image, shape `(batch, height, width)`.
        weight: Share of the own label, shape `(batch,)`.
        mixed: The mixed images, shaped as `images`.
        lam: The lambda asked for, shape `(batch,)`; NaN where it was drawn.
    """

    name: str
    images: npt.NDArray[np.float32]
    partner: npt.NDArray[np.int32]
    mask: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    mixed: npt.NDArray[np.float32]
    lam: npt.NDArray[np.float32]


def mixes(
    images: npt.ArrayLike,
    layers: keras.Layer | Sequence[keras.Layer],
    *,
    lam: float | Sequence[float] | None = None,
    seed: tuple[int, int] = (0, 0),
) -> Figure:
    """Draws how layers mix a few images, a layer a row.

    Random are the partners, where the layer draws them, and the masks; one seed gives
    one figure.

    Args:
        images: Two to four images or so, shape `(batch, height, width)` or
            `(batch, height, width, channels)` with 1 or 3 channels; integers in
            [0, 255] or floats in [0, 1].
        layers: One layer or several.
        lam: Lambda for all images, or one for each; without it every layer draws.
        seed: Two integers.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> from keras_msda import plot
        >>> images = np.random.default_rng(0).random((2, 16, 16, 3))
        >>> layers = [msda.HMixLayer(pairing="roll"), msda.GMixLayer(pairing="roll")]
        >>> figure = plot.mixes(images, layers, lam=0.5)
        >>> print(figure.axes[3].get_title())
        mix
        weight 0.50
    """
    members = layers if isinstance(layers, Sequence) else [layers]
    return panel_figure(
        [sample_panels(layer, images, lam=lam, seed=seed) for layer in members]
    )


def sample_panels(
    layer: keras.Layer,
    images: npt.ArrayLike,
    *,
    lam: float | Sequence[float] | None,
    seed: tuple[int, int],
) -> Panels:
    """Draws one plan of a layer and mixes images by it.

    Args:
        layer: Any layer of this package.
        images: As for `mixes`.
        lam: As for `mixes`.
        seed: Two integers.

    Returns:
        The plan and the images, own and mixed.
    """
    own = as_floats(images)
    batch, height, width, _ = own.shape
    fixed = None if lam is None else np.broadcast_to(np.asarray(lam, np.float32), batch)
    plan = layer.sample(batch=batch, size=(height, width), seed=seed, lam=fixed)
    mixed = plans.mix_images(own, plan, data_format="channels_last")
    return Panels(
        type(layer).__name__.removesuffix("Layer"),
        own,
        np.asarray(plan.partner),
        np.asarray(plan.mask),
        np.asarray(plan.weight),
        np.asarray(mixed),
        np.full(batch, np.nan, np.float32) if fixed is None else np.array(fixed),
    )


def as_floats(images: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Brings images to float32 in [0, 1] with a channel axis.

    Args:
        images: Integers in [0, 255] or floats in [0, 1], three or four axes.

    Returns:
        Shape `(batch, height, width, channels)`.

    Raises:
        ValueError: When the shape is not that of grey or RGB images.
    """
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise ValueError(
            "plot: `images` must have shape (batch, height, width) or (batch, height, "
            f"width, 1 or 3). Received: shape={np.shape(images)}"
        )
    scale = 255 if np.issubdtype(array.dtype, np.integer) else 1
    return (array / scale).astype(np.float32)


def panel_figure(
    rows: Sequence[Panels],
    *,
    shown: int | None = None,
    heads: Sequence[str] = HEADS,
) -> Figure:
    """Draws panels, a method a row, with lambda and weight above every mask and mix.

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
    """Makes the figure with four axes a sample and a gap between samples."""
    height, width = rows[0].images.shape[1:3]
    side = max(1.15, min(2.6, 12 / (4 * samples)))
    # The text above a panel takes a third of an inch, however flat the images are.
    tall = min(2.5, max(0.4, height / width)) * side + 0.35
    ratios = ([1.0] * 4 + [_GAP]) * samples
    figure = Figure(
        figsize=(side * sum(ratios) + 1.8, tall * len(rows) + 0.6),
        layout="constrained",
        dpi=110,
    )
    FigureCanvasAgg(figure)
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
        colors: dict[str, Any] = {"cmap": MASK_COLORS if number == 2 else "gray"}
        axis.imshow(np.clip(panel, 0, 1), vmin=0, vmax=1, **colors)
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{heads[number]}\n{text}" if heads else text, fontsize=10)
