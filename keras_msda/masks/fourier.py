"""Fourier masks: a smooth random field and a threshold, the mask of FMix.

The highest pixels of the field become 1, as many of them as lambda asks for.
"""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend, _errors
from keras_msda.masks import _factored, _given

Tensor = Any

#: The largest number of pixels that `top_count` can count in 32-bit integers.
MOST_PIXELS = 2**30


def top_count(lam: Tensor, pixels: Any, rounding: Any) -> Tensor:
    """Returns floor(lam * pixels + rounding), at most `pixels`, int32 `(draws,)`.

    Exact, in 32-bit integers: lambda has three digits to the base 4096, the number of
    pixels two. In float32 it would be off by one in a quarter of all draws on a volume
    of 256^3. Digits of lambda beyond 2^-36 are dropped.

    Args:
        lam: float32 `(draws,)` in [0, 1].
        pixels: int32, 2^30 at most.
        rounding: float32 in [0, 1), a number or `(draws,)`.
    """
    ops = _backend.get_ops(lam)

    def split_digits(x: Tensor) -> list[Tensor]:
        found = []
        for _ in range(3):
            x = x * 4096.0
            found.append(ops.truncate(x))
            x = x - ops.cast(found[-1], "float32")
        return found

    first, second, third = split_digits(lam)
    up_first, up_second, up_third = split_digits(ops.convert(rounding, "float32"))
    high, low = pixels // 4096, pixels % 4096
    carry = (third * low + up_third) // 4096
    carry = (second * low + third * high + up_second + carry) // 4096
    carry = (first * low + second * high + up_first + carry) // 4096
    return ops.minimum(first * high + carry, pixels)


def _count_pixels(size: Sequence[Any]) -> Any:
    """Returns the number of pixels, an integer where all lengths are integers."""
    return functools.reduce(operator.mul, size, 1)


