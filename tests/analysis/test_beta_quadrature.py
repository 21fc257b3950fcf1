"""Means over lambda's Beta distribution, from flat ones to the narrowest peaks."""

import functools
import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_less
from scipy import special, stats

import keras_msda as msda
from keras_msda.analysis import (
    _expectations,
    _mask_distributions,
    mask_moments,
    mask_set,
)
from keras_msda.analysis._beta_quadrature import beta_nodes
from keras_msda.analysis.coefficients import over_all_pairs, regularization_coefficients
from tests.support import analysis_oracles as oracles
from tests.support.analysis_cases import METHODS

ALPHAS = [0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 50.0, 200.0, 400.0, 1e3, 1e4]
EQUAL = [(a, a) for a in ALPHAS]
UNEQUAL = [*itertools.permutations([0.01, 0.2, 1.0, 5.0, 100.0, 1e4], 2)]
UNEQUAL += [(200.0, 20.0), (20.0, 200.0), (20.0, 400.0), (2.0, 0.5)]
PAIRS = EQUAL + UNEQUAL
#: Where boxes of an image jump, rank by rank.
SHAPES = {1: (23,), 2: (9, 14), 3: (4, 5, 6)}

ranks = pytest.mark.parametrize("rank", SHAPES)


def breaks_of_layer(layer, size):
    return _mask_distributions.family(layer).breaks(layer, size)


def breaks_of(rank):
    return breaks_of_layer(msda.CutMixLayer(seed=1), SHAPES[rank])


@pytest.mark.parametrize("broken", [False, True])
@ranks
def test_mean_and_deviation_are_those_of_scipy(rank, broken):
    for a, b in PAIRS:
        lam, weight = beta_nodes((a, b), breaks_of(rank) if broken else [], rank)
        assert_allclose(weight.sum(), 1, rtol=1e-13)
        assert_array_less(-1e-300, [weight.min(), lam.min(), 1 - lam.max()])
        mean, deviation = stats.beta.mean(a, b), stats.beta.std(a, b)
        # The singular end's neighbours have the largest errors, near 1e-7.
        assert_allclose(weight @ lam, mean, atol=1e-7)
        found = math.sqrt(weight @ (lam - mean) ** 2)
        assert_allclose(found, deviation, rtol=1e-6)


@ranks
def test_probabilities_of_pieces_are_those_of_the_distribution(rank):
    breaks = breaks_of(rank)
    for a, b in PAIRS:
        lam, weight = beta_nodes((a, b), breaks, rank)
        for x in breaks:
            expected = special.betainc(a, b, min(max(x, 0), 1))
            assert_allclose(weight[lam < x].sum(), expected, atol=1e-12)


def jagged(lam, rank):
    """Returns what jumps and kinks at breaks and is smooth in the root between them."""
    length = SHAPES[rank][0]
    whole = np.floor(length * (1 - lam + oracles.UNSEEN) ** (1 / rank))
    rest = length * (1 - lam) ** (1 / rank) - whole
    return np.where(whole % 2 == 0, rest, whole / length + rest**2)


@ranks
@pytest.mark.parametrize("alpha", PAIRS, ids=str)
def test_jumps_and_kinks_at_breaks_cost_nothing(alpha, rank):
    length = SHAPES[rank][0]
    breaks = [1 - (k / length) ** rank + oracles.UNSEEN for k in range(1, length + 1)]
    lam, weight = beta_nodes(alpha, [*breaks, 0.5], rank)
    found = weight @ jagged(lam, rank)
    fine, probability = fine_nodes(alpha, breaks)
    # At alpha .01 many lambdas are 1 - 1e-16 or so, rounded: a cube root of 5e-6.
    assert_allclose(found, probability @ jagged(fine, rank), atol=5e-6)


def fine_nodes(alpha, breaks):
    """Returns nodes found independently: Gauss in the quantile, in many pieces."""
    tails = [4.0**-k for k in range(1, 25)]
    cuts = special.betaincinv(*alpha, [*np.linspace(0.05, 0.95, 19), *tails])
    upper = 1 - special.betaincinv(*alpha[::-1], tails)
    inner = [*breaks, *cuts, *upper, *tails, *(1 - np.array(tails))]
    ends = np.unique([x for x in inner if 0 < x < 1])
    return oracles.beta_nodes(*alpha, ends, order=10)


