"""The transport of PuzzleMix: which block of an image each shown block shows.

Each block of an image proposes itself to the places that are shown, from the nearest
one on, as long as the saliency that it brings is worth the way. A place keeps the block
of the least cost. That is the published iteration, row by row and column by column,
until nothing changes.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _backend
from keras_msda.masks import _puzzle_grid
from keras_msda.masks._puzzle_grid import Grid

Tensor = Any


class _Ways(NamedTuple):
    """All displacements on a grid, the shortest first, then in row-major order.

    Attributes:
        steps: int32 `(ways, rank)`.
        squared: int32 `(ways,)`, squared lengths.
        first: int32 `(longest + 1,)`: for each squared length the first way that is not
            shorter.
    """

    steps: np.ndarray
    squared: np.ndarray
    first: np.ndarray


@functools.lru_cache(maxsize=8)
def _list_ways(shape: tuple[int, ...]) -> _Ways:
    axes = [np.arange(1 - places, places) for places in shape]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    squared = (steps**2).sum(1)
    order = np.argsort(squared, kind="stable")
    steps, squared = steps[order], squared[order]
    first = np.searchsorted(squared, np.arange(squared[-1] + 1))
    return _Ways(*(x.astype("int32") for x in (steps, squared, first)))


def _find_kinds(grid: Grid) -> Tensor:
    """Returns numbers that are equal for blocks of equal sides, int32 `(batch, n)`."""
    rank = len(grid.shape)
    ops = _backend.get_ops(grid.side[0])
    kinds = ops.zeros([1] * (rank + 1), "int32")
    for axis, (length, side) in enumerate(zip(grid.length, grid.side, strict=True)):
        whole = length == ops.cast(side, "float32")
        empty = length == 0.0
        kind = ops.where(whole, 0, ops.where(empty, 2, 1))
        kind = ops.cast(kind, "int32")
        kinds = 3 * kinds + _puzzle_grid.place_on_axis(kind, axis, rank)
    return ops.reshape(kinds, [ops.shape(grid.side[0])[0], math.prod(grid.shape)])


def _find_squared_distance(shown: Tensor) -> Tensor:
    """Returns the squared distance to the nearest shown place, int32 `(batch, *grid)`.

    Axis by axis: the least sum of squares is the least along one axis after the other.
    """
    ops = _backend.get_ops(shown)
    batch, *shape = ops.shape(shown)
    far = sum(n * n for n in shape)
    distance = far * ops.cast(~shown, "int32")
    for axis, places in enumerate(shape):
        before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        squares = np.square(np.arange(places)[:, None] - np.arange(places))
        squares = ops.convert(squares[..., None].astype("int32"))
        rows = ops.reshape(distance, [batch, before, 1, places, after])
        distance = -ops.max(-(rows + squares), 3)
    return ops.reshape(distance, [batch, *shape])


class _Proposals(NamedTuple):
    """What is fixed while blocks propose themselves.

    Attributes:
        steps: int32 `(ways, rank)`.
        squared: int32 `(ways,)`.
        worth: float32 `(batch, n)`, the saliency of each block.
        price: float32 `(batch, 1)`, what a way costs per squared length.
        targets: int32 `(batch, n)`, the kind of each shown place, -1 of others.
        kinds: int32 `(batch, n)`, the kind of each block.
    """

    steps: Tensor
    squared: Tensor
    worth: Tensor
    price: Tensor
    targets: Tensor
    kinds: Tensor


def _propose(
    made: _Proposals, shape: Sequence[int], way: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns which blocks propose themselves where, and at which cost.

    Args:
        made: What is fixed.
        shape: Places along each axis.
        way: int32 `(batch, n)`, the way that each block is at.

    Returns:
        Places, int32 `(batch, n)`; costs, float32, negative where the way is worth it;
        and whether the place is shown and takes blocks of this kind.
    """
    ops = _backend.get_ops(way)
    target = ops.zeros([1, 1], "int32")
    inside = way >= 0
    steps = ops.take(made.steps, way)
    for axis, places in enumerate(np.indices(shape).reshape(len(shape), -1)):
        place = ops.convert(places[None].astype("int32")) + steps[..., axis]
        inside = inside & (place >= 0) & (place < shape[axis])
        place = ops.minimum(ops.maximum(place, 0), shape[axis] - 1)
        target = target * shape[axis] + place
    squared = ops.cast(ops.take(made.squared, way), "float32")
    cost = made.price * squared - made.worth
    taken = inside & (ops.take_along(made.targets, target) == made.kinds)
    return target, cost, taken


