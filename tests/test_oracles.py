"""Checks of the oracles themselves against closed forms and enumerations."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from tests.support import mask_cases as cases
from tests.support import oracles

HALF = np.array([0.5], np.float32)


@pytest.mark.parametrize(
    ("lam", "rank", "area"),
    [
        (0.5, 1, 0.4375),
        (0.5, 2, 0.3388),
        (0.5, 3, 0.2575),
        (0, 1, 0.75),
        (0, 2, 0.5625),
        (0, 3, 0.4219),
    ],
)
def test_mean_area_of_clipped_boxes_over_all_centres(lam, rank, area):
    length = 1000
    side = oracles.box_side(np.float32(1 - lam), length, rank)
    covered = [sum(oracles.box_axis(c, side, length)) for c in range(length)]
    # Cutting the side to an even whole number shortens it by up to 2 of 1,000 pixels.
    assert_allclose((np.mean(covered) / length) ** rank, area, atol=2e-3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_side_is_whole_where_the_share_is_a_whole_box(rank):
    sizes = [(k, length) for length in (7, 30, 49) for k in range(length + 1)]
    lam = [np.float32(1 - (k / length) ** rank) for k, length in sizes]
    pairs = zip(lam, sizes, strict=True)
    sides = [oracles.box_side(np.float32(1) - v, s[1], rank) for v, s in pairs]
    assert_array_equal(sides, [k for k, _ in sizes])


@pytest.mark.parametrize("noise", [0, 0.25, 0.75, cases.JUST_UNDER_ONE])
def test_side_is_the_floor_of_length_plus_noise(noise):
    sides = [oracles.box_side(np.float32(0.37), length, 2, noise) for length in (9, 64)]
    exact = [math.floor(length * math.sqrt(0.37) + noise) for length in (9, 64)]
    assert_array_equal(sides, exact)


@pytest.mark.parametrize("size", [(31,), (9, 14)])
@pytest.mark.parametrize("lam", [0.05, 0.37, 0.5, 0.93])
def test_wrapped_boxes_average_lam_at_every_pixel(size, lam):
    lam = np.float32(lam)
    chances = [oracles.box_side_chance(1 - lam, n, len(size)) for n in size]
    spots, average = cases.all_centers(size), np.zeros(size)
    for longer in itertools.product([0, 1], repeat=len(size)):
        pairs = zip(longer, chances, strict=True)
        chance = math.prod(p if up else 1 - p for up, p in pairs)
        noise = np.array(longer, np.float32) * cases.JUST_UNDER_ONE
        masks, _ = oracles.box_mask([lam] * len(spots), spots, size, "wrap", noise)
        average += chance * masks.mean(axis=0)
    # The rule for sides adds 2**-23 to the share of the box.
    assert_allclose(average, lam, rtol=0, atol=2.0**-22)


@pytest.mark.parametrize("ratio", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("border", ["clip", "wrap"])
def test_floor_boxes_weigh_exactly_lam(ratio, border):
    lam, center = cases.grid((9, 14))
    _, weight = oracles.floor_box_mask(lam, center, (9, 14), ratio, border)
    # A box longer by the slack of 2**-23 can leave mu at its bound of 1.
    assert_allclose(weight, lam, rtol=0, atol=2.0**-22)


@pytest.mark.parametrize(
    ("rank", "mean", "peak", "corner"),
    [
        (1, 0.4204, 0.4939, 0.2500),
        (2, 0.3003, 0.4266, 0.1249),
        (3, 0.2088, 0.3474, 0.0622),
    ],
)
def test_weights_of_clipped_bumps_at_one_half(rank, mean, peak, corner):
    # Axes of length 1 leave one factor of the separable bump, to be raised to the rank.
    size = (401, *[1] * (rank - 1))
    spots = cases.all_centers(size)
    masks, _ = oracles.gaussian_mask(np.repeat(HALF, len(spots)), spots, size)
    factors = 1 - masks.reshape(401, -1).mean(axis=1)
    found = [factors.mean() ** rank, factors.max() ** rank, factors.min() ** rank]
    # 401 pixels add half a pixel at each end to the integral over the axis.
    assert_allclose(found, [mean, peak, corner], atol=1.5e-3)


def test_clipped_bump_is_the_published_one_on_a_square():
    lam, center = np.array([0.3], np.float32), np.array([[2, 7]])
    mask, _ = oracles.gaussian_mask(lam, center, (8, 8))
    row, column = np.mgrid[:8, :8]
    published = np.exp(
        -((row - 2) ** 2 + (column - 7) ** 2) * np.pi / (float(lam[0]) * 8 * 8)
    )
    # Two orders of the same float64 operations.
    assert_allclose(mask[0], published, rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "width"),
    [((32,), 0.25694), ((31,), 0.25678), ((32, 32), 0.64342), ((8, 8, 8), 1.0465)],
)
def test_width_of_the_wrapped_bump_at_one_half(size, width):
    # The reference gives five decimals.
    assert_allclose(oracles.wrap_width(0.5, size), width, rtol=0, atol=6e-6)


@pytest.mark.parametrize("size", [(31,), (9, 14), (1, 7), (1, 1, 5)])
def test_wrapped_bumps_weigh_exactly_lam(size):
    lam, center = cases.grid(size)
    _, weight = oracles.gaussian_mask(lam[::7], center[::7], size, "wrap")
    # A hundred bisections in float64.
    assert_allclose(weight, lam[::7], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(9, 14), (1, 1, 5)])
@pytest.mark.parametrize("max_soft", [0, 0.1, 0.5])
def test_thresholded_fields_sum_to_the_count(size, max_soft):
    lam = cases.lattice_shares(size)
    rng = np.random.default_rng(3)
    rounding = rng.random(len(lam), np.float32)
    field = rng.normal(size=(len(lam), *size)).astype(np.float32)
    mask, _ = oracles.fourier_mask(lam, field, max_soft, rounding)
    n = math.prod(size)
    pairs = zip(lam, rounding, strict=True)
    counts = [oracles.top_count(value, n, u) for value, u in pairs]
    # A float64 sum over a ramp.
    assert_allclose(mask.reshape(len(lam), -1).sum(axis=1), counts, atol=1e-10)


def test_soft_band_runs_down_by_rank():
    field = np.arange(8, dtype=np.float32)[None]
    mask, _ = oracles.fourier_mask(HALF, field, 0.25)
    # A ramp of float64 thirds.
    assert_allclose(mask[0], [0, 0, 0, 1 / 3, 2 / 3, 1, 1, 1], atol=1e-12)


@pytest.mark.parametrize("size", [(7,), (8,), (4, 5), (5, 4), (3, 2, 4)])
def test_covariance_of_the_field_is_that_of_filtered_white_noise(size):
    shape = (*size[:-1], size[-1] // 2 + 1, 2)
    unit = np.eye(math.prod(shape)).reshape(-1, *shape)
    waves = oracles.fourier_field(unit, size, 1.5).reshape(len(unit), -1)
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij")
    f = np.sqrt(sum(axis**2 for axis in frequencies))
    power = 1 / np.maximum(f, 1 / max(size)) ** 3
    expected = np.fft.ifftn(power).real
    # The field is linear in the noise, so its covariance is a finite sum in float64.
    assert_allclose(waves.T @ waves[:, 0], expected.ravel(), atol=1e-10)


@pytest.mark.parametrize("size", [(7,), (8,), (6, 5), (5, 6), (4, 3, 6)])
def test_every_pixel_of_the_field_has_the_same_variance(size):
    kept = [min(1, n // 2) for n in size]
    rows = [n if 2 * k + 1 > n else 2 * k + 1 for n, k in zip(size, kept, strict=True)]
    shape = (*rows[:-1], kept[-1] + 1, 2)
    unit = np.eye(math.prod(shape)).reshape(-1, *shape)
    variance = (oracles.fourier_field(unit, size, 3) ** 2).sum(axis=0)
    # The field is linear in the noise, so its variance is a finite sum in float64.
    assert_allclose(variance, variance.flat[0], rtol=1e-12)


def test_amplitude_matches_a_grid_of_frequencies():
    rows, columns = np.fft.fftfreq(9)[:, None], np.fft.rfftfreq(14)
    f = np.maximum(np.hypot(rows, columns), 1 / 14)
    # Two orders of the same float64 operations.
    assert_allclose(oracles.amplitude((9, 14), 3), f**-3.0, rtol=1e-12)


def test_discarded_variance_matches_a_full_spectrum():
    rows, columns = np.fft.fftfreq(9)[:, None], np.fft.fftfreq(14)
    power = np.maximum(np.hypot(rows, columns), 1 / 14) ** -4.0
    power[0, 0] = 0
    outside = (np.abs(rows * 9) > 2.5) | (np.abs(columns * 14) > 3.5)
    found = oracles.discarded_variance((9, 14), 2, (2, 3))
    # Two orders of the same float64 sum.
    assert_allclose(found, power[outside].sum() / power.sum(), rtol=1e-12)


def test_published_field_of_one_axis_has_one_frequency():
    noise = np.random.default_rng(5).normal(size=(1, 2, 2))
    power = np.abs(np.fft.rfft(oracles.official_field(noise, (31,), 3)[0])) ** 2
    # Rounding of a float64 transform.
    assert_allclose(power[2:] / power[1], 0, atol=1e-20)


def test_published_field_is_the_published_program():
    noise = np.random.default_rng(6).normal(size=(9, 9, 2))
    rows, columns = np.fft.fftfreq(9)[:, None], np.fft.fftfreq(15)[:9]
    scale = 1 / np.maximum(np.sqrt(rows**2 + columns**2), 1 / 15) ** 3
    spectrum = (scale[..., None] * noise)[None]
    mistaken = spectrum[:, 0] + 1j * spectrum[:, 1]
    published = np.fft.irfftn(mistaken, (9, 15), axes=(-2, -1))
    found = oracles.official_field(noise[None, :2], (9, 15), 3)
    # Two orders of the same float64 operations.
    assert_allclose(found, published, rtol=1e-9)


def test_images_are_exact_where_the_mask_is_whole():
    images = np.array([[[1.0], [np.nan], [2.0]], [[np.inf], [3.0], [6.0]]])
    mask = np.array([[1, 0, 0.25], [0, 1, 0.5]])
    mixed = oracles.mix_images(images, [1, 0], mask)
    assert_array_equal(mixed[..., 0], [[1, 3, 5], [1, 3, 4]])


def test_image_layouts_agree():
    rng = np.random.default_rng(7)
    images, mask = rng.normal(size=(3, 4, 5, 2)), rng.random((3, 4, 5))
    last = oracles.mix_images(images, [2, 0, 1], mask)
    turned = np.moveaxis(images, -1, 1)
    first = oracles.mix_images(turned, [2, 0, 1], mask, "channels_first")
    assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_packed_ids_and_soft_labels_end_with_the_weight():
    ids = oracles.pack_labels([[3], [5]], [1, 0], HALF.repeat(2))
    soft = oracles.pack_labels([[0.9, 0.1], [0.3, 0.7]], [1, 0], HALF.repeat(2))
    assert_array_equal(ids, [[3, 5, 0.5], [5, 3, 0.5]])
    assert_array_equal(soft[0], [0.9, 0.1, 0.3, 0.7, 0.5])


def test_smoothed_labels_by_hand():
    labels = oracles.one_hot([2, 0], 4, 0.2)
    # Decimal fractions in float64.
    expected = [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]
    assert_allclose(labels, expected, rtol=1e-12)


def test_loss_of_mixed_weighted_labels_is_the_mixed_loss():
    rng = np.random.default_rng(8)
    ids, partner = rng.integers(0, 4, 6), rng.permutation(6)
    weight, sample_weight = rng.random(6).astype(np.float32), rng.random(6)
    scores = rng.random((6, 4)) + 0.1
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    labels, weights = oracles.mix_sample_weights(
        sample_weight, oracles.one_hot(ids, 4), partner, weight
    )
    terms = oracles.mixed_loss(ids, partner, weight, probabilities, sample_weight)
    # Two orders of the same float64 sum.
    soft = weights * oracles.cross_entropy(labels, probabilities)
    assert_allclose(soft, terms, rtol=1e-12)


def test_sample_weights_of_zero_leave_the_share_alone():
    labels, weights = oracles.mix_sample_weights(
        [0, 0], np.eye(2), [1, 0], np.array([0.25, 0.5], np.float32)
    )
    assert_array_equal(labels, [[0.25, 0.75], [0.5, 0.5]])
    assert_equal(weights, [0, 0])


def test_accuracy_of_a_pair_by_hand():
    weight = np.array([0.25, 0.75], np.float32)
    scores = [[0, 1, 0], [0, 1, 0]]
    found = oracles.mixed_accuracy([0, 1], [1, 0], weight, scores, [1, 3])
    # Own shares .25 and 2.25, partner shares 2.25 and .25; the second class is hit.
    assert_allclose(found, (2.25 + 2.25) / (0.25 + 2.25 + 2.25 + 0.25), rtol=1e-12)
