"""The sizes, shares and centres that every mask is tried on."""

import functools
import itertools
import math

import numpy as np

SIZES = [(31,), (9, 14), (5, 6, 9), (1, 7), (1, 1, 5)]
TINY, ALMOST_ONE = 1e-7, 1 - 1e-6
JUST_UNDER_ONE = np.nextafter(np.float32(1), np.float32(0))


def shares():
    """Returns shares of both ends, the middle and nothing in particular."""
    values = [0, TINY, 0.05, 0.1, 0.37, 0.5, 0.63, 0.93, ALMOST_ONE, 1]
    return np.array(values, np.float32)


def lattice_shares(size):
    """Returns shares that are, before rounding to float32, whole sides of a box."""
    whole = {k / length for length in size for k in range(length + 1)}
    values = whole | {1 - value ** len(size) for value in whole}
    return np.array(sorted(values), np.float32)


def all_centers(size):
    """Returns every pixel of an image, shape (pixels, rank)."""
    return np.array(list(np.ndindex(*size)), np.int32)


def centers(size):
    """Returns every pixel of a small image; of others corners, edges and middle."""
    if math.prod(size) <= 150:
        return all_centers(size)
    axes = [sorted({0, 1, length // 2, length - 1}) for length in size]
    return np.array(list(itertools.product(*axes)), np.int32)


@functools.cache
def grid(size):
    """Returns lam and centre: each share at each centre, lattice shares at one each."""
    spots = centers(size)
    every = np.repeat(shares(), len(spots))
    lattice = lattice_shares(size)
    turn = np.arange(len(lattice)) % len(spots)
    lam = np.concatenate([every, lattice])
    return lam, np.concatenate([np.tile(spots, (len(shares()), 1)), spots[turn]])


def rounding_noise(size, seed=0):
    """Returns lam, centre and noise (B, rank), its ends included, for a box."""
    lam, center = grid(size)
    rng = np.random.default_rng(seed)
    noise = rng.random((len(lam), len(size)), np.float32)
    noise[::3] = rng.choice([0, JUST_UNDER_ONE], noise[::3].shape)
    return lam, center, noise
