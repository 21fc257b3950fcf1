"""The grid of blocks that an image is cut into, of another length in each sample.

An axis of L pixels in at most n blocks has blocks of ceil(L / n) pixels; the last one
is smaller where they do not divide it. The samples of a batch may have different n. All
then have a place in the grid of the largest n, with blocks of no pixels at its end, so
that shapes are static.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_msda import _backend

Tensor = Any


class Grid(NamedTuple):
    """How the images of a batch are cut into blocks.

    Attributes:
        size: Lengths of the image's axes in pixels, integers or traced scalars.
        shape: Number of places for blocks along each axis, integers.
        side: int32 `(batch, 1)` for each axis: pixels of a block.
        used: int32 `(batch, 1)` for each axis: blocks of at least one pixel.
        length: float32 `(batch, places)` for each axis: pixels of each block.
    """

    size: tuple[Any, ...]
    shape: tuple[int, ...]
    side: list[Tensor]
    used: list[Tensor]
    length: list[Tensor]


def divide_up(x: Any, y: Any) -> Any:
    """Returns x / y, rounded up."""
    return (x + y - 1) // y


def count_places(size: Sequence[Any], choices: Sequence[int]) -> tuple[int, ...]:
    """Returns how many blocks each axis has at most.

    Args:
        size: Lengths in pixels, integers or traced scalars.
        choices: Numbers of blocks that a sample may have.
    """
    return tuple(
        max(divide_up(length, divide_up(length, n)) for n in choices)
        if isinstance(length, int)
        else max(choices)
        for length in size
    )


def make_grid(size: Sequence[Any], blocks: Tensor, choices: Sequence[int]) -> Grid:
    """Cuts images into blocks.

    Args:
        size: Lengths in pixels, integers or traced scalars.
        blocks: int32 `(batch,)`, each sample's number of blocks per axis.
        choices: All numbers that there may be.
    """
    ops = _backend.get_ops(blocks)
    shape = count_places(size, choices)
    side = [divide_up(length, blocks[:, None]) for length in size]
    used = [divide_up(n, pixels) for n, pixels in zip(size, side, strict=True)]
    length = []
    for total, pixels, places in zip(size, side, shape, strict=True):
        rest = total - ops.arange(places)[None] * pixels
        length.append(ops.cast(ops.maximum(ops.minimum(rest, pixels), 0), "float32"))
    return Grid(tuple(size), shape, side, used, length)


def place_on_axis(values: Tensor, axis: int, rank: int) -> Tensor:
    """Returns `(batch, length)` as it broadcasts along one of `rank` axes."""
    ops = _backend.get_ops(values)
    batch, length = ops.shape(values)
    return ops.reshape(values, [batch, *[1] * axis, length, *[1] * (rank - axis - 1)])


def contract(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiplies an axis of `(batch, ...)`, from 0, by matrices `(batch, new, old)`."""
    ops = _backend.get_ops(x)
    batch, *lengths = ops.shape(x)
    before, after = 1, 1
    for length in lengths[:axis]:
        before = before * length
    for length in lengths[axis + 1 :]:
        after = after * length
    new = ops.shape(matrix)[1]
    if axis == len(lengths) - 1:  # One product for each sample, and not for each row.
        rows = ops.reshape(x, [batch, before, lengths[axis]])
        result = ops.matmul(rows, ops.transpose(matrix, (0, 2, 1)))
    else:
        rows = ops.reshape(x, [batch, before, lengths[axis], after])
        result = ops.matmul(matrix[:, None], rows)
    return ops.reshape(result, [batch, *lengths[:axis], new, *lengths[axis + 1 :]])


def mark(places: Any, where: Tensor) -> Tensor:
    """Returns matrices with 1 where a column belongs to a row.

    Args:
        places: Number of rows.
        where: int32 `(batch, columns)`, the row of each column.

    Returns:
        float32 `(batch, rows, columns)`.
    """
    ops = _backend.get_ops(where)
    rows = ops.arange(places)[None, :, None]
    return ops.cast(rows == where[:, None, :], "float32")


def sum_blocks(grid: Grid, x: Tensor) -> Tensor:
    """Returns the sums of each block's pixels, of `(batch, *size)`."""
    ops = _backend.get_ops(x)
    for axis, places in enumerate(grid.shape):
        where = ops.arange(grid.size[axis])[None] // grid.side[axis]
        x = contract(x, axis, mark(places, where))
    return x


def measure_blocks(grid: Grid, *, without: int | None = None) -> Tensor:
    """Returns the share of each block of the image, float32 `(batch, *grid)`.

    Args:
        grid: The grid.
        without: An axis that is left out: the share of the face between two blocks.
    """
    rank = len(grid.shape)
    parts = []
    for axis, length in enumerate(grid.length):
        ops = _backend.get_ops(length)
        if axis == without:
            share = ops.cast(length > 0.0, "float32")
        else:
            share = length / ops.cast(ops.convert(grid.size[axis]), "float32")
        parts.append(place_on_axis(share, axis, rank))
    share = parts[0]
    for part in parts[1:]:
        share = share * part
    return share


def index_blocks(grid: Grid) -> Tensor:
    """Returns the number of each pixel's block in the batch, int32 `(batch, *size)`.

    They are the places in values `(batch, *grid)` that are made flat.
    """
    rank = len(grid.shape)
    ops = _backend.get_ops(grid.side[0])
    batch = ops.shape(grid.side[0])[0]
    index = ops.reshape(ops.arange(batch), [batch, *[1] * rank])
    for axis, places in enumerate(grid.shape):
        where = ops.arange(grid.size[axis])[None] // grid.side[axis]
        index = index * places + place_on_axis(where, axis, rank)
    return index


def spread(grid: Grid, values: Tensor) -> Tensor:
    """Returns the values of blocks, `(batch, *grid)`, at each pixel."""
    ops = _backend.get_ops(values)
    flat = ops.take(ops.reshape(values, [-1]), ops.reshape(index_blocks(grid), [-1]))
    return ops.reshape(flat, [ops.shape(values)[0], *grid.size])


def call_compiled(
    function: Callable[..., Tensor], grid: Grid, *tensors: Any, **static: Any
) -> Tensor:
    """Returns function(grid, *tensors, **static), on JAX compiled in one piece.

    Outside of a trace JAX compiles each operation by itself, for each shape: a minute
    for all of them. Inside of one whoever compiles it compiles this with it.

    Args:
        function: Function of tensors, without state.
        grid: The grid.
        *tensors: Tensors, nests of them, or None.
        **static: What can be hashed.
    """
    ops: Any = _backend.get_ops(grid.side[0])
    values = keras.tree.flatten((grid[2:], tensors))
    known = all(x is None or ops.is_eager(x) for x in values)
    if not ops.functional or not known:
        return function(grid, *tensors, **static)
    options = tuple(sorted(static.items()))
    return _compile(ops, function, grid[:2], options)(grid[2:], *tensors)


@functools.lru_cache(maxsize=64)
def _compile(
    ops: Any,
    function: Callable[..., Tensor],
    lengths: tuple[Any, ...],
    options: tuple[tuple[str, Any], ...],
) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = ops.compile_function(
        lambda parts, *tensors: function(
            Grid(*lengths, *parts), *tensors, **dict(options)
        )
    )
    return compiled
