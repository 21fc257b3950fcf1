"""Box masks, with and without a floor, against loops and the laws they must obey."""

import functools
import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import _backend, masks
from keras_msda.layers import _planning
from keras_msda.masks import box as _box
from tests.support import mask_cases as cases
from tests.support import oracles

sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)
borders = pytest.mark.parametrize("border", ["clip", "clip_odd", "wrap", "inside"])
ratios = pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 1.0])


def box(lam, center, size, border, rounding=0.0):
    mask, weight = masks.box_mask(lam, center, size, border=border, rounding=rounding)
    return np.asarray(mask), np.asarray(weight)


def floor_box(lam, center, size, ratio, border):
    parts = masks.floor_box_mask(lam, center, size, box_ratio=ratio, border=border)
    return np.asarray(parts[0]), np.asarray(parts[1])


@functools.cache
def floor_boxes(size, ratio, border):
    """Returns masks and weights of all that is tried on a size, made once."""
    return floor_box(*cases.grid(size), size, ratio, border)


@functools.cache
def looped_floor_boxes(size, ratio, border):
    """Returns what the loops make of the same."""
    return oracles.floor_box_mask(*cases.grid(size), size, ratio, border)[0]


def pixel_means(mask):
    return mask.astype(np.float64).reshape(len(mask), -1).mean(axis=1)


@sizes
@borders
def test_box_covers_the_pixels_of_the_loop(size, border):
    lam, center = cases.grid(size)
    expected, _ = oracles.box_mask(lam, center, size, border)
    assert_array_equal(box(lam, center, size, border)[0], expected)


@sizes
@borders
def test_box_with_noise_an_axis_covers_the_pixels_of_the_loop(size, border):
    lam, center, noise = cases.rounding_noise(size)
    expected, _ = oracles.box_mask(lam, center, size, border, noise)
    assert_array_equal(box(lam, center, size, border, noise)[0], expected)


@sizes
@borders
@pytest.mark.parametrize("noise", [0.5, float(cases.JUST_UNDER_ONE)])
def test_one_number_of_noise_serves_every_sample_and_axis(size, border, noise):
    lam, center = cases.grid(size)
    everywhere = np.full((len(lam), len(size)), noise, np.float32)
    expected = box(lam, center, size, border, everywhere)[0]
    assert_array_equal(box(lam, center, size, border, noise)[0], expected)


@sizes
@borders
def test_weight_of_a_box_is_the_mean_of_its_mask(size, border):
    lam, center, noise = cases.rounding_noise(size, seed=1)
    mask, weight = box(lam, center, size, border, noise)
    # One float32 division by the number of pixels.
    assert_allclose(weight, pixel_means(mask), rtol=0, atol=1e-6)


@sizes
@borders
def test_share_of_one_leaves_no_box_whatever_the_noise(size, border):
    spots = cases.centers(size)
    noise = float(cases.JUST_UNDER_ONE)
    mask, _ = box(np.ones(len(spots), np.float32), spots, size, border, noise)
    assert_array_equal(mask, np.ones((len(spots), *size)))


@sizes
@pytest.mark.parametrize("border", ["wrap", "inside"])
def test_share_of_zero_covers_everything(size, border):
    spots = cases.centers(size)
    mask, _ = box(np.zeros(len(spots), np.float32), spots, size, border)
    assert_array_equal(mask, np.zeros((len(spots), *size)))


@pytest.mark.parametrize("size", [(256,), (97,), (64, 64), (30, 30), (16, 16, 16)])
@pytest.mark.parametrize("border", ["wrap", "inside"])
def test_shares_of_whole_boxes_give_exactly_those_boxes(size, border):
    sides = np.arange(size[0] + 1)
    lam = (1 - (sides / size[0]) ** len(size)).astype(np.float32)
    center = np.zeros((len(lam), len(size)), np.int32)
    mask, _ = box(lam, center, size, border)
    covered = (mask == 0).reshape(len(lam), -1).sum(axis=1)
    assert_array_equal(covered, sides ** len(size))


