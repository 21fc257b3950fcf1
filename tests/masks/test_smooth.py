"""The bump of SmoothMix against loops."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from keras_msda.masks import gaussian as _gaussian
from tests.support import layer_cases, mask_cases
from tests.support import method_oracles as oracles
from tests.support.errors import check_error

sizes = pytest.mark.parametrize("size", mask_cases.SIZES, ids=str)
SIGMAS = np.array([1e-6, 0.05, 0.25, 0.4, 0.5, 3.0], np.float32)


def smooth_mask(*arguments):
    return tuple(map(layer_cases.array, masks.smooth_mask(*arguments)))


def draws(size):
    spots = mask_cases.centers(size)
    sigma = np.resize(SIGMAS, max(len(spots), len(SIGMAS)))
    return spots[np.arange(len(sigma)) % len(spots)], sigma


@sizes
def test_the_bump_is_that_of_the_loop(size):
    center, sigma = draws(size)
    mask, _ = smooth_mask(center, sigma, size)
    expected = oracles.smooth_mask(center, sigma, size)
    # float32 exponents: x exp(-x) times a few parts in 1e7.
    assert_allclose(mask, expected, rtol=0, atol=2e-6)


@sizes
def test_the_weight_is_the_mean_of_the_mask(size):
    center, sigma = draws(size)
    mask, weight = smooth_mask(center, sigma, size)
    assert_allclose(weight, layer_cases.pixel_means(mask), rtol=0, atol=1e-6)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


@sizes
def test_lengths_unknown_in_a_trace_make_no_difference(size):
    ops = layer_cases._backend.get_backend_ops()
    center, sigma = draws(size)
    given = [ops.convert(n, "int32") for n in size]
    weight = _gaussian.smooth_weight(ops.convert(center), ops.convert(sigma), given)
    expected = smooth_mask(center, sigma, size)[1]
    assert_allclose(layer_cases.array(weight), expected, rtol=0, atol=1e-6)


def test_the_bump_takes_the_shape_of_the_image():
    mask, _ = smooth_mask([[8, 16]], [0.25], (16, 32))
    # One standard deviation along each axis.
    assert_allclose([mask[0, 4, 16], mask[0, 8, 8]], np.exp([-0.5] * 2), atol=1e-6)
    assert_array_equal(mask[0, 8, 16], 1)


@pytest.mark.parametrize(
    ("change", "rule", "received"),
    [
        ({"sigma": [0.0]}, "`sigma` must be positive and finite", "[0.0]"),
        ({"sigma": [float("nan")]}, "`sigma` must be positive", "[nan]"),
        ({"sigma": ["a"]}, "`sigma` must be positive", "['a']"),
        ({"sigma": [[0.5]]}, "`sigma` must have the shape (draws,)", "(1, 1)"),
        ({"center": [[1]]}, "`center` must have the shape (draws=1, rank=2)", "(1, 1)"),
        ({"center": [[1, 5]]}, "`center` must be integer pixels", "1 to 5"),
        ({"size": (4, -5)}, "`size` must hold", "(4, -5)"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(change, rule, received):
    arguments = {"center": [[1, 2]], "sigma": [0.5], "size": (4, 5)} | change
    call = lambda: masks.smooth_mask(**arguments)  # noqa: E731
    check_error(call, "smooth_mask", ValueError, rule, received)
