"""The coefficients by which mixing regularises products of input gradients."""

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda import _errors
from keras_msda.analysis import (
    _arguments,
    _expectations,
    _mask_distributions,
    _monte_carlo,
)
from keras_msda.analysis._distributions import Moments
from keras_msda.analysis._offsets import (
    autocorrelation,
    average_by_distance,
    average_pairs,
    offset_lengths,
    pair_counts,
)
from keras_msda.analysis._types import Array, Shape
from keras_msda.layers.base import MixLayer


class Coefficients(NamedTuple):
    """Coefficients of the loss theorem, B = 1 - M, w the weight of the own label.

    Offsets run over -(L - 1) ... L - 1 along each axis, 0 in the middle; values are
    means over all pairs of pixels of an offset inside the image.

    Attributes:
        second: a_jk of gradient and Hessian products, E[w B_j B_k + (1 - w) M_j M_k],
            `(2 length - 1, ...)`.
        paper: The paper's form, E[B_j B_k] over lambda ~ D~, shaped as `second`; None
            where masks do not depend on lambda.
        first: The factor of the first-order term, E[w B_j + (1 - w) M_j], `shape`.
        exact: Whether they are exact; else they are drawn.
        error: Standard error of `second`, shaped as it, 0 where it is exact.
    """

    second: Array
    paper: Array | None
    first: Array
    exact: bool
    error: Array


class Radial(NamedTuple):
    """Values by distance.

    Attributes:
        distance: 0, 1, 2, ... pixels, `(distances,)`.
        value: The mean at each, `(distances,)`.
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
    M(1 - lambda). That holds for MixUp, GMix on a torus and FMix, but not for CutMix
    and HMix, since the complement of a box is not a box, nor where a border cuts the
    mask.

    Where label weights are the means of masks, the mean of a_jk over all pairs of
    pixels is E[w (1 - w)], whatever the masks' shape: methods whose weights have the
    same distribution move regularisation from one distance to another, and none adds
    any.

    Args:
        layer: A mixing layer. With `targets="own"` the label weight is 1 and lambda
            follows D~. Results include the factor `probability`.
        shape: Spatial lengths, one to three, without channels.
        draws: How many masks to draw where their distribution is not known, 2 or more.
        seed: Of the draws.

    Returns:
        `Coefficients`: maps by offset, `(2 length - 1, ...)`, and `first`, `shape`; all
        float64.

    Raises:
        TypeError: If `layer` is not a mixing layer.
        ValueError: If another argument is out of range, or the layer makes unions of
            labels, which are not linear in the labels.

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
    shape = _arguments.check_layer(owner, layer, shape, MixLayer)
    _arguments.check_draws(owner, draws)
    _arguments.check_draw_seed(owner, seed)
    _arguments.check_linear(owner, layer.targets)
    if _mask_distributions.is_known(layer):
        found = _exact_coefficients(layer, shape)
    else:
        found = _draw_coefficients(layer, shape, draws, seed)
    return found._replace(
        second=layer.probability * found.second,
        paper=None if found.paper is None else layer.probability * found.paper,
        first=layer.probability * found.first,
        error=layer.probability * found.error,
    )


def _exact_coefficients(layer: MixLayer, shape: Shape) -> Coefficients:
    """Returns the coefficients of a layer whose distribution is known, all mixed."""
    own = layer.targets == "own"
    plain, weighted = _expectations.exact_moments(layer, shape)
    second, first = _combine_moments(weighted if own else plain, own=own)
    members = _mask_distributions.members(layer)
    has_paper = all(_expectations.depends_on_lam(leaf) for _, leaf in members)
    paper = weighted.product if has_paper else None
    return Coefficients(second, paper, first, True, np.zeros_like(second))


def _combine_moments(found: Moments, *, own: bool) -> tuple[Array, Array]:
    """Returns second and first from moments, w = 1 - s: M_j M_k in terms of B."""
    if own:
        return found.product, found.mean
    pairs = average_pairs(found.weighted, found.weighted.ndim)
    second = found.product + found.share - 2 * pairs
    return second, found.mean + found.share - 2 * found.weighted


def _draw_coefficients(
    layer: MixLayer, shape: Shape, draws: int, seed: int
) -> Coefficients:
    """Returns the coefficients of masks that are drawn, all mixed."""
    rank = len(shape)
    own = layer.targets == "own"

    def partner_share(weight: Array) -> Array:
        share = np.zeros_like(weight) if own else 1 - weight
        return share.reshape(-1, *[1] * rank)

    def second(mask: Array, weight: Array) -> Array:
        share = partner_share(weight)
        pairs = average_pairs(1 - mask, rank)
        return autocorrelation(1 - mask, rank) + share * (1 - 2 * pairs)

    def first(mask: Array, weight: Array) -> Array:
        share = partner_share(weight)
        return (1 - share) * (1 - mask) + share * mask

    draw = functools.partial(
        _monte_carlo.draw_masks, layer, shape, draws=draws, seed=seed
    )
    mean, error = _monte_carlo.mean_and_error(draw(), second)
    paper = _draw_paper(layer, shape, draws, seed)
    mean_first, _ = _monte_carlo.mean_and_error(draw(), first)
    return Coefficients(mean, paper, mean_first, False, error)


def _draw_paper(layer: MixLayer, shape: Shape, draws: int, seed: int) -> Array | None:
    """Returns the paper's form, drawn for members whose distribution is not known."""
    total = np.zeros(tuple(2 * length - 1 for length in shape))
    for probability, leaf in _mask_distributions.members(layer):
        if not _expectations.depends_on_lam(leaf):
            return None
        if _mask_distributions.is_known(leaf):
            part = _expectations.exact_moments(leaf, shape)[1].product
        else:
            part = _draw_products(leaf, shape, draws, seed)
        total = total + probability * part
    return total


