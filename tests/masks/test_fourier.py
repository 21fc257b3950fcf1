"""Thresholded random fields against loops and the laws they must obey."""

import math

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import (
    assert_allclose,
    assert_array_equal,
    assert_array_less,
    assert_equal,
)

import keras_msda as msda
from keras_msda import _backend, masks
from keras_msda.masks import fourier as _fourier
from keras_msda.masks import spectrum as _spectrum
from tests.support import mask_cases as cases
from tests.support import oracles

sizes = pytest.mark.parametrize("size", cases.SIZES, ids=str)
softness = pytest.mark.parametrize("max_soft", [0.0, 0.1, 0.25, 0.5])


def fourier(lam, field, max_soft=0.0, rounding=0.0):
    parts = masks.fourier_mask(lam, field, max_soft=max_soft, rounding=rounding)
    return np.asarray(parts[0]), np.asarray(parts[1])


def smooth(shape, rng):
    return rng.normal(size=shape)


def constant(shape, rng):
    return np.full(shape, rng.normal())


def tied(shape, rng):
    return rng.integers(-2, 3, shape) / 4


def negative(shape, rng):
    return -np.exp(rng.normal(size=shape))


def signed_zeros(shape, rng):
    return rng.choice([-1e-30, -0.0, 0.0, 1e-30], shape)


def wild(shape, rng):
    return np.exp(20 * rng.normal(size=shape))


def infinite(shape, rng):
    return rng.choice([-np.inf, -1, 0.5, 2, np.inf], shape)


kinds = pytest.mark.parametrize(
    "kind", [smooth, constant, tied, negative, signed_zeros, wild, infinite]
)


def fields(size, kind=smooth, seed=0):
    """Returns lam, a float32 field and rounding noise, its ends included."""
    lam = np.concatenate([cases.shares(), cases.lattice_shares(size)])
    rng = np.random.default_rng(seed)
    rounding = rng.random(len(lam), np.float32)
    rounding[::3] = rng.choice([0, cases.JUST_UNDER_ONE], rounding[::3].shape)
    field = kind((len(lam), *size), rng)
    return lam, field.astype(np.float32), rounding


def counts(lam, n, rounding):
    pairs = zip(lam, rounding, strict=True)
    return np.array([oracles.top_count(value, n, noise) for value, noise in pairs])


def sums(mask):
    return mask.astype(np.float64).reshape(len(mask), -1).sum(axis=1)


def published_shape(size):
    """Returns the shape of a batch of five samples of the published code's noise."""
    return (5, 2, *(len(axis) for axis in oracles.official_axes(size)), 2)


