"""What each layer's masks may be given lambda: their law, and each of them.

A layer that is not here, such as `FMixLayer` or one of a user's own, has no law that is
known: it is drawn from instead.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_msda import _backend, _checks, _factored, layers, masks
from keras_msda.analysis import _axes
from keras_msda.analysis._axes import Shape
from keras_msda.analysis._laws import Array, Law
from keras_msda.masks import box


class Outcomes(NamedTuple):
    """All masks that may come for one lambda.

    Attributes:
        mask: float64 `(outcomes, *shape)`.
        weight: Of the own label, `(outcomes,)`.
        chance: `(outcomes,)`, sum 1.
    """

    mask: Array
    weight: Array
    chance: Array


def members(layer: Any) -> list[tuple[float, Any]]:
    """Returns what a layer chooses from, with chances; the layer itself if it does not.

    Args:
        layer: A mixing layer.
    """
    if not isinstance(layer, layers.RandomMixLayer):
        return [(1.0, layer)]
    total = sum(layer.weights_of_layers)
    return [
        (weight / total * chance, leaf)
        for weight, member in zip(layer.weights_of_layers, layer.layers, strict=True)
        for chance, leaf in members(member)
    ]


def is_known(layer: Any) -> bool:
    """Tells whether the law of a layer's masks is known."""
    unknown = law.dispatch(object)
    return all(law.dispatch(type(leaf)) is not unknown for _, leaf in members(layer))


# Laws.


@functools.singledispatch
def law(layer: Any, _lam: float, _shape: Shape) -> Law:
    """Returns the law of a layer's masks.

    Args:
        layer: A mixing layer, not one that chooses.
        _lam: lambda, in [0, 1].
        _shape: Spatial lengths.
    """
    _checks.fail_not_enumerable("analysis", layer)


@law.register
def _(_layer: layers.MixUpLayer, lam: float, shape: Shape) -> Law:
    axes = tuple(_axes.box_axis(length, 0, "wrap") for length in shape)
    return Law(np.array(1 - lam), np.array(0.0), axes)


@law.register
def _(layer: layers.CutMixLayer, lam: float, shape: Shape) -> Law:
    zero, one = np.array(0.0), np.array(1.0)
    ratios = layer.ratio_range
    if ratios is not None:
        ranged = tuple(_axes.ranged_axis(length, ratios) for length in shape)
        return Law(zero, one, ranged)
    rank = len(shape)
    axes = tuple(_axes.rounded_axis(1 - lam, n, rank, layer.border) for n in shape)
    return Law(zero, one, axes, own=None if layer.exact_weight else lam)


@law.register
def _(layer: layers.HMixLayer, lam: float, shape: Shape) -> Law:
    share = layer.box_ratio * (1 - lam)
    sides = [_axes.floor_side(share, length, len(shape)) for length in shape]
    axes = tuple(map(_axes.box_axis_by_cover, shape, sides, [layer.border] * 3))
    covered = functools.reduce(np.multiply.outer, [axis.share for axis in axes])
    rest = np.maximum(1 - covered, 1e-12)
    level = np.minimum(lam / rest, 1.0)
    return Law(1 - level, level, axes)


@law.register
def _(layer: layers.GMixLayer, lam: float, shape: Shape) -> Law:
    share, pixels = min(lam, 1 - lam), math.prod(shape)
    peak, width = float(share > 0), max(share, 1e-12) ** (2 / len(shape))
    if layer.border == "wrap" and share * pixels > 1:
        width = _axes.torus_width(share, shape)
    elif layer.border == "wrap":  # Less than a pixel: the centre has it all.
        peak, width = share * pixels, 1e-12
    axes = tuple(_axes.bump_axis(length, width, layer.border) for length in shape)
    level = float(lam < 0.5)  # The bump shows the own image, so 1 - M is 1 - bump.
    return Law(np.array(level), np.array(peak * (1 - 2 * level)), axes)


@functools.singledispatch
def breaks(_layer: Any, _shape: Shape) -> list[float]:
    """Returns the lambdas between which a layer's law is smooth."""
    return []


