"""Moments of masks: against all masks there are, closed forms and draws."""

import functools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less

import keras_msda as msda
from keras_msda.analysis import mask_moments
from tests.support import analysis_oracles as oracles
from tests.support.analysis_cases import (
    ALPHAS,
    BAD_INPUT,
    EXACT_MEANS,
    METHODS,
    SIZED_LAMS,
    SIZES,
    SMALL,
    WRAPPED,
    named,
)

# Boxes take 2^-23 of the area more than asked for, against errors of float32, which
# moves a mean by 1.1e-6 at most. Quadratures, theirs and ours, agree better.
TOLERANCE = 2e-6

sizes = pytest.mark.parametrize("size", SIZES, ids=named(SIZES))
small_sizes = pytest.mark.parametrize("size", SMALL, ids=named(SMALL))
methods = pytest.mark.parametrize("name", METHODS)


@functools.cache
def moments_at(name, size, lam):
    """Returns what is exact of one lambda, with as few draws as there can be."""
    return mask_moments(METHODS[name].layer(seed=1), size, lam=lam, draws=2)


def covariance(mean, second, size):
    """Returns the covariance by offset; that of M is that of 1 - M."""
    return oracles.offset_map(second - np.outer(mean, mean), size)


def check(found, parts, size):
    mean, second = oracles.moments(parts)
    assert found.exact
    assert_allclose(found.mean, 1 - mean.reshape(size), atol=TOLERANCE)
    expected = covariance(mean, second, size)
    assert_allclose(found.covariance, expected, atol=TOLERANCE)


@sizes
@methods
def test_moments_are_those_of_all_masks(name, size):
    for lam in SIZED_LAMS[size]:
        found = moments_at(name, size, lam)
        check(found, [(1.0, oracles.masks_at(METHODS[name], size, lam))], size)


@pytest.mark.parametrize("alpha", ALPHAS, ids=str)
@pytest.mark.parametrize("size", [(16,), (6, 5)], ids=named([(16,), (6, 5)]))
@methods
def test_moments_over_the_distribution_of_lambda_are_those_of_all_masks(
    name, size, alpha
):
    layer = METHODS[name].layer(alpha=alpha, seed=1)
    found = mask_moments(layer, size, draws=2)
    assert found.lam is None
    check(found, oracles.distribution(METHODS[name], size, alpha), size)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mixup", "gmix", "gmix-wrap"])
def test_a_layer_of_own_labels_has_its_own_distribution_of_lambda(name):
    layer = METHODS[name].layer(targets="own", alpha=(2.0, 0.5), seed=1)
    found = mask_moments(layer, (6, 5), draws=2)
    check(
        found, oracles.distribution(METHODS[name], (6, 5), (2.0, 0.5), own=True), (6, 5)
    )


def test_samples_that_are_not_mixed_do_not_count():
    both = [
        mask_moments(msda.HMixLayer(probability=p, seed=1), (6, 5), lam=0.3, draws=9)
        for p in (0.0, 1.0)
    ]
    for name in ("mean", "covariance", "sampled_mean", "sampled_covariance"):
        assert_array_equal(getattr(both[0], name), getattr(both[1], name))
    assert_allclose(np.mean(both[0].sampled_mean), 0.3, atol=TOLERANCE)


# Closed forms, at sizes too large for a list of all masks

LARGE = [(64,), (32, 32), (28, 19), (8, 9, 7)]
CLOSED_FORMS = {
    "cutmix-wrap": oracles.wrapped_cutmix,
    "hmix-.3-wrap": functools.partial(oracles.wrapped_hmix, box_ratio=0.3),
    "hmix-wrap": functools.partial(oracles.wrapped_hmix, box_ratio=0.5),
    "gmix-wrap": oracles.wrapped_gmix,
    "cutmix": oracles.clipped_cutmix,
}


