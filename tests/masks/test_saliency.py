"""The contrast detector against loops, and what a placement by it relies on."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from keras_msda import masks
from tests.support import errors
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
@pytest.mark.skipif(cases.BACKEND != "tensorflow", reason="Graphs of TensorFlow.")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_lengths_unknown_in_a_trace_make_no_difference(jit_compile):
    tf = cases.tf
    x = images((9, 14))
    traced = tf.function(
        lambda x: masks.contrast_saliency(x, "channels_last"),
        input_signature=[tf.TensorSpec((None, None, None, 3))],
        jit_compile=jit_compile,
    )
    assert_allclose(traced(x), contrast(x), rtol=0, atol=1e-6)


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
