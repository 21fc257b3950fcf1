"""The Gaussian bump of GMix.

A bump of peak 1 around a pixel, as wide as its plane integral asks for. lambda < 1/2
shows the first image in the bump, lambda >= 1/2 the second.
"""

import math
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks, _factored

Tensor = Any

#: A bump has no sides to keep "inside".
BORDERS = ("clip", "wrap")

_BLOCK = 128  # Terms of a sum that are added at once.
_BISECTIONS = 40  # Of a range of 32 in log width, down to the spacing of float32.


def _smaller_share(lam: Tensor) -> Tensor:
    ops = _backend.of(lam)
    return ops.minimum(lam, 1.0 - lam)


def _half_sums(decay: Tensor, last: Tensor, bound: int | None) -> Tensor:
    """Returns the sum of exp(-decay d^2) over d = 0 ... last.

    In blocks, since the loss knows `last` from a weight of the layer only, and XLA
    needs static shapes.

    Args:
        decay: float32 `(draws, rank)`.
        last: int32 `(draws, rank)` or `(rank,)`, -1 or more.
        bound: What `last` is at most, or None where it is not known.
    """
    ops = _backend.of(decay)
    last = ops.broadcast_to(last, ops.shape(decay))[..., None]
    offsets = ops.arange(_BLOCK)

    def add(block: Tensor, total: Tensor) -> Tensor:
        distance = block * _BLOCK + offsets
        square = ops.cast(distance, "float32") * ops.cast(distance, "float32")
        terms = ops.exp(-decay[..., None] * square)
        return total + ops.sum(ops.where(distance <= last, terms, 0.0), -1)

    blocks = (ops.max(last) if bound is None else bound) // _BLOCK + 1
    return ops.loop(blocks, add, ops.zeros(ops.shape(decay), "float32"))


def _longest(size: Sequence[Any]) -> int | None:
    """Returns the longest axis, or None where one is not known when traced."""
    return max(size) if all(isinstance(length, int) for length in size) else None


def _decay(width: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns pi / (A L_a^2) for relative widths A `(draws,)`, `(draws, rank)`."""
    ops = _backend.of(width)
    lengths = ops.cast(ops.stack(size), "float32")
    return math.pi / (width[:, None] * lengths * lengths)


def _torus_mean(width: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the mean over a torus of a bump of relative width A."""
    ops = _backend.of(width)
    lengths = ops.stack(size)
    decay = _decay(width, size)
    longest = _longest(size)
    bound = None if longest is None else longest // 2
    far = _half_sums(decay, lengths // 2, bound)
    near = _half_sums(decay, (lengths - 1) // 2, bound)
    return ops.prod((far + near - 1.0) / ops.cast(lengths, "float32"), 1)


def _torus_width(share: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the relative width A at which the bump's mean on a torus is the share."""
    ops = _backend.of(share)

    def halve(_: Tensor, bounds: Tensor) -> Tensor:
        low, high = bounds[0], bounds[1]
        middle = (low + high) / 2.0
        wide = _torus_mean(ops.exp(middle), size) > share
        return ops.stack([ops.where(wide, low, middle), ops.where(wide, middle, high)])

    ends = ops.stack([ops.zeros(ops.shape(share), "float32") + e for e in (-28.0, 4.0)])
    bounds = ops.loop(_BISECTIONS, halve, ends)
    return ops.exp((bounds[0] + bounds[1]) / 2.0)


def _pixels(size: Sequence[Any], like: Tensor) -> Tensor:
    ops = _backend.of(like)
    return ops.prod(ops.cast(ops.stack(size), "float32"))


def gaussian(
    lam: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> _factored.Mask:
    """Returns the masks of GMix.

    Args:
        lam: float32 `(draws,)`.
        center: int32 `(draws, rank)`, in pixels.
        size: Spatial lengths.
        border: "clip" or "wrap".
    """
    ops = _backend.of(lam)
    share = _smaller_share(lam)
    if border == "clip":
        width = _plane_width(share, len(size))
        peak = ops.ones(ops.shape(lam), "float32")
    else:
        # Below one pixel's share no width is small enough: the centre pixel alone then
        # holds the share.
        pixels = _pixels(size, share)
        least = share * pixels <= 1.0
        width = ops.where(least, 1e-12, _torus_width(share, size))
        peak = ops.where(least, share * pixels, 1.0)
    decay = _decay(width, size)
    factors = []
    for axis, length in enumerate(size):
        distance = ops.arange(length) - center[:, axis, None]
        if border == "wrap":
            distance = ops.minimum(distance % length, -distance % length)
        square = ops.cast(distance, "float32") * ops.cast(distance, "float32")
        profile = ops.exp(-decay[:, axis, None] * square)
        factors.append(_factored.along(profile, axis, len(size)))
    return _factored.Mask(*_levels(lam, peak), tuple(factors))


def _levels(lam: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Returns offset and scale: M = g for lambda < 1/2 and 1 - g from there on."""
    ops = _backend.of(lam)
    peak = ops.where(_smaller_share(lam) > 0, peak, 0.0)
    offset = ops.cast(lam >= 0.5, "float32")
    return offset, peak * (1.0 - 2.0 * offset)


def _plane_width(share: Tensor, rank: int) -> Tensor:
    """Returns the relative width A = share^(2 / rank) of a bump of that integral."""
    ops = _backend.of(share)
    # Below the bound the bump is its centre pixel either way; the width stays finite.
    return ops.exp(ops.log(ops.maximum(share, 1e-12)) * (2.0 / rank))


def gaussian_weight(
    lam: Tensor, center: Tensor, size: Sequence[Any], border: str
) -> Tensor:
    """Returns the mean of the masks of GMix, float32 `(draws,)`.

    On a torus the width is chosen such that it is lambda. At a border it is a sum over
    the pixels that are left of the bump.
    """
    if border == "wrap":
        return lam
    ops = _backend.of(lam)
    lengths = ops.stack(size)
    decay = _decay(_plane_width(_smaller_share(lam), len(size)), size)
    longest = _longest(size)
    before = _half_sums(decay, center, longest)
    after = _half_sums(decay, lengths - 1 - center, longest)
    mean = ops.prod((before + after - 1.0) / ops.cast(lengths, "float32"), 1)
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
        ValueError: If the size or the border is not one of those; a bump has no sides
            that could be kept "inside".

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.gaussian_mask([0.3], [[2]], (5,), border="wrap")
        >>> print(mask.numpy()[0].round(2), weight.numpy())
        [0.   0.25 1.   0.25 0.  ] [0.3]

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        section 4 (GMix).
    """
    _checks.check_size("gaussian_mask", size)
    _checks.check_choice("gaussian_mask", "border", border, BORDERS)
    ops = _backend.of(lam, center)
    lam, center = ops.convert(lam, "float32"), ops.convert(center, "int32")
    mask = gaussian(lam, center, size, border)
    return _factored.full(mask, size), gaussian_weight(lam, center, size, border)