def _draw_products(leaf: MixLayer, shape: Shape, draws: int, seed: int) -> Array:
    """Returns E[B_j B_k] by offset over lambda ~ D~, drawn."""
    lam = _monte_carlo.draw_weighted_lam(leaf, draws, seed)
    masks = _monte_carlo.draw_masks(leaf, shape, draws=draws, seed=seed, lam=lam)
    products, _ = _monte_carlo.mean_and_error(
        masks, lambda mask, _: autocorrelation(1 - mask, len(shape))
    )
    return products


def by_distance(offsets: Array) -> Radial:
    """Returns the means of an offset map by distance in pixels, rounded.

    Args:
        offsets: By offset, 0 in the middle, `(2 length - 1, ...)`. Offsets count as
            often as there are pairs of pixels that have them.

    Returns:
        `Radial`: distances that there are and the mean at each, both `(distances,)`.

    Raises:
        ValueError: If a length is even.

    Example:
        >>> import numpy as np
        >>> from keras_msda import analysis
        >>> radial = analysis.by_distance(np.array([5.0, 3.0, 1.0, 3.0, 5.0]))
        >>> print(radial.distance, radial.value)
        [0. 1. 2.] [1. 3. 5.]
    """
    offsets = _check_offsets("by_distance", offsets)
    return Radial(*average_by_distance(offsets, offset_lengths(offsets.shape)))


def over_all_pairs(offsets: npt.ArrayLike) -> float:
    """Returns the mean of an offset map over all pairs of pixels.

    Args:
        offsets: By offset, 0 in the middle, `(2 length - 1, ...)`.

    Returns:
        One number.

    Raises:
        ValueError: If a length is even.

    Example:
        >>> from keras_msda import analysis
        >>> analysis.over_all_pairs([5.0, 3.0, 1.0, 3.0, 5.0])  # Counts 1 2 3 2 1.
        2.7777777777777777
    """
    values = _check_offsets("over_all_pairs", offsets)
    shape = tuple((length + 1) // 2 for length in values.shape)
    return float(np.average(values, weights=pair_counts(shape)))


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