@sizes
def test_box_inside_has_one_area_for_all_centres(size):
    spots = cases.all_centers(size)
    lam = np.full(len(spots), 0.37, np.float32)
    mask, _ = box(lam, spots, size, "inside")
    counts = mask.reshape(len(lam), -1).sum(axis=1)
    assert_array_equal(counts, np.full(len(lam), counts[0]))


@sizes
@pytest.mark.parametrize("lam", [0.05, 0.37, 0.5, 0.93, 0.99])
def test_wrapped_boxes_average_lam_at_every_pixel(size, lam):
    lam = np.float32(lam)
    chances = [oracles.box_side_chance(1 - lam, n, len(size)) for n in size]
    spots, average = cases.all_centers(size), np.zeros(size)
    for longer in itertools.product([0, 1], repeat=len(size)):
        pairs = zip(longer, chances, strict=True)
        chance = math.prod(p if up else 1 - p for up, p in pairs)
        noise = np.tile(np.float32(longer) * cases.JUST_UNDER_ONE, (len(spots), 1))
        mask, _ = box(np.full(len(spots), lam), spots, size, "wrap", noise)
        average += chance * mask.mean(axis=0, dtype=np.float64)
    # The rule for sides adds 2**-23 to the share of the box.
    assert_allclose(average, np.full(size, lam), rtol=0, atol=2.0**-22)


@borders
def test_box_mask_and_weight_are_float32(border):
    lam, center = cases.grid((9, 14))
    mask, weight = box(lam, center, (9, 14), border)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


@sizes
@borders
@ratios
def test_floor_box_has_the_levels_of_the_loop(size, border, ratio):
    mask, _ = floor_boxes(size, ratio, border)
    expected = looped_floor_boxes(size, ratio, border)
    # One float32 division for the level outside the box.
    assert_allclose(mask, expected, rtol=0, atol=1e-6)


@sizes
@borders
@ratios
def test_floor_box_is_empty_of_the_own_image_inside(size, border, ratio):
    mask, _ = floor_boxes(size, ratio, border)
    expected = looped_floor_boxes(size, ratio, border)
    assert_array_equal(mask == 0, expected == 0)


@sizes
@borders
@ratios
def test_weight_of_a_floor_box_is_the_mean_of_its_mask(size, border, ratio):
    mask, weight = floor_boxes(size, ratio, border)
    # A float32 level times a float32 area.
    assert_allclose(weight, pixel_means(mask), rtol=0, atol=1e-6)


@sizes
@borders
@ratios
def test_weight_of_a_floor_box_is_lam(size, border, ratio):
    lam, _ = cases.grid(size)
    _, weight = floor_boxes(size, ratio, border)
    # A float32 level times a float32 area; 2**-23 where the level meets its bound.
    assert_allclose(weight, lam, rtol=0, atol=1e-6)


@sizes
@borders
@ratios
def test_floor_box_stays_between_zero_and_one(size, border, ratio):
    mask, _ = floor_boxes(size, ratio, border)
    assert_array_equal(mask, np.clip(mask, 0, 1))


@sizes
@borders
def test_floor_box_of_no_share_is_mixup(size, border):
    lam, center = cases.grid(size)
    mask, _ = floor_box(lam, center, size, 0.0, border)
    assert_array_equal(mask, oracles.constant_mask(lam, size)[0])


@sizes
@borders
@ratios
def test_floor_box_at_share_one_is_the_own_image(size, border, ratio):
    spots = cases.centers(size)
    lam = np.ones(len(spots), np.float32)
    mask, _ = floor_box(lam, spots, size, ratio, border)
    assert_array_equal(mask, np.ones((len(spots), *size)))


@sizes
@borders
@ratios
def test_floor_box_at_share_zero_is_the_partner(size, border, ratio):
    spots = cases.centers(size)
    lam = np.zeros(len(spots), np.float32)
    mask, _ = floor_box(lam, spots, size, ratio, border)
    assert_array_equal(mask, np.zeros((len(spots), *size)))


