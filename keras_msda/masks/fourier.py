"""Fourier masks: a smooth random field and a threshold, the mask of FMix.

The highest pixels of the field, as many as lambda asks for, become 1.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks, _factored

Tensor = Any


def top_count(lam: Tensor, pixels: Any, rounding: Any) -> Tensor:
    """Returns floor(lam * pixels + rounding), at most `pixels`, int32 `(draws,)`.

    Exact: lambda as three digits to the base 4096, the number of pixels as two, in
    32-bit integers. In float32 it would be off by one in a quarter of all draws on a
    volume of 256^3. Digits of lambda beyond 2^-36 are dropped.

    Args:
        lam: float32 `(draws,)` in [0, 1].
        pixels: int32, below 2^30.
        rounding: float32 in [0, 1), a number or `(draws,)`.
    """
    ops = _backend.of(lam)

    def digits(x: Tensor) -> list[Tensor]:
        found = []
        for _ in range(3):
            x = x * 4096.0
            found.append(ops.truncate(x))
            x = x - ops.cast(found[-1], "float32")
        return found

    first, second, third = digits(lam)
    up_first, up_second, up_third = digits(ops.convert(rounding, "float32"))
    high, low = pixels // 4096, pixels % 4096
    carry = (third * low + up_third) // 4096
    carry = (second * low + third * high + up_second + carry) // 4096
    carry = (first * low + second * high + up_first + carry) // 4096
    return ops.minimum(first * high + carry, pixels)


def _pixels(size: Sequence[Any]) -> Any:
    """Returns the number of pixels, an integer where all lengths are."""
    return functools.reduce(operator.mul, size, 1)


def fourier(
    lam: Tensor, field: Tensor, max_soft: float, rounding: Any
) -> _factored.Mask:
    """Returns the masks of FMix for given fields.

    Args:
        lam: float32 `(draws,)`.
        field: float32 `(draws, *size)`.
        max_soft: Width of the soft band, in [0, 0.5].
        rounding: As in `top_count`.
    """
    ops = _backend.of(lam, field)
    size = ops.shape(field)[1:]
    pixels = _pixels(size)
    keys = ops.float_order(field)
    count = top_count(lam, pixels, rounding)
    if max_soft == 0:
        highest = ops.fused(ops.by_draw(_highest), keys, count)
        values = ops.cast(highest, "float32")
    else:
        soft = _soft_width(lam, pixels, max_soft, count)
        flat = ops.reshape(keys, [-1, pixels])
        values = ops.reshape(_softened(flat, count, soft), [-1, *size])
    zeros = ops.zeros(ops.shape(lam), "float32")
    return _factored.Mask(zeros, zeros + 1.0, (values,))


def _highest(keys: Tensor, count: Tensor) -> Tensor:
    """Tells the `count` highest keys of each draw, of equal ones the first.

    Finds the count-th highest key bit by bit, 32 passes, without sorting. The axes stay
    as they are: TPU compilers take four times as long for the pixels in a row.
    """
    ops = _backend.of(keys)
    axes = range(1, len(keys.shape))

    def spread(numbers: Tensor) -> Tensor:
        return ops.reshape(numbers, [-1, *(1 for _ in axes)])

    def total(hits: Tensor) -> Tensor:
        return ops.sum(ops.cast(hits, "int32"), list(axes))

    def refine(step: Tensor, threshold: Tensor) -> Tensor:
        # The first step adds -2^31 to -2^31: 0, as integers wrap.
        higher = threshold + ops.take(steps, step)
        enough = total(keys >= spread(higher)) >= count
        # Of one shape through the loop, also where the size of images is not known.
        return ops.reshape(ops.where(enough, higher, threshold), ops.shape(count))

    steps = ops.convert([-(2**31), *(2**bit for bit in range(30, -1, -1))], "int32")
    lowest = ops.zeros(ops.shape(count), "int32") + -(2**31)
    threshold = ops.loop(32, refine, lowest)
    above, equal = keys > spread(threshold), keys == spread(threshold)
    missing = count - total(above)

    def first_ones() -> Tensor:
        return above | (equal & (_place(ops.cast(equal, "int32")) <= spread(missing)))

    # Ties that must be told apart are rare, and that takes as long as 20 passes.
    return ops.shortcut(
        lambda: ops.all(total(equal) == missing), lambda: above | equal, first_ones
    )


def _place(equal: Tensor) -> Tensor:
    """Returns running counts of ones, in row-major order, from 1 for the first."""
    ops = _backend.of(equal)
    shape = ops.shape(equal)
    rows = ops.reshape(ops.sum(equal, -1), [-1, _pixels(shape[1:-1])])
    before = ops.reshape(ops.cumsum(rows) - rows, [*shape[:-1], 1])
    return ops.cumsum(equal) + before


def _soft_width(lam: Tensor, pixels: Any, max_soft: float, count: Tensor) -> Tensor:
    """Returns half the number of pixels in the soft band, int32 `(draws,)`."""
    ops = _backend.of(lam)
    if isinstance(pixels, int):
        widest = int(pixels * max_soft)  # In float64, as published.
    else:
        widest = ops.truncate(ops.cast(pixels, "float32") * max_soft)
    bounds = [top_count(share, pixels, 0.0) for share in (lam, 1.0 - lam)]
    for bound in (*bounds, count, pixels - count):
        widest = ops.minimum(widest, bound)
    return widest


def _softened(keys: Tensor, count: Tensor, soft: Tensor) -> Tensor:
    """Returns 1 for the highest keys, then a ramp of 2 * soft pixels down to 0."""
    ops = _backend.of(keys)
    count, soft = count[:, None], soft[:, None]
    rank = ops.argsort(ops.argsort(-1 - keys))
    last = ops.maximum(2 * soft - 1, 1)
    left = ops.minimum(ops.maximum(last - (rank - count + soft), 0), last)
    ramp = _factored.share(left, last)
    hard = ops.cast(rank < count, "float32")
    return ops.where(soft > 0, ramp, hard)


def fourier_weight(lam: Tensor, size: Sequence[Any], rounding: Any) -> Tensor:
    """Returns the mean of the masks of FMix: their count of ones over the pixels."""
    pixels = _pixels(size)
    return _factored.share(top_count(lam, pixels, rounding), pixels)


def fourier_mask(
    lam: Any, field: Any, max_soft: float = 0.0, rounding: Any = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns the mask of FMix: 1 on the highest pixels of a field, 0 elsewhere.

    Exactly `floor(lam * pixels + rounding)` pixels are 1; of equal ones the first in
    row-major order. A soft band replaces the edge by a ramp of equal mean.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        field: float32 `(draws, *size)` with one to three spatial axes.
        max_soft: Half the share of pixels in the soft band, in [0, 0.5]; narrower where
            lambda leaves less room.
        rounding: In [0, 1), a number or `(draws,)`. Uniform draws make the expected
            count exact.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If `max_soft` is out of its range.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.fourier_mask([0.5], [[0.3, -1.0, 2.0, 0.3]])
        >>> print(mask.numpy(), weight.numpy())
        [[1. 0. 1. 0.]] [0.5]

    References:
        Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing
        Mixed Sample Data Augmentation, 2020, section 4.
    """
    _checks.check_max_soft("fourier_mask", max_soft)
    ops = _backend.of(lam, field)
    lam, field = ops.convert(lam, "float32"), ops.convert(field, "float32")
    size = ops.shape(field)[1:]
    mask = fourier(lam, field, max_soft, rounding)
    return _factored.full(mask, size), fourier_weight(lam, size, rounding)
