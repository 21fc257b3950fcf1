"""Sets of masks with probabilities: all that a layer can make, or some drawn ones."""

import itertools
import math
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np

from keras_msda import _errors
from keras_msda.analysis import (
    _arguments,
    _expectations,
    _mask_distributions,
    _monte_carlo,
    _profiles,
)
from keras_msda.analysis._mask_distributions import Places
from keras_msda.analysis._types import Array, Shape
from keras_msda.layers.base import MixLayer

#: How many numbers a set may hold, 256 MiB.
_LARGEST = 2**25

#: Values of lambda with their weights.
_Lams = list[tuple[float, float]]


class MaskSet(NamedTuple):
    """Masks with their probabilities.

    Attributes:
        mask: Share of the own image at each pixel, float64 `(masks, *shape)`.
        weight: Share of the own label, float64 `(masks,)`.
        probability: float64 `(masks,)`, sum 1.
    """

    mask: Array
    weight: Array
    probability: Array


def mask_set(
    layer: MixLayer,
    shape: tuple[int, ...],
    *,
    lam: float | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> MaskSet:
    """Returns every mask that a layer can make, or as many as are drawn.

    All masks: every place, every rounding of the sides, and lambda by quadrature over
    its distribution, so that an expectation over the set is one over the layer's masks.
    The layer's own `probability` does not count: the masks are those of mixed samples.

    Args:
        layer: A mixing layer.
        shape: Spatial lengths, one to three, without channels.
        lam: A given lambda, in [0, 1], instead of its distribution.
        draws: How many masks to draw instead, 2 or more, all equally probable.
        seed: Of the draws.

    Returns:
        `MaskSet`: masks `(masks, *shape)`, with weights and probabilities `(masks,)`,
        where `masks` is the number of different masks, or `draws`.

    Raises:
        TypeError: If `layer` is not a mixing layer.
        ValueError: If all masks are asked for and the layer's cannot be enumerated, as
            those of `FMixLayer`, or are too many to hold.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis
        >>> layer = msda.CutMixLayer(border="wrap")
        >>> masks = analysis.mask_set(layer, (4, 4), lam=0.75)
        >>> print(masks.mask.shape, masks.probability @ masks.weight)
        (16, 4, 4) 0.75
    """
    owner = "mask_set"
    shape = _arguments.check_layer(owner, layer, shape, MixLayer)
    _arguments.check_one_lam(owner, lam)
    _arguments.check_draw_seed(owner, seed)
    if draws is not None:
        _arguments.check_draws(owner, draws)
        chunks = _monte_carlo.draw_masks(layer, shape, draws=draws, seed=seed, lam=lam)
        mask, weight = map(np.concatenate, zip(*chunks, strict=True))
        return MaskSet(mask, weight, np.full(draws, 1 / draws))
    if not _mask_distributions.is_known(layer):
        _fail_not_enumerable(owner, layer)
    return _list_masks(owner, layer, shape, lam)


def _list_masks(owner: str, layer: Any, shape: Shape, lam: float | None) -> MaskSet:
    """Returns all masks of a layer that is known, each once."""
    members = [
        (probability, leaf, _lams(layer, leaf, shape, lam))
        for probability, leaf in _mask_distributions.members(layer)
    ]
    count = sum(_count(leaf, node, shape) for _, leaf, x in members for node, _ in x)
    numbers = count * math.prod(shape)
    if numbers > _LARGEST:
        _fail_too_large(owner, shape, numbers, _LARGEST)
    found = [
        part._replace(probability=probability * part.probability)
        for probability, leaf, lams in members
        for part in [_outcomes(leaf, lams, shape)]
    ]
    return _merge(MaskSet(*map(np.concatenate, zip(*found, strict=True))))


def _lams(layer: Any, leaf: Any, shape: Shape, lam: float | None) -> _Lams:
    """Returns the lambdas of a member's distribution, or a given one, with weights."""
    if lam is not None or not _expectations.depends_on_lam(leaf):
        return [(0.5 if lam is None else lam, 1.0)]
    folded = _expectations.is_folded(layer, leaf)
    nodes = _expectations.lam_nodes(leaf, shape, folded=folded)
    weights = nodes.weighted if layer.targets == "own" else nodes.drawn
    pairs = zip(nodes.lam, weights, strict=True)
    return [(float(node), float(weight)) for node, weight in pairs if weight > 0]


def _outcomes(leaf: Any, lams: _Lams, shape: Shape) -> MaskSet:
    """Returns every mask that a member may make; one may come several times."""
    found = [_places(leaf, lam, weight, shape) for lam, weight in lams]
    places = Places(*map(np.concatenate, zip(*found, strict=True)))
    made = _mask_distributions.family(leaf).make(leaf, places, shape)
    mask = keras.ops.convert_to_numpy(made).astype("float64")
    # Means in float64, so that what follows from them is exact.
    weight = mask.mean(tuple(range(1, mask.ndim)))
    if not getattr(leaf, "exact_weight", True):
        weight = places.lam
    return MaskSet(mask, weight, places.probability)


def _count(leaf: Any, lam: float, shape: Shape) -> int:
    """Returns how many masks a member may make for a lambda."""
    border = getattr(leaf, "border", "wrap")
    each = _mask_distributions.family(leaf).sides(leaf, lam, shape)
    places = [
        sum(len(_profiles.centers(length, side, border)) for side, _ in sides)
        for length, sides in zip(shape, each, strict=True)
    ]
    return math.prod(places)


def _places(leaf: Any, lam: float, weight: float, shape: Shape) -> Places:
    """Returns all sides and centres for a lambda; probabilities sum to `weight`."""
    border = getattr(leaf, "border", "wrap")
    each = _mask_distributions.family(leaf).sides(leaf, lam, shape)
    axes = []
    for length, sides in zip(shape, each, strict=True):
        places = [(s, p, _profiles.centers(length, s, border)) for s, p in sides]
        axes.append([(s, c, p / len(at)) for s, p, at in places for c in at])
    found = np.array(list(itertools.product(*axes)), float)
    side, center, probability = np.moveaxis(found, -1, 0)
    lams = np.full(len(probability), lam)
    center = center.astype("int32")
    return Places(lams, side.astype("int32"), center, weight * probability.prod(1))


def _merge(masks: MaskSet) -> MaskSet:
    """Returns each mask once: boxes of many lambdas are the same."""
    flat = masks.mask.reshape(len(masks.mask), -1)
    keys = np.concatenate([flat, masks.weight[:, None]], 1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(which.reshape(-1), masks.probability).astype("float64")
    return MaskSet(masks.mask[first], masks.weight[first], total)


def _fail_not_enumerable(owner: str, layer: Any) -> NoReturn:
    """Raises the error for masks that cannot all be listed."""
    _errors.fail(
        owner,
        "all masks can be listed for MixUp, CutMix, HMix and GMix alone.",
        f"a layer of type {type(layer).__name__}",
        "Draw some: `draws=1000`.",
    )


def _fail_too_large(owner: str, shape: Any, numbers: int, largest: int) -> NoReturn:
    """Raises the error for masks that are too many to be listed."""
    _errors.fail(
        owner,
        f"all masks may hold {largest:,} numbers at most.",
        f"shape={shape!r}, up to {numbers:,} numbers",
        "Draw some: `draws=1000`; or give one `lam`.",
    )
