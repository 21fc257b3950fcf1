"""Mean and covariance of a layer's masks, exact and drawn."""

from typing import NamedTuple

from keras_msda.analysis import (
    _arguments,
    _expectations,
    _mask_distributions,
    _monte_carlo,
)
from keras_msda.analysis._offsets import autocorrelation
from keras_msda.analysis._types import Array
from keras_msda.layers.base import MixLayer


class MaskMoments(NamedTuple):
    """Mean and covariance of a mask M, the share of the own image at each pixel.

    Offsets run over -(L - 1) ... L - 1 along each axis, 0 in the middle.

    Attributes:
        lam: The given lambda, or None for its distribution.
        mean: E[M], `shape`.
        covariance: Cov(M_j, M_k) by offset k - j, the mean over all pairs of pixels
            inside the image, `(2 length - 1, ...)`.
        exact: Whether these are exact; else they are what was drawn.
        sampled_mean: Mean of the drawn masks, `shape`.
        mean_error: Its standard error, `shape`.
        sampled_covariance: Covariance of the drawn masks, shaped as `covariance`.
        covariance_error: Its standard error, shaped as `covariance`.
        draws: How many were drawn.
    """

    lam: float | None
    mean: Array
    covariance: Array
    exact: bool
    sampled_mean: Array
    mean_error: Array
    sampled_covariance: Array
    covariance_error: Array
    draws: int


def mask_moments(
    layer: MixLayer,
    shape: tuple[int, ...],
    *,
    lam: float | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> MaskMoments:
    """Returns E[M] at each pixel and Cov(M_j, M_k) by offset, exact and drawn.

    Given lambda the masks of MixUp, CutMix, HMix and GMix factor into one profile per
    axis, whose places are all summed up: exact at any border. Means over lambda are
    taken by Gaussian quadrature between the lambdas at which sides change. The masks of
    `FMixLayer` and of layers of your own, subclasses too, are drawn. On a torus
    (`border="wrap"`) the covariance is the same for all pairs of an offset; elsewhere
    it is their mean. Exact means exact for the Beta distribution itself; a layer draws
    lambda from 65,536 of its quantiles.

    Args:
        layer: A mixing layer. Its `probability` does not count: the masks are those of
            mixed samples.
        shape: Spatial lengths, one to three, without channels.
        lam: A given lambda, in [0, 1]; None for the layer's distribution of lambda.
        draws: How many masks to draw, 2 or more.
        seed: Of the draws.

    Returns:
        `MaskMoments`: means of the shape `shape`, covariances and their errors by
        offset, `(2 length - 1, ...)`; all float64.

    Raises:
        TypeError: If `layer` is not a mixing layer.
        ValueError: If another argument is out of range.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis
        >>> found = analysis.mask_moments(msda.CutMixLayer(), (8, 8), lam=0.5)
        >>> print(found.exact, found.mean[0, 0].round(2), found.mean[4, 4].round(2))
        True 0.86 0.75

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        section 3.
    """
    owner = "mask_moments"
    shape = _arguments.check_layer(owner, layer, shape, MixLayer)
    _arguments.check_one_lam(owner, lam)
    _arguments.check_draw_seed(owner, seed)
    _arguments.check_draws(owner, draws)
    known = None
    if _mask_distributions.is_known(layer):
        plain, weighted = _expectations.exact_moments(layer, shape, lam=lam)
        known = weighted if layer.targets == "own" else plain
    drawn = _draw_moments(layer, shape, draws, seed, lam)
    if known is None:
        return MaskMoments(lam, drawn[0], drawn[2], False, *drawn)
    covariance = known.product - autocorrelation(known.mean, len(shape))
    return MaskMoments(lam, 1 - known.mean, covariance, True, *drawn)


def _draw_moments(
    layer: MixLayer, shape: tuple[int, ...], draws: int, seed: int, lam: float | None
) -> tuple[Array, Array, Array, Array, int]:
    """Returns mean and covariance of masks that are drawn, with errors, and `draws`."""

    def masks() -> _monte_carlo.Chunks:
        return _monte_carlo.draw_masks(layer, shape, draws=draws, seed=seed, lam=lam)

    mean, mean_error = _monte_carlo.mean_and_error(masks(), lambda mask, _: mask)
    # The same masks once more, about their mean.
    products, error = _monte_carlo.mean_and_error(
        masks(), lambda mask, _: autocorrelation(mask - mean, len(shape))
    )
    unbiased = draws / (draws - 1)
    return mean, mean_error, products * unbiased, error * unbiased, draws
