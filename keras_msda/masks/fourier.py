"""Fourier masks: a smooth random field and a threshold, the mask of FMix.

The highest pixels of the field, as many as lambda asks for, become 1.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks, _errors
from keras_msda.masks import _factored, _given

Tensor = Any

#: Pixels that `top_count` counts in integers of 32 bits.
MOST_PIXELS = 2**30


def top_count(lam: Tensor, pixels: Any, rounding: Any) -> Tensor:
    """Returns floor(lam * pixels + rounding), at most `pixels`, int32 `(draws,)`.

    Exact: lambda as three digits to the base 4096, the number of pixels as two, in
    32-bit integers. In float32 it would be off by one in a quarter of all draws on a
    volume of 256^3. Digits of lambda beyond 2^-36 are dropped.

    Args:
        lam: float32 `(draws,)` in [0, 1].
        pixels: int32, 2^30 at most.
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
    lam: Tensor,
    field: Tensor,
    max_soft: float,
    rounding: Any,
    *,
    jit_compile: bool | str = "auto",
) -> _factored.Mask:
    """Returns the masks of FMix for given fields.

    Args:
        lam: float32 `(draws,)`.
        field: float32 `(draws, *size)`.
        max_soft: Width of the soft band, in [0, 0.5].
        rounding: As in `top_count`.
        jit_compile: Whether a graph compiles the search for a threshold, as in the
            layers.
    """
    ops = _backend.of(lam, field)
    size = ops.shape(field)[1:]
    pixels = _pixels(size)
    count = top_count(lam, pixels, rounding)
    if max_soft == 0:
        highest = ops.by_draw(_highest)
        values = ops.fused(highest, field, count, jit_compile=jit_compile)
    else:
        soft = _soft_width(lam, pixels, max_soft, count)
        flat = ops.reshape(ops.float_order(field), [-1, pixels])
        values = ops.reshape(_softened(flat, count, soft), [-1, *size])
    zeros = ops.zeros(ops.shape(lam), "float32")
    return _factored.Mask(zeros, zeros + 1.0, (values,))


def _highest(field: Tensor, count: Tensor) -> Tensor:
    """Tells the `count` highest values of each draw, of equal ones the first.

    The axes stay as they are: TPU compilers take four times as long for the pixels in a
    row.
    """
    ops = _backend.of(field)
    return ops.shortcut(
        lambda: _separated(field, count),
        lambda: _selected(ops.float_order(field), count),
    )


def _spread(numbers: Tensor, like: Tensor) -> Tensor:
    """Returns a number of each draw so that it broadcasts to its pixels."""
    return _factored.per_draw(numbers, len(like.shape) - 1)


def _total(hits: Tensor) -> Tensor:
    """Returns how many hold of each draw, int32."""
    ops = _backend.of(hits)
    return ops.sum(ops.cast(hits, "int32"), list(range(1, len(hits.shape))))


def _separated(field: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Looks for thresholds above which there are `count` values, by regula falsi.

    It takes some 8 passes where bits take 32, and finds none between equal values.

    Returns:
        Whether all thresholds are right, and what is above them.
    """
    ops = _backend.of(field)
    axes = list(range(1, len(field.shape)))
    wanted = ops.cast(count, "float32")

    def of_draws(*state: Tensor) -> tuple[Tensor, ...]:
        # Of one shape through the loop, also where the size of images is not known.
        return tuple(ops.reshape(part, ops.shape(count)) for part in state)

    def narrow(_: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        low, high, more, fewer, last = state
        guess = low + (high - low) * (more / (more - fewer))
        guess = ops.where(fewer == 0.0, high, guess)  # Settled, others are not.
        surplus = ops.cast(_total(field >= _spread(guess, field)) - count, "float32")
        # An end that stays twice counts half (Illinois), or it might stay for long.
        fewer = ops.where(last == low, fewer / 2.0, fewer)
        more = ops.where(last == high, more / 2.0, more)
        below = surplus > 0.0
        low, more = ops.where(below, guess, low), ops.where(below, surplus, more)
        high, fewer = ops.where(below, high, guess), ops.where(below, fewer, surplus)
        return of_draws(low, high, more, fewer, guess)

    low, high = -ops.max(-field, axes), ops.max(field, axes)
    more = ops.cast(_pixels(ops.shape(field)[1:]), "float32") - wanted
    start = of_draws(low, high, more, 0.5 - wanted, low + high)
    state = ops.loop(24, narrow, start, until=lambda x: ops.all(x[3] == 0.0))
    above = field >= _spread(state[-1], field)
    return ops.all(_total(above) == count), above


def _selected(keys: Tensor, count: Tensor) -> Tensor:
    """Tells the `count` highest keys of each draw, of equal ones the first.

    Finds the count-th highest key bit by bit, 32 passes, without sorting.
    """
    ops = _backend.of(keys)

    def refine(step: Tensor, threshold: Tensor) -> Tensor:
        # The first step adds -2^31 to -2^31: 0, as integers wrap.
        higher = threshold + ops.take(steps, step)
        enough = _total(keys >= _spread(higher, keys)) >= count
        # Of one shape through the loop, also where the size of images is not known.
        return ops.reshape(ops.where(enough, higher, threshold), ops.shape(count))

    steps = ops.convert([-(2**31), *(2**bit for bit in range(30, -1, -1))], "int32")
    lowest = ops.zeros(ops.shape(count), "int32") + -(2**31)
    threshold = _spread(ops.loop(32, refine, lowest), keys)
    above, equal = keys > threshold, keys == threshold
    missing = _spread(count - _total(above), keys)
    return above | (equal & (_place(ops.cast(equal, "int32")) <= missing))


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
        ValueError: If an argument is not one of those.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.fourier_mask([0.5], [[0.3, -1.0, 2.0, 0.3]])
        >>> print(mask.numpy(), weight.numpy())
        [[1. 0. 1. 0.]] [0.5]

    References:
        Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing
        Mixed Sample Data Augmentation, 2020, section 4.
    """
    owner = "fourier_mask"
    _checks.check_max_soft(owner, max_soft)
    lam = _given.lambdas(owner, lam, field)
    ops = _backend.of(lam, field)
    field = ops.convert(field, "float32")
    _check_field(owner, field.shape, lam.shape[0])
    size = ops.shape(field)[1:]
    rounding = _given.rounding_of(owner, rounding, lam)
    _checks.check_countable(owner, size, MOST_PIXELS)
    mask = fourier(lam, field, max_soft, rounding)
    return _factored.full(mask, size), fourier_weight(lam, size, rounding)


def _check_field(owner: str, shape: Any, draws: int | None) -> None:
    """Checks the shape of random fields."""
    rank = getattr(shape, "rank", 0)
    known = rank is not None and 2 <= len(shape) <= 4
    sizes = list(shape)[1:] if known else [0]
    batch = shape[0] if known else None
    if 0 in sizes or not (batch is None or draws is None or batch == draws):
        first = "draws" if draws is None else f"draws={draws}"
        _errors.fail(
            owner,
            f"`field` must have the shape ({first}, *size) with one to three spatial "
            "axes.",
            f"shape {_errors.show(shape)}",
            "Make it by `keras_msda.masks.fourier_field`.",
        )
