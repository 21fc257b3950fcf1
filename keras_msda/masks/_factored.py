"""The form that every mask has, and what can be done with it without making it dense.

M = offset + scale * (product of factors), with an offset and a scale for each draw.
Boxes and Gaussian bumps factor into one vector an axis, a constant has no factor, and a
Fourier mask is one factor of the full size. Nothing here is random.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend

Tensor = Any


class Mask(NamedTuple):
    """A mask for each of some draws: the share of the first image at each pixel.

    Attributes:
        offset: float32 `(draws,)`.
        scale: float32 `(draws,)`.
        factors: Tensors with as many axes as `(draws, *size)` and length 1 where a
            factor does not change; float32, or truth values where all are 0 or 1.
    """

    offset: Tensor
    scale: Tensor
    factors: tuple[Tensor, ...]


def share(part: Tensor, whole: Any) -> Tensor:
    """Returns the share that integers are of others, float32, exactly 1 where equal.

    XLA divides by multiplying by the reciprocal, and n * (1 / n) need not be 1.
    """
    ops = _backend.of(part)
    quotient = ops.cast(part, "float32") / ops.cast(whole, "float32")
    return ops.where(part == whole, 1.0, quotient)


def along(profile: Tensor, axis: int, rank: int) -> Tensor:
    """Returns values `(draws, length)` of one spatial axis as a factor."""
    ops = _backend.of(profile)
    draws, length = ops.shape(profile)
    shape = [draws] + [1] * rank
    shape[axis + 1] = length
    return ops.reshape(profile, shape)


def per_draw(values: Tensor, rank: int) -> Tensor:
    """Returns `(draws, ...)` with `rank` axes of length 1 behind."""
    ops = _backend.of(values)
    return ops.reshape(values, [*ops.shape(values), *[1] * rank])


def dense(mask: Mask, rank: int) -> Tensor:
    """Returns the mask at every pixel; axes where it is constant have length 1."""
    product = per_draw(mask.scale, rank)
    for factor in mask.factors:
        product = product * _backend.of(factor).cast(factor, "float32")
    return per_draw(mask.offset, rank) + product


def full(mask: Mask, size: Sequence[Any]) -> Tensor:
    """Returns the mask at every pixel, shape `(draws, *size)`."""
    values = dense(mask, len(size))
    ops = _backend.of(values)
    return ops.broadcast_to(values, [*ops.shape(mask.offset), *size])


def expanded(mask: Mask, places: Sequence[int], rank: int) -> Mask:
    """Returns masks of some of the spatial axes, as they broadcast to all.

    Args:
        mask: Masks with as many axes as there are places.
        places: Which of the axes these are, ascending.
        rank: How many axes there are.
    """

    def expand(factor: Tensor) -> Tensor:
        ops = _backend.of(factor)
        draws, *lengths = ops.shape(factor)
        shape = [1] * rank
        for place, length in zip(places, lengths, strict=True):
            shape[place] = length
        return ops.reshape(factor, [draws, *shape])

    return mask._replace(factors=tuple(map(expand, mask.factors)))


def spread(mask: Mask, unit: Tensor | None, shared: bool) -> Mask:
    """Returns the masks of samples, given the number of the draw that each takes.

    Factors of a draw that the whole batch shares stay single: they broadcast.
    """
    if unit is None:
        return mask
    ops = _backend.of(unit)
    factors = mask.factors
    if not shared:
        factors = tuple(ops.take(factor, unit) for factor in factors)
    return Mask(ops.take(mask.offset, unit), ops.take(mask.scale, unit), factors)


def keep_own(mask: Mask, mixed: Tensor) -> Mask:
    """Returns the masks with 1 everywhere for the samples that are not mixed."""
    ops = _backend.of(mixed)
    return Mask(
        ops.where(mixed, mask.offset, 1.0),
        ops.where(mixed, mask.scale, 0.0),
        mask.factors,
    )


def is_small(mask: Mask) -> bool:
    """Tells whether each factor changes along one of several axes alone."""
    shapes = [tuple(factor.shape)[1:] for factor in mask.factors]
    return all(len(x) > 1 and sum(n != 1 for n in x) < 2 for x in shapes)


def repeated(mask: Mask, times: int) -> Mask:
    """Returns masks of which each value of the last axis stands so many times."""
    ops = _backend.of(mask.offset)

    def repeat(factor: Tensor) -> Tensor:
        if factor.shape[-1] == 1:
            return factor
        shape = ops.shape(factor)
        wide = ops.broadcast_to(factor[..., None], [*shape, times])
        return ops.reshape(wide, [*shape[:-1], shape[-1] * times])

    return mask._replace(factors=tuple(repeat(factor) for factor in mask.factors))


def as_mask(owner: str, value: Any, size: Sequence[Any]) -> Mask:
    """Returns a mask in factored form."""
    if isinstance(value, Mask):
        return value
    ops = _backend.of(value)
    value = ops.cast(ops.convert(value), "float32")
    ones = ops.ones([ops.shape(value)[0]], "float32")
    return Mask(0.0 * ones, ones, (value,))


def mean(mask: Mask, size: Sequence[Any]) -> Tensor:
    """Returns the mean of each mask."""
    ops = _backend.of(mask.offset)
    values = dense(mask, len(size))
    return ops.mean(values, list(range(1, len(size) + 1)))
