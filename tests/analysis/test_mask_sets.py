"""Sets of masks: all there are, with their probabilities, or as many as are drawn."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less

import keras_msda as msda
from keras_msda.analysis import mask_set
from tests.support import analysis_oracles as oracles
from tests.support.analysis_cases import BAD_INPUT, METHODS, SIZED_LAMS, SIZES, named

# As of the moments, and masks may be float32.
TOLERANCE = 2e-6

methods = pytest.mark.parametrize("name", METHODS)
DRAWN = [name for name in METHODS if name.endswith("drawn")]


def flat(masks):
    """Returns a set in the form of the oracles', of shares of the partner."""
    partner = 1 - masks.mask.reshape(len(masks.mask), -1)
    return oracles.Masks(partner, masks.weight, masks.probability)


def check(found, parts, size):
    """Compares what the coefficients are made of: all second moments with weights."""
    assert found.mask.shape[1:] == size
    assert_allclose(np.sum(found.probability), 1, rtol=1e-12)
    assert_array_less(0, found.probability)
    parts = list(parts)
    mean, second = oracles.moments(parts)
    own = oracles.moments([(1.0, flat(found))])
    assert_allclose(own[0], mean, atol=TOLERANCE)
    assert_allclose(own[1], second, atol=TOLERANCE)
    expected, given = oracles.effective(parts), oracles.effective([(1.0, flat(found))])
    assert_allclose(given[0], expected[0], atol=TOLERANCE)
    assert_allclose(given[1], expected[1], atol=TOLERANCE)


def distinct(masks):
    """Lists different masks with the sums of their probabilities, in order."""
    mask = np.round(masks.partner, 5) + 0.0
    rows, index = np.unique(mask, axis=0, return_inverse=True)
    return rows, np.bincount(index.ravel(), masks.probability)


@pytest.mark.parametrize("size", SIZES, ids=named(SIZES))
@methods
def test_all_masks_of_a_lambda_are_there_with_their_probabilities(name, size):
    for lam in SIZED_LAMS[size]:
        found = mask_set(METHODS[name].layer(seed=1), size, lam=lam)
        expected = oracles.masks_at(METHODS[name], size, lam)
        check(found, [(1.0, expected)], size)


@pytest.mark.parametrize("name", ["cutmix", "cutmix-wrap", "cutmix-inside", "hmix"])
def test_masks_are_the_very_ones(name):
    found = mask_set(METHODS[name].layer(seed=1), (5, 6), lam=0.37)
    expected = distinct(oracles.masks_at(METHODS[name], (5, 6), 0.37))
    rows, probabilities = distinct(flat(found))
    assert_allclose(rows, expected[0], atol=TOLERANCE)
    assert_allclose(probabilities, expected[1], atol=TOLERANCE)


@pytest.mark.parametrize("name", [n for n in METHODS if n not in DRAWN])
def test_weights_are_the_means_of_masks(name):
    for lam in (None, 0.37):
        found = mask_set(METHODS[name].layer(seed=1), (4, 3), lam=lam)
        means = found.mask.reshape(len(found.mask), -1).mean(1)
        assert_allclose(found.weight, means, atol=TOLERANCE)


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_weight_is_lambda(name):
    found = mask_set(METHODS[name].layer(seed=1), (4, 3), lam=0.37)
    assert_allclose(found.weight, 0.37, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.2, 1.0, (2.0, 1.0)], ids=str)
@methods
def test_masks_over_the_distribution_of_lambda_have_its_moments(name, alpha):
    found = mask_set(METHODS[name].layer(alpha=alpha, seed=1), (4, 3))
    check(found, oracles.distribution(METHODS[name], (4, 3), alpha), (4, 3))


def test_masks_of_own_labels_follow_their_distribution_of_lambda():
    layer = msda.MixUpLayer(alpha=0.5, targets="own", seed=1)
    found = mask_set(layer, (3,))
    # Beta(1.5, .5).
    assert_allclose(found.probability @ found.mask[:, 0], 0.75, atol=TOLERANCE)
    assert_allclose(found.probability @ found.mask[:, 0] ** 2, 0.625, atol=TOLERANCE)


