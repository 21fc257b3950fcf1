"""Gaussian bumps, of peak 1 at one pixel: the masks of GMix and SmoothMix.

The width of GMix's bump is chosen so that its integral over the plane is the smaller
share. It shows the first image for lambda < 1/2 and the second one from there on. That
of SmoothMix has a given width and always shows the first image.
"""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks
from keras_msda.masks import _factored, _given

Tensor = Any

#: A bump has no sides to keep "inside".
BORDERS = ("clip", "wrap")

_BLOCK = 128  # Terms of a sum that are added at once.
_BISECTIONS = 40  # A range of 32 in log width, down to the spacing of float32.


def _smaller_share(lam: Tensor) -> Tensor:
    ops = _backend.get_ops(lam)
    return ops.minimum(lam, 1.0 - lam)


def _evaluate_bump(decay: Tensor, distance: Tensor) -> Tensor:
    """Returns exp(-decay d^2) of integer distances."""
    distance = _backend.get_ops(distance).cast(distance, "float32")
    return _backend.get_ops(decay).exp(-decay * (distance * distance))


def _decay(width: Tensor, length: Any) -> Tensor:
    """Returns pi / (A L^2) for relative widths A and a length L."""
    ops = _backend.get_ops(width)
    length = ops.cast(ops.convert(length), "float32")
    return math.pi / (width * (length * length))


