"""Computes what masks are on average and what they regularise, and draws it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _errors, analysis, plot
from keras_msda.cli import _files
from keras_msda.layers import METHODS, HMixLayer

# The number of lambdas at which sides change, times the numbers in a transform, times
# the kinds of boxes. With this much work two exact results take some 30 s. It is
# reached at 105x105 pixels for HMix, whose boxes are cut in many ways, and at 315x315
# for all other methods.
_LARGEST_WORK = 2.5e8
# Along an axis all places are transformed for each lambda, which takes 20 s here.
_LONGEST = 512
# Numbers in all masks that are drawn by default, and the least and most masks.
_DRAWN, _LEAST_DRAWS, _MOST_DRAWS = 2**22, 100, 1000
#: What the picture compares with, by name in `METHODS`.
REFERENCES = ("mixup", "cutmix")


class Settings(NamedTuple):
    """What the command line asks for.

    Attributes:
        methods: Names in `METHODS`, in the order of the table.
        shape: Spatial lengths.
        alpha: Two parameters of lambda's Beta distribution.
        own: Arguments that only some layers have, by name; those that were given.
        lam: Lambda of the moments, or None to average over its distribution.
        draws: Number of masks to draw; None for a number that takes seconds.
        seed: Seed of the draws.
    """

    methods: tuple[str, ...]
    shape: tuple[int, ...]
    alpha: tuple[float, float]
    own: Mapping[str, Any]
    lam: float | None
    draws: int | None
    seed: int


class Row(NamedTuple):
    """Moments and coefficients of one method."""

    method: str
    moments: analysis.MaskMoments
    coefficients: analysis.Coefficients


def make_layers(settings: Settings) -> dict[str, Any]:
    """Makes the layers of the table, and checks all that was asked for.

    Args:
        settings: What the command line asks for.

    Returns:
        The layers by name, in the order of the table.

    Raises:
        ValueError: If an argument is out of range, or the images are too large.
    """
    for method in (*settings.methods, *REFERENCES):
        _check_work(method, settings)
    return {method: _make_layer(method, settings) for method in settings.methods}


def examine(layers: Mapping[str, Any], settings: Settings) -> list[Row]:
    """Computes moments and coefficients.

    Args:
        layers: The layers by name, from `make_layers`.
        settings: What the command line asks for.

    Returns:
        One row per layer.
    """
    return [
        Row(method, _moments(layer, settings), _coefficients(layer, settings))
        for method, layer in layers.items()
    ]


def draw(rows: Sequence[Row], settings: Settings, out: Path) -> None:
    """Writes the picture: moments, and coefficients beside those of MixUp and CutMix.

    Args:
        rows: The rows of the table.
        settings: What the command line asks for.
        out: The file to write.
    """
    found = {row.method: row.coefficients for row in rows}
    for method in REFERENCES:
        if method not in found:
            found[method] = _coefficients(_make_layer(method, settings), settings)
    figure = plot.moments_and_coefficients(
        {METHODS[row.method].label: row.moments for row in rows},
        {x.label: found[name] for name, x in METHODS.items() if name in found},
    )
    with _files.replacing(out) as part:
        figure.savefig(part)


def _moments(layer: Any, settings: Settings) -> analysis.MaskMoments:
    """Returns moments; masks are drawn only if the moments are not exact."""
    shape, lam, seed = settings.shape, settings.lam, settings.seed
    lam = lam if layer.has_lam else None
    found = analysis.mask_moments(layer, shape, lam=lam, draws=2, seed=seed)
    if found.exact:
        return found
    draws = _draws(settings)
    return analysis.mask_moments(layer, shape, lam=lam, draws=draws, seed=seed)


def _coefficients(layer: Any, settings: Settings) -> analysis.Coefficients:
    draws, seed = _draws(settings), settings.seed
    return analysis.regularization_coefficients(
        layer, settings.shape, draws=draws, seed=seed
    )


def _draws(settings: Settings) -> int:
    if settings.draws is not None:
        return settings.draws
    fitting = _DRAWN // int(np.prod(settings.shape))
    return min(_MOST_DRAWS, max(_LEAST_DRAWS, fitting))


def _make_layer(method: str, settings: Settings) -> Any:
    """Makes a layer, with the given arguments that it has."""
    layer, options = METHODS[method].layer, METHODS[method].options
    own = {name: value for name, value in settings.own.items() if name in options}
    return layer(alpha=settings.alpha, **own) if layer.has_lam else layer(**own)


def _work(method: str, settings: Settings) -> float:
    """Estimates how many numbers exact moments compute with."""
    shape = settings.shape
    if max(shape) > _LONGEST:
        return math.inf
    clipped = settings.own.get("border", "clip") in ("clip", "clip_odd")
    many_kinds = issubclass(METHODS[method].layer, HMixLayer) and clipped
    kinds = max(1.0, max(shape) / 4) if many_kinds else 1.0
    return sum(shape) * math.prod(2 * length for length in shape) * kinds


def _check_work(method: str, settings: Settings) -> None:
    """Checks that exact moments take seconds."""
    if _work(method, settings) > _LARGEST_WORK:
        _errors.fail(
            "inspect",
            f"exact moments of {method} would take minutes.",
            f"--size {'x'.join(str(length) for length in settings.shape)}",
            "Give a smaller size of the same proportions, as coefficients at a given "
            "fraction of the side hardly change with it; 96x96 is never too large.",
        )