@breaks.register
def _(layer: layers.CutMixLayer, shape: Shape) -> list[float]:
    return [] if layer.ratio_range is not None else _axes.side_changes(shape)


@breaks.register
def _(layer: layers.HMixLayer, shape: Shape) -> list[float]:
    return _axes.side_changes(shape, layer.box_ratio)


@breaks.register
def _(_layer: layers.GMixLayer, shape: Shape) -> list[float]:
    # A bump is a pixel wide near a share of one pixel; from there on it is smooth.
    shares = [4.0**k / math.prod(shape) for k in range(-1, 12)]
    return [x for share in shares if share < 0.5 for x in (share, 1 - share)]


# Each of them, made by the functions that layers use.


@functools.singledispatch
def outcomes(layer: Any, _lam: float, _shape: Shape) -> Outcomes:
    """Returns every mask that a layer may make; arguments as for `law`."""
    _checks.fail_not_enumerable("analysis", layer)


@outcomes.register
def _(_layer: layers.MixUpLayer, lam: float, shape: Shape) -> Outcomes:
    return _outcomes(masks.constant_mask([lam], shape)[0], np.ones(1))


@outcomes.register
def _(layer: layers.CutMixLayer, lam: float, shape: Shape) -> Outcomes:
    if layer.ratio_range is not None:
        sides = [_axes.ranged_sides(length, layer.ratio_range) for length in shape]
        options = [[(side, 1 / len(x)) for side in x] for x in sides]
    else:
        share, rank = 1 - lam, len(shape)
        options = [_axes.rounded_sides(share, n, rank, layer.border) for n in shape]
    side, center, chance = _places(shape, options, layer.border)
    ops = _backend.of_backend()
    extent = box.box_extent(
        ops.convert(side, "int32"), ops.convert(center, "int32"), shape, layer.border
    )
    level = ops.ones([len(chance)], "float32")
    mask = _factored.full(box.box(level, extent, shape), shape)
    return _outcomes(mask, chance, None if layer.exact_weight else lam)


@outcomes.register
def _(layer: layers.HMixLayer, lam: float, shape: Shape) -> Outcomes:
    share, rank = layer.box_ratio * (1 - lam), len(shape)
    options = [[(_axes.floor_side(share, n, rank), 1.0)] for n in shape]
    _, center, chance = _places(shape, options, layer.border)
    lams = np.full(len(chance), lam, "float32")
    mask, _ = masks.floor_box_mask(lams, center, shape, layer.box_ratio, layer.border)
    return _outcomes(mask, chance)


@outcomes.register
def _(layer: layers.GMixLayer, lam: float, shape: Shape) -> Outcomes:
    options = [[(0, 1.0)] for _ in shape]
    _, center, chance = _places(shape, options, "wrap")
    lams = np.full(len(chance), lam, "float32")
    mask, _ = masks.gaussian_mask(lams, center, shape, layer.border)
    return _outcomes(mask, chance)


def _places(
    shape: Shape, options: list[list[tuple[int, float]]], border: str
) -> tuple[Any, Any, Array]:
    """Returns sides and centres, int32 `(outcomes, rank)`, and chances.

    Args:
        shape: Spatial lengths.
        options: Sides and their chances on each axis.
        border: Where boxes may be.
    """
    axes = []
    for length, sides in zip(shape, options, strict=True):
        places = [(s, chance, _axes.centers(length, s, border)) for s, chance in sides]
        axes.append([(s, c, p / len(at)) for s, p, at in places for c in at])
    found = np.array(list(itertools.product(*axes)), float)
    side, center, chance = np.moveaxis(found, -1, 0)
    return side.astype("int32"), center.astype("int32"), chance.prod(1)


def _outcomes(mask: Any, chance: Array, own: float | None = None) -> Outcomes:
    values = keras.ops.convert_to_numpy(mask).astype("float64")
    # Means in float64, so that what follows from them is exact.
    weight = values.mean(tuple(range(1, values.ndim)))
    if own is not None:
        weight = np.full(len(values), own)
    return Outcomes(values, weight, chance)
