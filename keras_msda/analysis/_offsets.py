"""Maps by the offset between two pixels: their means over pairs, and by distance.

Offsets run over -(L - 1) ... L - 1 along each axis of length L, 0 in the middle.
"""

import functools

import numpy as np

from keras_msda.analysis._types import Array, Shape


def pair_counts(shape: Shape) -> Array:
    """Returns how many pairs of pixels have each offset, `(2 length - 1, ...)`."""
    axes = [n - np.abs(np.arange(1.0 - n, n)) for n in shape]
    return functools.reduce(np.multiply.outer, axes)


@functools.lru_cache(maxsize=16)
def pair_windows(length: int) -> Array:
    """Returns, by offset d, the weights of a mean over all y with y + d inside.

    Returns:
        Shape `(2 length - 1, length)`; each row has the sum 1.
    """
    pixel = np.arange(length)
    other = pixel + np.arange(1 - length, length)[:, None]
    inside = (other >= 0) & (other < length)
    weights: Array = inside / pair_counts((length,))[:, None]
    return weights


def average_pairs(values: Array, rank: int) -> Array:
    """Returns by offset the mean over all pairs of the values at their two pixels.

    Args:
        values: Shape `(..., *shape)`.
        rank: Number of spatial axes, the last ones.

    Returns:
        Shape `(..., 2 length - 1, ...)`.
    """
    first = values
    for axis in range(-rank, 0):
        moved = np.tensordot(first, pair_windows(values.shape[axis]), (axis, 1))
        first = np.moveaxis(moved, -1, axis)
    # The second pixel of an offset is the first of the opposite one.
    return (first + np.flip(first, tuple(range(-rank, 0)))) / 2


def autocorrelation(values: Array, rank: int) -> Array:
    """Returns by offset the mean over all pairs of the product of their values.

    Args:
        values: Shape `(..., *shape)`.
        rank: Number of spatial axes, the last ones.

    Returns:
        Shape `(..., 2 length - 1, ...)`.
    """
    shape, axes = values.shape[-rank:], tuple(range(-rank, 0))
    padded = tuple(2 * length for length in shape)
    spectrum = np.fft.rfftn(values, padded, axes)
    power = spectrum.real**2 + spectrum.imag**2
    products = np.fft.irfftn(power, padded, axes)
    products = np.roll(products, [length - 1 for length in shape], axes)
    for axis, length in zip(axes, shape, strict=True):
        products = products.take(np.arange(2 * length - 1), axis)
    return np.asarray(products / pair_counts(shape), np.float64)


def offset_lengths(shape: Shape) -> Array:
    """Returns the length in pixels of each offset of a map of this shape."""
    squares = [(np.arange(length) - length // 2) ** 2.0 for length in shape]
    return np.asarray(np.sqrt(functools.reduce(np.add.outer, squares)), np.float64)


def average_by_distance(offsets: Array, distance: Array) -> tuple[Array, Array]:
    """Returns the means of an offset map over offsets of a distance, rounded.

    Args:
        offsets: `(2 length - 1, ...)`.
        distance: That of each offset, of the same shape.

    Returns:
        Whole distances that there are, and the mean at each; both `(distances,)`.
    """
    shape = tuple((length + 1) // 2 for length in offsets.shape)
    rounded = np.rint(distance).astype(int).reshape(-1)
    pairs = pair_counts(shape).reshape(-1)
    total = np.bincount(rounded, pairs * offsets.reshape(-1))
    count = np.bincount(rounded, pairs)
    found = np.flatnonzero(count)
    return found.astype(float), total[found] / count[found]
