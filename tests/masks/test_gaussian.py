"""Gaussian masks against loops and the laws they must obey."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from tests.support import mask_cases as cases
from tests.support import oracles

sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)
borders = pytest.mark.parametrize("border", ["clip", "wrap"])


def gaussian(lam, center, size, border):
    mask, weight = masks.gaussian_mask(lam, center, size, border=border)
    return np.asarray(mask), np.asarray(weight)


def few(size):
    """Returns lam and centre: every share, with the centres in turn."""
    lam = np.concatenate([np.repeat(cases.shares(), 5), cases.lattice_shares(size)])
    spots = cases.centers(size)
    return lam, spots[np.arange(len(lam)) % len(spots)]


def lawful_shares():
    """Yields sizes and shares of four pixels' worth or more, where the law holds."""
    for size in [*cases.SIZES, (1, 16), (8, 8, 8)]:
        for lam in [0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.93]:
            if min(lam, 1 - lam) * math.prod(size) >= 4:
                yield size, lam


@sizes
def test_clipped_bump_is_that_of_the_loop(size):
    lam, center = cases.grid(size)
    expected, _ = oracles.gaussian_mask(lam, center, size, "clip")
    mask, _ = gaussian(lam, center, size, "clip")
    # float32 exponents: x exp(-x) times a few parts in 1e7.
    assert_allclose(mask, expected, rtol=0, atol=2e-6)


@sizes
def test_wrapped_bump_is_that_of_the_loop(size):
    lam, center = few(size)
    expected, _ = oracles.gaussian_mask(lam, center, size, "wrap")
    mask, _ = gaussian(lam, center, size, "wrap")
    # A width bisected in float32 to a few parts in 1e6, and float32 exponents.
    assert_allclose(mask, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (4, 64), (8, 8, 8)], ids=str)
@borders
def test_bump_on_larger_images_is_that_of_the_loop(size, border):
    lam = np.array([0.003, 0.2, 0.5, 0.8], np.float32)
    center = np.array([[length // 3 for length in size]] * len(lam), np.int32)
    expected, _ = oracles.gaussian_mask(lam, center, size, border)
    mask, _ = gaussian(lam, center, size, border)
    # A width bisected in float32 to a few parts in 1e6, and float32 exponents.
    assert_allclose(mask, expected, rtol=0, atol=1e-5)


@sizes
@borders
def test_weight_of_a_bump_is_the_mean_of_its_mask(size, border):
    lam, center = cases.grid(size)
    mask, weight = gaussian(lam, center, size, border)
    mean = mask.astype(np.float64).reshape(len(lam), -1).mean(axis=1)
    # A float32 sum over at most 270 pixels.
    assert_allclose(weight, mean, rtol=0, atol=1e-6)


@sizes
def test_weight_of_a_wrapped_bump_is_lam(size):
    lam, center = cases.grid(size)
    _, weight = gaussian(lam, center, size, "wrap")
    # A width bisected in float32 to a few parts in 1e6.
    assert_allclose(weight, lam, rtol=0, atol=1e-5)


@sizes
@borders
def test_bump_stays_between_zero_and_one(size, border):
    lam, center = cases.grid(size)
    mask, _ = gaussian(lam, center, size, border)
    assert_array_equal(mask, np.clip(mask, 0, 1))


@sizes
@borders
@pytest.mark.parametrize("lam", [0, 1])
def test_bump_of_no_share_is_nothing(size, border, lam):
    spots = cases.centers(size)
    mask, _ = gaussian(np.full(len(spots), lam, np.float32), spots, size, border)
    assert_array_equal(mask, np.full((len(spots), *size), lam))


@sizes
@borders
@pytest.mark.parametrize("lam", [0.0625, 0.25, 0.4375])
def test_bump_of_the_other_share_is_the_complement(size, border, lam):
    spots = cases.centers(size)
    lam = np.full(len(spots), lam, np.float32)
    mask, _ = gaussian(lam, spots, size, border)
    other, _ = gaussian(1 - lam, spots, size, border)
    # One float32 subtraction from 1.
    assert_allclose(other, 1 - mask, rtol=0, atol=1e-7)


@sizes
@borders
def test_bump_peaks_at_its_centre(size, border):
    spots = cases.all_centers(size)
    mask, _ = gaussian(np.full(len(spots), 0.4, np.float32), spots, size, border)
    peaks = mask.reshape(len(spots), -1).argmax(axis=1)
    assert_array_equal(peaks, np.ravel_multi_index(spots.T, size))


@pytest.mark.parametrize("lam", [0.3, 0.5, 0.8])
def test_clipped_bump_takes_the_shape_of_the_image(lam):
    lam = np.array([lam], np.float32)
    center = np.array([[4, 8]], np.int32)
    mask, _ = gaussian(lam, center, (8, 32), "clip")
    steps = 4 * np.arange(-1, 3)
    # float32 exponents: x exp(-x) times a few parts in 1e7.
    assert_allclose(mask[0, 4, 8 + steps], mask[0, 4 + steps // 4, 8], atol=2e-6)


@pytest.mark.parametrize(("size", "lam"), list(lawful_shares()), ids=str)
def test_wrapped_bumps_average_lam_at_every_pixel(size, lam):
    spots = cases.all_centers(size)
    mask, _ = gaussian(np.full(len(spots), lam, np.float32), spots, size, "wrap")
    average = mask.mean(axis=0, dtype=np.float64)
    # The promise itself.
    assert_allclose(average, np.full(size, lam), rtol=0, atol=1e-4)


@sizes
@pytest.mark.parametrize("pixels", [0.01, 0.5, 0.99])
def test_less_than_a_pixel_wraps_to_a_pale_pixel(size, pixels):
    spots = cases.all_centers(size)
    lam = np.full(len(spots), pixels / math.prod(size), np.float32)
    mask, _ = gaussian(lam, spots, size, "wrap")
    expected = pixels * np.eye(len(spots)).reshape(-1, *size)
    # float32 rounding of lam and of one product.
    assert_allclose(mask, expected, rtol=0, atol=2e-7)


@borders
def test_mask_and_weight_are_float32(border):
    lam, center = few((9, 14))
    mask, weight = gaussian(lam, center, (9, 14), border)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


def test_a_bump_cannot_be_kept_inside():
    lam, center = few((31,))
    with pytest.raises(ValueError, match="inside"):
        masks.gaussian_mask(lam, center, (31,), border="inside")
