"""The form of masks, as a method of a user builds and returns it."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from keras_msda.masks import _factored, _returned, box, constant, gaussian
from tests.support import mask_cases as cases
from tests.support.errors import check_error

LAM = np.float32([0.0, 0.25, 0.5, 1.0])
ONES = np.ones(4, np.float32)
ZEROS = np.zeros(4, np.float32)
sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)


def given(mask, size):
    """Returns a mask as a layer takes it from a method."""
    return _returned.as_mask(mask, size, owner="SplitLayer")


def dense(mask, size):
    mask = given(mask, size)
    return np.asarray(keras.ops.convert_to_numpy(_factored.to_dense(mask, size)))


def means(mask, size):
    mask = given(mask, size)
    return np.asarray(keras.ops.convert_to_numpy(_factored.mean(mask, size)))


def random_profiles(size, draws=4, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((draws, length), np.float32) for length in size]


def split(size, axis):
    """Returns a mask that shows the first image before lambda of an axis."""
    profiles = [None] * len(size)
    profiles[axis] = np.arange(size[axis]) < LAM[:, None] * size[axis]
    return masks.Mask.from_profiles(profiles)


# Building.


@sizes
def test_a_split_shows_the_first_image_up_to_its_share(size):
    for axis, length in enumerate(size):
        found = dense(split(size, axis), size)
        for draw, pixel in np.ndindex(len(LAM), length):
            expected = float(pixel < LAM[draw] * length)
            assert_array_equal(np.take(found[draw], pixel, axis), expected)


@sizes
def test_a_mask_of_profiles_is_their_product(size):
    profiles = random_profiles(size)
    found = dense(masks.Mask.from_profiles(profiles, offset=LAM, scale=-LAM), size)
    for draw in range(len(LAM)):
        product = math.prod(np.ix_(*[profile[draw] for profile in profiles]))
        expected = LAM[draw] - LAM[draw] * product.astype(np.float64)
        # A few float32 products.
        assert_allclose(found[draw], expected, rtol=0, atol=1e-6)


def test_profiles_have_an_axis_of_draws_and_one_of_pixels():
    for wrong in (np.zeros(3, np.float32), np.zeros((1, 2, 3), np.float32)):
        check_error(
            lambda x=wrong: masks.Mask.from_profiles([None, x]),
            "Mask.from_profiles",
            ValueError,
            "each profile must have the shape (draws, length).",
            f"shape {wrong.shape}",
        )


@pytest.mark.parametrize("profiles", [[], [None, None]])
def test_a_mask_without_profiles_is_refused(profiles):
    check_error(
        lambda: masks.Mask.from_profiles(profiles),
        "Mask.from_profiles",
        ValueError,
        "one profile at least must be given.",
        f"profiles={profiles}",
    )


# What a method returned.


@sizes
@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "int32"])
def test_a_dense_tensor_becomes_the_mask_of_its_values(size, dtype):
    values = np.random.default_rng(1).integers(0, 2, (3, *size)).astype(dtype)
    found = _returned.as_mask(values, size, owner="SplitLayer", draws=3)
    assert isinstance(found, masks.Mask)
    assert_array_equal(dense(found, size), values.astype("float32"))


@sizes
def test_a_mask_is_returned_with_the_same_values(size):
    mask = masks.Mask.from_profiles(random_profiles(size), offset=LAM, scale=-LAM)
    found = _returned.as_mask(mask, size, owner="SplitLayer", draws=4)
    assert_array_equal(dense(found, size), dense(mask, size))


def test_a_mask_without_factors_is_one_of_any_size():
    mask = _returned.as_mask(masks.Mask(LAM, ZEROS, ()), (2, 3), owner="SplitLayer")
    assert_array_equal(
        dense(mask, (2, 3)), np.broadcast_to(LAM[:, None, None], (4, 2, 3))
    )


def factor(*shape):
    return masks.Mask(ZEROS, ONES, (np.zeros(shape, np.float32),))


DENSE = "`mask` must have the shape (draws=4, 5, 6)."
FACTOR = "`mask.factors[0]` must have the shape (draws=4, 5, 6), or length 1"
WRONG = {
    "no draws": (np.zeros((5, 6)), DENSE, "shape (5, 6)"),
    "channels": (np.zeros((4, 5, 6, 1)), DENSE, "shape (4, 5, 6, 1)"),
    "another size": (np.zeros((4, 6, 5)), DENSE, "shape (4, 6, 5)"),
    "other draws": (np.zeros((3, 5, 6)), DENSE, "shape (3, 5, 6)"),
    "one draw": (np.zeros((1, 5, 6)), DENSE, "shape (1, 5, 6)"),
    "a flat factor": (factor(4, 5), FACTOR, "shape (4, 5)"),
    "a factor of another size": (factor(4, 6, 1), FACTOR, "shape (4, 6, 1)"),
    "a factor of one draw": (factor(1, 5, 1), FACTOR, "shape (1, 5, 1)"),
    "a scalar offset": (
        masks.Mask(np.float32(0), ONES, ()),
        "`mask.offset` must have the shape (draws=4,).",
        "shape ()",
    ),
    "a short scale": (
        masks.Mask(ZEROS, ONES[:3], ()),
        "`mask.scale` must have the shape (draws=4,).",
        "shape (3,)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mask_of_another_shape_is_refused(name):
    value, rule, received = WRONG[name]
    check_error(
        lambda: _returned.as_mask(value, (5, 6), owner="SplitLayer", draws=4),
        "SplitLayer",
        ValueError,
        rule,
        received,
    )


def test_parts_of_a_mask_must_agree_where_the_number_of_draws_is_not_known():
    check_error(
        lambda: _returned.as_mask(factor(3, 5, 6), (5, 6), owner="SplitLayer"),
        "SplitLayer",
        ValueError,
        FACTOR,
        "shape (3, 5, 6)",
    )


@pytest.mark.parametrize("value", [(LAM, LAM), [LAM], None, 0.5, {"mask": LAM}])
def test_what_is_no_mask_is_refused(value):
    check_error(
        lambda: _returned.as_mask(value, (5, 6), owner="SplitLayer"),
        "SplitLayer",
        TypeError,
        "`mask` must return a `keras_msda.masks.Mask` or a tensor.",
        f"a {type(value).__name__}",
    )


# Means.


def boxed(size):
    lam, center = cases.grid(size)
    extent = box.box_extent(
        box.box_sides(1.0 - tensor(lam), size, 0.0), tensor(center), size, "clip"
    )
    return box.build_box(tensor(lam), extent, size)


def bumps(size):
    lam, center = cases.grid(size)
    return gaussian.build_gaussian(tensor(lam), tensor(center), size, "clip")


def same_axis(size):
    """Returns a mask with two factors along the last axis."""
    first, other = (random_profiles(size, seed=seed)[-1] for seed in (2, 3))
    factors = tuple(x.reshape(4, *[1] * (len(size) - 1), -1) for x in (first, other))
    return masks.Mask(ZEROS, ONES, factors)


def whole(size):
    values = np.random.default_rng(4).random((4, *size), np.float32)
    return masks.Mask(LAM, 1 - LAM, (values,))


def whole_and_profiles(size):
    profiles = masks.Mask.from_profiles(random_profiles(size))
    return masks.Mask(ZEROS, LAM, (*profiles.factors, *whole(size).factors))


def tensor(x):
    return keras.ops.convert_to_tensor(x)


KINDS = [boxed, bumps, same_axis, whole, whole_and_profiles]


@sizes
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_that_of_all_pixels(kind, size):
    mask = kind(size)
    values = dense(mask, size).astype(np.float64)
    expected = values.reshape(len(values), -1).mean(axis=1)
    found = means(mask, size)
    assert_equal(found.dtype, np.float32)
    # float32 sums of at most 270 shares.
    assert_allclose(found, expected, rtol=0, atol=1e-6)


@sizes
def test_the_mean_of_a_constant_is_its_level(size):
    assert_array_equal(means(constant.build_constant(tensor(LAM)), size), LAM)
    assert_array_equal(means(masks.Mask(LAM, 1 - LAM, ()), size), ONES)


@sizes
@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_the_mean_is_exact_where_the_mask_is_one_or_zero_everywhere(size, dtype):
    for value in (0, 1):
        profiles = [np.full((4, length), value, dtype) for length in size]
        of_profiles = masks.Mask.from_profiles(profiles)
        of_values = masks.Mask(ZEROS, ONES, (np.full((4, *size), value, dtype),))
        for mask in (of_profiles, of_values):
            assert_array_equal(means(mask, size), np.full(4, value))


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_the_same_where_sizes_are_traced(kind):
    size = (9, 14)
    mask = kind(size)
    specs = [tf.TensorSpec([None] * len(x.shape), x.dtype) for x in flat(mask)]

    @tf.function(input_signature=specs)
    def mean(offset, scale, *factors):
        lengths = [tf.shape(x)[1:] for x in factors]
        size = tuple(tf.unstack(tf.reduce_max(tf.stack(lengths), 0), num=2))
        return _factored.mean(given(masks.Mask(offset, scale, factors), size), size)

    assert_allclose(mean(*flat(mask)), means(mask, size), rtol=0, atol=1e-6)


def flat(mask):
    return [tf.convert_to_tensor(x) for x in (mask.offset, mask.scale, *mask.factors)]


@pytest.mark.tensorflow
@pytest.mark.xla
def test_the_mean_of_a_large_mask_keeps_its_digits_when_compiled():
    values = np.random.default_rng(5).random((2, 300, 300), np.float32)
    mean = tf.function(
        lambda x: _factored.mean(
            masks.Mask(x[:, 0, 0] * 0, ONES[:2], (x,)), (300, 300)
        ),
        jit_compile=True,
    )
    expected = values.astype(np.float64).mean(axis=(1, 2))
    # 300 rows of 300: about sqrt(300) roundings of 2^-24 each.
    assert_allclose(mean(tf.constant(values)), expected, rtol=0, atol=1e-6)
