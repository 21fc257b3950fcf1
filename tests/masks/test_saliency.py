"""The contrast detector against loops, and what a placement by it relies on."""

import math

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from keras_msda import masks
from tests.support import errors, mask_cases
from tests.support import layer_cases as cases
from tests.support import saliency_oracles as oracles

SIZES = [(31,), (9, 14), (5, 6, 9), (1, 7), (1, 1, 1), (40, 3)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def images(size, channels=3, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((batch, *size, channels)).astype(np.float32)


def contrast(x, data_format="channels_last"):
    return cases.array(masks.contrast_saliency(x, data_format))


@sizes
@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_is_that_of_the_loop(size, channels):
    x = images(size, channels)
    # Some sums of float32 brightness.
    assert_allclose(contrast(x), oracles.contrast_saliency(x), rtol=0, atol=1e-6)


@sizes
def test_channels_first_has_the_contrast_of_channels_last(size):
    x = images(size)
    first = np.moveaxis(x, -1, 1)
    # Means over the channels may be added in another order.
    assert_allclose(contrast(first, "channels_first"), contrast(x), rtol=0, atol=1e-6)


@sizes
@pytest.mark.parametrize("level", [0.0, 0.1, 3.3, 255.0, 1e20])
def test_a_constant_image_has_no_contrast(size, level):
    x = images((1,) * len(size))[:1] * np.float32(level)
    x = np.broadcast_to(x, (2, *size, 3)).copy()
    assert_array_equal(contrast(x), np.zeros((2, *size)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_spoil_their_own_sample_alone(value):
    x = images((9, 14), batch=3)
    expected = contrast(x)
    x[1, 4, 5, 0] = value
    found = contrast(x)
    assert not np.isfinite(found[1]).all()
    assert_array_equal(found[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float64"])
def test_every_dtype_gives_float32(dtype):
    x = (images((9, 14)) * 255).astype(dtype)
    found = masks.contrast_saliency(x, "channels_last")
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert_allclose(cases.array(found), oracles.contrast_saliency(x), rtol=0, atol=3e-4)


def test_a_batch_of_nobody_is_allowed():
    assert contrast(images((4, 5), batch=0)).shape == (0, 4, 5)


@pytest.mark.xla
@pytest.mark.tensorflow
@pytest.mark.slow
def test_lengths_unknown_in_a_trace_make_no_difference():
    tf = cases.tf
    x = images((9, 14))
    traced = tf.function(
        lambda x: masks.contrast_saliency(x, "channels_last"),
        input_signature=[tf.TensorSpec((None, None, None, 3))],
        jit_compile=True,
    )
    assert_allclose(traced(x), contrast(x), rtol=0, atol=1e-6)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("x", "arguments", "rule", "received"),
    [
        (np.zeros((2, 3)), {}, "rank 3 to 5", "(2, 3)"),
        (
            np.zeros((2, 3, 3, 1)),
            {"data_format": "last"},
            "`data_format` must be",
            "'last'",
        ),
    ],
)
def test_wrong_arguments_are_refused(x, arguments, rule, received):
    errors.check_error(
        lambda: masks.contrast_saliency(x, **arguments),
        "contrast_saliency",
        ValueError,
        rule,
        received,
    )


# The box around the most salient pixel.


def box(*arguments, **options):
    return tuple(map(cases.array, masks.saliency_box_mask(*arguments, **options)))


def saliency_of(size, draws, seed=0):
    """Returns saliency of few levels, so that many pixels are equally salient."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (draws, *size)).astype(np.float32)


@sizes
@pytest.mark.parametrize("border", ["inside", "clip"])
def test_the_box_is_cutmix_s_around_the_most_salient_pixel(size, border):
    lam = np.repeat(mask_cases.shares(), 3)
    saliency = saliency_of(size, len(lam))
    tie = np.random.default_rng(1).random(len(lam), np.float32)
    found, weight = box(lam, saliency, tie, border)
    centers = []
    for values, uniform in zip(saliency, tie, strict=True):
        pixels = oracles.salient_pixels(values)
        centers.append(pixels[int(uniform * len(pixels))])
    expected = masks.box_mask(lam, np.array(centers), size, border)
    assert_array_equal(found, cases.array(expected[0]))
    assert_array_equal(weight, cases.array(expected[1]))


@sizes
@pytest.mark.parametrize("level", [0.0, 1.0, 3e30])
def test_equal_saliency_gives_every_centre_once(size, level):
    pixels = math.prod(size)
    saliency = np.full((pixels, *size), level, np.float32)
    tie = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    lam = np.full(pixels, 0.4, np.float32)
    found, _ = box(lam, saliency, tie, "clip")
    expected, _ = masks.box_mask(lam, mask_cases.all_centers(size), size, "clip")
    assert_array_equal(found, cases.array(expected))


def test_saliency_that_rounding_has_changed_is_equal():
    saliency = np.full((4, 4), 0.3, np.float32)
    saliency[:, 1] += 1e-7
    saliency[:, 3] -= 1e-4
    tie = np.array([0.1, 0.4, 0.9, 0.99], np.float32)
    found, _ = box(np.full(4, 0.75, np.float32), saliency, tie)
    assert_array_equal(np.argmin(found, 1), [0, 1, 2, 2])


def test_a_box_inside_has_one_area_wherever_the_eye_is_drawn():
    pixels = mask_cases.all_centers((5, 6))
    saliency = np.eye(30, dtype=np.float32).reshape(30, 5, 6)
    lam = np.full(30, 0.6, np.float32)
    found, weight = box(lam, saliency, np.zeros(30, np.float32), rounding=0.3)
    assert_array_equal(weight, np.full(30, weight[0]))
    assert_array_equal(found[(np.arange(30), *pixels.T)], np.zeros(30))


@pytest.mark.whole
@pytest.mark.parametrize(
    ("change", "rule", "received"),
    [
        ({"lam": [-0.5]}, "`lam` must be in [0, 1]", "-0.5"),
        ({"tie": [1.0]}, "`tie` must be in [0, 1)", "[1.0]"),
        ({"tie": [0.1, 0.2]}, "`tie` must have the shape (draws=1,)", "(2,)"),
        ({"saliency": [[-1.0, 2.0]]}, "finite and not negative", "-1.0 to 2.0"),
        ({"saliency": [[np.nan, 2.0]]}, "finite and not negative", "nan"),
        ({"saliency": [1.0]}, "(draws, *size)", "(1,) for 1 draws"),
        ({"saliency": np.ones((2, 3))}, "(draws, *size)", "(2, 3) for 1 draws"),
        ({"border": "wrap"}, "`border` must be", "'wrap'"),
        ({"rounding": 1.0}, "`rounding` must be in [0, 1)", "1.0"),
    ],
    ids=str,
)
def test_wrong_arguments_of_the_box_are_refused(change, rule, received):
    arguments = {"lam": [0.5], "saliency": [[1.0, 2.0]], "tie": [0.5]} | change
    errors.check_error(
        lambda: masks.saliency_box_mask(**arguments),
        "saliency_box_mask",
        ValueError,
        rule,
        received,
    )
