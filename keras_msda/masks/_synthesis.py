"""Real fields from the low frequencies of their half spectrum."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_msda import _backend

Tensor = Any

# Columns of frequencies up to which matrix products beat the fast transform. Where all
# frequencies are kept, it is as fast as they are.
_FEW = 64


def transform_back(parts: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
    """Returns the inverse transform of a block of low frequencies, in FFT order.

    Args:
        parts: Real and imaginary part, float32 `(draws, *rows, columns)`.
        size: Spatial lengths of the result.
    """
    ops = _backend.get_ops(*parts)
    columns = parts[0].shape[-1]
    known = all(isinstance(length, int) for length in size)
    if known and columns <= min(_FEW, size[-1] // 2):  # Not all, and not many.
        return _multiply_waves(parts, size)
    parts = _make_hermitian(*parts, length=size[-1])
    real, imaginary = (_pad_spectrum(part, size) for part in parts)
    return ops.irfftn((real, imaginary), size)


def _multiply_waves(parts: tuple[Tensor, Tensor], size: Sequence[int]) -> Tensor:
    """Returns the same as `transform_back`, by one matrix product per axis.

    Faster where the fast transform would mostly move zeros; and TPU compilers take a
    second for it instead of 15.
    """
    ops = _backend.get_ops(*parts)
    *rows, columns = ops.shape(parts[0])[1:]
    # Each product takes the real and imaginary parts of an axis's frequencies to those
    # at its pixels. They stand side by side, so that nothing is moved between products.
    waves = ops.stack(parts, 1)
    for axis, (count, length) in enumerate(zip(rows, size[:-1], strict=True), start=1):
        after = math.prod([*rows[axis:], columns])
        turns = ops.convert(_turn_waves(count, length), "float32")
        waves = ops.fast_matmul(turns, ops.reshape(waves, [-1, 2 * count, after]))
    turns = ops.convert(_turn_columns(columns, size), "float32")
    field = ops.fast_matmul(ops.reshape(waves, [-1, 2 * columns]), turns)
    return ops.reshape(field, [-1, *size])


def _turn_waves(count: int, length: int) -> np.ndarray:
    """Returns the matrix that sums complex frequencies of an axis at its pixels.

    Each frequency is multiplied by `cos + i sin` of its angle at each pixel.

    Returns:
        Shape `(2 * length, 2 * count)`: rows are real and imaginary parts in turn,
        columns are all real parts and then all imaginary parts.
    """
    cosines, sines = _cosines_and_sines(count, length)
    turns = np.array([[cosines, -sines], [sines, cosines]])
    return turns.transpose(3, 0, 1, 2).reshape(2 * length, 2 * count)


def _turn_columns(columns: int, size: Sequence[int]) -> np.ndarray:
    """Returns the matrix that sums the columns of a half spectrum to the real field."""
    # A column also stands for its mirror image, unless it is its own.
    column = np.arange(columns)
    share = np.where((column == 0) | (2 * column == size[-1]), 1, 2) / math.prod(size)
    cosines, sines = _cosines_and_sines(2 * columns, size[-1])[:, :columns]
    return np.concatenate([share[:, None] * cosines, -share[:, None] * sines])


def _cosines_and_sines(count: int, length: int) -> np.ndarray:
    """Returns cosines and sines, stacked, of frequencies in FFT order at each pixel."""
    index = np.arange(count)
    signed = np.where(index < (count + 1) // 2, index, index - count)
    # Reduced in whole numbers, so that the last pixel's angle is as exact as the first.
    angle = 2 * np.pi / length * (np.outer(signed, np.arange(length)) % length)
    return np.stack([np.cos(angle), np.sin(angle)])


def _pad_spectrum(block: Tensor, size: Sequence[Any]) -> Tensor:
    """Puts a block of low frequencies, in FFT order, into the whole half spectrum."""
    ops = _backend.get_ops(block)
    rank = len(size)
    for axis in range(1, rank + 1):
        shape = list(ops.shape(block))
        rows, last = shape[axis], axis == rank
        head = rows if last else (rows + 1) // 2
        whole = size[axis - 1] // 2 + 1 if last else size[axis - 1]
        shape[axis] = whole - rows
        before = (slice(None),) * axis
        parts = [block[(*before, slice(0, head))], ops.zeros(shape, "float32")]
        block = ops.concat([*parts, block[(*before, slice(head, None))]], axis)
    return block


def fit_lengths(block: Tensor, lengths: Sequence[Any]) -> Tensor:
    """Crops or pads a block, at the end of each axis, to some lengths."""
    ops = _backend.get_ops(block)
    for axis, length in enumerate(lengths, start=1):
        block = block[(*(slice(None),) * axis, slice(0, length))]
        shape = list(ops.shape(block))
        shape[axis] = length - shape[axis]
        block = ops.concat([block, ops.zeros(shape, "float32")], axis)
    return block


def _make_hermitian(
    real: Tensor, imaginary: Tensor, *, length: Any
) -> tuple[Tensor, Tensor]:
    """Returns a half spectrum whose self-conjugate columns belong to a real field.

    The first column of a half spectrum, and the middle one of an even length, are their
    own mirror images in a real field. Not every library takes that part by itself.
    """
    ops = _backend.get_ops(real)
    shape = ops.shape(real)
    columns = ops.arange(shape[-1])
    mirrored = (columns == 0) | (2 * columns == length)
    others = range(1, len(shape) - 1)
    flipped = [ops.negate_index(part, others) for part in (real, imaginary)]
    return (
        ops.where(mirrored, (real + flipped[0]) / 2.0, real),
        ops.where(mirrored, (imaginary - flipped[1]) / 2.0, imaginary),
    )
