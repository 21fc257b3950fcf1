"""Spectra for target coefficients: the relation, the projection, what layers reach."""

import functools

import keras
import numpy as np
import pytest
from scipy import stats

import keras_msda as msda
from keras_msda import analysis
from keras_msda.analysis import spectrum as _spectrum
from keras_msda.masks.spectrum import fourier_field

#: Coefficients of a target that falls off, by distance.
FALLING = [0.333, 0.3, 0.27, 0.24, 0.21, 0.19, 0.17, 0.16]


def frequencies(shape):
    axes = [np.fft.fftfreq(length) ** 2 for length in shape]
    return np.sqrt(functools.reduce(np.add.outer, axes))


def orthant(rho, share):
    """Returns P(g < t, h < t) for correlated normals, P(g < t) = share."""
    threshold = stats.norm.ppf(share)
    normals = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]])
    return normals.cdf([threshold, threshold])


@pytest.mark.parametrize("alpha", [(1.0, 1.0), (0.4, 0.4), (2.0, 1.0)], ids=str)
@pytest.mark.parametrize("rho", [-0.6, -0.1, 0.0, 0.3, 0.9])
def test_the_relation_is_the_mean_of_bivariate_normals(alpha, rho):
    angle, value = _spectrum._relation(*alpha)
    # Midpoints of 400 equally likely lambdas err by less than 1e-4 here.
    lams = stats.beta.ppf((np.arange(400) + 0.5) / 400, *alpha)
    both = [orthant(rho, 1 - lam) for lam in lams]
    neither = [orthant(rho, lam) for lam in lams]
    expected = np.mean(lams * both + (1 - lams) * neither)
    found = np.interp(np.arcsin(rho), angle, value)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def test_at_lambda_one_half_the_relation_is_the_arcsine():
    # Beta(1e8, 1e8) is 1/2 but for some 1e-4.
    angle, value = _spectrum._relation(1e8, 1e8)
    np.testing.assert_allclose(value, 0.25 + angle / (2 * np.pi), rtol=0, atol=2e-4)


def test_the_relation_ends_where_the_methods_agree_and_rises():
    angle, value = _spectrum._relation(1.0, 1.0)
    assert (np.diff(value) >= 0).all()
    np.testing.assert_allclose(np.interp(0, angle, value), 1 / 6, rtol=0, atol=1e-6)
    np.testing.assert_allclose(value[-1], 1 / 3, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(32,), (16, 16), (9, 14), (8, 6, 8)], ids=str)
def test_a_curve_that_a_spectrum_makes_is_reached(shape):
    longest = max(shape)
    count = int(np.ceil(longest * frequencies(shape).max())) + 2
    power = 1.0 / (1 + np.arange(count)) ** 2
    true = analysis.RadialSpectrum(1 / longest, np.sqrt(power))
    correlation = _spectrum._correlation(true, shape)
    found, _ = _spectrum._closest_spectrum(correlation)
    # Between rings the amplitude is interpolated: exact, in float32, on one axis alone.
    reached = _spectrum._correlation(found, shape)
    atol = 1e-6 if len(shape) == 1 else 0.04
    np.testing.assert_allclose(reached, correlation, rtol=0, atol=atol)


def test_the_projection_is_the_closest_of_many_spectra():
    generator = np.random.default_rng(3)
    half = generator.uniform(-0.6, 0.6, 13)
    target = np.concatenate([half, half[-2:0:-1]])
    target[0] = 1.0
    found, negative = _spectrum._closest_spectrum(target)
    assert negative > 0.01
    best = np.sum((target - target.mean() - _spectrum._correlation(found, (24,))) ** 2)
    rings = np.array(found.amplitude, float) ** 2
    for _ in range(300):
        other = np.maximum(rings + generator.normal(0, 0.05 * rings.max(), 13), 0)
        trial = analysis.RadialSpectrum(1 / 24, np.sqrt(other))
        error = target - target.mean() - _spectrum._correlation(trial, (24,))
        assert np.sum(error**2) >= best - 1e-9


def test_what_is_negative_is_told_and_a_positive_target_has_none():
    positive = analysis.design_spectrum([0.33, 0.2, 0.1667], (16, 16), draws=2)
    swinging = [0.33, 0.1, 0.25, 0.1, 0.25, 0.1667]
    negative = analysis.design_spectrum(swinging, (16, 16), draws=2)
    assert positive.negative < 0.01 < 0.2 < negative.negative
    assert positive.rms_residual < negative.rms_residual


@pytest.mark.parametrize("shape", [(64,), (16, 16), (12, 15)], ids=str)
def test_the_layer_reaches_what_the_relation_says(shape):
    design = analysis.design_spectrum(FALLING, shape, draws=800, seed=2)
    # Exact pixel counts lower near coefficients by up to 0.012 on these small images;
    # the rest is noise, 4 standard errors.
    gap = np.abs(design.measured.value - design.predicted.value)
    assert (gap <= 0.012 + 4 * design.error).all(), gap - 4 * design.error
    # A target beside the point would not pass: MixUp's is the same everywhere.
    assert np.abs(design.measured.value - 1 / 6).max() > 0.1


