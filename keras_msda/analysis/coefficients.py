"""The coefficients by which mixing regularises products of input gradients."""

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda import _errors
from keras_msda.analysis import _arguments, _averages, _methods, _sampled
from keras_msda.analysis._laws import (
    Array,
    Moments,
    autocorrelation,
    over_pairs,
    pair_counts,
)
from keras_msda.layers.base import MixLayer


class Coefficients(NamedTuple):
    """Coefficients of the loss theorem, B = 1 - M, w the weight of the own label.

    Offsets run over -(L - 1) ... L - 1 along each axis, 0 in the middle; values are
    means over all pairs of pixels of an offset inside the image.

    Attributes:
        second: a_jk of gradient and Hessian products, E[w B_j B_k + (1 - w) M_j M_k].
        paper: The paper's form, E[B_j B_k] over lambda ~ D~; None where masks do not
            depend on lambda.
        first: The factor of the first-order term, E[w B_j + (1 - w) M_j], `shape`.
        exact: Whether they are exact; else they are drawn.
        error: Standard error of `second`, 0 where it is exact.
    """

    second: Array
    paper: Array | None
    first: Array
    exact: bool
    error: Array


class Radial(NamedTuple):
    """Values by distance.

    Attributes:
        distance: 0, 1, 2, ... pixels.
        value: The mean at each.
    """

    distance: Array
    value: Array