def test_samples_that_are_not_mixed_are_left_out():
    layer = msda.CutMixLayer(probability=0.25, seed=1)
    for draws in (None, 20):
        found = mask_set(layer, (4, 3), lam=0.0, draws=draws)
        # At lambda 0 the box is as large as the image: a corner's is 2 pixels of 12.
        assert_array_less(found.weight, 0.84)


# Draws


@pytest.mark.parametrize("name", [*METHODS, "fmix"])
def test_draws_have_equal_probabilities(name):
    layer = METHODS[name].layer(seed=1) if name != "fmix" else msda.FMixLayer(seed=1)
    found = mask_set(layer, (4, 3), draws=7, seed=2)
    assert found.mask.shape == (7, 4, 3)
    assert_allclose(found.probability, 1 / 7)
    if name not in DRAWN:
        means = found.mask.reshape(7, -1).mean(1)
        assert_allclose(found.weight, means, atol=TOLERANCE)


@methods
def test_draws_tend_to_all_masks(name):
    layer, draws = METHODS[name].layer(seed=1), 4000
    found = flat(mask_set(layer, (4, 3), draws=draws, seed=2))
    mean, second = oracles.moments(oracles.distribution(METHODS[name], (4, 3)))
    products = found.partner[:, :, None] * found.partner[:, None]
    for drawn, exact in ((found.partner, mean), (products, second)):
        error = drawn.std(axis=0, ddof=1) / math.sqrt(draws)
        away = np.abs(drawn.mean(axis=0) - exact)
        assert_array_less(away, 5 * error + TOLERANCE)


@pytest.mark.parametrize("name", ["cutmix", "fmix"])
def test_draws_follow_the_seed_alone(name):
    make = msda.CutMixLayer if name == "cutmix" else msda.FMixLayer
    found = mask_set(make(seed=1), (6, 5), draws=5, seed=3)
    again = mask_set(make(seed=9), (6, 5), draws=5, seed=3)
    other = mask_set(make(seed=1), (6, 5), draws=5, seed=4)
    for part in ("mask", "weight", "probability"):
        assert_array_equal(getattr(found, part), getattr(again, part))
    assert np.any(found.mask != other.mask)


def test_draws_of_a_lambda_have_it():
    found = mask_set(msda.FMixLayer(seed=1), (8, 8), lam=0.5, draws=6)
    assert_allclose(found.weight, 0.5, atol=1e-6)


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@pytest.mark.parametrize("pairing", ["shuffle", "reverse"])
def test_draws_are_all_different_whatever_a_batch_shares(per, pairing):
    layer = msda.MixUpLayer(per=per, pairing=pairing, seed=1)
    found = mask_set(layer, (2,), draws=40, seed=1)
    assert len(np.unique(found.weight)) == 40
    assert_array_less(found.weight, 1)


def test_all_masks_do_not_depend_on_a_seed():
    sets = [mask_set(msda.CutMixLayer(seed=i), (4, 3), seed=i) for i in (1, 2)]
    assert_array_equal(sets[0].mask, sets[1].mask)


# Bad input


def random_fmix():
    return msda.RandomMixLayer([msda.MixUpLayer(), msda.FMixLayer()], seed=1)


BAD = BAD_INPUT | {
    "lam above": ({"lam": 1.5}, ValueError, "lam.*1.5"),
    "lam nan": ({"lam": math.nan}, ValueError, "lam.*nan"),
    "no layer": ({"layer": None}, TypeError, "mixing layer.*NoneType"),
    "fmix": ({"layer": msda.FMixLayer(seed=1)}, ValueError, "FMix.*draws=1000"),
    "fmix at a lambda": (
        {"layer": msda.FMixLayer(seed=1), "lam": 0.5},
        ValueError,
        "FMix.*draws=1000",
    ),
    "fmix inside": ({"layer": random_fmix()}, ValueError, "draws=1000"),
    "too many": (
        {"layer": msda.HMixLayer(seed=1), "shape": (224, 224)},
        ValueError,
        "\\(224, 224\\).*draws=1000",
    ),
    "too many of a lambda": (
        {"layer": msda.GMixLayer(seed=1), "shape": (80, 80), "lam": 0.5},
        ValueError,
        "\\(80, 80\\).*draws=1000",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, error, message = BAD[case]
    arguments = {"layer": msda.MixUpLayer(seed=1), "shape": (4, 4)} | change
    with pytest.raises(error, match=message):
        mask_set(**arguments)
