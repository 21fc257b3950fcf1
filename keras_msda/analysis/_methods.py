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

from keras_msda import _backend, layers, masks
from keras_msda.analysis import _arguments, _axes
from keras_msda.analysis._laws import Array, Law, Shape
from keras_msda.masks import _factored, box


class MaskSet(NamedTuple):
    """Masks with their chances.

    Attributes:
        mask: Share of the own image at each pixel, float64 `(masks, *shape)`.
        weight: Share of the own label, float64 `(masks,)`.
        chance: float64 `(masks,)`, sum 1.
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


@functools.singledispatch
def options(_layer: Any, _lam: float, shape: Shape) -> list[_axes.Sides]:
    """Returns the sides that boxes may have on each axis; 0 where there is no box."""
    return [((0, 1.0),)] * len(shape)


@options.register
def _(layer: layers.CutMixLayer, lam: float, shape: Shape) -> list[_axes.Sides]:
    ratios, rank, border = layer.ratio_range, len(shape), layer.border
    if ratios is not None:
        endpoint = layer.ratio_endpoint
        return [_axes.ranged_sides(length, ratios, endpoint) for length in shape]
    return [_axes.rounded_sides(1 - lam, n, rank, border) for n in shape]


@options.register
def _(layer: layers.HMixLayer, lam: float, shape: Shape) -> list[_axes.Sides]:
    share = layer.box_ratio * (1 - lam)
    return [((_axes.floor_side(share, n, len(shape)), 1.0),) for n in shape]


# Laws.


@functools.singledispatch
def law(layer: Any, _lam: float, _shape: Shape) -> Law:
    """Returns the law of a layer's masks.

    Args:
        layer: A mixing layer, not one that chooses.
        _lam: lambda, in [0, 1].
        _shape: Spatial lengths.
    """
    _arguments.fail_not_enumerable("analysis", layer)


@law.register
def _(_layer: layers.MixUpLayer, lam: float, shape: Shape) -> Law:
    axes = tuple(_axes.box_axis(length, 0, "wrap") for length in shape)
    return Law(np.array(1 - lam), np.array(0.0), axes)


@law.register
def _(layer: layers.CutMixLayer, lam: float, shape: Shape) -> Law:
    sides = options(layer, lam, shape)
    axes = tuple(map(_axes.box_axis_of, shape, sides, [layer.border] * 3))
    own = None if layer.exact_weight else lam
    return Law(np.array(0.0), np.array(1.0), axes, own=own)


@law.register
def _(layer: layers.HMixLayer, lam: float, shape: Shape) -> Law:
    sides = [side for ((side, _),) in options(layer, lam, shape)]
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


class Places(NamedTuple):
    """What masks are made from.

    Attributes:
        lam: `(masks,)`.
        side: Sides of boxes, int32 `(masks, rank)`.
        center: int32 `(masks, rank)`, in pixels.
        chance: `(masks,)`.
    """

    lam: Array
    side: Any
    center: Any
    chance: Array


def outcomes(leaf: Any, lams: list[tuple[float, float]], shape: Shape) -> MaskSet:
    """Returns every mask that a layer may make.

    Args:
        leaf: A mixing layer, not one that chooses.
        lams: Values of lambda with their weights.
        shape: Spatial lengths.
    """
    found = [_places(leaf, lam, weight, shape) for lam, weight in lams]
    places = Places(*map(np.concatenate, zip(*found, strict=True)))
    mask = keras.ops.convert_to_numpy(made(leaf, places, shape)).astype("float64")
    # Means in float64, so that what follows from them is exact.
    weight = mask.mean(tuple(range(1, mask.ndim)))
    if not getattr(leaf, "exact_weight", True):
        weight = places.lam
    return MaskSet(mask, weight, places.chance)


def count(leaf: Any, lam: float, shape: Shape) -> int:
    """Returns how many masks a layer may make for a lambda."""
    border = getattr(leaf, "border", "wrap")
    places = [
        sum(len(_axes.centers(length, side, border)) for side, _ in sides)
        for length, sides in zip(shape, options(leaf, lam, shape), strict=True)
    ]
    return math.prod(places)


def _places(leaf: Any, lam: float, weight: float, shape: Shape) -> Places:
    """Returns all sides and centres for a lambda, with chances of sum `weight`."""
    border = getattr(leaf, "border", "wrap")
    axes = []
    for length, sides in zip(shape, options(leaf, lam, shape), strict=True):
        places = [(s, chance, _axes.centers(length, s, border)) for s, chance in sides]
        axes.append([(s, c, p / len(at)) for s, p, at in places for c in at])
    found = np.array(list(itertools.product(*axes)), float)
    side, center, chance = np.moveaxis(found, -1, 0)
    lams = np.full(len(chance), lam)
    center = center.astype("int32")
    return Places(lams, side.astype("int32"), center, weight * chance.prod(1))


@functools.singledispatch
def made(layer: Any, _places: Places, _shape: Shape) -> Any:
    """Returns a layer's masks, float32 `(masks, *shape)`, a tensor."""
    _arguments.fail_not_enumerable("analysis", layer)


@made.register
def _(_layer: layers.MixUpLayer, places: Places, shape: Shape) -> Any:
    # The same at every place.
    return masks.constant_mask(places.lam, shape)[0]


@made.register
def _(layer: layers.CutMixLayer, places: Places, shape: Shape) -> Any:
    ops = _backend.get_backend_ops()
    side, center = (ops.convert(x, "int32") for x in (places.side, places.center))
    extent = box.box_extent(side, center, shape, layer.border)
    level = ops.ones([len(places.lam)], "float32")
    return _factored.to_dense(box.build_box(level, extent, shape), shape)


@made.register
def _(layer: layers.HMixLayer, places: Places, shape: Shape) -> Any:
    ratio, border = layer.box_ratio, layer.border
    return masks.floor_box_mask(places.lam, places.center, shape, ratio, border)[0]


@made.register
def _(layer: layers.GMixLayer, places: Places, shape: Shape) -> Any:
    return masks.gaussian_mask(places.lam, places.center, shape, layer.border)[0]