def test_the_residual_is_the_distance_of_the_curves():
    design = analysis.design_spectrum(FALLING, (40,), draws=2)
    # In one dimension offsets d and -d are one distance, and half a length is itself.
    twice = np.where(np.arange(1, 21) == 20, 1, 2)
    gap = (design.target.value - design.predicted.value)[1:]
    expected = np.sqrt(np.average(gap**2, weights=twice))
    np.testing.assert_allclose(design.rms_residual, expected, rtol=1e-9)


def test_the_mean_over_all_offsets_is_mixups_whatever_the_target():
    high = analysis.design_spectrum([0.33, 0.3, 0.3], (15,), draws=2)
    twice = np.where(np.arange(8) == 0, 1, 2)
    mean = np.average(high.target.value, weights=twice)
    assert mean > 0.29
    # 0.02: the relation is not linear, and rho's mean is 0 where the coefficient's is
    # MixUp's only nearly so.
    reached = np.average(high.predicted.value, weights=twice)
    np.testing.assert_allclose(reached, 1 / 6, rtol=0, atol=0.02)


def test_a_spectrum_computes_the_same_of_arrays_and_tensors():
    spectrum = analysis.RadialSpectrum(0.1, [0.5, 1.0, 0.25, 0.125])
    values = np.array([0.0, 0.04, 0.1, 0.27, 0.3, 0.7], "float32")
    expected = [0.5, 0.7, 1.0, 0.1625, 0.125, 0.125]
    np.testing.assert_allclose(spectrum(values), expected, rtol=0, atol=1e-6)
    tensor = spectrum(keras.ops.convert_to_tensor(values))
    np.testing.assert_allclose(tensor, expected, rtol=0, atol=1e-6)


def test_a_field_has_the_correlation_of_its_spectrum():
    spectrum = analysis.RadialSpectrum(1 / 16, [1.0, 1.0, 0.3, 0.1, 0.0])
    expected = _spectrum._correlation(spectrum, (16,))
    noise = np.random.default_rng(1).normal(size=(4000, 9, 2)).astype("float32")
    field = np.asarray(fourier_field(noise, (16,), spectrum=spectrum))
    field = field - field.mean(1, keepdims=True)  # It moves the threshold alone.
    products = [(field * np.roll(field, -d, 1)).mean() for d in range(16)]
    # 4,000 fields of a dozen free numbers: errors of about 1 %.
    np.testing.assert_allclose(products / products[0], expected, rtol=0, atol=0.04)


def test_a_layer_with_a_spectrum_is_saved_and_loaded(tmp_path):
    spectrum = analysis.RadialSpectrum(0.1, [0.5, 1.0, 0.25])
    layer = msda.FMixLayer(spectrum=spectrum, seed=1)
    model = keras.Sequential([keras.Input((8, 8, 1)), layer])
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path).layers[-1]
    plans = [x.sample(4, (8, 8), seed=(1, 2)) for x in (layer, loaded)]
    np.testing.assert_array_equal(plans[0].mask, plans[1].mask)


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        ([0.3], {}, r"two at least.*Received: coefficients=\[0.3\]"),
        ([0.3, float("nan")], {}, "finite numbers"),
        ([[0.3, 0.2]], {}, "by distance"),
        (["a", "b"], {}, "finite numbers"),
        ([0.3, 0.2], {"shape": (8, 0)}, r"shape=\(8, 0\)"),
        ([0.3, 0.2], {"shape": (1, 1)}, r"two pixels.*shape=\(1, 1\)"),
        ([0.3, 0.2], {"alpha": 0}, "alpha=0"),
        ([0.3, 0.2], {"draws": 1}, "draws=1"),
    ],
    ids=["one", "nan", "matrix", "words", "shape", "pixel", "alpha", "draws"],
)
def test_wrong_arguments_are_named(target, settings, words):
    with pytest.raises(ValueError, match=f"design_spectrum: .*{words}"):
        analysis.design_spectrum(target, **({"shape": (8, 8)} | settings))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, [1.0, 1.0]), "`step` must be a positive.*step=0"),
        ((-0.1, [1.0, 1.0]), "`step` must be a positive.*step=-0.1"),
        ((float("nan"), [1.0, 1.0]), "`step` must be a positive.*step=nan"),
        (("0.1", [1.0, 1.0]), "`step` must be a positive.*step='0.1'"),
        ((0.1, [1.0]), "two at least.*amplitude=\\[1.0\\]"),
        ((0.1, 1.0), "two at least.*amplitude=1.0"),
        ((0.1, [1.0, float("inf")]), "finite numbers.*inf"),
        ((0.1, ["a", "b"]), "finite numbers.*'a'"),
    ],
)
def test_tables_of_amplitudes_are_checked(arguments, words):
    with pytest.raises(ValueError, match=f"RadialSpectrum: .*{words}"):
        analysis.RadialSpectrum(*arguments)
