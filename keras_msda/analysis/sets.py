"""Sets of masks with chances: all that a layer can make, or some that it draws."""

import math
from typing import Any, NoReturn

import numpy as np

from keras_msda import _errors
from keras_msda.analysis import _arguments, _averages, _methods, _sampled
from keras_msda.analysis._methods import MaskSet
from keras_msda.layers.base import MixLayer

#: How many numbers a set may hold, 256 MiB.
_LARGEST = 2**25


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
    its law, so that an expectation over the set is one over the layer's masks. They are
    those of samples that are mixed: `probability` is left out.

    Args:
        layer: A mixing layer.
        shape: Spatial lengths, one to three, without channels.
        lam: A given lambda, in [0, 1], instead of its law.
        draws: How many masks to draw instead, 2 or more, of equal chances.
        seed: Of the draws.

    Raises:
        ValueError: If all masks are asked for and the layer's cannot be enumerated, as
            those of `FMixLayer`, or are too many to hold.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis
        >>> layer = msda.CutMixLayer(border="wrap")
        >>> masks = analysis.mask_set(layer, (4, 4), lam=0.75)
        >>> print(masks.mask.shape, masks.chance @ masks.weight)
        (16, 4, 4) 0.75
    """
    owner = "mask_set"
    shape = _arguments.check_analysed(owner, layer, shape, MixLayer)
    _arguments.check_one_lam(owner, lam)
    _arguments.check_draw_seed(owner, seed)
    if draws is not None:
        _arguments.check_draws(owner, draws)
        chunks = _sampled.drawn_masks(layer, shape, draws=draws, seed=seed, lam=lam)
        mask, weight = map(np.concatenate, zip(*chunks, strict=True))
        return MaskSet(mask, weight, np.full(draws, 1 / draws))
    if not _methods.is_known(layer):
        _arguments.fail_not_enumerable(owner, layer)
    lams = [
        (chance, leaf, _lams(layer, leaf, shape, lam))
        for chance, leaf in _methods.members(layer)
    ]
    masks = sum(
        _methods.count(leaf, node, shape) for _, leaf, x in lams for node, _ in x
    )
    numbers = masks * math.prod(shape)
    if numbers > _LARGEST:
        _fail_too_large(owner, shape, numbers, _LARGEST)
    found = [(chance, _methods.outcomes(leaf, x, shape)) for chance, leaf, x in lams]
    chances = [chance * part.chance for chance, part in found]
    return _merged(
        MaskSet(
            np.concatenate([part.mask for _, part in found]),
            np.concatenate([part.weight for _, part in found]),
            np.concatenate(chances),
        )
    )


def _lams(
    layer: Any, leaf: Any, shape: tuple[int, ...], lam: float | None
) -> list[tuple[float, float]]:
    """Returns the lambdas of a member's law, or a given one, with their weights."""
    if lam is not None or not _averages.uses_lam(leaf):
        return [(0.5 if lam is None else lam, 1.0)]
    folded = _averages.is_folded(layer, leaf)
    rule = _averages.rule(leaf, shape, folded=folded)
    weights = rule.weighted if layer.targets == "own" else rule.drawn
    pairs = zip(rule.lam, weights, strict=True)
    return [(float(node), float(weight)) for node, weight in pairs if weight > 0]


def _merged(masks: MaskSet) -> MaskSet:
    """Returns each mask once: boxes of many lambdas are the same."""
    flat = masks.mask.reshape(len(masks.mask), -1)
    keys = np.concatenate([flat, masks.weight[:, None]], 1)
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    chance = np.bincount(which.reshape(-1), masks.chance).astype("float64")
    return MaskSet(masks.mask[first], masks.weight[first], chance)


def _fail_too_large(owner: str, shape: Any, numbers_: int, largest: int) -> NoReturn:
    """Raises the error for masks that are too many to be listed."""
    _errors.fail(
        owner,
        f"all masks may hold {largest:,} numbers at most.",
        f"shape={shape!r}, up to {numbers_:,} numbers",
        "Draw some: `draws=1000`; or give one `lam`.",
    )
