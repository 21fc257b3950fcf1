"""`Move`: where the pixels of a partner come to, before a mask hides some of them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend

Tensor = Any


class Move(NamedTuple):
    """Says which pixel of the partner is shown at each pixel, one move per draw.

    Attributes:
        index: int32 `(draws, *size)`, the pixel of the partner, counted row by row.
        start: float32 `(draws, rank)`, in pixels; None where the partner is not moved
            by one scale per axis.
        scale: float32 `(draws, rank)`: a coordinate c of the partner comes to
            `start + scale * c`. None together with `start`.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> move = masks.Move(np.array([[1, 0, 2]]), None, None)  # Two pixels change.
        >>> print(move.index.shape)
        (1, 3)
    """

    index: Tensor
    start: Tensor | None = None
    scale: Tensor | None = None


def take_draws(move: Move, draw_index: Tensor | None) -> Move:
    """Returns one move per sample from one per draw.

    Args:
        move: Moves of the draws.
        draw_index: int32 `(batch,)`, the draw that each sample takes; None where sample
            i takes draw i.
    """
    if draw_index is None:
        return move
    ops = _backend.get_ops(draw_index)
    return Move(*(None if x is None else ops.take(x, draw_index) for x in move))


def keep_unmixed(move: Move, mixed: Tensor) -> Move:
    """Returns moves of own images, those of samples that are not mixed left in place.

    Args:
        move: Moves of the samples, without a scale.
        mixed: Truth values `(batch,)`.
    """
    ops = _backend.get_ops(move.index)
    _, *size = ops.shape(move.index)
    here = ops.reshape(ops.arange(math.prod(size)), [1, *size])
    apart = ops.reshape(mixed, [-1, *[1] * len(size)])
    return Move(ops.where(apart, move.index, here))


def expand_axes(move: Move, places: Sequence[int], size: Sequence[Any]) -> Move:
    """Returns moves along some of the spatial axes as moves of whole images.

    Args:
        move: Moves with as many axes as there are places.
        places: Which of all spatial axes these are, ascending.
        size: Lengths of all spatial axes.
    """
    ops = _backend.get_ops(move.index)
    rank, draws = len(size), ops.shape(move.index)[0]
    shape = [size[axis] if axis in places else 1 for axis in range(rank)]
    rest = ops.reshape(move.index, [draws, *shape])
    coordinates: dict[int, Tensor] = {}
    for place in reversed(places):
        coordinates[place] = rest % size[place]
        rest = rest // size[place]
    index = ops.zeros([draws, *size], "int32")
    for axis in range(rank):
        own = ops.reshape(
            ops.arange(size[axis]), [1 if n != axis else -1 for n in range(-1, rank)]
        )
        index = index * size[axis] + coordinates.get(axis, own)
    if move.start is None or move.scale is None:
        return Move(index)
    starts = ops.zeros([draws], "float32"), ops.ones([draws], "float32")
    start, scale = (
        ops.stack(
            [
                x[:, places.index(axis)] if axis in places else still
                for axis in range(rank)
            ],
            1,
        )
        for x, still in zip((move.start, move.scale), starts, strict=True)
    )
    return Move(index, start, scale)


def take_pixels(images: Tensor, index: Tensor, data_format: str) -> Tensor:
    """Returns images whose pixels are moved.

    Args:
        images: Shape `(batch, *size, channels)` or channels first; without an axis of
            channels for "channels_last" too.
        index: int32 `(batch, *size)`, the pixel that is shown at each pixel.
        data_format: "channels_last" or "channels_first".
    """
    ops = _backend.get_ops(images)
    shape = ops.shape(images)
    batch, *size = ops.shape(index)
    flat = ops.reshape(index, [batch, math.prod(size)])
    if data_format == "channels_last" or len(shape) == len(size) + 1:
        rest = shape[len(size) + 1 :]
        pixels = ops.reshape(images, [batch, math.prod(size), *rest])
        return ops.reshape(ops.take_along(pixels, flat), shape)
    rows = ops.reshape(images, [batch * shape[1], math.prod(size)])
    each = ops.broadcast_to(flat[:, None], [batch, shape[1], math.prod(size)])
    each = ops.reshape(each, [batch * shape[1], math.prod(size)])
    return ops.reshape(ops.take_along(rows, each), shape)