@pytest.mark.long
@pytest.mark.parametrize("size", LARGE, ids=named(LARGE))
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_covariances_are_the_closed_forms(name, size):
    layer = METHODS[name].layer(seed=1)
    for lam in (0.05, 0.37, 0.93):
        found = mask_moments(layer, size, lam=lam, draws=2)
        partner = 1 - found.mean.ravel()
        means = oracles.offset_map(np.outer(partner, partner), size)
        expected = oracles.by_offset(CLOSED_FORMS[name], lam, size)
        assert_allclose(found.covariance + means, expected, atol=TOLERANCE)


# Laws


@pytest.mark.long
@sizes
@pytest.mark.parametrize("name", WRAPPED)
def test_a_torus_makes_the_mean_lambda_at_every_pixel(name, size):
    for lam in SIZED_LAMS[size]:
        found = moments_at(name, size, lam)
        assert_allclose(found.mean, np.full(size, lam), atol=TOLERANCE)


@sizes
@methods
def test_the_mean_covariance_over_all_pairs_is_the_variance_of_the_mean(name, size):
    for lam in SIZED_LAMS[size]:
        found = moments_at(name, size, lam)
        masks = oracles.masks_at(METHODS[name], size, lam)
        means = masks.partner.mean(1)
        variance = masks.probability @ means**2 - (masks.probability @ means) ** 2
        expected = 0.0 if name in EXACT_MEANS else variance
        average = oracles.pair_mean(found.covariance, size)
        assert_allclose(average, expected, atol=TOLERANCE)


def test_the_covariance_of_mixup_is_the_variance_of_lambda():
    for alpha in (0.2, 1.0, 2.0):
        found = mask_moments(msda.MixUpLayer(alpha=alpha, seed=1), (3, 5), draws=2)
        assert_allclose(found.covariance, 1 / (4 * (2 * alpha + 1)), atol=TOLERANCE)


@pytest.mark.long
@methods
def test_the_covariance_is_the_same_at_an_offset_and_its_opposite(name):
    covariances = mask_moments(METHODS[name].layer(seed=1), (7, 9), draws=2).covariance
    assert_allclose(covariances, np.flip(covariances), rtol=0, atol=1e-12)


# Draws


def scores(found):
    """Returns how many standard errors what was drawn is off, where it can be."""
    values = []
    for name in ("mean", "covariance"):
        drawn, error = (
            getattr(found, f"sampled_{name}"),
            getattr(found, f"{name}_error"),
        )
        away = drawn - getattr(found, name)
        sure = error < 1e-6
        # Masks are float32.
        assert_allclose(away[sure], 0, atol=2e-6)
        values.append((away[~sure] / error[~sure]).ravel())
    return values


