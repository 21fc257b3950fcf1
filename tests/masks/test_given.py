"""What the public mask functions refuse before any work, and what they take."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from keras_msda import masks
from tests.support.errors import check_error

LAM, CENTER, SIZE = [0.5, 0.25], [[1, 2], [3, 0]], (4, 5)
FIELD = np.zeros((2, 4, 5), np.float32)


def box(lam=LAM, center=CENTER, size=SIZE, **rest):
    return masks.box_mask(lam, center, size, **rest)


def floor_box(lam=LAM, center=CENTER, size=SIZE, **rest):
    return masks.floor_box_mask(lam, center, size, **rest)


def gaussian(lam=LAM, center=CENTER, size=SIZE, **rest):
    return masks.gaussian_mask(lam, center, size, **rest)


def constant(lam=LAM, size=SIZE):
    return masks.constant_mask(lam, size)


def fourier(lam=LAM, field=FIELD, **rest):
    return masks.fourier_mask(lam, field, **rest)


def field(noise=None, size=SIZE, **rest):
    noise = np.zeros((2, 4, 3, 2), np.float32) if noise is None else noise
    return masks.fourier_field(noise, size, **rest)


def kept(size=SIZE, decay_power=3.0):
    return masks.kept_frequencies(size, decay_power)


PLACED = {"box_mask": box, "floor_box_mask": floor_box, "gaussian_mask": gaussian}
SHARED = PLACED | {"constant_mask": constant, "fourier_mask": fourier}
SIZED = PLACED | {"constant_mask": constant, "fourier_field": field}
SIZED |= {"kept_frequencies": kept}


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize(
    "size", [(), (0, 5), (-3, 5), (4.0, 5), (True, 5), (2, 2, 2, 2), 4, "45", None]
)
def test_a_size_is_one_to_three_positive_integers(name, size):
    rule = "`size` must hold one to three spatial lengths, positive integers"
    check_error(
        lambda: SIZED[name](size=size), name, ValueError, rule, f"size={size!r}"
    )


@pytest.mark.parametrize("name", SIZED)
def test_a_size_that_cannot_be_counted_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: an axis may have"):
        SIZED[name](size=(2**29, 1))
    with pytest.raises(ValueError, match=f"{name}: an image may have"):
        SIZED[name](size=(2**16, 2**16))


@pytest.mark.parametrize("name", SIZED)
def test_a_size_may_hold_numbers_of_numpy(name):
    found = SIZED[name](size=(np.int64(4), np.int32(5)))
    expected = SIZED[name]()
    for value, other in zip(found, expected, strict=True):
        assert_array_equal(np.asarray(value), np.asarray(other))


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["list", "array", "tensor"])
def test_lambda_is_a_share(name, wrong, kind):
    lam = [0.5, wrong]
    if kind != "list":
        lam = np.array(lam, np.float32)
    if kind == "tensor":
        lam = keras.ops.convert_to_tensor(lam)
    rule = "`lam` must be in [0, 1]."
    check_error(lambda: SHARED[name](lam=lam), name, ValueError, rule, f"{wrong}")


@pytest.mark.parametrize("name", SHARED)
def test_lambda_has_one_axis(name):
    rule = "`lam` must have the shape (draws,)."
    for lam, shape in ((0.5, "()"), ([[0.5, 0.5]], "(1, 2)")):
        given = {"lam": lam}
        check_error(lambda g=given: SHARED[name](**g), name, ValueError, rule, shape)


def test_lambda_is_a_number():
    rule = "`lam` must be in [0, 1]."
    check_error(lambda: constant(lam="half"), "constant_mask", ValueError, rule, "half")


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize(
    ("center", "received"),
    [([[1], [2]], "(2, 1)"), ([1, 2], "(2,)"), (np.zeros((3, 2), int), "(3, 2)")],
)
def test_centres_are_one_for_each_draw(name, center, received):
    rule = "`center` must have the shape (draws=2, rank=2)."
    check_error(
        lambda: PLACED[name](center=center), name, ValueError, rule, f"shape {received}"
    )


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize(
    "center", [[[4, 0], [0, 0]], [[0, -1], [0, 0]], [[0.5, 0], [0, 0]]]
)
def test_centres_are_pixels_of_the_image(name, center):
    rule = "`center` must be integer pixels inside the image."
    check_error(lambda: PLACED[name](center=center), name, ValueError, rule, "center")


@pytest.mark.parametrize("name", PLACED)
def test_one_centre_serves_all_draws(name):
    one = PLACED[name](center=[[1, 2]])
    expected = PLACED[name](center=[[1, 2], [1, 2]])
    for value, other in zip(one, expected, strict=True):
        assert_array_equal(np.asarray(value), np.asarray(other))


@pytest.mark.parametrize("make", [box, fourier])
@pytest.mark.parametrize("rounding", [1.0, -0.25, float("nan")])
def test_rounding_is_below_one(make, rounding):
    with pytest.raises(ValueError, match=r"`rounding` must be in \[0, 1\)"):
        make(rounding=rounding)


def test_rounding_is_one_number_for_each_draw():
    with pytest.raises(ValueError, match=r"`rounding` must .*\(draws=2, rank=2\)"):
        box(rounding=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"`rounding` must .*\(draws=2,\)"):
        fourier(rounding=np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("shape", [(2,), (3, 4), (2, 0, 3), (2, 1, 1, 1, 1)])
def test_fields_are_images_of_each_draw(shape):
    with pytest.raises(ValueError, match=r"`field` must have the shape \(draws=2"):
        fourier(field=np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 5, 3, 2), (2, 4, 4, 2), (2, 4, 3, 1)])
def test_noise_has_the_shape_of_the_half_spectrum(shape):
    with pytest.raises(ValueError, match="`noise` must have the shape"):
        field(np.zeros(shape, np.float32))


@pytest.mark.parametrize("power", [-1.0, float("nan"), "3"])
def test_a_power_is_a_number_that_is_not_negative(power):
    for function in (field, kept):
        with pytest.raises(ValueError, match="`decay_power` must be a finite number"):
            function(decay_power=power)


def test_a_power_just_above_half_the_rank_keeps_all_frequencies():
    assert kept((32, 48), 1.0001) == (16, 24)


def test_no_draws_have_no_masks():
    none = np.zeros(0, np.float32)
    mask, weight = box(none, np.zeros((0, 2), np.int32))
    assert (tuple(mask.shape), tuple(weight.shape)) == ((0, 4, 5), (0,))
