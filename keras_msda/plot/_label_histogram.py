"""Figures of the label weights that layers draw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_msda import _checks, _errors, sampling
from keras_msda.analysis import _arguments
from keras_msda.layers.base import MixLayer
from keras_msda.plot import _samples, style

# 16 MiB of masks at a time.
_AT_ONCE = 2**22
_BINS = 100
# Beyond, as where a small alpha puts most weights at the ends, the middle is too low.
_LARGEST_LINEAR = 10


def label_histogram(
    layers: keras.Layer | Sequence[keras.Layer] | Mapping[str, keras.Layer],
    *,
    shape: tuple[int, ...],
    draws: int = 10_000,
    seed: int = 0,
) -> Figure:
    """Draws a histogram of the weights of the own label, a layer per panel.

    A dotted line is the distribution of lambda, which weights keep unless masks are cut
    at the border. In two dimensions no weight of `GMixLayer(border="clip")` lies in
    (0.43, 0.57), and the figure shows the hole.

    Args:
        layers: One layer, several, or a dictionary of them by name. `probability` is
            left out: weights of samples that are mixed.
        shape: Spatial lengths of the images, one to three.
        draws: How many weights to draw, 2 or more.
        seed: Of the draws.

    Returns:
        A Matplotlib figure; `figure.savefig(...)` writes it.

    Raises:
        ValueError: If there is no layer, or an argument is out of range.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import plot
        >>> layers = [msda.GMixLayer(), msda.GMixLayer(border="wrap")]
        >>> figure = plot.label_histogram(layers, shape=(8, 8), draws=100)
        >>> print([axes.get_title().split()[0] for axes in figure.axes])
        ['GMix', 'GMix']
    """
    owner = "plot.label_histogram"
    named = _name_layers(layers)
    _check_some_layers(owner, named)
    _arguments.check_draws(owner, draws)
    for layer in named.values():
        shape = _arguments.check_layer(owner, layer, shape, MixLayer)
    wide = min(3, len(named))
    tall = -(-len(named) // wide)
    figure = style.new_figure(3.1 * wide + 0.6, 2.3 * tall + 0.5)
    grid = figure.subplots(tall, wide, sharex=True, sharey=True, squeeze=False)
    all_axes = list(grid.flat)
    for (name, layer), axis in zip(named.items(), all_axes, strict=False):
        weights = _draw_weights(layer, shape, draws=draws, seed=seed)
        _draw_histogram(axis, weights, _lams(layer))
        words = f"mean {weights.mean():.2f}, sd {weights.std():.2f}"
        axis.set_title(f"{name}\n{words}", fontsize=10)
    for axis in all_axes[len(named) :]:
        axis.set_visible(False)
    if all_axes[0].get_ylim()[1] > _LARGEST_LINEAR:
        all_axes[0].set_yscale("log")  # For all of them.
    figure.supxlabel("weight of the own label (dotted: distribution of λ)", fontsize=10)
    figure.supylabel("density", fontsize=10)
    return figure


def _name_layers(layers: Any) -> dict[str, Any]:
    """Returns layers by name: the method's, numbered where it comes again."""
    if isinstance(layers, Mapping):
        return dict(layers)
    members = layers if isinstance(layers, Sequence) else [layers]
    named: dict[str, Any] = {}
    for layer in members:
        name = _samples.name_of(layer)
        again = sum(known.partition(" ")[0] == name for known in named)
        named[f"{name} {again + 1}" if again else name] = layer
    return named


def _draw_weights(
    layer: Any, shape: tuple[int, ...], *, draws: int, seed: int
) -> npt.NDArray[np.float32]:
    """Draws weights; of their masks only some are there at a time."""
    some = max(1, _AT_ONCE // math.prod(shape))
    parts = []
    for number, start in enumerate(range(0, draws, some)):
        length = min(some, draws - start)
        _, weight = layer.sample_masks(length, shape, seed=(seed, number))
        parts.append(np.asarray(weight))
    return np.concatenate(parts)


def _lams(layer: Any) -> npt.NDArray[np.float32] | None:
    """Returns equally probable lambdas, or None where the layer draws none."""
    if not layer.draws_lam or getattr(layer, "ratio_range", None) is not None:
        return None
    a, b = _checks.check_alpha(type(layer).__name__, layer.alpha)
    return sampling.beta_table(a, b, reformulated=layer.targets == "own")


def _draw_histogram(
    axes: Axes, weights: npt.NDArray[Any], lams: npt.NDArray[Any] | None
) -> None:
    """Draws a histogram of weights, and as a line that of lambda."""
    edges = np.linspace(0, 1, _BINS + 1)
    # A weight of 1 may exceed it in its last digit.
    heights, _ = np.histogram(np.clip(weights, 0, 1), edges, density=True)
    color = style.LINES[2].color
    axes.stairs(heights, edges, fill=True, color=color, alpha=0.5)
    axes.stairs(heights, edges, color=color, lw=0.8)
    if lams is not None:
        expected, _ = np.histogram(lams, edges, density=True)
        axes.stairs(expected, edges, color="black", lw=1.0, ls=":", baseline=None)
    axes.set_xlim(0, 1)
    axes.tick_params(labelsize=8)


def _check_some_layers(owner: str, layers: Mapping[Any, Any]) -> None:
    """Checks for one layer or more."""
    if not layers:
        _errors.fail(
            owner, "there must be a layer.", "none", "Give one mixing layer or more."
        )
