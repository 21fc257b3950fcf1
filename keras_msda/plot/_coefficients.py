"""Figures of coefficients by distance."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from keras_msda import analysis
from keras_msda.plot import _maps_and_curves, _mask_moments, style
from keras_msda.plot._maps_and_curves import Panel


def coefficients(
    coefficients: analysis.Coefficients | Mapping[str, analysis.Coefficients],
    *,
    paper: bool = False,
) -> Figure:
    """Draws the coefficients of gradient products by distance, all methods in one plot.

    The distance doubles from tick to tick. Where coefficients were drawn, a band shows
    two standard errors: the mean of those at a distance, which is at least the standard
    error of the mean.

    Args:
        coefficients: From `analysis.regularization_coefficients`, or a dictionary of
            them by name.
        paper: Whether to draw the paper's form as well, dashed.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        TypeError: If a value is not such a result.
        ValueError: If there are none, or their numbers of axes differ.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis, plot
        >>> layer = msda.MixUpLayer()
        >>> mixup = analysis.regularization_coefficients(layer, (8, 8), draws=10)
        >>> figure = plot.coefficients({"MixUp": mixup}, paper=True)
        >>> print(figure.axes[0].get_xlabel())
        distance in pixels

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022, for what they multiply.
    """
    owner = "plot.coefficients"
    named, _ = _maps_and_curves.name_results(owner, coefficients, analysis.Coefficients)
    figure = style.new_figure(7.5, 4.4)
    _draw_coefficients(figure.add_subplot(), named, paper=paper)
    return figure


def moments_and_coefficients(
    means: Mapping[str, analysis.MaskMoments],
    coefficients: Mapping[str, analysis.Coefficients],
) -> Figure:
    """Draws `mask_moments`, and below them `coefficients` with the paper's form.

    Args:
        means: Moments by name, one or more.
        coefficients: By name, one or more; they may be of further methods.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        TypeError: If a value is not such a result.
        ValueError: If either is empty, or the numbers of axes differ.
    """
    owner = "plot.moments_and_coefficients"
    above, rank = _maps_and_curves.name_results(owner, means, analysis.MaskMoments)
    below, _ = _maps_and_curves.name_results(owner, coefficients, analysis.Coefficients)
    width, tall = _mask_moments.figure_size(above, rank)
    figure = style.new_figure(max(7.5, width), tall + 4.2)
    upper, lower = figure.subfigures(
        2, 1, height_ratios=(tall, 4.2), squeeze=False
    ).flat
    _mask_moments.draw_moments(upper, above, rank)
    _draw_coefficients(lower.add_subplot(), below, paper=True)
    return figure


def _draw_coefficients(
    axes: Axes, named: Mapping[str, analysis.Coefficients], *, paper: bool
) -> None:
    """Draws curves by distance with their legend.

    Args:
        axes: Where.
        named: By name.
        paper: Whether to draw the paper's form, too.
    """
    looks = style.lines_of(tuple(named))
    dashed = [found for found in named.values() if paper and found.paper is not None]
    for name, found in named.items():
        _draw_one(axes, name, found, looks[name], paper=paper)
    _double_ticks(axes, axes.dataLim.x1)
    axes.set_xlabel("distance in pixels")
    axes.set_ylabel("coefficient")
    axes.grid(alpha=0.3)
    handles = axes.get_legend_handles_labels()[0] if any(named) else []
    if dashed:
        line = Line2D([], [], color="black", ls="--", label="the paper's form")
        line.set(marker="o", markerfacecolor="white")
        handles.append(line)
    if not all(found.exact for found in named.values()):
        handles.append(
            Patch(color="black", alpha=0.25, lw=0, label="± 2 standard errors")
        )
    if handles:
        # Above: markers stand wherever there is room inside.
        axes.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=4,
            fontsize=9,
            frameon=False,
        )


def _draw_one(
    axes: Axes,
    name: str,
    found: analysis.Coefficients,
    look: style.Line,
    *,
    paper: bool,
) -> None:
    """Draws the exact form, its band and the paper's form of one method."""
    distance, value = analysis.by_distance(found.second)
    marked = [index for index, x in enumerate(distance) if _is_tick(int(x))]
    axes.plot(
        distance,
        value,
        color=look.color,
        marker=look.marker,
        markevery=marked,
        linewidth=1.6,
        label=name,
    )
    if not found.exact:
        error = analysis.by_distance(found.error).value
        band = Panel(value, error=error)
        _maps_and_curves.draw_band(axes, distance, band, color=look.color)
    if paper and found.paper is not None:
        axes.plot(
            distance,
            analysis.by_distance(found.paper).value,
            color=look.color,
            marker=look.marker,
            markevery=marked,
            # A ring around the marker of the exact form where the two coincide.
            markersize=9,
            markerfacecolor="white",
            linewidth=1.2,
            linestyle="--",
            zorder=1.9,
        )


def _is_tick(distance: int) -> bool:
    """Returns whether a distance is 0, 1, 2, 4, 8 and so on."""
    return distance & (distance - 1) == 0


def _double_ticks(axes: Axes, last: float) -> None:
    """Has the distance double from tick to tick, after those of 0 and 1."""
    axes.set_xscale("symlog", base=2, linthresh=1, linscale=1)
    ticks = [x for x in range(int(last) + 1) if _is_tick(x)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlim(-0.1, last * 1.05)