@sizes
@ratios
@pytest.mark.parametrize("lam", [0.05, 0.37, 0.5, 0.93])
def test_wrapped_floor_boxes_average_lam_at_every_pixel(size, ratio, lam):
    spots = cases.all_centers(size)
    lam = np.full(len(spots), lam, np.float32)
    mask, _ = floor_box(lam, spots, size, ratio, "wrap")
    average = mask.mean(axis=0, dtype=np.float64)
    # One float32 division for the level outside the box.
    assert_allclose(average, np.full(size, lam[0]), rtol=0, atol=1e-6)


@borders
def test_floor_box_mask_and_weight_are_float32(border):
    lam, center = cases.grid((9, 14))
    mask, weight = floor_box(lam, center, (9, 14), 0.5, border)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


def test_a_clipped_box_of_odd_sides_ends_where_timm_s_does():
    # A side of 3 of 6 pixels from c - 1 to c + 1, less what is cut.
    lam = np.full(6, 0.5, np.float32)
    mask, weight = box(lam, np.arange(6)[:, None], (6,), "clip_odd")
    rows = ["001111", "000111", "100011", "110001", "111000", "111100"]
    assert_array_equal(mask, [[int(x) for x in row] for row in rows])
    assert_allclose(weight * 6, [4, 3, 3, 3, 3, 4], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(32,), (8, 9), (224, 30)], ids=str)
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.8), (0.0, 0.5), (0.3, 0.31)])
@pytest.mark.parametrize("endpoint", [True, False])
def test_sides_of_a_range_are_all_integers_in_it(size, low, high, endpoint):
    ops = _backend.get_backend_ops()
    places = np.linspace(0, cases.JUST_UNDER_ONE, 3000, dtype=np.float32)
    noise = ops.convert(np.tile(places[:, None], len(size)))
    sides = np.asarray(_box.pick_sides(noise, size, (low, high), endpoint=endpoint))
    for length, found in zip(size, sides.T, strict=True):
        last = int(length * high) if endpoint else int(length * high) - 1
        first = int(length * low)
        expected = np.arange(first, max(first, last) + 1)
        values, counts = np.unique(found, return_counts=True)
        assert_array_equal(values, expected)
        # Of 3000 equally spaced places.
        assert_allclose(counts, 3000 / len(expected), rtol=0, atol=1)


MANY = [(65_536, 65_536), (46_341, 46_341), (2_000, 2_000, 2_000)]


@pytest.mark.parametrize("size", MANY, ids=str)
@pytest.mark.parametrize("traced", [False, True])
def test_shares_of_more_pixels_than_an_int32_counts_are_right(size, traced):
    ops = _backend.get_backend_ops()
    length = [[0] * len(size), [n // 2 for n in size], list(size)]
    extent = _box.Extent(ops.convert(length, "int32"), ops.convert(length, "int32"))
    given = size
    if traced:  # As a loss has them, from a weight of the layer.
        given = [ops.convert(n, "int32") for n in size]
    found = np.asarray(_box.uncovered_share(extent, given))
    half = np.prod([n // 2 / n for n in size])
    assert_array_equal(found[[0, 2]], [1, 0])
    assert_allclose(found[1], 1 - half, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [msda.CutMixLayer, msda.HMixLayer])
def test_a_layer_s_weights_of_huge_images_are_shares(kind):
    layer = kind(seed=1)
    plan = _planning.draw_plan(layer, 64, (65_536, 65_536), seed=(1, 2), masked=False)
    weights = np.asarray(plan.weight)
    assert_array_equal(weights, np.clip(weights, 0, 1))
    assert weights.std() > 0.1


@pytest.mark.parametrize("kind", [msda.CutMixLayer, msda.HMixLayer, msda.FMixLayer])
def test_sizes_that_are_not_counted_are_refused(kind):
    size = (2**29,) if kind is not msda.FMixLayer else (2**15, 2**15, 2)
    with pytest.raises(ValueError, match=f"{kind.__name__}: an .* pixels at most"):
        _planning.draw_plan(kind(seed=1), 2, size, seed=(1, 2), masked=False)