def block_shape(size, batch, kept=None):
    """Returns the noise shape of the frequencies up to kept[a], or of all of them."""
    kept = kept or [length // 2 for length in size]
    pairs = zip(size, kept, strict=True)
    rows = [length if k >= length // 2 else 2 * k + 1 for length, k in pairs]
    return (batch, *rows[:-1], min(kept[-1], size[-1] // 2) + 1, 2)


def assert_fields_agree(found, expected):
    scale = np.abs(expected).max()
    # float32 powers and sums, relative to the highest pixel.
    assert_allclose(np.asarray(found) / scale, expected / scale, rtol=0, atol=1e-5)


@sizes
@kinds
def test_top_pixels_are_those_of_the_loop(size, kind):
    lam, field, rounding = fields(size, kind)
    expected, _ = oracles.fourier_mask(lam, field, 0.0, rounding)
    assert_array_equal(fourier(lam, field, 0.0, rounding)[0], expected)


@tf.function
def traced_mask(lam, field, rounding):
    """Traced once for each size."""
    return masks.fourier_mask(lam, field, 0.0, rounding)[0]


@pytest.mark.long
@sizes
@kinds
@pytest.mark.tensorflow
def test_top_pixels_are_those_of_the_loop_in_a_graph(size, kind):
    # There a CPU takes one draw after another.
    lam, field, rounding = fields(size, kind)
    expected, _ = oracles.fourier_mask(lam, field, 0.0, rounding)
    given = map(tf.constant, (lam, field, rounding))
    assert_array_equal(traced_mask(*given), expected)


# Blocks of five draws of 64 x 64, of two of 100 x 100, and single ones of 130 x 130.
@pytest.mark.long
@pytest.mark.parametrize("draws", [0, 1, 6])
@pytest.mark.parametrize("size", [(64, 64), (100, 100), (130, 130)], ids=str)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.tensorflow
def test_blocks_of_draws_have_the_masks_of_the_loop(draws, size, known):
    rng = np.random.default_rng(draws)
    field = rng.normal(size=(draws, *size)).astype(np.float32)
    lam = rng.random(draws, np.float32)
    # No threshold parts equal values; that draw is not to change others of its block.
    field[draws // 2 : draws // 2 + 1] = 0.5
    lam[1:2], lam[4:5] = 0.0, 1.0
    given = (
        tf.TensorSpec([draws if known else None]),
        tf.TensorSpec([draws if known else None, *size]),
    )
    mask = tf.function(
        lambda *given: masks.fourier_mask(*given)[0], input_signature=given
    )
    found = np.asarray(mask(lam, field))
    assert_equal(found.shape, field.shape)
    if draws:
        assert_array_equal(found, oracles.fourier_mask(lam, field)[0])


@pytest.mark.parametrize("kind", [smooth, constant])
def test_draws_without_ones_need_no_search(kind):
    # All that fills up a block has no ones, and equal values.
    _, field, _ = fields((5, 7), kind)
    count = np.zeros(len(field), np.int32)
    convert = _backend.get_backend_ops().convert
    bracket = _fourier._first_bracket(convert(field), convert(count))
    assert_array_equal(np.asarray(bracket.high_surplus), 0)
    assert_array_equal(np.asarray(bracket.last), np.inf)


@sizes
@pytest.mark.parametrize("kind", [smooth, negative])
def test_thresholds_are_found_between_different_values(size, kind):
    lam, field, noise = fields(size, kind)
    count = counts(lam, math.prod(size), noise).astype(np.int32)
    found = _fourier._separate(*map(_backend.get_backend_ops().convert, (field, count)))
    right, above = map(np.asarray, found)
    assert right
    assert_array_equal(above, fourier(lam, field, rounding=noise)[0])


@sizes
@pytest.mark.parametrize("kind", [constant, tied, infinite])
def test_no_threshold_is_said_to_part_equal_values(size, kind):
    lam, field, noise = fields(size, kind)
    count = counts(lam, math.prod(size), noise).astype(np.int32)
    found = _fourier._separate(*map(_backend.get_backend_ops().convert, (field, count)))
    right, above = map(np.asarray, found)
    agree = sums(above) == count
    assert bool(right) == agree.all()
    assert not agree.all()


@pytest.mark.tensorflow
def test_no_draws_have_no_masks_in_a_graph():
    mask = tf.function(lambda *given: masks.fourier_mask(*given)[0])
    assert_equal(mask(tf.zeros([0]), tf.zeros([0, 5, 6])).shape, (0, 5, 6))


@sizes
def test_one_number_of_noise_serves_every_sample(size):
    lam, field, _ = fields(size)
    expected, _ = oracles.fourier_mask(lam, field, 0.0, 0.5)
    assert_array_equal(fourier(lam, field, 0.0, 0.5)[0], expected)


@sizes
@kinds
@softness
def test_soft_band_is_that_of_the_loop(size, kind, max_soft):
    lam, field, rounding = fields(size, kind, seed=1)
    expected, _ = oracles.fourier_mask(lam, field, max_soft, rounding)
    # A float32 ramp.
    found, _ = fourier(lam, field, max_soft, rounding)
    assert_allclose(found, expected, rtol=0, atol=1e-6)


@sizes
@kinds
def test_count_of_ones_is_exact(size, kind):
    lam, field, rounding = fields(size, kind, seed=2)
    expected = counts(lam, math.prod(size), rounding)
    assert_array_equal(sums(fourier(lam, field, 0.0, rounding)[0]), expected)


def test_noise_decides_the_count_to_the_last_bit():
    size = (224, 224)
    n = math.prod(size)
    lam = np.random.default_rng(4).uniform(0.05, 0.95, 16).astype(np.float32)
    # In multiples of 2**-23, as noise is drawn: the last that adds no pixel, and the
    # first that does.
    missing = 1 - np.mod(lam.astype(np.float64) * n, 1)
    last = (np.ceil(missing * 2**23) - 1) / 2**23
    rounding = np.concatenate([last, last + 2.0**-23]).astype(np.float32)
    rounding = np.minimum(rounding, cases.JUST_UNDER_ONE)
    lam = np.tile(lam, 2)
    field = np.random.default_rng(5).normal(size=(len(lam), *size)).astype(np.float32)
    found = sums(fourier(lam, field, 0.0, rounding)[0])
    assert_array_equal(found, counts(lam, n, rounding))


@sizes
def test_share_of_one_keeps_every_pixel_whatever_the_noise(size):
    field = fields(size, tied)[1]
    lam = np.ones(len(field), np.float32)
    mask, _ = fourier(lam, field, 0.0, float(cases.JUST_UNDER_ONE))
    assert_array_equal(mask, np.ones(field.shape))


@sizes
def test_share_of_zero_keeps_none_whatever_the_noise(size):
    field = fields(size, tied)[1]
    lam = np.zeros(len(field), np.float32)
    mask, _ = fourier(lam, field, 0.0, float(cases.JUST_UNDER_ONE))
    assert_array_equal(mask, np.zeros(field.shape))


@sizes
@pytest.mark.parametrize("value", [-3.5, 0.0, 2.25])
def test_level_field_fills_from_the_first_pixel(size, value):
    n = math.prod(size)
    lam = ((np.arange(n) + 0.5) / n).astype(np.float32)
    mask, _ = fourier(lam, np.full((n, *size), value, np.float32))
    expected = np.tri(n, n, -1).reshape(n, *size)
    assert_array_equal(mask, expected)


@sizes
def test_zeros_of_both_signs_tie(size):
    lam, field, rounding = fields(size, signed_zeros)
    plain = np.where(field == 0, np.float32(0), field)
    expected, _ = fourier(lam, plain, 0.0, rounding)
    assert_array_equal(fourier(lam, field, 0.0, rounding)[0], expected)


def test_fields_that_differ_in_the_last_bit_are_told_apart():
    n = 64
    field = np.full(n, 1.5, np.float32)
    field[::2] = np.nextafter(field[::2], np.float32(2))
    mask, _ = fourier(np.array([0.5], np.float32), field.reshape(1, 8, 8))
    assert_array_equal(mask.ravel(), np.tile([1, 0], n // 2))


@sizes
@softness
def test_weight_is_the_count_over_the_pixels(size, max_soft):
    lam, field, rounding = fields(size, seed=6)
    n = math.prod(size)
    _, weight = fourier(lam, field, max_soft, rounding)
    # One float32 division.
    assert_allclose(weight, counts(lam, n, rounding) / n, rtol=0, atol=1e-7)


@sizes
@softness
def test_soft_mask_sums_to_the_count(size, max_soft):
    lam, field, rounding = fields(size, seed=7)
    n = math.prod(size)
    mask, _ = fourier(lam, field, max_soft, rounding)
    # Each step of the ramp is off by a float32 rounding, 2**-24 at most a few times.
    assert_allclose(sums(mask), counts(lam, n, rounding), rtol=0, atol=n * 1e-7)


@sizes
@softness
def test_soft_mask_stays_between_zero_and_one(size, max_soft):
    lam, field, rounding = fields(size, seed=8)
    mask, _ = fourier(lam, field, max_soft, rounding)
    assert_array_equal(mask, np.clip(mask, 0, 1))


@sizes
def test_mask_and_weight_are_float32(size):
    lam, field, rounding = fields(size)
    mask, weight = fourier(lam, field, 0.25, rounding)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


@sizes
@pytest.mark.parametrize("decay_power", [3.0, 1.5])
def test_field_of_all_frequencies_is_the_sum_of_waves(size, decay_power):
    noise = np.random.default_rng(9).normal(size=block_shape(size, 3))
    noise = noise.astype(np.float32)
    found = masks.fourier_field(noise, size, decay_power=decay_power)
    assert_fields_agree(found, oracles.fourier_field(noise, size, decay_power))


@sizes
@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_field_of_low_frequencies_is_the_sum_of_waves(size, kept):
    shape = block_shape(size, 3, [min(kept, length // 2) for length in size])
    noise = np.random.default_rng(10).normal(size=shape).astype(np.float32)
    found = masks.fourier_field(noise, size)
    assert_fields_agree(found, oracles.fourier_field(noise, size, 3.0))


def whole_spectrum(block, size):
    """Puts a block of frequencies, in FFT order, into zeros."""
    rows = [np.arange(n) for n in block.shape[1:-1]]
    heads = [(n + 1) // 2 for n in block.shape[1:-1]]
    triples = zip(rows, heads, size[:-1], strict=True)
    places = [np.where(row < head, row, row - len(row) + n) for row, head, n in triples]
    whole = np.zeros((len(block), *size[:-1], size[-1] // 2 + 1), complex)
    whole[np.ix_(np.arange(len(block)), *places, np.arange(block.shape[-1]))] = block
    return whole


# Few frequencies of many, for which matrices are multiplied, and many, for which not.
@pytest.mark.parametrize("kept", [3, 11, 40])
@pytest.mark.parametrize(
    "size", [(5000,), (224, 224), (61, 96), (97, 50), (21, 48, 83)], ids=str
)
def test_field_is_the_inverse_transform_of_its_frequencies(size, kept):
    shape = block_shape(size, 2, [kept] * len(size))
    noise = np.random.default_rng(13).normal(size=shape).astype(np.float32)
    flat = np.asarray(masks.fourier_field(noise, size, decay_power=0.0))
    # The transform of a real field, of which half of the first column is each other's
    # mirror image; what noise does to amplitudes is the other tests'.
    axes = tuple(range(1, len(size) + 1))
    found = np.fft.rfftn(flat.astype(np.float64), axes=axes)
    block = (noise[..., 0] + 1j * noise[..., 1]) * math.sqrt(math.prod(size) / 2)
    expected = whole_spectrum(block, size)
    clear = slice(1, min(kept + 1, (size[-1] + 1) // 2))
    scale = np.abs(expected).max()
    # float32 sums over up to 81 rows and 41 columns.
    difference = (found - expected)[..., clear] / scale
    assert_allclose(np.abs(difference), 0, rtol=0, atol=1e-5)
    beyond = found[..., min(kept, size[-1] // 2) + 1 :] / scale
    assert_allclose(np.abs(beyond), 0, rtol=0, atol=1e-5)


@sizes
def test_every_pixel_of_a_field_has_the_same_variance(size):
    shape = block_shape(size, 1)[1:]
    unit = np.eye(math.prod(shape), dtype=np.float32).reshape(-1, *shape)
    waves = np.asarray(masks.fourier_field(unit, size)).astype(np.float64)
    variance = (waves**2).sum(axis=0) / (waves**2).sum(axis=0).mean()
    # The field is linear in the noise, so only float32 sums stand between the pixels.
    assert_allclose(variance, np.ones(size), rtol=0, atol=1e-5)


@sizes
@pytest.mark.parametrize("decay_power", [3.0, 1.5])
def test_published_field_keeps_the_published_indexing(size, decay_power):
    noise = np.random.default_rng(11).normal(size=published_shape(size))
    noise = noise.astype(np.float32)
    found = masks.fourier_field(
        noise, size, decay_power=decay_power, spectrum="official"
    )
    assert_fields_agree(found, oracles.official_field(noise, size, decay_power))


@pytest.mark.parametrize("size", [*cases.SIZES, (1,), (2, 2), (6, 3)], ids=str)
@pytest.mark.parametrize("spectrum", ["isotropic", "official"])
def test_field_is_a_float32_image(size, spectrum):
    shape = published_shape(size) if spectrum == "official" else block_shape(size, 5)
    noise = np.random.default_rng(12).normal(size=shape).astype(np.float32)
    field = np.asarray(masks.fourier_field(noise, size, spectrum=spectrum))
    assert_equal((field.dtype, field.shape), (np.float32, (5, *size)))


@pytest.mark.parametrize(
    "size", [*cases.SIZES, (256,), (32, 32), (28, 96), (12, 20, 16)], ids=str
)
@pytest.mark.parametrize("decay_power", [3.0, 2.0, 1.5, 5.0])
def test_kept_frequencies_carry_all_but_a_trace_of_the_variance(size, decay_power):
    kept = masks.kept_frequencies(size, decay_power)
    lost = oracles.discarded_variance(size, decay_power, kept)
    # The promise, with room for another order of the same float64 sum.
    assert_array_less(lost, 1e-4 * (1 + 1e-9))


def test_default_spectrum_of_a_large_image_keeps_few_frequencies():
    kept = masks.kept_frequencies((224, 224), 3.0)
    # Seven suffice; a quarter of the 112 would be 28.
    assert_array_less(kept, 28)


# Amplitudes that float32 does not hold, or that are not finite.


def inverse(frequency):
    return 1.0 / frequency


def cubic(frequency):
    return frequency**-3.0


def logarithm(frequency):
    return frequency * _backend.get_ops(frequency).log(frequency)


def offset(frequency):
    return 1.0 / (frequency + 1e-12)


def large(frequency):
    return 1e30 * (frequency + 0.1) ** -8


def small(frequency):
    return 1e-44 + 0.0 * frequency


def nothing(frequency):
    return 0.0 * frequency


def constant_alone(frequency):
    return (1e-4 - frequency) + abs(1e-4 - frequency)


def negative_root(frequency):
    return (frequency - 0.1) ** 0.5


def pole(frequency):
    return 1.0 / (frequency - 0.25)


SINGULAR = [inverse, cubic, offset, small]
SPECTRA = [
    ("isotropic", 16.0, (224, 224)),
    ("isotropic", 25.0, (32, 32)),
    ("isotropic", 1e300, (32, 24)),
    ("official", 25.0, (32, 32)),
    ("official", 40.0, (9, 14, 11)),
    ("isotropic", 30.0, (500,)),
    *((spectrum, 3.0, (32, 32)) for spectrum in SINGULAR),
    *((spectrum, 3.0, (64,)) for spectrum in SINGULAR),
    *((spectrum, 3.0, (8, 9, 10)) for spectrum in SINGULAR),
    (large, 3.0, (32, 32)),
]


def named(case):
    return case.__name__ if callable(case) else str(case)


def field_of(spectrum, decay_power, size, draws=12):
    shape = _spectrum.noise_shape(size, decay_power, spectrum)
    noise = np.random.default_rng(14).normal(size=(draws, *shape)).astype(np.float32)
    return noise, masks.fourier_field(noise, size, decay_power, spectrum)


@pytest.mark.parametrize(("spectrum", "power", "size"), SPECTRA, ids=named)
def test_masks_of_steep_spectra_are_finite_and_differ(spectrum, power, size):
    field = np.asarray(field_of(spectrum, power, size)[1])
    assert np.isfinite(field).all()
    mask, _ = fourier(np.full(len(field), 0.5, np.float32), field)
    # A single wave has as many as the axis has pixels, and some may be drawn twice.
    assert len({sample.tobytes() for sample in mask}) > len(field) / 2


@pytest.mark.parametrize(("power", "size"), [(16.0, (224, 224)), (25.0, (32, 32))])
def test_a_steep_field_is_the_sum_of_its_waves_but_for_a_factor(power, size):
    noise, field = field_of("isotropic", power, size, draws=2)
    field = np.asarray(field, np.float64)
    lowest = math.sqrt(math.prod(size)) * max(size) ** power
    # What is left of the sum are frequency 0 and the two lowest ones, float64.
    rows, columns = (np.arange(n) / n for n in size)
    expected = 0.0
    for index in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        amplitude = float(max(math.hypot(*index), 1.0)) ** -power
        share = 0.5 if index[1] else 1.0  # Of the variance; see `_hermitian`.
        value = noise[(slice(None), *index, 0)] + 1j * noise[(slice(None), *index, 1)]
        if index[1] == 0:
            other = noise[:, -index[0], 0, 0] - 1j * noise[:, -index[0], 0, 1]
            value = (value + other) / 2
        phase = np.exp(2j * np.pi * (index[0] * rows[:, None] + index[1] * columns))
        wave = (value[:, None, None] * phase).real * amplitude * math.sqrt(share)
        expected = expected + wave * (1 if index == (0, 0) else 2)
    # (1, 1) has its twin (-1, 1); the power of sqrt(2) leaves 4e-3 and less of both.
    field /= np.abs(field).max()
    expected /= np.abs(expected).max()
    assert lowest > 2.0**122 or power < 20
    assert_allclose(field, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize(("spectrum", "power"), [("isotropic", 14.0), ("official", 14)])
def test_an_amplitude_that_float32_holds_is_kept_to_the_bit(spectrum, power):
    size = (224, 224)
    noise = np.zeros((1, *_spectrum.noise_shape(size, power, spectrum)), np.float32)
    noise[0, 0, 0, 0] = 1.0
    field = np.asarray(masks.fourier_field(noise, size, power, spectrum))
    # Frequency 0 alone, 224^14 of it: nothing was divided out.
    pixels = math.prod(size)
    scale = 1 / pixels if spectrum == "official" else 1 / math.sqrt(pixels)
    # float32 powers: 14 ln 224 times 2^-24, a few times.
    assert_allclose(field, 224.0**14 * scale, rtol=3e-5)


def test_amplitudes_are_divided_out_only_if_float32_could_not_hold_the_field():
    plain, large, small = (
        np.asarray(field_of(lambda f, n=n: n * (f + 0.1) ** -2, 3.0, (16, 12))[1])
        for n in (1.0, 1e20, 1e-30)
    )
    # Of other factors, each is rounded some times.
    assert_allclose(large / 1e20, plain, rtol=0, atol=1e-5 * np.abs(plain).max())
    ratio = small / np.abs(small).max()
    assert_allclose(ratio, plain / np.abs(plain).max(), rtol=0, atol=1e-5)
    assert np.abs(small).max() > 1e-10


def test_a_spectrum_is_taken_at_the_lowest_frequency_where_it_is_infinite():
    def clamped(frequency):
        return np.maximum(frequency, 1 / 32) ** -3.0

    found = np.asarray(field_of(cubic, 3.0, (32, 24))[1])
    expected = np.asarray(field_of(clamped, 3.0, (32, 24))[1])
    assert_array_equal(found, expected)


def test_the_sign_and_the_scale_of_a_spectrum_do_not_matter():
    def scaled(frequency):
        return -1e200 * (frequency.astype("float64") + 0.1) ** -8

    found = np.asarray(field_of(scaled, 3.0, (32, 24))[1], np.float64)
    expected = -np.asarray(field_of(lambda f: (f + 0.1) ** -8, 3.0, (32, 24))[1])
    scale = np.abs(found).max() / np.abs(expected).max()
    assert_allclose(found / scale, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_amplitudes_may_lack_the_first_axes():
    found = field_of(lambda f: 1 / (0.1 + f[0]), 3.0, (9, 12))[1]
    expected = field_of(lambda f: 1 / (0.1 + f[:1]) + 0 * f, 3.0, (9, 12))[1]
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("spectrum", "rule", "received"),
    [
        (nothing, "must not be 0 at all frequencies except 0", "0 at 16 frequencies"),
        (constant_alone, "must not be 0 at all frequencies except 0", "0 at 16"),
        (negative_root, "must be finite at all frequencies except 0", "nan at"),
        (pole, "must be finite at all frequencies except 0", "inf at 0.25"),
        (lambda f: f.mean(keepdims=True)[:, None], "one real amplitude", r"\(1, 1\)"),
        (lambda f: f + 1j, "one real amplitude", "complex64"),
    ],
)
def test_a_spectrum_that_makes_no_field_is_refused(spectrum, rule, received):
    layer = msda.FMixLayer(spectrum=spectrum, seed=1)
    with pytest.raises(ValueError, match=f"fourier_field: .*{rule}.*{received}"):
        layer.sample_masks(2, (32,), seed=(1, 2))


TRACED = [("isotropic", 25.0), ("official", 25.0), *((f, 3.0) for f in SINGULAR)]
TRACED += [(f, 3.0) for f in (large, logarithm, nothing, constant_alone, pole)]


@pytest.mark.tensorflow
@pytest.mark.parametrize(("spectrum", "power"), TRACED, ids=named)
@pytest.mark.parametrize("size", [(64,), (24, 32), (8, 9, 10)], ids=str)
def test_masks_of_sizes_that_are_traced_are_finite_and_differ(spectrum, power, size):
    layer = msda.FMixLayer(spectrum=spectrum, decay_power=power, seed=1)
    unknown = tf.TensorSpec([None] * (len(size) + 1) + [1])

    # Nothing here is for AutoGraph, which would take most of the time.
    @tf.function(input_signature=[unknown], autograph=False)
    def field(images):
        given = tuple(tf.unstack(tf.shape(images))[1:-1])
        shape = _spectrum.noise_shape(given, power, spectrum)
        noise = tf.random.stateless_normal([12, *shape], (1, 2))
        return masks.fourier_field(noise, given, layer.decay_power, spectrum)

    found = field(tf.zeros([1, *size, 1])).numpy()
    assert np.isfinite(found).all()
    mask, _ = fourier(np.full(12, 0.5, np.float32), found)
    assert len({sample.tobytes() for sample in mask}) > 6


@pytest.mark.tensorflow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_amplitudes_that_are_not_finite_count_as_zero_where_sizes_are_traced(value):
    noise = np.random.default_rng(3).normal(
        size=(2, *_spectrum.noise_shape((16,), 3.0, inverse))
    )
    noise = noise.astype("float32")

    @tf.function(autograph=False)
    def field(length, beyond):
        def spectrum(frequency):
            return tf.where(frequency > 0.3, beyond, 1.0)

        return masks.fourier_field(noise, (length,), 3.0, spectrum)

    found, expected = (field(tf.constant(16), tf.constant(x)) for x in (value, 0.0))
    assert np.ptp(expected) > 0
    assert_array_equal(found, expected)


def test_a_layer_of_a_part_of_a_configuration_has_defaults():
    layer = msda.FMixLayer.from_config({"alpha": 0.5, "decay_power": 2.0})
    assert_equal((layer.spectrum, layer.decay_power), ("isotropic", 2.0))


def test_counts_are_exact_up_to_their_bound():
    ops = _backend.get_backend_ops()
    lam = np.float32([0, 1e-9, 0.3, 0.9999999, 1])
    found = _fourier.top_count(ops.convert(lam), _fourier.MOST_PIXELS, 0.5)
    expected = counts(lam, _fourier.MOST_PIXELS, [0.5] * len(lam))
    assert_array_equal(np.asarray(found), expected)