@pytest.mark.parametrize("layer", [msda.CutMixLayer, msda.HMixLayer, msda.GMixLayer])
def test_usual_alphas_keep_their_number_of_nodes(layer):
    count = {"CutMixLayer": 304, "HMixLayer": 192, "GMixLayer": 112}[layer.__name__]
    leaf = layer(seed=1)
    for alpha in (0.2, 1.0, 2.0, 5.0):
        found = beta_nodes((alpha, alpha), breaks_of_layer(leaf, (32, 32)), 2)
        assert len(found[0]) == count
    for pair in PAIRS:
        assert len(beta_nodes(pair, breaks_of_layer(leaf, (32, 32)), 2)[0]) < 1.25 * 304


@pytest.mark.parametrize("alpha", [(5e-324, 5e-324), (1e-5, 1e9), (1e3, 1e9)], ids=str)
def test_extremes_are_never_nan(alpha):
    for rank in SHAPES:
        lam, weight = beta_nodes(alpha, breaks_of(rank), rank)
        expected = alpha[0] / (alpha[0] + alpha[1])
        assert_allclose(weight @ lam, expected, atol=1e-8)


# What reads the nodes

#: Mean and deviation of Beta distributions, by their closed forms.
NARROW = {
    (200.0, 20.0): (0.9091, 0.0193),
    (20.0, 200.0): (0.0909, 0.0193),
    (300.0, 300.0): (0.5, 0.0204),
    (1e4, 1e4): (0.5, 0.0035),
    (1e4, 0.01): (1.0, 1e-5),
}


@pytest.mark.parametrize("alpha", NARROW, ids=str)
@pytest.mark.parametrize("name", ["mixup", "hmix", "gmix-wrap"])
def test_label_weights_of_peaked_alphas_are_lambdas(name, alpha):
    found = mask_moments(METHODS[name].layer(alpha=alpha, seed=1), (6, 5), draws=2)
    mean, deviation = NARROW[alpha]
    assert found.exact
    assert_allclose(found.mean.mean(), mean, atol=6e-5)
    drawn = math.sqrt(max(0.0, over_all_pairs(found.covariance)))
    # Boxes take 2^-23 of the area more than asked for.
    assert_allclose(drawn, deviation, atol=6e-5)


# Not GMix at .01: a bump's peak is 1 at any lambda but 0, to which floats round some.
@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        *itertools.product(["cutmix", "hmix", "gmix"], [400.0, (200.0, 20.0)]),
        ("cutmix", 0.01),
        ("hmix", 0.01),
        ("cutmix-wrap", (3.0, 1e4)),
        ("gmix", (3.0, 1e4)),
    ],
    ids=str,
)
def test_moments_and_sets_of_narrow_peaks_are_those_of_all_masks(name, alpha):
    layer, size = METHODS[name].layer(alpha=alpha, seed=1), (4, 3)
    pair = alpha if isinstance(alpha, tuple) else (alpha, alpha)
    nodes = fine_nodes(pair, oracles.breaks(METHODS[name], size))
    masks_of = functools.partial(oracles.masks_at, METHODS[name], size)
    parts = [
        (probability, masks_of(lam)) for lam, probability in zip(*nodes, strict=True)
    ]
    mean, second = oracles.moments(parts)
    found = mask_moments(layer, size, draws=2)
    assert_allclose(1 - found.mean.ravel(), mean, atol=2e-6)
    expected = oracles.offset_map(second - np.outer(mean, mean), size)
    assert_allclose(found.covariance, expected, atol=2e-6)
    masks = mask_set(layer, size)
    assert_allclose(masks.probability.sum(), 1, rtol=1e-12)
    shares = masks.probability @ (1 - masks.mask.reshape(-1, 12))
    assert_allclose(shares, mean, atol=2e-6)


@pytest.mark.parametrize("alpha", [(200.0, 20.0), (20.0, 200.0), (300.0, 300.0)])
def test_own_labels_of_peaked_alphas_have_the_mixture_of_both_betas(alpha):
    layer = msda.MixUpLayer(alpha=alpha, targets="own", seed=1)
    a, b = alpha
    parts = [(a / (a + b), stats.beta(a + 1, b)), (b / (a + b), stats.beta(b + 1, a))]
    mean = sum(share * part.mean() for share, part in parts)
    square = sum(share * (part.var() + part.mean() ** 2) for share, part in parts)
    found = mask_moments(layer, (3,), draws=2)
    assert_allclose(found.mean, mean, atol=1e-7)
    assert_allclose(over_all_pairs(found.covariance), square - mean**2, rtol=1e-6)
    masks = mask_set(layer, (3,))
    assert_allclose(masks.probability @ masks.weight, mean, atol=1e-7)