def regularization_coefficients(
    layer: MixLayer,
    shape: tuple[int, ...],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Coefficients:
    """Returns what multiplies products of input gradients, by pixel offset.

    To second order the loss on mixed samples is the loss plus terms in which a_jk
    multiplies the products of gradients at the pixels j and k, and the Hessian. By the
    symmetry of a pair, a_jk = E[w B_j B_k + (1 - w) M_j M_k] for any masks and label
    weights. The paper's form E[B_j B_k] over lambda ~ D~, which is lambda weighted by
    itself, asks that w be lambda and that 1 - M(lambda) be distributed as
    M(1 - lambda): so it is for MixUp, GMix on a torus and FMix, but not for CutMix and
    HMix, as what is left of a box is no box, nor where a border cuts the mask.

    Where label weights are the means of masks, the mean of a_jk over all pairs of
    pixels is E[w (1 - w)], whatever the masks' shape: methods whose weights have one
    law move regularisation from one distance to another, and none adds any.

    Args:
        layer: A mixing layer. With `targets="own"` the label weight is 1 and lambda
            follows D~. Results include the factor `probability`.
        shape: Spatial lengths, one to three, without channels.
        draws: How many masks to draw where the law is not known, 2 or more.
        seed: Of the draws.

    Raises:
        ValueError: If an argument is none of those, or the layer makes unions of
            labels, which are not linear in them.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis
        >>> mixup = analysis.regularization_coefficients(msda.MixUpLayer(), (4, 4))
        >>> print(mixup.second[3, 3].round(4), mixup.paper[3, 3].round(4))
        0.1667 0.1667

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        theorem 1, for the paper's form.
    """
    owner = "regularization_coefficients"
    shape = _arguments.check_analysed(owner, layer, shape, MixLayer)
    _arguments.check_draws(owner, draws)
    _arguments.check_draw_seed(owner, seed)
    _arguments.check_linear(owner, layer.targets)
    own = layer.targets == "own"
    if _methods.is_known(layer):
        plain, weighted = _averages.known_moments(layer, shape)
        second, first = _exact(weighted if own else plain, own=own)
        error, exact = np.zeros_like(second), True
        paper: Array | None = weighted.product
        if not all(_averages.uses_lam(leaf) for _, leaf in _methods.members(layer)):
            paper = None
    else:
        second, error, first = _drawn(layer, shape, draws, seed)
        paper, exact = _drawn_paper(layer, shape, draws, seed), False
    chance = layer.probability
    return Coefficients(
        chance * second,
        None if paper is None else chance * paper,
        chance * first,
        exact,
        chance * error,
    )


def _exact(found: Moments, *, own: bool) -> tuple[Array, Array]:
    """Returns second and first from moments, w = 1 - s: M_j M_k in terms of B."""
    if own:
        return found.product, found.mean
    pairs = over_pairs(found.weighted, found.weighted.ndim)
    second = found.product + found.share - 2 * pairs
    return second, found.mean + found.share - 2 * found.weighted


def _drawn(
    layer: MixLayer, shape: tuple[int, ...], draws: int, seed: int
) -> tuple[Array, Array, Array]:
    """Returns second, its standard error, and first, of masks that are drawn."""
    rank = len(shape)
    own = layer.targets == "own"

    def partner_share(weight: Array) -> Array:
        share = np.zeros_like(weight) if own else 1 - weight
        return share.reshape(-1, *[1] * rank)

    def second(mask: Array, weight: Array) -> Array:
        share = partner_share(weight)
        pairs = over_pairs(1 - mask, rank)
        return autocorrelation(1 - mask, rank) + share * (1 - 2 * pairs)

    def first(mask: Array, weight: Array) -> Array:
        share = partner_share(weight)
        return (1 - share) * (1 - mask) + share * mask

    draw = functools.partial(_sampled.drawn_masks, layer, shape, draws=draws, seed=seed)
    return (
        *_sampled.mean_and_error(draw(), second),
        _sampled.mean_and_error(draw(), first)[0],
    )


def _drawn_paper(
    layer: MixLayer, shape: tuple[int, ...], draws: int, seed: int
) -> Array | None:
    """Returns the paper's form, drawn for the members whose law is not known."""
    total = np.zeros(tuple(2 * length - 1 for length in shape))
    for chance, leaf in _methods.members(layer):
        if not _averages.uses_lam(leaf):
            return None
        if _methods.is_known(leaf):
            part = _averages.known_moments(leaf, shape)[1].product
        else:
            lam = _sampled.weighted_lams(leaf, draws, seed)
            masks = _sampled.drawn_masks(leaf, shape, draws=draws, seed=seed, lam=lam)
            part, _ = _sampled.mean_and_error(
                masks, lambda mask, _: autocorrelation(1 - mask, len(shape))
            )
        total = total + chance * part
    return total


def by_distance(offsets: Array) -> Radial:
    """Returns the means of an offset map by distance in pixels, rounded.

    Args:
        offsets: By offset, 0 in the middle, `(2 length - 1, ...)`. Offsets count as
            often as there are pairs of pixels that have them.

    Example:
        >>> import numpy as np
        >>> from keras_msda import analysis
        >>> radial = analysis.by_distance(np.array([5.0, 3.0, 1.0, 3.0, 5.0]))
        >>> print(radial.distance, radial.value)
        [0. 1. 2.] [1. 3. 5.]
    """
    offsets = _check_offsets("by_distance", offsets)
    return mean_by(offsets, offset_lengths(offsets.shape))


def over_all_pairs(offsets: npt.ArrayLike) -> float:
    """Returns the mean of an offset map over all pairs of pixels.

    Args:
        offsets: By offset, 0 in the middle, `(2 length - 1, ...)`.

    Example:
        >>> from keras_msda import analysis
        >>> analysis.over_all_pairs([5.0, 3.0, 1.0, 3.0, 5.0])  # Counts 1 2 3 2 1.
        2.7777777777777777
    """
    values = _check_offsets("over_all_pairs", offsets)
    shape = tuple((length + 1) // 2 for length in values.shape)
    return float(np.average(values, weights=pair_counts(shape)))


def offset_lengths(shape: tuple[int, ...]) -> Array:
    """Returns the length in pixels of each offset of a map, 0 in the middle."""
    squares = [(np.arange(length) - length // 2) ** 2.0 for length in shape]
    return np.asarray(np.sqrt(functools.reduce(np.add.outer, squares)), np.float64)


def mean_by(offsets: Array, distance: Array) -> Radial:
    """Returns the means of an offset map over offsets of a distance, rounded."""
    shape = tuple((length + 1) // 2 for length in offsets.shape)
    rounded = np.rint(distance).astype(int).reshape(-1)
    pairs = pair_counts(shape).reshape(-1)
    total = np.bincount(rounded, pairs * offsets.reshape(-1))
    count = np.bincount(rounded, pairs)
    found = np.flatnonzero(count)
    return Radial(found.astype(float), total[found] / count[found])


def _check_offsets(owner: str, offsets: Any) -> np.ndarray:
    """Returns a map by offset, whose middle is the offset 0."""
    values = np.asarray(offsets)
    if values.ndim == 0 or not all(length % 2 for length in values.shape):
        _errors.fail(
            owner,
            "`offsets` must have an odd length on each axis, the offset 0 in the "
            "middle.",
            f"shape={values.shape}",
            "Give for example `found.second` of `regularization_coefficients`.",
        )
    return values
