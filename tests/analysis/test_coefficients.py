"""Coefficients of the loss theorem: against all masks, tables, laws and draws."""

import functools
import math
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less

import keras_msda as msda
from keras_msda.analysis import (
    by_distance,
    mask_moments,
    over_all_pairs,
    regularization_coefficients,
)
from tests.support import analysis_oracles as oracles
from tests.support.analysis_cases import (
    ALPHAS,
    BAD_INPUT,
    EXACT_MEANS,
    METHODS,
    SYMMETRIC,
)
from tests.support.analysis_oracles import method

# As of the moments: quadratures agree to that.
TOLERANCE = 2e-6

# Lists over all lambdas grow fast: small sizes, and every second method at each.
SIZES = [(31,), (16,), (8, 8), (7, 9), (6, 4), (3, 4, 5), (1, 7)]
HALF = [
    (name, size)
    for i, name in enumerate(METHODS)
    for j, size in enumerate(SIZES)
    if (i + j) % 2
]
methods = pytest.mark.parametrize("name", METHODS)


def check(found, who, size, alpha):
    """Compares all three of them with sums over all masks."""
    assert found.exact
    first, second = oracles.effective(oracles.distribution(who, size, alpha))
    assert_allclose(found.first, first.reshape(size), atol=TOLERANCE)
    expected = oracles.offset_map(second, size)
    assert_allclose(found.second, expected, atol=TOLERANCE)
    assert_array_equal(found.error, np.zeros_like(expected))
    check_paper(found, who, size, alpha)


def check_paper(found, who, size, alpha):
    if "range" in str(who):
        assert found.paper is None
        return
    _, second = oracles.moments(oracles.distribution(who, size, alpha, own=True))
    assert_allclose(found.paper, oracles.offset_map(second, size), atol=TOLERANCE)


@pytest.mark.parametrize(("name", "size"), HALF)
def test_coefficients_are_those_of_all_masks(name, size):
    layer = METHODS[name].layer(seed=1)
    check(regularization_coefficients(layer, size), METHODS[name], size, 1.0)


@pytest.mark.parametrize(
    ("alpha", "size"), list(zip(ALPHAS, [(8,), (6, 5), (3, 4, 2), (5, 4)], strict=True))
)
@methods
def test_coefficients_are_those_of_all_masks_at_any_alpha(name, size, alpha):
    layer = METHODS[name].layer(alpha=alpha, seed=1)
    check(regularization_coefficients(layer, size), METHODS[name], size, alpha)


@pytest.mark.parametrize("alpha", [1.0, (2.0, 0.5)], ids=str)
@pytest.mark.parametrize("name", ["mixup", "gmix", "gmix-wrap"])
def test_own_labels_alone_have_the_coefficients_of_the_paper(name, alpha):
    layer = METHODS[name].layer(alpha=alpha, targets="own", seed=1)
    found = regularization_coefficients(layer, (6, 5))
    parts = oracles.distribution(METHODS[name], (6, 5), alpha, own=True)
    first, second = oracles.effective(oracles.own_label(parts))
    assert_allclose(found.first, first.reshape(6, 5), atol=TOLERANCE)
    assert_allclose(found.second, oracles.offset_map(second, (6, 5)), atol=TOLERANCE)
    assert_allclose(found.second, found.paper, atol=1e-12)


@pytest.mark.parametrize("name", ["cutmix", "gmix-wrap", "random", "cutmix-range"])
def test_coefficients_are_times_the_probability(name):
    never, half, always = (
        regularization_coefficients(METHODS[name].layer(probability=p, seed=1), (6, 5))
        for p in (0.0, 0.5, 1.0)
    )
    for part in ("first", "second", "paper"):
        if getattr(always, part) is not None:
            expected = getattr(always, part)
            assert_allclose(getattr(half, part), expected / 2, rtol=1e-12)
            assert_array_equal(getattr(never, part), np.zeros_like(expected))