def build_fourier(
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
    ops = _backend.get_ops(lam, field)
    size = ops.shape(field)[1:]
    pixels = _count_pixels(size)
    count = top_count(lam, pixels, rounding)
    if max_soft == 0:
        highest = ops.map_over_draws(_select_highest)
        values = ops.call_fused(highest, field, count, jit_compile=jit_compile)
    else:
        soft = _soft_width(lam, pixels, max_soft, count)
        flat = ops.reshape(ops.to_sort_keys(field), [-1, pixels])
        values = ops.reshape(_soften(flat, count, soft), [-1, *size])
    zeros = ops.zeros(ops.shape(lam), "float32")
    return _factored.Mask(zeros, zeros + 1.0, (values,))


def _select_highest(field: Tensor, count: Tensor) -> Tensor:
    """Returns where the `count` highest values of each draw are, as booleans.

    Of equal values the first ones count as higher. The axes stay as they are: TPU
    compilers take four times as long for pixels in a row.
    """
    ops = _backend.get_ops(field)
    return ops.try_fast_path(
        lambda: _separate(field, count),
        lambda: _select_by_bits(ops.to_sort_keys(field), count),
    )


def _align(numbers: Tensor, like: Tensor) -> Tensor:
    """Returns one number per draw so that it broadcasts to the pixels of each."""
    return _factored.append_axes(numbers, len(like.shape) - 1)


class _Bracket(NamedTuple):
    """Holds two thresholds with the right one between them, float32 `(draws,)` each.

    The surplus of a threshold is how many more values reach it than are asked for.

    Attributes:
        low: Threshold with a positive surplus.
        high: Threshold with a surplus of 0 or less.
        low_surplus: Surplus at `low`, halved when `low` has stayed.
        high_surplus: Surplus at `high`, halved when `high` has stayed; 0 once `high` is
            the right threshold.
        last: The threshold that was tried last.
    """

    low: Tensor
    high: Tensor
    low_surplus: Tensor
    high_surplus: Tensor
    last: Tensor


def _separate(field: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Looks for thresholds which `count` values reach, by regula falsi.

    It takes about 8 passes where `_select_by_bits` takes 32, but finds no threshold
    between equal values.

    Returns:
        Whether the thresholds of all draws are right, and where values reach them.
    """
    ops = _backend.get_ops(field)

    def narrow(_: Any, bracket: _Bracket) -> _Bracket:
        return _narrow(bracket, field, count)

    bracket = ops.loop(
        24,
        narrow,
        _first_bracket(field, count),
        until=lambda bracket: ops.all(bracket.high_surplus == 0.0),
    )
    above = field >= _align(bracket.last, field)
    return ops.all(ops.count(above) == count), above


def _first_bracket(field: Tensor, count: Tensor) -> _Bracket:
    """Returns the bracket from the lowest to the highest value of each draw."""
    ops = _backend.get_ops(field)
    axes = list(range(1, len(field.shape)))
    wanted = ops.cast(count, "float32")
    low, high = -ops.max(-field, axes), ops.max(field, axes)
    surplus = ops.cast(_count_pixels(ops.shape(field)[1:]), "float32") - wanted
    # No value is to reach the threshold of a draw without ones.
    none = count == 0
    high = ops.where(none, math.inf, high)
    high_surplus = ops.where(none, 0.0, 0.5 - wanted)
    bracket = _Bracket(low, high, surplus, high_surplus, low + high)
    return _fix_shape(bracket, count)


def _narrow(bracket: _Bracket, field: Tensor, count: Tensor) -> _Bracket:
    """Returns the bracket after one more threshold was tried."""
    ops = _backend.get_ops(field)
    low, high, low_surplus, high_surplus, last = bracket
    guess = low + (high - low) * (low_surplus / (low_surplus - high_surplus))
    # Draws that are settled wait for the others.
    guess = ops.where(high_surplus == 0.0, high, guess)
    surplus = ops.cast(ops.count(field >= _align(guess, field)) - count, "float32")
    # An end that stays twice counts half (Illinois), or it might stay for long.
    high_surplus = ops.where(last == low, high_surplus / 2.0, high_surplus)
    low_surplus = ops.where(last == high, low_surplus / 2.0, low_surplus)
    below = surplus > 0.0
    narrowed = _Bracket(
        low=ops.where(below, guess, low),
        low_surplus=ops.where(below, surplus, low_surplus),
        high=ops.where(below, high, guess),
        high_surplus=ops.where(below, high_surplus, surplus),
        last=guess,
    )
    return _fix_shape(narrowed, count)


def _fix_shape(bracket: _Bracket, count: Tensor) -> _Bracket:
    """Returns the bracket in one static shape, as a loop needs it.

    Where the size of images is not known, the shapes would differ.
    """
    ops = _backend.get_ops(count)
    return _Bracket(*(ops.reshape(part, ops.shape(count)) for part in bracket))


def _select_by_bits(keys: Tensor, count: Tensor) -> Tensor:
    """Returns where the `count` highest keys of each draw are, of equal ones the first.

    Finds the count-th highest key bit by bit, in 32 passes, without sorting.
    """
    ops = _backend.get_ops(keys)

    def refine(step: Tensor, threshold: Tensor) -> Tensor:
        # The first step adds -2^31 to -2^31, which wraps to 0.
        higher = threshold + ops.take(steps, step)
        enough = ops.count(keys >= _align(higher, keys)) >= count
        # A loop needs one static shape, also where the size of images is not known.
        return ops.reshape(ops.where(enough, higher, threshold), ops.shape(count))

    steps = ops.convert([-(2**31), *(2**bit for bit in range(30, -1, -1))], "int32")
    lowest = ops.zeros(ops.shape(count), "int32") + -(2**31)
    threshold = _align(ops.loop(32, refine, lowest), keys)
    above = keys > threshold
    # Not by ==, whose rank TensorFlow does not know where it does not know the size.
    equal = (keys >= threshold) & ~above
    missing = _align(count - ops.count(above), keys)
    return above | (equal & (_number(ops.cast(equal, "int32")) <= missing))


def _number(equal: Tensor) -> Tensor:
    """Returns running counts of ones, in row-major order, from 1 for the first."""
    ops = _backend.get_ops(equal)
    shape = ops.shape(equal)
    rows = ops.reshape(ops.sum(equal, -1), [-1, _count_pixels(shape[1:-1])])
    before = ops.reshape(ops.cumsum(rows) - rows, [*shape[:-1], 1])
    return ops.cumsum(equal) + before


def _soft_width(lam: Tensor, pixels: Any, max_soft: float, count: Tensor) -> Tensor:
    """Returns half the number of pixels in the soft band, int32 `(draws,)`."""
    ops = _backend.get_ops(lam)
    if isinstance(pixels, int):
        widest = int(pixels * max_soft)  # In float64, as published.
    else:
        widest = ops.truncate(ops.cast(pixels, "float32") * max_soft)
    bounds = [top_count(share, pixels, 0.0) for share in (lam, 1.0 - lam)]
    for bound in (*bounds, count, pixels - count):
        widest = ops.minimum(widest, bound)
    return widest


def _soften(keys: Tensor, count: Tensor, soft: Tensor) -> Tensor:
    """Returns 1 for the highest keys, then a ramp of 2 * soft pixels down to 0."""
    ops = _backend.get_ops(keys)
    count, soft = count[:, None], soft[:, None]
    rank = ops.argsort(ops.argsort(-1 - keys))
    last = ops.maximum(2 * soft - 1, 1)
    left = ops.minimum(ops.maximum(last - (rank - count + soft), 0), last)
    ramp = _factored.exact_share(left, last)
    hard = ops.cast(rank < count, "float32")
    return ops.where(soft > 0, ramp, hard)


def fourier_weight(lam: Tensor, size: Sequence[Any], rounding: Any) -> Tensor:
    """Returns the mean of the masks of FMix: the number of ones per pixel."""
    pixels = _count_pixels(size)
    return _factored.exact_share(top_count(lam, pixels, rounding), pixels)


def fourier_mask(
    lam: Any, field: Any, max_soft: float = 0.0, rounding: Any = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns the mask of FMix: 1 on the highest pixels of a field, 0 elsewhere.

    Exactly `floor(lam * pixels + rounding)` pixels are 1; among equal values the first
    in row-major order. A soft band replaces the edge by a ramp with the same mean.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        field: float32 `(draws, *size)` with one to three spatial axes.
        max_soft: Half the share of pixels in the soft band, in [0, 0.5]. The band is
            narrower where lambda leaves less room.
        rounding: In [0, 1), a number or `(draws,)`. Uniform draws make the expected
            count exact.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

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
    _given.check_max_soft(owner, max_soft)
    lam = _given.convert_lam(owner, lam, field)
    ops = _backend.get_ops(lam, field)
    field = ops.convert(field, "float32")
    _check_field(owner, field.shape, lam.shape[0])
    size = ops.shape(field)[1:]
    rounding = _given.convert_rounding(owner, rounding, lam)
    _given.check_countable(owner, size, MOST_PIXELS)
    mask = build_fourier(lam, field, max_soft, rounding)
    return _factored.to_dense(mask, size), fourier_weight(lam, size, rounding)


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
            "Make it with `keras_msda.masks.fourier_field`.",
        )
