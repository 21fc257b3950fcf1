"""The grid of GridMix: each cell shows one of the two images."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks, _errors
from keras_msda.masks import _factored, _given, fourier

Tensor = Any

#: Most cells along an axis, and in all.
MOST_PER_AXIS, MOST_CELLS = 256, 2**16


def check_grid(owner: str, value: Any) -> Any:
    """Returns a number of cells per axis: an integer, or a tuple with one per axis."""
    several = isinstance(value, (tuple, list))
    counts = tuple(value) if several else (value,)
    valid = (
        1 <= len(counts) <= 3
        and all(_checks.is_length(n) and n <= MOST_PER_AXIS for n in counts)
        and math.prod(counts) <= MOST_CELLS
    )
    if not valid:
        _errors.fail(
            owner,
            f"`grid` must be an integer from 1 to {MOST_PER_AXIS}, or one per axis, "
            f"and {MOST_CELLS:,} cells at most.",
            f"grid={value!r}",
            "Use for example `grid=4`, which cuts images into 4 by 4 cells.",
        )
    return tuple(map(int, counts)) if several else int(value)


def spread_grid(owner: str, grid: Any, rank: int) -> tuple[int, ...]:
    """Returns the number of cells along each of so many axes."""
    counts: tuple[int, ...] = grid if isinstance(grid, tuple) else (grid,) * rank
    if len(counts) != rank:
        _errors.fail(
            owner,
            "`grid` must have one number of cells per axis that the mask depends on.",
            f"grid={grid!r} for {rank} axes",
            "Give one integer for all axes, such as `grid=4`.",
        )
    if math.prod(counts) > MOST_CELLS:
        _errors.fail(
            owner,
            f"a grid may have {MOST_CELLS:,} cells at most.",
            f"grid={grid!r} for {rank} axes",
            "Use fewer cells, such as `grid=4`.",
        )
    return counts


def _count_used(cells: int, length: Any) -> Any:
    """Returns how many cells an axis is cut into, min(cells, length)."""
    if isinstance(length, int):
        return min(cells, length)
    return _backend.get_ops(length).minimum(length, cells)


def _boundaries(cells: int, length: Any, like: Tensor) -> Tensor:
    """Returns where each cell of an axis starts and the last one ends, int32.

    They are floor(k L / N) for N cells, without a product that is too large for int32.
    Cells that are not used are empty and stand at the end.
    """
    ops = _backend.get_ops(like)
    used = _count_used(cells, length)
    k = ops.minimum(ops.arange(cells + 1), used)
    return k * (length // used) + k * (length % used) // used


def keep_cells(
    lam: Tensor,
    noise: Tensor,
    size: Sequence[Any],
    *,
    exact_count: bool,
    rounding: Any = 0.0,
) -> Tensor:
    """Returns which cells show the first image, booleans `(draws, *grid)`.

    Args:
        lam: float32 `(draws,)`.
        noise: float32 `(draws, *grid)` in [0, 1).
        size: Spatial lengths.
        exact_count: Whether the cells of the smallest noise are kept, as many of them
            as lambda asks for, or else each cell whose noise is less than lambda.
        rounding: Added to the count before it is rounded down, in [0, 1), a number or
            `(draws,)`.
    """
    ops = _backend.get_ops(lam)
    grid = ops.shape(noise)[1:]
    if not exact_count:
        return noise < _factored.append_axes(lam, len(grid))
    used = [_count_used(n, length) for n, length in zip(grid, size, strict=True)]
    exists = _multiply_axes(
        [ops.arange(n) < m for n, m in zip(grid, used, strict=True)]
    )
    keys = ops.reshape(ops.to_sort_keys(noise), [-1, math.prod(grid)])
    keys = ops.where(ops.reshape(exists, [1, -1]) > 0, keys, 2**31 - 1)
    place = ops.argsort(ops.argsort(keys))
    count = fourier.top_count(lam, functools.reduce(operator.mul, used), rounding)
    return ops.reshape(place < count[:, None], [-1, *grid])


def _multiply_axes(values: Sequence[Tensor]) -> Tensor:
    """Returns products of int32 numbers, one vector per axis, shape `(1, *grid)`."""
    ops = _backend.get_ops(*values)
    profiles = [ops.cast(vector, "int32")[None] for vector in values]
    factors = _factored.Mask.from_profiles(profiles).factors
    return functools.reduce(operator.mul, factors)


def grid_weight(kept: Tensor, size: Sequence[Any]) -> Tensor:
    """Returns the means of the masks, the share of pixels in cells that are kept.

    Args:
        kept: Booleans `(draws, *grid)`.
        size: Spatial lengths.
    """
    ops = _backend.get_ops(kept)
    grid = ops.shape(kept)[1:]
    lengths = []
    for cells, length in zip(grid, size, strict=True):
        bounds = _boundaries(cells, length, kept)
        lengths.append(bounds[1:] - bounds[:-1])
    pixels = ops.where(kept, _multiply_axes(lengths), 0)
    axes = list(range(1, len(grid) + 1))
    return _factored.exact_share(ops.sum(pixels, axes), ops.prod(ops.stack(size)))


def build_grid(kept: Tensor, size: Sequence[Any]) -> _factored.Mask:
    """Returns the masks that are 1 in the cells that are kept and 0 elsewhere.

    Args:
        kept: Booleans `(draws, *grid)`.
        size: Spatial lengths.
    """
    ops = _backend.get_ops(kept)
    draws, *grid = ops.shape(kept)
    values = ops.cast(kept, "float32")
    # Products with zeros and ones, from the last axis on, so that matrices stay large.
    for axis in reversed(range(len(grid))):
        length = size[axis]
        bounds = _boundaries(grid[axis], length, kept)
        pixel = ops.arange(length)
        before = functools.reduce(operator.mul, grid[:axis], draws)
        if axis == len(grid) - 1:
            inside = (bounds[:-1, None] <= pixel) & (pixel < bounds[1:, None])
            values = ops.reshape(values, [before, grid[axis]])
            values = ops.matmul(values, ops.cast(inside, "float32"))
        else:
            inside = (bounds[:-1] <= pixel[:, None]) & (pixel[:, None] < bounds[1:])
            after = functools.reduce(operator.mul, size[axis + 1 :])
            values = ops.reshape(values, [before, grid[axis], after])
            values = ops.matmul(ops.cast(inside, "float32"), values)
    zeros = ops.zeros([draws], "float32")
    values = ops.reshape(values, [draws, *size]) > 0.5
    return _factored.Mask(zeros, zeros + 1.0, (values,))


def grid_mask(
    lam: Any,
    noise: Any,
    size: Sequence[int],
    *,
    exact_count: bool = True,
    rounding: Any = 0.0,
) -> tuple[Tensor, Tensor]:
    """Returns the mask of GridMix: 1 in some cells of a grid, 0 in the others.

    An axis of L pixels is cut into N cells, from pixel floor(k L / N) on, so that
    their lengths differ by one pixel at most. An axis of fewer pixels than cells is
    cut into single pixels, and the noise of the last cells is left out.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        noise: In [0, 1), shape `(draws, *grid)`, one value per cell.
        size: Spatial lengths of the images, one to three.
        exact_count: Whether the cells of the smallest noise show the first image,
            floor(lam * cells + rounding) of them; or else each cell whose noise is less
            than lambda.
        rounding: In [0, 1), a number or `(draws,)`; not used for single cells. Uniform
            draws make every pixel's expected mask lambda.

    Returns:
        The mask, float32 `(draws, *size)` of zeros and ones, and its mean, float32
        `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.grid_mask([0.5], [[[0.1, 0.7], [0.9, 0.2]]], (4, 5))
        >>> print(mask.numpy()[0])
        [[1. 1. 0. 0. 0.]
         [1. 1. 0. 0. 0.]
         [0. 0. 1. 1. 1.]
         [0. 0. 1. 1. 1.]]
        >>> print(weight.numpy())
        [0.5]

    References:
        Baek, Bang and Shim, GridMix: Strong regularization through local context
        mapping, 2021.
    """
    owner = "grid_mask"
    size = _given.check_size(owner, size)
    _given.check_countable(owner, size, fourier.MOST_PIXELS)
    lam = _given.convert_lam(owner, lam, noise)
    cells = [("cells", None)] * len(size)
    noise = _given.convert_noise(owner, "noise", noise, lam, *cells)
    check_grid(owner, tuple(noise.shape)[1:])
    rounding = _given.convert_rounding(owner, rounding, lam)
    kept = keep_cells(lam, noise, size, exact_count=exact_count, rounding=rounding)
    return _factored.to_dense(build_grid(kept, size), size), grid_weight(kept, size)