def test_a_changed_probability_and_alpha_count():
    layer = msda.HMixLayer(seed=1)
    layer.probability, layer.alpha = 0.5, 2.0
    changed = regularization_coefficients(layer, (6, 5))
    given = msda.HMixLayer(alpha=2.0, probability=0.5, seed=1)
    expected = regularization_coefficients(given, (6, 5)).second
    assert_array_equal(changed.second, expected)


# Tables of the mathematics, 32 x 32 pixels on a torus, alpha 1: exact and the paper's.

OFFSETS = [(0, 0), (1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (4, 4), (8, 8), (16, 16)]
TABLE = {
    "mixup": ([0.167] * 9, [0.167] * 9),
    "cutmix": (
        [0.333, 0.313, 0.295, 0.264, 0.220, 0.188, 0.208, 0.148, 0.125],
        [0.333, 0.317, 0.300, 0.269, 0.216, 0.171, 0.220, 0.152, 0.121],
    ),
    "hmix-.5": (
        [0.220, 0.215, 0.209, 0.199, 0.180, 0.158, 0.186, 0.165, 0.153],
        [0.227, 0.221, 0.215, 0.203, 0.180, 0.156, 0.187, 0.165, 0.154],
    ),
    "hmix-.75": (
        [0.261, 0.252, 0.244, 0.227, 0.194, 0.163, 0.201, 0.160, 0.139],
        [0.270, 0.261, 0.251, 0.232, 0.195, 0.156, 0.205, 0.162, 0.138],
    ),
    "gmix": ([0.216, 0.215, 0.213, 0.206, 0.186, 0.160, 0.198, 0.166, 0.135],) * 2,
}
# The table is of boxes and bumps that know no pixels. CutMix's sides, rounded at
# random, have the same mean overlap; .0004 is that weights are of rounded sides. HMix
# rounds down, so that its box is smaller, and the table's bump sums all its periods.
TABLE_TOLERANCE = {
    "mixup": 5e-4,
    "cutmix": 9e-4,
    "hmix-.5": 6e-3,
    "hmix-.75": 9e-3,
    "gmix": 4.5e-3,
}
# Largest difference between exact and paper's on a 4 x 4 torus, by enumeration.
PAPER_DISTANCE = {"cutmix": 0.0241, "hmix-.5": 0.0019, "hmix-.75": 0.0033}
TORUS = {
    "mixup": msda.MixUpLayer,
    "cutmix": functools.partial(msda.CutMixLayer, border="wrap"),
    "hmix-.5": functools.partial(msda.HMixLayer, border="wrap"),
    "hmix-.75": functools.partial(msda.HMixLayer, border="wrap", box_ratio=0.75),
    "gmix": functools.partial(msda.GMixLayer, border="wrap"),
}


RATIOS = {name: {} for name in ("cutmix", "gmix")}
RATIOS |= {"hmix-.5": {"box_ratio": 0.5}, "hmix-.75": {"box_ratio": 0.75}}
CLOSED_FORMS = {
    "cutm": oracles.wrapped_cutmix,
    "hmix": oracles.wrapped_hmix,
    "gmix": oracles.wrapped_gmix,
}


@functools.cache
def on_torus(name, size=(32, 32)):
    return regularization_coefficients(TORUS[name](seed=1), size)


@functools.cache
def table_row(name, part):
    offsets = getattr(on_torus(name), part)
    return np.array([offsets[31 + dy, 31 + dx] for dx, dy in OFFSETS])


@pytest.mark.parametrize("part", ["second", "paper"])
@pytest.mark.parametrize("name", TABLE)
def test_coefficients_are_those_of_the_table(name, part):
    expected = TABLE[name][part == "paper"]
    assert_allclose(table_row(name, part), expected, atol=TABLE_TOLERANCE[name])


def share_squared(lam, size):
    """Returns E[s^2 | lam] of CutMix, whose sides are rounded at random."""
    value = 1.0
    for length in size:
        exact = length * (1 - lam) ** (1 / len(size))
        probability = exact - math.floor(exact)
        value *= (exact**2 + probability * (1 - probability)) / length**2
    return value


@pytest.mark.parametrize("name", ["cutmix", "hmix-.5", "hmix-.75", "gmix"])
def test_coefficients_are_means_of_the_closed_forms(name):
    size, who = (32, 32), method(name.partition("-")[0], **RATIOS[name])
    form = CLOSED_FORMS[name[:4]]
    nodes = oracles.beta_nodes(1, 1, oracles.breaks(who, size), order=3)
    for dx, dy in OFFSETS[1::3]:
        second = paper = 0.0
        for lam, probability in zip(*nodes, strict=True):
            both = form(lam, size, (dy, dx), **RATIOS[name])
            square = share_squared(lam, size) if name == "cutmix" else (1 - lam) ** 2
            second += probability * (both + 1 - lam - 2 * square)
            paper += probability * 2 * lam * both  # D~ is Beta(2, 1).
        found = on_torus(name)
        assert_allclose(found.second[31 + dy, 31 + dx], second, atol=TOLERANCE)
        assert_allclose(found.paper[31 + dy, 31 + dx], paper, atol=TOLERANCE)


@pytest.mark.parametrize("part", ["second", "paper"])
def test_boxes_regularise_near_and_mixup_far(part):
    rows = {name: table_row(name, part) for name in TABLE}
    near = {name: row[0] for name, row in rows.items()}
    far = {name: row[-1] for name, row in rows.items()}
    for low, high in (
        ("mixup", "hmix-.5"),
        ("mixup", "gmix"),
        ("hmix-.5", "hmix-.75"),
        ("gmix", "hmix-.75"),
        ("hmix-.75", "cutmix"),
    ):
        assert_array_less(near[low] + 0.005, near[high])
    for low, high in (
        ("cutmix", "gmix"),
        ("cutmix", "hmix-.75"),
        ("hmix-.75", "hmix-.5"),
        ("hmix-.5", "mixup"),
        ("gmix", "mixup"),
    ):
        assert_array_less(far[low] + 0.005, far[high])


@pytest.mark.parametrize("name", TORUS)
def test_on_a_torus_offsets_wrap_around(name):
    for part in ("second", "paper"):
        offsets = getattr(on_torus(name), part)
        assert_allclose(offsets[:31, 5], offsets[32:, 5], atol=1e-9)
        assert_allclose(offsets[40, :31], offsets[40, 32:], atol=1e-9)


# Laws


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("size", [(9,), (6, 5), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("name", EXACT_MEANS)
def test_the_mean_over_all_pairs_is_that_of_mixup(name, size, alpha):
    layer = METHODS[name].layer(alpha=alpha, seed=1)
    found = regularization_coefficients(layer, size)
    expected = alpha / (2 * (2 * alpha + 1))
    for offsets in (found.second, found.paper):
        assert_allclose(oracles.pair_mean(offsets, size), expected, atol=TOLERANCE)


@pytest.mark.parametrize("size", [(9,), (6, 5), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("name", [n for n in METHODS if "drawn" not in n])
def test_the_mean_over_all_pairs_is_that_of_the_product_of_weights(name, size):
    found = regularization_coefficients(METHODS[name].layer(seed=1), size)
    parts = oracles.distribution(METHODS[name], size)
    expected = oracles.mean_of_weights(parts, lambda w: w * (1 - w))
    average = oracles.pair_mean(found.second, size)
    assert_allclose(average, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "hmix", "gmix"])
def test_the_mean_of_the_first_order_is_that_of_the_product_of_weights(name):
    found = regularization_coefficients(METHODS[name].layer(seed=1), (6, 5))
    parts = oracles.distribution(METHODS[name], (6, 5))
    expected = oracles.mean_of_weights(parts, lambda w: 2 * w * (1 - w))
    assert_allclose(np.mean(found.first), expected, atol=TOLERANCE)


@pytest.mark.parametrize("size", [(9,), (6, 5), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("name", SYMMETRIC)
def test_the_paper_is_exact_where_the_complement_is_alike(name, size):
    found = regularization_coefficients(METHODS[name].layer(alpha=0.7, seed=1), size)
    assert_allclose(found.second, found.paper, atol=TOLERANCE)


def test_the_paper_is_off_where_weights_are_not_lambda():
    """A bump that is cut at a border has the mean of what is left of it."""
    found = regularization_coefficients(msda.GMixLayer(seed=1), (6, 5))
    away = np.max(np.abs(found.second - found.paper))
    assert_allclose(away, 0.0483, atol=5e-5)  # By enumeration.


def test_the_paper_is_off_where_the_complement_of_a_box_is_no_box():
    for name, distance in PAPER_DISTANCE.items():
        found = on_torus(name, (4, 4))
        away = np.max(np.abs(found.second - found.paper))
        assert_allclose(away, distance, atol=5e-5)


def test_in_one_dimension_the_complement_of_a_box_is_a_box():
    drawn, exact = (
        regularization_coefficients(
            msda.CutMixLayer(border="wrap", exact_weight=exact_weight, seed=1), (16,)
        )
        for exact_weight in (False, True)
    )
    assert_allclose(drawn.second, drawn.paper, atol=TOLERANCE)
    # Weights of rounded sides have a variance of their own, 1 / (6 L^2) on average.
    less = np.full(31, -2 / (6 * 16**2))
    assert_allclose(exact.second - drawn.second, less, atol=TOLERANCE)


@methods
def test_coefficients_are_the_same_at_an_offset_and_its_opposite(name):
    found = regularization_coefficients(METHODS[name].layer(seed=1), (6, 5))
    assert_allclose(found.second, np.flip(found.second), atol=1e-12)


def test_a_random_choice_has_the_mean_of_its_layers():
    members = [msda.MixUpLayer(alpha=0.3), msda.CutMixLayer(alpha=2.0)]
    layer = msda.RandomMixLayer(members, weights=[1.0, 3.0], seed=1)
    found = regularization_coefficients(layer, (6, 5))
    parts = [regularization_coefficients(member, (6, 5)) for member in members]
    for name in ("first", "second", "paper"):
        expected = getattr(parts[0], name) / 4 + getattr(parts[1], name) * 3 / 4
        assert_allclose(getattr(found, name), expected, atol=1e-12)


@pytest.mark.long
def test_coefficients_are_those_of_the_moments_where_the_mean_is_even():
    """Given lambda and w = lambda, E[B_j B_k] + (1 - lam) (2 lam - 1) is averaged."""
    layer = msda.HMixLayer(border="wrap", seed=1)
    lams, probabilities = oracles.beta_nodes(1, 1, np.linspace(0, 1, 51)[1:-1], order=1)
    expected = 0.0
    for lam, probability in zip(lams, probabilities, strict=True):
        covariance = mask_moments(layer, (5,), lam=float(lam), draws=2).covariance
        both = covariance + (1 - lam) ** 2 + (1 - lam) * (2 * lam - 1)
        expected = expected + probability * both
    found = regularization_coefficients(layer, (5,)).second
    # Sides change between the nodes of fifty pieces.
    assert_allclose(found, expected, atol=2e-3)


# FMix, which is drawn


@functools.cache
def of_fmix(size, seed, draws=2000, **arguments):
    layer = msda.FMixLayer(**dict(arguments), seed=1)
    return regularization_coefficients(layer, size, draws=draws, seed=seed)


@pytest.mark.parametrize("size", [(9,), (6, 5), (3, 4, 2)], ids=str)
def test_fmix_is_drawn_about_the_symmetric_methods_coefficients(size):
    found = of_fmix(size, 1)
    assert not found.exact
    zero = tuple(length - 1 for length in size)
    # At offset 0, E[w B + (1 - w) M] = 2 E[lam (1 - lam)] where B is 0 or 1.
    away = abs(found.second[zero] - 1 / 3)
    assert_array_less(away, 5 * found.error[zero])
    # Over all pairs E[w (1 - w)], except for the rounding of the count.
    average = oracles.pair_mean(found.second, size)
    assert_allclose(average, 1 / 6, atol=5 * np.max(found.error))
    assert_array_less(np.abs(found.first - 1 / 3), 0.06)


def test_fmix_is_symmetric_so_that_the_paper_is_exact_for_it():
    found = of_fmix((6, 5), 2, 4000)
    assert found.paper is not None
    # The paper's is drawn too, with about the same error.
    assert_array_less(np.abs(found.second - found.paper), 5 * 1.5 * found.error)


@pytest.mark.slow
def test_errors_are_those_of_repeated_draws():
    found = [of_fmix((6, 4), seed, 300) for seed in range(30)]
    drawn = np.array([x.second for x in found])
    error = np.array([x.error for x in found])
    spread = np.sqrt(np.mean(np.var(drawn, axis=0, ddof=1)))
    assert_allclose(np.sqrt(np.mean(error**2)) / spread, 1, atol=0.25)


@pytest.mark.long
def test_draws_follow_the_seed_alone_and_the_probability_scales_them():
    first, again = of_fmix((6, 4), 5, 50), of_fmix((6, 4), 5, 50, probability=1.0)
    half = of_fmix((6, 4), 5, 50, probability=0.5)
    assert_array_equal(first.second, again.second)
    assert np.any(first.second != of_fmix((6, 4), 6, 50).second)
    assert_allclose(half.second, first.second / 2, rtol=1e-6)
    assert_allclose(half.error, first.error / 2, rtol=1e-6)


# By distance, and over all


def test_by_distance_averages_pairs_of_pixels():
    size = (5, 7)
    values = np.random.default_rng(0).random((9, 13))
    sums, counts = np.zeros(9), np.zeros(9)
    for y, x in np.ndindex(size):
        for v, u in np.ndindex(size):
            distance = round(math.hypot(v - y, u - x))
            sums[distance] += values[v - y + 4, u - x + 6]
            counts[distance] += 1
    radial = by_distance(values)
    # The farthest corners are 7.2 pixels away.
    assert_array_equal(radial.distance, np.arange(8))
    assert_allclose(radial.value, sums[:8] / counts[:8], rtol=1e-12)


def test_by_distance_of_volumes_keeps_what_is_constant():
    radial = by_distance(np.full((3, 5, 7), 0.25))
    assert_allclose(radial.value, 0.25)
    assert_array_equal(radial.distance, np.arange(len(radial.value)))


@pytest.mark.parametrize("shape", [(9,), (6, 7), (3, 4, 5)], ids=str)
def test_the_mean_over_all_pairs_counts_each(shape):
    mask = np.random.default_rng(0).random(shape)
    pixels = [np.array(place) for place in np.ndindex(shape)]
    sums = np.zeros([2 * length - 1 for length in shape])
    pairs = np.zeros_like(sums)
    for first in pixels:
        for second in pixels:
            offset = tuple(second - first + np.array(shape) - 1)
            sums[offset] += mask[tuple(first)] * mask[tuple(second)]
            pairs[offset] += 1
    assert_allclose(over_all_pairs(sums / pairs), mask.mean() ** 2, rtol=1e-12)


@pytest.mark.parametrize("function", [by_distance, over_all_pairs])
@pytest.mark.parametrize("shape", [(), (4,), (3, 4)], ids=str)
def test_maps_without_a_middle_are_refused(function, shape):
    words = f"{function.__name__}: .* odd length.*{re.escape(str(shape))}"
    with pytest.raises(ValueError, match=words):
        function(np.zeros(shape))


# Bad input

BAD = BAD_INPUT | {
    "no layer": ({"layer": "mixup"}, TypeError, "mixing layer.*str"),
    "unions": (
        {"layer": msda.CutMixLayer(targets="union", num_classes=3, seed=1)},
        ValueError,
        "targets='union'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, error, message = BAD[case]
    arguments = {"layer": msda.MixUpLayer(seed=1), "shape": (4, 4)} | change
    with pytest.raises(error, match=message):
        regularization_coefficients(**arguments)
