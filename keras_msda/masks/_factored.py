"""`Mask`, the form of every mask, and what can be done with it while it stays small.

M = offset + scale * (product of the factors), with an offset and a scale for each draw.
A box or a Gaussian bump has one vector per axis as factors, a constant has no factor,
and a Fourier mask is one factor of the full size. Nothing here is random.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import keras

from keras_msda import _backend, _errors

Tensor = Any


class Mask(NamedTuple):
    """Holds the share of the first image at each pixel, one mask per draw.

    `M = offset + scale * (product of the factors)`, which must lie in [0, 1]. Factors
    broadcast against each other, so that a mask that is a product of one vector per
    axis is never stored pixel by pixel. `Mask.from_profiles` builds such a mask; any
    other one is `Mask(zeros, ones, (values,))` with values of shape `(draws, *size)`.

    Attributes:
        offset: float32 `(draws,)`.
        scale: float32 `(draws,)`; without factors the mask is `offset + scale`.
        factors: Tensors with the axes of `(draws, *size)`, each of length 1 along an
            axis where the factor is constant; float32, or booleans for zeros and ones.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> lam = np.array([0.25, 0.75], "float32")
        >>> left = np.arange(4) < 4 * lam[:, None]  # Of images with 4 columns.
        >>> mask = masks.Mask.from_profiles([None, left])
        >>> print(mask.offset.numpy(), mask.scale.numpy(), mask.factors[0].shape)
        [0. 0.] [1. 1.] (2, 1, 4)
        >>> print(mask.factors[0].numpy().astype(int)[:, 0])
        [[1 0 0 0]
         [1 1 1 0]]
    """

    offset: Tensor
    scale: Tensor
    factors: tuple[Tensor, ...]

    @classmethod
    def from_profiles(
        cls,
        profiles: Sequence[Tensor | None],
        *,
        offset: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> "Mask":
        """Builds a mask that is a product of one vector per spatial axis.

        Args:
            profiles: One entry per spatial axis: values of shape `(draws, length)`, or
                None where the mask does not change along that axis. One entry at least
                must be given.
            offset: float32 `(draws,)`; None means 0.
            scale: float32 `(draws,)`; None means 1.

        Returns:
            The mask `offset + scale * (product of the profiles)`.

        Raises:
            ValueError: If no profile is given or one has another number of axes.

        Example:
            >>> import numpy as np
            >>> from keras_msda import masks
            >>> rows, columns = np.array([[0, 1, 1.0]]), np.array([[1, 0.0]])
            >>> one = np.ones(1, "float32")  # A box of zeros, and ones around it.
            >>> mask = masks.Mask.from_profiles([rows, columns], offset=one, scale=-one)
            >>> print([tuple(factor.shape) for factor in mask.factors])
            [(1, 3, 1), (1, 1, 2)]
        """
        given = [profile for profile in profiles if profile is not None]
        ops = _backend.get_ops(*given, offset, scale)
        rank = len(profiles)
        factors = []
        for axis, profile in enumerate(profiles):
            if profile is not None:
                profile = ops.convert(profile)
                _check_profile("Mask.from_profiles", profile.shape)
                factors.append(place_on_axis(profile, axis, rank=rank))
        if not factors:
            _fail_no_profile("Mask.from_profiles", profiles)
        draws = ops.shape(factors[0])[:1]
        offset = ops.zeros(draws, "float32") if offset is None else offset
        scale = ops.ones(draws, "float32") if scale is None else scale
        return cls(ops.convert(offset), ops.convert(scale), tuple(factors))


def mean(mask: Mask, size: Sequence[Any]) -> Tensor:
    """Returns the mean of each mask, float32 `(draws,)`.

    Where each factor changes along one axis alone, it is a product of means, and the
    mask is never made dense.

    Args:
        mask: Masks.
        size: Their spatial lengths.
    """
    by_axis: dict[tuple[int, ...], list[Tensor]] = {}
    for factor in mask.factors:
        by_axis.setdefault(_changing_axes(factor), []).append(factor)
    if any(len(axes) > 1 for axes in by_axis):
        by_axis = {tuple(range(1, len(size) + 1)): list(mask.factors)}
    means = [_mean(factors, axes) for axes, factors in by_axis.items()]
    return mask.offset + functools.reduce(operator.mul, means, mask.scale)


def _changing_axes(factor: Tensor) -> tuple[int, ...]:
    """Returns the spatial axes along which a factor may change."""
    lengths = enumerate(tuple(factor.shape))
    return tuple(axis for axis, length in lengths if axis > 0 and length != 1)


def _mean(factors: Sequence[Tensor], axes: Sequence[int]) -> Tensor:
    """Returns the mean of a product of factors that are constant along all other axes.

    Summed axis by axis, since one float32 sum over all pixels would lose digits.
    """
    floats = [_backend.get_ops(factor).cast(factor, "float32") for factor in factors]
    total = functools.reduce(operator.mul, floats)
    ops = _backend.get_ops(total)
    lengths = ops.shape(total)
    for axis in reversed(axes):
        total = ops.sum(total, axis)
    pixels = functools.reduce(operator.mul, [lengths[axis] for axis in axes], 1)
    return exact_share(ops.reshape(total, [-1]), ops.cast(pixels, "float32"))


def exact_share(part: Tensor, whole: Any) -> Tensor:
    """Returns the share that numbers are of others, float32, exactly 1 where equal.

    XLA divides by multiplying by the reciprocal, and n * (1 / n) need not be 1.
    """
    ops = _backend.get_ops(part)
    quotient = ops.cast(part, "float32") / ops.cast(whole, "float32")
    return ops.where(part == whole, 1.0, quotient)


def place_on_axis(profile: Tensor, axis: int, *, rank: int) -> Tensor:
    """Returns values `(draws, length)` of one of `rank` spatial axes as a factor."""
    ops = _backend.get_ops(profile)
    draws, length = ops.shape(profile)
    shape = [draws] + [1] * rank
    shape[axis + 1] = length
    return ops.reshape(profile, shape)


def append_axes(values: Tensor, count: int) -> Tensor:
    """Returns values with so many axes of length 1 behind, to broadcast over pixels."""
    ops = _backend.get_ops(values)
    return ops.reshape(values, [*ops.shape(values), *[1] * count])


def keep_nan(values: Tensor, share: Tensor) -> Tensor:
    """Returns values of a mix, NaN where the share is NaN.

    XLA's product of a cast boolean and NaN can be 0.
    """
    ops = _backend.get_ops(values)
    dtype = keras.backend.standardize_dtype(values.dtype)
    return values + ops.cast(share - share, dtype)


def multiply_out(mask: Mask, rank: int) -> Tensor:
    """Returns the mask at every pixel; axes where it is constant have length 1."""
    product = append_axes(mask.scale, rank)
    for factor in mask.factors:
        product = product * _backend.get_ops(factor).cast(factor, "float32")
    return append_axes(mask.offset, rank) + product


def to_dense(mask: Mask, size: Sequence[Any]) -> Tensor:
    """Returns the mask at every pixel, shape `(draws, *size)`."""
    values = multiply_out(mask, len(size))
    ops = _backend.get_ops(values)
    return ops.broadcast_to(values, [*ops.shape(mask.offset), *size])


def expand_axes(mask: Mask, places: Sequence[int], *, rank: int) -> Mask:
    """Returns masks of some of the spatial axes so that they broadcast to all axes.

    Args:
        mask: Masks with as many spatial axes as there are places.
        places: Which of all axes these are, ascending.
        rank: How many spatial axes there are.
    """

    def expand(factor: Tensor) -> Tensor:
        ops = _backend.get_ops(factor)
        draws, *lengths = ops.shape(factor)
        shape = [1] * rank
        for place, length in zip(places, lengths, strict=True):
            shape[place] = length
        return ops.reshape(factor, [draws, *shape])

    return mask._replace(factors=tuple(map(expand, mask.factors)))


def take_draws(mask: Mask, draw_index: Tensor | None, *, shared: bool) -> Mask:
    """Returns one mask per sample from one per draw.

    Args:
        mask: Masks of the draws.
        draw_index: int32 `(batch,)`, the draw that each sample takes; None where sample
            i takes draw i.
        shared: Whether the whole batch takes one draw. Its factors stay single, since
            they broadcast.
    """
    if draw_index is None:
        return mask
    ops = _backend.get_ops(draw_index)
    factors = mask.factors
    if not shared:
        factors = tuple(ops.take(factor, draw_index) for factor in factors)
    offset = ops.take(mask.offset, draw_index)
    return Mask(offset, ops.take(mask.scale, draw_index), factors)


def keep_own(mask: Mask, mixed: Tensor) -> Mask:
    """Returns masks that are 1 everywhere for the samples that are not mixed."""
    ops = _backend.get_ops(mixed)
    return Mask(
        ops.where(mixed, mask.offset, 1.0),
        ops.where(mixed, mask.scale, 0.0),
        mask.factors,
    )


def is_small(mask: Mask) -> bool:
    """Returns whether each factor changes along one of several axes alone."""
    shapes = [tuple(factor.shape)[1:] for factor in mask.factors]
    return all(len(x) > 1 and sum(n != 1 for n in x) < 2 for x in shapes)


def repeat_last_axis(mask: Mask, times: int) -> Mask:
    """Returns masks with each value of the last axis repeated so many times."""
    ops = _backend.get_ops(mask.offset)

    def repeat(factor: Tensor) -> Tensor:
        if factor.shape[-1] == 1:
            return factor
        shape = ops.shape(factor)
        wide = ops.broadcast_to(factor[..., None], [*shape, times])
        return ops.reshape(wide, [*shape[:-1], shape[-1] * times])

    return mask._replace(factors=tuple(repeat(factor) for factor in mask.factors))


def _check_profile(owner: str, shape: Any) -> None:
    """Checks that the values of one axis have an axis of draws and one of pixels."""
    if getattr(shape, "rank", 0) is None or len(shape) != 2:
        _errors.fail(
            owner,
            "each profile must have the shape (draws, length).",
            f"shape {_errors.show(shape)}",
            "Give one row of values per draw, or None for an axis along which the mask "
            "does not change.",
        )


def _fail_no_profile(owner: str, profiles: Any) -> NoReturn:
    """Raises the error for a mask without any profile."""
    _errors.fail(
        owner,
        "one profile at least must be given.",
        f"profiles={profiles!r}",
        "A mask that is the same at every pixel is `Mask(lam, 0 * lam, ())`.",
    )