def _profiles(
    width: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> list[Tensor]:
    """Returns bumps along each axis, float32 `(draws, length)`.

    Args:
        width: Relative widths A, float32 `(draws,)`.
        center: int32 `(draws, rank)`, or `(1, rank)` if all draws share one.
        size: Spatial lengths.
        border: "clip" or "wrap".
    """
    ops = _backend.get_ops(width)
    profiles = []
    for axis, length in enumerate(size):
        middle = center[:, axis, None]
        if border == "clip":
            distance = ops.arange(length) - middle
        else:  # Modulo the length, but not at each pixel: dividing integers is slow.
            distance = ops.arange(length) - middle % length
            distance = ops.maximum(distance, -distance)
            distance = ops.minimum(distance, length - distance)
        profiles.append(_evaluate_bump(_decay(width, length)[:, None], distance))
    return profiles


def _mean(width: Tensor, center: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the means of bumps that are cut at the border, float32 `(draws,)`."""
    ops = _backend.get_ops(width)
    if all(isinstance(length, int) for length in size):
        profiles = _profiles(width, center, size, "clip")
        means = [ops.mean(profile, -1) for profile in profiles]
        return functools.reduce(operator.mul, means)
    return _mean_in_blocks(width, center, size)


def _mean_in_blocks(width: Tensor, center: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the same as `_mean`, for lengths that are not known when traced.

    A loss reads them from a variable of the layer, and XLA needs static shapes.
    """
    ops = _backend.get_ops(width)
    lengths = ops.stack(size)
    decay = ops.stack([_decay(width, length) for length in size], -1)[..., None]

    def add(block: Tensor, total: Tensor) -> Tensor:
        pixel = block * _BLOCK + ops.arange(_BLOCK)
        terms = _evaluate_bump(decay, pixel - center[..., None])
        return total + ops.sum(ops.where(pixel < lengths[:, None], terms, 0.0), -1)

    blocks = (ops.max(lengths) - 1) // _BLOCK + 1
    sums = ops.loop(blocks, add, ops.zeros(ops.shape(decay)[:-1], "float32"))
    return ops.prod(sums / ops.cast(lengths, "float32"), 1)


def _torus_width(share: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the relative width A for which the bump's mean on a torus is a share."""
    ops = _backend.get_ops(share)
    # The middle pixel, so that cutting the bump at the border is the same as wrapping.
    center = ((ops.stack(size) - 1) // 2)[None]

    def halve(_: Tensor, bounds: Tensor) -> Tensor:
        low, high = bounds[0], bounds[1]
        middle = (low + high) / 2.0
        wide = _mean(ops.exp(middle), center, size) > share
        return ops.stack([ops.where(wide, low, middle), ops.where(wide, middle, high)])

    ends = ops.stack([ops.zeros(ops.shape(share), "float32") + e for e in (-28.0, 4.0)])
    bounds = ops.loop(_BISECTIONS, halve, ends)
    return ops.exp((bounds[0] + bounds[1]) / 2.0)


def _pixels(size: Sequence[Any], like: Tensor) -> Tensor:
    ops = _backend.get_ops(like)
    return ops.prod(ops.cast(ops.stack(size), "float32"))


def build_gaussian(
    lam: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> _factored.Mask:
    """Returns the masks of GMix.

    Args:
        lam: float32 `(draws,)`.
        center: int32 `(draws, rank)`, in pixels.
        size: Spatial lengths.
        border: "clip" or "wrap".
    """
    ops = _backend.get_ops(lam)
    share = _smaller_share(lam)
    if border == "clip":
        width = _plane_width(share, len(size))
        peak = ops.ones(ops.shape(lam), "float32")
    else:
        # Below the share of one pixel no width is small enough: then the centre pixel
        # alone holds the share.
        pixels = _pixels(size, share)
        least = share * pixels <= 1.0
        width = ops.where(least, 1e-12, _torus_width(share, size))
        peak = ops.where(least, share * pixels, 1.0)
    profiles = _profiles(width, center, size, border)
    offset, scale = _levels(lam, peak)
    return _factored.Mask.from_profiles(profiles, offset=offset, scale=scale)


def _levels(lam: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Returns offset and scale: M = g for lambda < 1/2 and 1 - g from there on."""
    ops = _backend.get_ops(lam)
    peak = ops.where(_smaller_share(lam) > 0, peak, 0.0)
    offset = ops.cast(lam >= 0.5, "float32")
    return offset, peak * (1.0 - 2.0 * offset)


def _plane_width(share: Tensor, rank: int) -> Tensor:
    """Returns the relative width A = share^(2 / rank) of a bump of that integral."""
    ops = _backend.get_ops(share)
    # Below the bound the bump is its centre pixel anyway; this keeps the width finite.
    return ops.exp(ops.log(ops.maximum(share, 1e-12)) * (2.0 / rank))


def gaussian_weight(
    lam: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> Tensor:
    """Returns the mean of the masks of GMix, float32 `(draws,)`.

    On a torus the width is chosen so that the mean is lambda. Where the border cuts the
    bump, it is a sum over the pixels that are left.
    """
    if border == "wrap":
        return lam
    ops = _backend.get_ops(lam)
    mean = _mean(_plane_width(_smaller_share(lam), len(size)), center, size)
    offset, scale = _levels(lam, ops.ones(ops.shape(lam), "float32"))
    return offset + scale * mean


def gaussian_mask(
    lam: Any, center: Any, size: Sequence[int], border: str = "clip"
) -> tuple[Tensor, Tensor]:
    """Returns the mask of GMix: a Gaussian bump, or one minus it.

    With rho = min(lam, 1 - lam) the bump is `exp(-pi sum_a d_a^2 / (A L_a^2))` for the
    distance d from the centre, peak 1. It is the first image's share for lambda < 1/2
    and the second's from there on. Widths are relative to each axis, which is the
    published code on squares.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths of the images, one to three.
        border: "clip" cuts the bump, of A = rho^(2 / rank), at the border, which is the
            published code: its mean then differs from lambda and is never near 1/2.
            "wrap" continues it on a torus and solves A for the mean lambda.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges; `border="inside"` is an
            error, since a bump has no sides to keep inside.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.gaussian_mask([0.3], [[2]], (5,), border="wrap")
        >>> print(mask.numpy()[0].round(2), weight.numpy())
        [0.   0.25 1.   0.25 0.  ] [0.3]

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        section 4 (GMix).
    """
    size = _given.check_size("gaussian_mask", size)
    _checks.check_choice("gaussian_mask", "border", border, BORDERS)
    lam, center = _given.convert_draws(
        "gaussian_mask", lam, center, size, border=border
    )
    mask = build_gaussian(lam, center, size, border)
    return _factored.to_dense(mask, size), gaussian_weight(lam, center, size, border)


# Below this relative width a bump is its centre pixel; the decay stays finite.
_LEAST_SIGMA = 1e-6


def _smooth_width(sigma: Tensor) -> Tensor:
    """Returns the relative width A = 2 pi sigma^2 of a standard deviation."""
    sigma = _backend.get_ops(sigma).maximum(sigma, _LEAST_SIGMA)
    return 2.0 * math.pi * (sigma * sigma)


def build_smooth(center: Tensor, sigma: Tensor, size: Sequence[Any]) -> _factored.Mask:
    """Returns the masks of SmoothMix.

    Args:
        center: int32 `(draws, rank)`, in pixels.
        sigma: float32 `(draws,)`, relative to the length of each axis.
        size: Spatial lengths.
    """
    profiles = _profiles(_smooth_width(sigma), center, size, "clip")
    return _factored.Mask.from_profiles(profiles)


def smooth_weight(center: Tensor, sigma: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the means of the masks of SmoothMix, float32 `(draws,)`."""
    return _mean(_smooth_width(sigma), center, size)


def smooth_mask(center: Any, sigma: Any, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns the mask of SmoothMix: a Gaussian bump of the first image.

    It is `exp(-sum_a d_a^2 / (2 (sigma L_a)^2))` for the distance d from the centre and
    axes of L_a pixels, cut at the border: the bump takes the image's shape. There is no
    lambda; the label weight of the first image is the mean of the mask.

    Args:
        center: Integer centre pixels, shape `(draws, rank)`.
        sigma: Standard deviations relative to the length of each axis, shape
            `(draws,)`, positive.
        size: Spatial lengths of the images, one to three.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.smooth_mask([[1]], [0.25], (4,))
        >>> print(mask.numpy()[0].round(3), weight.numpy().round(3))
        [0.607 1.    0.607 0.135] [0.587]

    References:
        Lee, Zaheer, Astrid and Lee, SmoothMix: a Simple Yet Effective Data Augmentation
        to Train Robust Classifiers, 2020.
    """
    owner = "smooth_mask"
    size = _given.check_size(owner, size)
    sigma = _given.convert_positive(owner, "sigma", sigma, center)
    center = _given.convert_center(owner, center, size, sigma)
    mask = build_smooth(center, sigma, size)
    return _factored.to_dense(mask, size), smooth_weight(center, sigma, size)
