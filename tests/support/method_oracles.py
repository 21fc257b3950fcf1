"""Slow, plain counterparts of the masks of GridMix, SmoothMix and ResizeMix.

Rational numbers where the library computes in integers, float64 elsewhere.
"""

import math
from fractions import Fraction

import numpy as np


def cell_of(pixel, cells, length):
    """Returns the cell of a pixel: the last one that starts at it or before."""
    used = min(cells, length)
    return max(k for k in range(used) if k * length // used <= pixel)


def kept_cells(lam, noise, size, rounding=0.0, *, exact_count=True):
    """Returns the cells, as tuples, that show the first image."""
    used = [min(n, length) for n, length in zip(noise.shape, size, strict=True)]
    cells = list(np.ndindex(*used))
    if not exact_count:
        return {cell for cell in cells if noise[cell] < lam}
    count = math.floor(Fraction(float(lam)) * len(cells) + Fraction(float(rounding)))
    return set(sorted(cells, key=lambda cell: noise[cell])[: min(count, len(cells))])


def grid_mask(lam, noise, size, rounding=0.0, *, exact_count=True):
    """Masks of GridMix: 1 in the cells that are kept."""
    rounding = np.broadcast_to(rounding, len(lam))
    mask = np.zeros((len(lam), *size))
    for i in range(len(lam)):
        kept = kept_cells(lam[i], noise[i], size, rounding[i], exact_count=exact_count)
        for pixel in np.ndindex(*size):
            triples = zip(pixel, noise.shape[1:], size, strict=True)
            mask[i][pixel] = tuple(cell_of(*triple) for triple in triples) in kept
    return mask


def smooth_mask(center, sigma, size):
    """Masks of SmoothMix: a Gaussian bump of relative width."""
    mask = np.zeros((len(sigma), *size))
    for i, relative in enumerate(np.asarray(sigma, np.float64)):
        for pixel in np.ndindex(*size):
            terms = [
                (p - c) ** 2 / (2 * (relative * length) ** 2)
                for p, c, length in zip(pixel, center[i], size, strict=True)
            ]
            mask[i][pixel] = math.exp(-sum(terms))
    return mask


def resized_sides(scale, size):
    """Returns max(1, round(scale L)) for each axis, halves rounded up."""
    half = Fraction(1, 2)
    return [max(1, math.floor(Fraction(float(scale)) * n + half)) for n in size]


def resized_box(scale, position, size):
    """Returns starts and sides of the box of ResizeMix."""
    sides = resized_sides(scale, size)
    places = zip(position, size, sides, strict=True)
    starts = [math.floor(Fraction(float(p)) * (n - s + 1)) for p, n, s in places]
    return starts, sides


def resize_mask(scale, position, size):
    """Masks of ResizeMix: 0 in the box, 1 elsewhere."""
    mask = np.ones((len(scale), *size))
    for i in range(len(scale)):
        starts, sides = resized_box(scale[i], position[i], size)
        box = tuple(slice(a, a + s) for a, s in zip(starts, sides, strict=True))
        mask[i][box] = 0
    return mask


def paste(own, partner, starts, sides):
    """Returns an image with the whole partner, by nearest pixels, in a box."""
    mixed, size = own.copy(), own.shape[: len(sides)]
    for j in np.ndindex(*sides):
        middles = zip(j, size, sides, strict=True)
        source = tuple(math.floor((k + Fraction(1, 2)) * n / s) for k, n, s in middles)
        mixed[tuple(a + k for a, k in zip(starts, j, strict=True))] = partner[source]
    return mixed