@pytest.mark.long
@small_sizes
@methods
def test_draws_are_within_five_errors_of_what_is_exact(name, size):
    layer = METHODS[name].layer(seed=1)
    for lam in (None, 0.37):
        found = mask_moments(layer, size, lam=lam, draws=1000, seed=3)
        assert found.draws == 1000
        assert_array_less(np.abs(np.concatenate(scores(found))), 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cutmix", "gmix", "random"])
def test_errors_are_those_of_repeated_draws(name):
    layer = METHODS[name].layer(seed=1)
    found = [mask_moments(layer, (6, 4), draws=500, seed=seed) for seed in range(40)]
    for part in ("mean", "covariance"):
        drawn = np.array([getattr(x, f"sampled_{part}") for x in found])
        error = np.array([getattr(x, f"{part}_error") for x in found])
        away = drawn - getattr(found[0], part)
        ratio = np.sqrt(np.mean(error**2) / np.mean(away**2))
        assert_allclose(ratio, 1, atol=0.25)


def test_draws_follow_the_seed_alone():
    layer = msda.CutMixLayer(seed=1)
    same = [mask_moments(layer, (6, 4), draws=9, seed=5) for _ in range(2)]
    other = mask_moments(layer, (6, 4), draws=9, seed=6)
    assert_array_equal(same[0].sampled_mean, same[1].sampled_mean)
    assert_array_equal(same[0].sampled_covariance, same[1].sampled_covariance)
    assert np.any(same[0].sampled_mean != other.sampled_mean)


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@pytest.mark.parametrize("pairing", ["shuffle", "reverse"])
def test_draws_are_independent_whatever_a_batch_shares(per, pairing):
    layer = msda.CutMixLayer(per=per, pairing=pairing, seed=1)
    found = mask_moments(layer, (6, 4), draws=1000, seed=4)
    assert_array_less(np.abs(np.concatenate(scores(found))), 5)


# FMix, which is drawn


@functools.cache
def fmix_moments(size, lam, draws=3000):
    return mask_moments(msda.FMixLayer(seed=1), size, lam=lam, draws=draws, seed=2)


@small_sizes
@pytest.mark.parametrize("lam", [0.3, 0.5])
def test_fmix_is_drawn_and_even(size, lam):
    found = fmix_moments(size, lam)
    assert not found.exact
    assert_array_equal(found.mean, found.sampled_mean)
    assert_array_equal(found.covariance, found.sampled_covariance)
    assert_array_less(np.abs(found.mean - lam), 5 * found.mean_error)
    zero = tuple(length - 1 for length in size)
    away = abs(found.covariance[zero] - lam * (1 - lam))
    # Where every pixel's mean is drawn, the product of means is off by 1 / draws.
    assert_array_less(away, 5 * found.covariance_error[zero] + 1e-3)
    # The number of pixels has no variance but that of rounding.
    average = oracles.pair_mean(found.covariance, size)
    assert_array_less(np.abs(average), 0.26 / math.prod(size) ** 2)


@pytest.mark.parametrize("size", [(16,), (9, 10), (6, 8)], ids=str)
def test_fmix_stays_below_the_arcsine_relation(size):
    found = fmix_moments(size, 0.5)
    frequencies = np.meshgrid(*map(np.fft.fftfreq, size), indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies))
    power = np.maximum(radius, 1 / max(size)) ** -6.0
    power.flat[0] = 0
    field = np.fft.ifftn(power).real
    offsets = np.indices([2 * length - 1 for length in size])
    wrapped = [(d + 1 - n) % n for d, n in zip(offsets, size, strict=True)]
    bound = np.arcsin(np.clip(field / field.flat[0], -1, 1)[tuple(wrapped)])
    near = np.abs(field / field.flat[0])[tuple(wrapped)] > 0.5
    above = found.covariance - bound / (2 * np.pi)
    assert_array_less(above[near], 5 * found.covariance_error[near] + 1e-6)
    # And not far below: fixing the area takes a tenth or so of what is near.
    assert_array_less(-0.06, above[near])


def test_a_choice_with_fmix_in_it_is_drawn():
    layer = msda.RandomMixLayer([msda.MixUpLayer(), msda.FMixLayer()], seed=1)
    found = mask_moments(layer, (6, 4), lam=0.4, draws=2000, seed=3)
    assert not found.exact
    assert_array_less(np.abs(found.mean - 0.4), 5 * found.mean_error)
    # Half of the masks vary, lam (1 - lam), and half do not.
    away = abs(found.covariance[5, 3] - 0.12)
    assert_array_less(away, 5 * found.covariance_error[5, 3] + 1e-3)


# Bad input

BAD = BAD_INPUT | {
    "zero": ({"shape": (4, 0)}, ValueError, "one to three.*\\(4, 0\\)"),
    "no tuple": ({"shape": 8}, ValueError, "shape.*Received: shape=8"),
    "lam below": ({"lam": -0.1}, ValueError, "lam.*-0.1"),
    "lam above": ({"lam": 1.5}, ValueError, "lam.*1.5"),
    "lam nan": ({"lam": math.nan}, ValueError, "lam.*nan"),
    "half a draw": ({"draws": 2.5}, ValueError, "draws.*2.5"),
    "no layer": ({"layer": None}, TypeError, "mixing layer.*NoneType"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, error, message = BAD[case]
    arguments = {"layer": msda.MixUpLayer(seed=1), "shape": (4, 4), "draws": 2} | change
    with pytest.raises(error, match=message):
        mask_moments(**arguments)
