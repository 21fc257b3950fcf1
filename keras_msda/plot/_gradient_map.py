"""Figures of the products of a model's input gradients at two pixels."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from keras_msda import _checks, analysis
from keras_msda.plot import _maps_and_curves, style
from keras_msda.plot._maps_and_curves import Panel, Scale


def gradient_map(
    maps: analysis.GradientMap | Mapping[str, analysis.GradientMap],
    *,
    of: str = "maximum",
) -> Figure:
    """Draws products of input gradients by offset, as figure 4 of the paper's slides.

    Each map is divided by its value at offset zero, its scale, which is written above
    it: colours compare the reach of several models, scales their strength. For volumes
    the slice at offset zero along the first axis is shown.

    Args:
        maps: From `analysis.input_gradient_map`, or a dictionary of them by name; all
            with the same number of axes.
        of: "maximum" over pixels and images, as in that figure, or their "mean".

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        TypeError: If a value is not such a result.
        ValueError: If there are none, or their numbers of axes differ.

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022, figure 4 of the slides.
    """
    owner = "plot.gradient_map"
    named, rank = _maps_and_curves.name_results(owner, maps, analysis.GradientMap)
    _checks.check_choice(owner, "of", of, ("maximum", "mean"))
    panels = [_panel(name, found, of) for name, found in named.items()]
    label = f"{of} product, over that at 0"
    if rank == 1:
        figure = style.new_figure(6.5, 3.6)
        curves = {panel.title.replace("\n", ", "): panel for panel in panels}
        axis = figure.add_subplot()
        _maps_and_curves.draw_curves(axis, curves, label=label, offsets=True)
        axis.legend(fontsize=9)
        return figure
    figure = style.new_figure(2.5 * len(panels) + 1.8, 3.3 if rank == 2 else 3.6)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    # Means are over the pairs of an offset, and so may exceed that of offset 0.
    most = max(1.0, *(float(panel.values.max()) for panel in panels))
    scale = Scale(style.MASK_COLORS, 0.0, most)
    _maps_and_curves.draw_maps(axes, panels, scale, label=label, offsets=True)
    if rank == 3:
        figure.suptitle("offset 0 along the first axis", fontsize=10)
    return figure


def _panel(name: str, found: analysis.GradientMap, of: str) -> Panel:
    """Returns a map under its name, its scale and the number of images."""
    scale = float(getattr(found, f"{of}_scale"))
    title = f"{name}\nscale {scale:.3g}, {found.images:,} images".lstrip()
    return Panel(_crop(np.asarray(getattr(found, of))), title)


def _crop(values: _maps_and_curves.Array) -> _maps_and_curves.Array:
    """Returns the middle of a map, without the far offsets that were left out."""
    kept = np.isfinite(values)
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        inside = np.flatnonzero(kept.any(others))
        values = values.take(inside, axis)
        kept = kept.take(inside, axis)
    return values
