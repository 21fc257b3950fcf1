"""What is known of each layer's masks given lambda: their distribution, and all masks.

A layer whose class is not in the table, such as `FMixLayer`, one of a user's own or a
subclass of one that is, has no distribution that is known: it is drawn from instead.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _backend, layers, masks
from keras_msda.analysis import _profiles
from keras_msda.analysis._distributions import MaskDistribution
from keras_msda.analysis._types import Array, Shape
from keras_msda.masks import _factored, box

Tensor = Any


class Places(NamedTuple):
    """What masks are made from.

    Attributes:
        lam: `(masks,)`.
        side: Sides of boxes, int32 `(masks, rank)`.
        center: int32 `(masks, rank)`, in pixels.
        probability: `(masks,)`.
    """

    lam: Array
    side: Any
    center: Any
    probability: Array


def _no_sides(_layer: Any, _lam: float, shape: Shape) -> list[_profiles.Sides]:
    return [((0, 1.0),)] * len(shape)


class Family(NamedTuple):
    """What is known of the masks of one class of layers.

    Attributes:
        distribution: Of the masks, by layer, lambda in [0, 1] and spatial lengths.
        breaks: The lambdas between which the distribution is smooth, by layer and
            spatial lengths.
        make: Masks at given places, float32 `(masks, *shape)`, by layer, places and
            spatial lengths: made by the functions that layers use.
        sides: The sides that boxes may have on each axis, by layer, lambda and spatial
            lengths; 0 where there is no box.
    """

    distribution: Callable[[Any, float, Shape], MaskDistribution]
    breaks: Callable[[Any, Shape], list[float]]
    make: Callable[[Any, Places, Shape], Tensor]
    sides: Callable[[Any, float, Shape], list[_profiles.Sides]] = _no_sides


def members(layer: Any) -> list[tuple[float, Any]]:
    """Returns what a layer chooses from, the layer itself if it does not choose.

    Args:
        layer: A mixing layer.

    Returns:
        Probabilities with layers.
    """
    # A subclass may choose in another way.
    if type(layer) is not layers.RandomMixLayer:
        return [(1.0, layer)]
    total = sum(layer.weights_of_layers)
    return [
        (weight / total * probability, leaf)
        for weight, member in zip(layer.weights_of_layers, layer.layers, strict=True)
        for probability, leaf in members(member)
    ]


def is_known(layer: Any) -> bool:
    """Returns whether the distribution of a layer's masks is known."""
    return all(type(leaf) in _FAMILIES for _, leaf in members(layer))


def family(leaf: Any) -> Family:
    """Returns what is known of a layer's masks; the layer is known and chooses not."""
    return _FAMILIES[type(leaf)]


# MixUp.


def _mixup(_layer: layers.MixUpLayer, lam: float, shape: Shape) -> MaskDistribution:
    axes = tuple(_profiles.box_profiles(length, 0, "wrap") for length in shape)
    return MaskDistribution(np.array(1 - lam), np.array(0.0), axes)


def _make_mixup(_layer: layers.MixUpLayer, places: Places, shape: Shape) -> Tensor:
    # The same at every place.
    return masks.constant_mask(places.lam, shape)[0]


# CutMix.


def _cutmix_sides(
    layer: layers.CutMixLayer, lam: float, shape: Shape
) -> list[_profiles.Sides]:
    ratios, rank, border = layer.ratio_range, len(shape), layer.border
    if ratios is not None:
        endpoint = layer.ratio_endpoint
        return [_profiles.ranged_sides(length, ratios, endpoint) for length in shape]
    return [_profiles.rounded_sides(1 - lam, n, rank, border) for n in shape]


def _cutmix(layer: layers.CutMixLayer, lam: float, shape: Shape) -> MaskDistribution:
    sides = _cutmix_sides(layer, lam, shape)
    axes = tuple(map(_profiles.box_profiles_of_sides, shape, sides, [layer.border] * 3))
    own = None if layer.exact_weight else lam
    return MaskDistribution(np.array(0.0), np.array(1.0), axes, own=own)


def _cutmix_breaks(layer: layers.CutMixLayer, shape: Shape) -> list[float]:
    return [] if layer.ratio_range is not None else _profiles.side_changes(shape)


def _make_cutmix(layer: layers.CutMixLayer, places: Places, shape: Shape) -> Tensor:
    ops = _backend.get_backend_ops()
    side, center = (ops.convert(x, "int32") for x in (places.side, places.center))
    extent = box.box_extent(side, center, shape, layer.border)
    level = ops.ones([len(places.lam)], "float32")
    return _factored.to_dense(box.build_box(level, extent, shape), shape)


# HMix.


def _hmix_sides(
    layer: layers.HMixLayer, lam: float, shape: Shape
) -> list[_profiles.Sides]:
    share = layer.box_ratio * (1 - lam)
    return [((_profiles.floor_side(share, n, len(shape)), 1.0),) for n in shape]


def _hmix(layer: layers.HMixLayer, lam: float, shape: Shape) -> MaskDistribution:
    sides = [side for ((side, _),) in _hmix_sides(layer, lam, shape)]
    axes = tuple(map(_profiles.box_profiles_by_cover, shape, sides, [layer.border] * 3))
    covered = functools.reduce(np.multiply.outer, [axis.share for axis in axes])
    rest = np.maximum(1 - covered, 1e-12)
    level = np.minimum(lam / rest, 1.0)
    return MaskDistribution(1 - level, level, axes)


def _hmix_breaks(layer: layers.HMixLayer, shape: Shape) -> list[float]:
    return _profiles.side_changes(shape, layer.box_ratio)


def _make_hmix(layer: layers.HMixLayer, places: Places, shape: Shape) -> Tensor:
    ratio, border = layer.box_ratio, layer.border
    return masks.floor_box_mask(places.lam, places.center, shape, ratio, border)[0]


# GMix.


def _gmix(layer: layers.GMixLayer, lam: float, shape: Shape) -> MaskDistribution:
    share, pixels = min(lam, 1 - lam), math.prod(shape)
    peak, width = float(share > 0), max(share, 1e-12) ** (2 / len(shape))
    if layer.border == "wrap" and share * pixels > 1:
        width = _profiles.torus_width(share, shape)
    elif layer.border == "wrap":  # Less than a pixel: the centre has it all.
        peak, width = share * pixels, 1e-12
    axes = tuple(_profiles.bump_profiles(n, width, layer.border) for n in shape)
    level = float(lam < 0.5)  # The bump shows the own image, so 1 - M is 1 - bump.
    return MaskDistribution(np.array(level), np.array(peak * (1 - 2 * level)), axes)


def _gmix_breaks(_layer: layers.GMixLayer, shape: Shape) -> list[float]:
    # A bump is a pixel wide near a share of one pixel; from there on it is smooth.
    shares = [4.0**k / math.prod(shape) for k in range(-1, 12)]
    return [x for share in shares if share < 0.5 for x in (share, 1 - share)]


def _make_gmix(layer: layers.GMixLayer, places: Places, shape: Shape) -> Tensor:
    return masks.gaussian_mask(places.lam, places.center, shape, layer.border)[0]


#: By the exact class: the masks of a subclass may be others.
_FAMILIES: dict[type, Family] = {
    layers.MixUpLayer: Family(_mixup, lambda _layer, _shape: [], _make_mixup),
    layers.CutMixLayer: Family(_cutmix, _cutmix_breaks, _make_cutmix, _cutmix_sides),
    layers.HMixLayer: Family(_hmix, _hmix_breaks, _make_hmix, _hmix_sides),
    layers.GMixLayer: Family(_gmix, _gmix_breaks, _make_gmix),
}