def _find_winners(target: Tensor, cost: Tensor, proposed: Tensor) -> Tensor:
    """Returns for each place the block of the least cost, of equal ones the first.

    Args:
        target: int32 `(batch, n)`, the place that each block proposes itself to.
        cost: float32 `(batch, n)`.
        proposed: Which blocks propose themselves at all.

    Returns:
        int32 `(batch, n)`, n for places to which no block proposed itself.
    """
    ops = _backend.get_ops(cost)
    batch, blocks = ops.shape(cost)
    cost = ops.where(proposed, cost, 0.0)
    least = ops.scatter_min(ops.zeros([batch, blocks], "float32"), target, cost)
    wins = proposed & (cost == ops.take_along(least, target))
    number = ops.where(wins, ops.arange(blocks)[None], blocks)
    nobody = ops.zeros([batch, blocks], "int32") + blocks
    return ops.scatter_min(nobody, target, number)


def assign_blocks(grid: Grid, saliency: Tensor, shown: Tensor, cost: float) -> Tensor:
    """Returns which block each place shows, its own where it is not shown.

    Args:
        grid: The grid.
        saliency: float32 `(batch, *grid)`, share of each block.
        shown: Whether a place shows anything, `(batch, *grid)`.
        cost: What the way costs from one end of the grid's longest axis to the other.

    Returns:
        int32 `(batch, n)`, places on the grid in row-major order. No block is at two
        shown places.
    """
    ops = _backend.get_ops(saliency)
    batch = ops.shape(saliency)[0]
    ways, blocks = _list_ways(grid.shape), int(np.prod(grid.shape))
    kinds = _find_kinds(grid)
    longest = functools.reduce(ops.maximum, grid.used)
    span = ops.cast(ops.maximum(longest - 1, 1), "float32")
    flat_shown = ops.reshape(shown, [batch, blocks])
    made = _Proposals(
        ops.convert(ways.steps),
        ops.convert(ways.squared),
        ops.reshape(saliency, [batch, blocks]),
        cost / (span * span),
        ops.where(flat_shown, kinds, -1),
        kinds,
    )
    distance = ops.reshape(_find_squared_distance(shown), [batch, blocks])
    last = len(ways.squared) - 1
    nearest = ops.minimum(distance, len(ways.first) - 1)
    way = ops.take(ops.convert(ways.first), nearest)

    def compete(way: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        target, price, taken = _propose(made, grid.shape, way)
        worth_it = price < 0.0
        winners = _find_winners(target, price, taken & worth_it)
        number = ops.arange(blocks)[None]
        wins = taken & worth_it & (ops.take_along(winners, target) == number)
        return winners, worth_it & ~wins, target

    def proceed(_: Any, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        way, _ = state
        _, loses, _ = compete(way)
        loses = loses & (way < last)
        way = ops.where(loses, way + 1, way)
        return ops.reshape(way, [batch, blocks]), ops.any(loses)

    start = (way, ops.any(way >= 0))
    way, _ = ops.loop(len(ways.squared), proceed, start, until=lambda x: ~x[1])
    winners, _, _ = compete(way)
    return ops.where(winners < blocks, winners, ops.arange(blocks)[None])


def find_pixels(grid: Grid, source: Tensor) -> Tensor:
    """Returns which pixel each pixel shows, int32 `(batch, *size)`, row-major.

    Args:
        grid: The grid.
        source: int32 `(batch, n)`, from `assign_blocks`.
    """
    ops = _backend.get_ops(source)
    batch, rank = ops.shape(source)[0], len(grid.shape)
    offset = ops.zeros([1, 1], "int32")
    own, rest = ops.arange(int(np.prod(grid.shape)))[None], source
    for axis in reversed(range(rank)):
        stride = functools.reduce(lambda x, y: x * y, grid.size[axis + 1 :], 1)
        places = grid.shape[axis]
        moved = rest % places - own % places
        offset = offset + moved * grid.side[axis] * stride
        rest, own = rest // places, own // places
    at_pixels = _puzzle_grid.spread(grid, ops.reshape(offset, [batch, *grid.shape]))
    pixels = functools.reduce(lambda x, y: x * y, grid.size)
    here = ops.reshape(ops.arange(pixels), [1, *grid.size])
    return here + at_pixels
