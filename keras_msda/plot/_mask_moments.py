"""Figures of the mean of masks and of the covariance of their pixels."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from keras_msda import analysis
from keras_msda.plot import _maps_and_curves, style
from keras_msda.plot._maps_and_curves import Panel, Scale

# Least widths of scales, so that rounding is not drawn as a pattern.
_LEAST_SPAN, _LEAST_COVARIANCE = 0.1, 1e-3


def mask_moments(
    moments: analysis.MaskMoments | Mapping[str, analysis.MaskMoments],
) -> Figure:
    """Draws the expected mask and its covariance by offset.

    Masks with two axes give maps, with one colour scale for all means and one for all
    covariances; a dashed line shows where the covariance is zero. Masks with one axis
    give curves, with a band of two standard errors where they are drawn. Of masks with
    three axes the central slice is shown.

    Args:
        moments: From `analysis.mask_moments`, or a dictionary of them by name; all with
            the same number of axes.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        TypeError: If a value is not such a result.
        ValueError: If there are none, or their numbers of axes differ.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis, plot
        >>> layer = msda.CutMixLayer(border="wrap")
        >>> moments = analysis.mask_moments(layer, (8, 8), lam=0.5, draws=10)
        >>> figure = plot.mask_moments({"CutMix": moments})
        >>> print(figure.axes[0].get_title())
        CutMix
        λ = 0.50, exact
        0.500 … 0.500
    """
    named, rank = _maps_and_curves.name_results(
        "plot.mask_moments", moments, analysis.MaskMoments
    )
    figure = style.new_figure(*figure_size(named, rank))
    draw_moments(figure, named, rank)
    return figure


def figure_size(
    named: Mapping[str, analysis.MaskMoments], rank: int
) -> tuple[float, float]:
    """Returns width and height in inches of the figure of some results.

    Args:
        named: By name.
        rank: Number of axes.
    """
    if rank == 1:
        return 9.0, 3.6
    height, width = next(iter(named.values())).mean.shape[-2:]
    tall = 2.0 * min(2.0, max(0.4, height / width))
    if len(named) == 1:
        return 7.5, tall * 1.2 + 1.1 + 0.5 * (rank == 3)
    return 2.5 * len(named) + 1.8, 2 * tall + 1.9 + 0.5 * (rank == 3)


def draw_moments(
    figure: FigureBase, named: Mapping[str, analysis.MaskMoments], rank: int
) -> None:
    """Draws means and, below or beside them, covariances.

    Args:
        figure: A figure or a part of one.
        named: By name.
        rank: Number of axes.
    """
    means = {name: _mean(name, found) for name, found in named.items()}
    covariances = {name: _covariance(found) for name, found in named.items()}
    if rank == 1:
        left, right = figure.subplots(1, 2)
        _maps_and_curves.draw_curves(left, means, label="E[M]", offsets=False)
        left.legend(*_legend(left, named), fontsize=9)
        label = "covariance of M"
        _maps_and_curves.draw_curves(right, covariances, label=label, offsets=True)
        return
    alone = len(named) == 1
    axes = figure.subplots(*((1, 2) if alone else (2, len(named))), squeeze=False)
    axes = axes.reshape(2, -1)
    panels = list(means.values())
    _maps_and_curves.draw_maps(
        axes[0], panels, _mean_scale(panels), label="E[M]", offsets=False
    )
    panels = list(covariances.values())
    scale = _covariance_scale(panels)
    label = "covariance of M"
    _maps_and_curves.draw_maps(axes[1], panels, scale, label=label, offsets=True)
    if rank == 3:
        words = "central slice along the first axis; covariances at offset 0 along it"
        figure.suptitle(words, fontsize=10)


def _mean(name: str, found: analysis.MaskMoments) -> Panel:
    error = None if found.exact else found.mean_error
    title = f"{name}\n{_origin(found)}\n{_range(found.mean, error)}".lstrip()
    return Panel(found.mean, title, error)


def _covariance(found: analysis.MaskMoments) -> Panel:
    error = None if found.exact else found.covariance_error
    return Panel(found.covariance, _range(found.covariance, error), error)


def _origin(found: analysis.MaskMoments) -> str:
    """Returns which lambda it was and whether anything was drawn, in words."""
    lam = "λ drawn" if found.lam is None else f"λ = {found.lam:.2f}"
    return f"{lam}, {'exact' if found.exact else f'{found.draws:,} draws'}"


def _legend(
    axes: Axes, named: Mapping[str, analysis.MaskMoments]
) -> tuple[list[Line2D], list[str]]:
    """Returns the curves, and their names with what they are of."""
    words = [f"{name}: {_origin(found)}" for name, found in named.items()]
    return list(axes.lines), [text.removeprefix(": ") for text in words]


def _range(values: _maps_and_curves.Array, error: _maps_and_curves.Array | None) -> str:
    # Without a minus before what rounds to zero.
    low, high = (f"{float(x):.3f}" for x in (values.min(), values.max()))
    words = f"{low.replace('-0.000', '0.000')} … {high}"
    return words if error is None else f"{words}, error ≤ {error.max():.1g}"


def _mean_scale(panels: list[Panel]) -> Scale:
    """Returns the range of all means, in [0, 1] and not too narrow."""
    low = min(float(panel.values.min()) for panel in panels)
    high = max(float(panel.values.max()) for panel in panels)
    missing = max(0.0, _LEAST_SPAN - (high - low)) / 2
    low, high = low - missing, high + missing
    # Moved as a whole, so that it keeps its width.
    shift = max(0.0, -low) - max(0.0, high - 1)
    return Scale(style.MASK_COLORS, low + shift, high + shift)


def _covariance_scale(panels: list[Panel]) -> Scale:
    most = max(float(np.abs(panel.values).max()) for panel in panels)
    most = max(most, _LEAST_COVARIANCE)
    return Scale(style.SIGNED_COLORS, -most, most)
