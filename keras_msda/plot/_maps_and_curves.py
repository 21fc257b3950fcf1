"""Values by pixel or offset: maps side by side under one scale, or curves in one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from keras_msda import _errors
from keras_msda.plot import style

Array = npt.NDArray[np.float64]


class Panel(NamedTuple):
    """One map or curve.

    Attributes:
        values: One to three axes; of three the middle slice is shown.
        title: Above a map.
        error: Standard error, shaped as values, or None where they are exact.
    """

    values: Array
    title: str = ""
    error: Array | None = None


class Scale(NamedTuple):
    """Colours of maps and the values at their ends."""

    colors: Any
    low: float
    high: float


def name_results(owner: str, given: Any, kind: type) -> tuple[dict[str, Any], int]:
    """Returns results by name, of which a single one has none, and how many axes.

    Args:
        owner: Name that an error starts with.
        given: A result or a dictionary of results.
        kind: Of the results; each has a `mean` or `second`.

    Returns:
        The results and the rank that all share.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If there are none, or ranks differ.
    """
    results = dict(given) if isinstance(given, Mapping) else {"": given}
    _check_results(owner, results, kind)
    field = "mean" if "mean" in kind.__annotations__ else "second"
    ranks = {name: np.ndim(getattr(found, field)) for name, found in results.items()}
    return results, _check_one_rank(owner, ranks)


def draw_maps(
    axes: Sequence[Axes],
    panels: Sequence[Panel],
    scale: Scale,
    *,
    label: str,
    offsets: bool,
) -> None:
    """Draws maps with one colour bar.

    Args:
        axes: One for each panel, all of one figure or part of one.
        panels: With two or three axes.
        scale: Of all of them. Where it begins below zero, zero is drawn as a line.
        label: Of the bar.
        offsets: Whether they are by offset, with zero in the middle, or by pixel.
    """
    for axis, panel in zip(axes, panels, strict=True):
        values = middle(panel.values)
        image = axis.imshow(
            values,
            interpolation="nearest",
            cmap=scale.colors,
            vmin=scale.low,
            vmax=scale.high,
            extent=_edges(values) if offsets else None,
        )
        if scale.low < 0:
            _draw_zero(axis, image, scale.high)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(4, integer=True))
        axis.set_xlabel("offset in pixels" if offsets else "pixel", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_title(panel.title, fontsize=10)
    figure: FigureBase = axes[0].figure
    figure.colorbar(axes[0].images[0], ax=list(axes), label=label)


def middle(values: Array) -> Array:
    """Returns a map itself, or the middle slice of a volume.

    Args:
        values: Two or three axes.
    """
    return values if values.ndim == 2 else values[len(values) // 2]


def _edges(values: Array) -> tuple[float, float, float, float]:
    """Returns the edges of an offset map in pixels, as `imshow` takes them."""
    height, width = values.shape
    return (-width / 2, width / 2, height / 2, -height / 2)


def _draw_zero(axes: Axes, image: AxesImage, most: float) -> None:
    """Draws where a map is zero, unless only rounding makes it cross zero."""
    values = np.asarray(image.get_array())
    if values.min() > -1e-3 * most or values.max() < 1e-3 * most:
        return
    left, right, bottom, top = image.get_extent()
    y = np.linspace(top + 0.5, bottom - 0.5, len(values))
    x = np.linspace(left + 0.5, right - 0.5, values.shape[1])
    axes.contour(x, y, values, [0.0], colors="black", linewidths=0.9, linestyles="--")


def draw_curves(
    axes: Axes, panels: Mapping[str, Panel], *, label: str, offsets: bool
) -> None:
    """Draws values with one axis as curves, each by its colour and marker.

    Args:
        axes: Where.
        panels: By name.
        label: Of the vertical axis.
        offsets: Whether they are by offset, with zero in the middle, or by pixel.
    """
    looks = style.lines_of(tuple(panels))
    for number, (name, panel) in enumerate(panels.items()):
        length = len(panel.values)
        x = np.arange(length) - (length // 2 if offsets else 0)
        # Where curves coincide, their markers stand side by side.
        every = max(1, length // 8)
        first = number * every // len(panels)
        axes.plot(
            x,
            panel.values,
            color=looks[name].color,
            marker=looks[name].marker,
            markevery=(first, every),
            markersize=5,
            linewidth=1.4,
            label=name,
        )
        if panel.error is not None:
            draw_band(axes, x, panel, color=looks[name].color)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("offset in pixels" if offsets else "pixel")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def draw_band(axes: Axes, x: npt.NDArray[Any], panel: Panel, *, color: str) -> None:
    """Draws two standard errors about a curve.

    Args:
        axes: Where.
        x: Places.
        panel: The curve and its errors.
        color: The curve's.
    """
    spread = 0.0 if panel.error is None else 2 * panel.error
    low, high = panel.values - spread, panel.values + spread
    axes.fill_between(x, low, high, color=color, alpha=0.25, lw=0)


def _check_results(owner: str, results: Mapping[Any, Any], kind: type) -> None:
    """Checks what is to be drawn, by name."""
    wrong = [x for x in results.values() if not isinstance(x, kind)]
    if wrong:
        _errors.fail(
            owner,
            f"what is drawn must be of type {kind.__name__}, or a dictionary of them.",
            f"a value of type {type(wrong[0]).__name__}",
            "Give what the function of `keras_msda.analysis` has returned.",
            TypeError,
        )
    if not results:
        _errors.fail(
            owner, "there must be something to draw.", "{}", "Give one entry or more."
        )


def _check_one_rank(owner: str, ranks: Mapping[Any, int]) -> int:
    """Returns the number of axes that all have."""
    if len(set(ranks.values())) > 1:
        _errors.fail(
            owner,
            "all must be of images with the same number of axes.",
            ", ".join(f"{name!r} with {rank}" for name, rank in ranks.items()),
            "Draw them in figures of their own.",
        )
    return next(iter(ranks.values()))