@pytest.mark.parametrize("alpha", [(200.0, 20.0), (400.0, 400.0)], ids=str)
def test_coefficients_of_peaked_alphas_are_closed_forms(alpha):
    a, b = alpha
    layer = msda.MixUpLayer(alpha=alpha, seed=1)
    found = regularization_coefficients(layer, (4, 3))
    expected = a * b / ((a + b) * (a + b + 1))
    assert_allclose(found.second, expected, rtol=1e-7)
    assert_allclose(found.paper, expected, rtol=1e-7)


@pytest.mark.parametrize(
    "function", [mask_moments, mask_set, regularization_coefficients]
)
def test_alphas_beyond_what_is_exact_are_refused(function):
    layer = msda.MixUpLayer(alpha=(1.0, 2e9), seed=1)
    with pytest.raises(ValueError, match=r"1e\+09.*alpha=\(1.0, 2000000000.0\)"):
        function(layer, (4, 3))


# Layers whose lambda is folded, or whose masks know only some axes


def folded(layer):
    layer.fold = True
    return layer


@pytest.mark.parametrize("alpha", [0.2, 1.0, (3.0, 1.5)], ids=str)
@pytest.mark.parametrize("name", ["mixup", "cutmix", "random"])
def test_folded_lambdas_are_the_larger_share(name, alpha):
    size = (4, 3)
    parts = [
        part
        for share, member in getattr(METHODS[name], "members", [(1.0, METHODS[name])])
        for part in larger(share, member, size, alpha)
    ]
    total = sum(probability for probability, _ in parts)
    mean, second = oracles.moments(
        [(probability / total, x) for probability, x in parts]
    )
    layer = folded(METHODS[name].layer(alpha=alpha, seed=1))
    found = mask_moments(layer, size, draws=2)
    assert_allclose(1 - found.mean.ravel(), mean, atol=2e-6)
    expected = oracles.offset_map(second - np.outer(mean, mean), size)
    assert_allclose(found.covariance, expected, atol=2e-6)
    masks = mask_set(layer, size)
    shares = masks.probability @ (1 - masks.mask.reshape(-1, 12))
    assert_allclose(shares, mean, atol=2e-6)


def larger(share, who, size, alpha):
    """Lists masks of max(lambda, 1 - lambda)."""
    a, b = alpha if isinstance(alpha, tuple) else (alpha, alpha)
    breaks = oracles.breaks(who, size)
    ends = sorted({*breaks, *(1 - x for x in breaks)})
    for lam, probability in zip(*oracles.beta_nodes(a, b, ends), strict=True):
        yield share * probability, oracles.masks_at(who, size, max(lam, 1 - lam))


def test_folding_leaves_the_papers_distribution_as_it_is():
    plain, other = (
        regularization_coefficients(layer, (6, 5))
        for layer in (msda.CutMixLayer(seed=1), folded(msda.CutMixLayer(seed=1)))
    )
    assert_allclose(other.paper, plain.paper, atol=1e-12)
    nodes = _expectations.lam_nodes(msda.MixUpLayer(seed=1), (6, 5), folded=True)
    # Of the larger of two parts of a stick that is broken anywhere.
    assert_allclose(nodes.drawn @ nodes.lam, 0.75, rtol=1e-12)


@pytest.mark.parametrize(
    "function", [mask_moments, mask_set, regularization_coefficients]
)
@pytest.mark.parametrize("draws", [None, 8])
def test_masks_of_some_axes_are_refused(function, draws):
    layer = msda.CutMixLayer(seed=1)
    layer.mask_axes = (2, 3)
    given = {} if draws is None else {"draws": draws}
    with pytest.raises(ValueError, match=r"all spatial axes.*mask_axes=\(2, 3\)"):
        function(layer, (4, 3, 2), **given)


def test_own_labels_of_a_folded_lambda_are_refused():
    layer = folded(msda.MixUpLayer(targets="own", seed=1))
    with pytest.raises(ValueError, match="targets='own' and fold=True"):
        mask_moments(layer, (4, 3))
