"""The tests of draws find what is wrong, and pass what is right."""

import itertools
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import stats

import keras_msda as msda
from benchmarks.laws import __main__ as program
from benchmarks.laws import (
    fields,
    independent,
    lambdas,
    page,
    partners,
    places,
    pvalues,
    recording,
)
from keras_msda import sampling

#: Draws are fixed, so that these tests pass always or never.
ODD, SURE = 1e-4, 1e-6
DRAWS = 100_000


def by_test(laws):
    return {law.test: law.p for law in laws}


def rng(seed=0):
    return np.random.default_rng(seed)


# The page.


def test_the_page_is_that_of_the_results():
    text = page.PAGE.read_text(encoding="utf-8")
    filled = page.fill(text, page.read_results())
    assert filled == text, "run python -m benchmarks.laws --page"
    for name in page.list_sections(page.read_results()):
        assert f"<!-- {name} -->" in text


def test_the_committed_results_are_those_of_a_whole_run():
    results = page.read_results()
    assert results["draws"] == program.DRAWS
    assert results["repeats"]["steps"] == program.STEPS
    assert results["many seeds"]["seeds"] == program.MANY
    assert program.judge(results)


def test_the_picture_shows_as_many_p_values_as_there_are(tmp_path):
    results = page.read_results()
    many = results["many seeds"]
    assert_equal(sum(many["histogram"]), many["seeds"] * len(many["tests"]))
    page.draw_histogram(results, tmp_path / "laws.png")
    assert (tmp_path / "laws.png").stat().st_size > 1000


@pytest.mark.parametrize("wrong", ["p", "repeats", "seeds"])
def test_a_deviation_fails_the_run(wrong):
    results = json.loads(page.RESULTS.read_text())
    if wrong == "p":
        results["laws"][3]["p"] = 1e-7
    elif wrong == "repeats":
        results["repeats"]["repeats of seeds"] = 1
    else:
        results["many seeds"]["tests"][5]["p"] = 1e-7
    assert not program.judge(results)


# The hypothesis tests themselves.


def test_merged_cells_keep_their_sums_and_are_large_enough():
    expected = rng().exponential(40, 200)
    observed = rng(1).poisson(expected)
    counts, means = pvalues.merge_cells(observed, expected)
    assert means.min() >= pvalues.CELL
    assert len(means) > 50
    sums = counts.sum(), means.sum()
    assert_allclose(sums, (observed.sum(), expected.sum()), rtol=1e-12)


def test_the_kolmogorov_distance_is_that_of_scipy():
    drawn = np.round(rng().beta(2, 3, 5000), 3)
    values, counts = np.unique(drawn, return_counts=True)
    found = pvalues.kolmogorov(values, counts, stats.beta(2, 3).cdf)
    expected = stats.kstest(drawn, stats.beta(2, 3).cdf, method="asymp")
    assert_allclose(found, (expected.statistic, expected.pvalue), rtol=1e-9)


def test_p_values_of_right_draws_are_uniform():
    found = {"cells": [], "pairs": [], "ranks": [], "hits": []}
    for seed in range(300):
        x, y = rng(seed).integers(0, 16, (2, 20_000))
        found["cells"].append(pvalues.chi_square(np.bincount(x)))
        table = lambdas.count_pairs(x, y, 16)
        found["pairs"].append(pvalues.independence(table))
        found["ranks"].append(pvalues.correlation(x, y))
        found["hits"].append(pvalues.binomial((x < 4).sum(), len(x), 0.25))
    assert {
        name: pvalues.uniform(p) > ODD for name, p in found.items()
    } == dict.fromkeys(found, True)


def test_holm_multiplies_the_smallest():
    assert_allclose(pvalues.holm([0.5, 0.01, 0.2]), 0.03)
    assert_equal(pvalues.holm([0.5, 0.9]), 1)


# Lambda.


def counted(shift, draws=1_000_000):
    table = sampling.beta_table(0.5, 3.0)
    values, entries = np.unique(table, return_counts=True)
    tilted = entries * (1 + shift * (values - values.mean()))
    return values, entries, rng(5).multinomial(draws, tilted / tilted.sum())


def test_a_biased_lambda_is_found():
    right = by_test(lambdas.judge_lambda(*counted(0.0), (0.5, 3.0)))
    assert min(right.values()) > ODD
    wrong = by_test(lambdas.judge_lambda(*counted(0.2), (0.5, 3.0)))
    assert max(wrong["mean"], wrong["KS"], wrong["2nd moment"]) < SURE


def test_another_alpha_is_found():
    table = sampling.beta_table(0.21, 0.21)
    counted = lambdas.count_lambdas(table, 10 * DRAWS, 3)
    wrong = by_test(lambdas.judge_lambda(*counted, (0.2, 0.2)))
    assert max(wrong["KS"], wrong["2nd moment"], wrong["4th moment"]) < SURE


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.2, 0.2), (2.0, 1.0)])
@pytest.mark.parametrize("own", [False, True])
def test_lambda_passes(a, b, own):
    found = by_test(lambdas.run_lambda(a, b, DRAWS, 8, own=own))
    assert len(found) >= 6
    assert min(found.values()) > ODD


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.05), (5.0, 5.0), (0.5, 3.0)])
def test_moments_are_those_of_scipy(a, b):
    beta = stats.beta(a, b)
    raw = lambdas.beta_moments(a, b)
    assert_allclose(raw, [beta.moment(k) for k in range(9)], rtol=1e-9)
    central = lambdas.center_moments(raw)
    assert_allclose(central[2], beta.var(), rtol=1e-9)
    skew, kurtosis = beta.stats("sk")
    expected = skew * beta.std() ** 3, (kurtosis + 3) * beta.var() ** 2
    assert_allclose(central[3:5], expected, rtol=1e-6, atol=1e-12)


def test_tables_are_close_to_their_distributions():
    for subject, found in lambdas.describe_tables().items():
        # Half an entry of 65,536, one more where two tables are joined, and float32.
        assert found["distance"] < (2.1e-5 if "own" in subject else 1.3e-5), subject
        assert found["moments"] < 3e-6, subject


def test_numbers_pass():
    found = [*lambdas.run_uniforms(DRAWS, 1), *lambdas.run_normals(DRAWS, 2)]
    assert min(law.p for law in found) > ODD


# Partners.


@pytest.mark.parametrize("kind", partners.KINDS)
@pytest.mark.parametrize("batch", partners.FEW)
def test_all_partners_are_equally_likely(kind, batch):
    drawn = partners.draw_groups(kind, batch, DRAWS, 4)
    assert_array_equal(np.sort(drawn, 1), np.arange(batch) + 0 * drawn)
    assert partners.judge_all(kind, drawn) > ODD


@pytest.mark.parametrize("kind", partners.KINDS)
def test_partners_of_a_larger_batch_pass(kind):
    drawn = partners.draw_groups(kind, 16, DRAWS, 4)
    assert partners.judge_rows(kind, drawn) > ODD


def test_a_biased_shuffle_is_found():
    # Each place swaps with any other, instead of one of those that are left.
    drawn = np.tile(np.arange(5), (DRAWS // 5, 1))
    for place in range(5):
        other = rng(place).integers(0, 5, len(drawn))
        rows = np.arange(len(drawn))
        kept = drawn[rows, other].copy()
        drawn[rows, other] = drawn[:, place]
        drawn[:, place] = kept
    assert partners.judge_all("shuffle", drawn) < SURE
    assert partners.judge_rows("shuffle", np.sort(drawn, 1)) < SURE
    assert_equal(partners.judge_all("derangement", drawn), 0)
    assert_equal(partners.judge_rows("derangement", drawn), 0)


def test_numbers_of_partners_are_those_of_combinatorics():
    counts = {
        kind: [len(partners.list_partners(kind, batch)) for batch in partners.FEW]
        for kind in partners.KINDS
    }
    assert counts == {
        "shuffle": [24, 120, 720],
        "derangement": [6, 24, 120],
        "matching": [3, 15, 15],
    }


def test_cycles_and_fixed_samples_are_those_of_all_permutations():
    every = np.array(list(itertools.permutations(range(6))))
    numbers = [len(partners.find_cycles(tuple(x))) for x in every.tolist()]
    assert_array_equal(partners.number_of_cycles(every), numbers)
    shares = np.bincount(numbers, minlength=7) / 720
    assert_allclose(partners.count_cycles(6), shares, atol=1e-12)
    fixed = np.bincount((every == np.arange(6)).sum(1), minlength=7) / 720
    assert_allclose(partners.count_fixed(6), fixed, atol=1e-12)


def similar(bandwidth):
    labels = np.array(partners.LABELS)
    shares = np.exp(-0.5 * ((labels[:, None] - labels) / bandwidth) ** 2)
    return rng().multinomial(DRAWS, shares / shares.sum(1, keepdims=True))


def test_another_bandwidth_is_found():
    assert partners.judge_similar(similar(partners.BANDWIDTH)) > ODD
    assert partners.judge_similar(similar(1.05 * partners.BANDWIDTH)) < SURE


# Places, coins and choices.


def test_a_wrong_probability_is_found():
    mixed = rng().random((DRAWS // 64, 64)) < 0.31
    found = by_test(places.judge_coins(mixed, "sample", 0.3, 1))
    assert found["share that is mixed"] < SURE


def test_coins_that_depend_on_one_another_are_found():
    own = rng().random((DRAWS // 64, 64)) < 0.3
    found = by_test(places.judge_coins(own, "sample", 0.3, 1))
    assert min(found.values()) > ODD
    own[:, 1] = own[:, 0]
    own[:, 3] = own[:, 2]
    own[:, 5] = own[:, 4]
    own[:, 7] = own[:, 6]
    own[:, 9:17] = own[:, 8:9]
    assert by_test(places.judge_coins(own, "sample", 0.3, 1))["mixed in a batch"] < SURE
    # The two of a pair must share a coin.
    found = by_test(places.judge_coins(own, "pair", 0.3, 2))
    assert_equal(found["share that is mixed"], 0)


def test_cells_of_gridmix_pass_and_a_favourite_is_found():
    (law,) = places.run_cells(DRAWS, 1)
    assert law.p > ODD
    kept = np.full(16, 1000.0)
    kept[0] = 1200
    assert places.judge_cells(kept, spread=4 * 12 * 2000) < SURE


# Independence.


def draws_of(seed, steps=400, batch=64):
    numbers = rng(seed)
    levels = recording.LEVELS
    return {
        "lam": numbers.integers(0, levels, (steps, batch), "uint16"),
        "coin": numbers.integers(0, levels, (steps, batch), "uint16"),
        "partner": numbers.integers(0, batch, (steps, batch)).astype("uint16"),
        "center 0": numbers.integers(0, 32, (steps, batch)).astype("uint16"),
        "center 1": numbers.integers(0, 32, (steps, batch)).astype("uint16"),
    }


def test_runs_that_share_draws_are_found():
    first, second = draws_of(1), draws_of(2)
    right = list(independent.compare("", "", first, second))
    assert len(right) == 6
    assert min(law.p for law in right) > ODD
    for name in first:  # One step of twenty is the same.
        second[name][::20] = first[name][::20]
    wrong = {
        law.subject + law.test: law.p
        for law in independent.compare("", "", first, second)
    }
    wrong.pop("partner")  # There is one draw a step.
    assert max(wrong.values()) < SURE


def test_a_step_whose_draws_depend_on_one_another_is_found():
    draws = draws_of(1)
    assert min(law.p for law in independent.run_step(draws)) > ODD
    draws["center 0"] = draws["lam"] // 2048
    found = {(law.subject, law.test): law.p for law in independent.run_step(draws)}
    assert found["lambda, centre y", "ranks"] < SURE
    assert found["lambda, centre y", "cells"] < SURE
    assert found["lambda, centre x", "cells"] > ODD


def test_repeated_seed_pairs_are_counted():
    pairs = recording.draw_sequence(3, 20_000)
    assert_equal(independent.find_repeats(pairs), 0)
    assert_equal(independent.find_repeats(np.concatenate([pairs, pairs[:7]])), 7)
    neighbours = [recording.draw_sequence(seed, 500) for seed in range(20)]
    assert_equal(independent.find_repeats(np.concatenate(neighbours)), 0)


# What is recorded is what layers draw.


def test_the_sequence_is_that_of_a_new_layer():
    layer = msda.CutMixLayer(seed=12)
    expected = [np.asarray(layer._next_seed(np.zeros(1))) for _ in range(3)]
    assert_array_equal(recording.draw_sequence(12, 3), expected)


def test_replicas_have_sequences_of_their_own():
    first, second = recording.draw_replicas(12, 50)
    assert_array_equal(first, recording.draw_sequence(12, 50))
    assert_equal(independent.find_repeats(np.concatenate([first, second])), 0)


def test_workers_start_from_different_seeds():
    found = independent.worker_seeds(5, 4)
    assert len({*found, 5, 6, 7, 8}) == 8


@pytest.mark.xla
def test_what_is_recorded_is_the_plan_of_the_layer():
    layer = msda.CutMixLayer(border="wrap", probability=0.5, pairing="derangement")
    seeds = recording.draw_sequence(1, 5)
    found = recording.Recorder(layer, 8, (6, 6))(seeds)
    for step, seed in enumerate(seeds.tolist()):
        plan = layer.sample(8, (6, 6), seed=tuple(seed))
        mixed = np.asarray(plan.partner) != np.arange(8)
        assert_array_equal(found["mixed"][step], mixed)
        assert_array_equal(found["partner"][step][mixed], plan.partner[mixed])
        assert_array_equal(found["coin"][step] < recording.LEVELS // 2, mixed)
        weight = found["weight"][step] / recording.WEIGHTS
        assert_allclose(weight, plan.weight, rtol=0, atol=1e-7)


@pytest.mark.xla
@pytest.mark.slow
@pytest.mark.parametrize("part", program.PARTS)
def test_a_quick_run_passes(part):
    found = list(program.PARTS[part](DRAWS, 1))
    assert pvalues.holm(law.p for law in found) > program.FAILURE


# FMix.


def field_block(case, draws, lean=0.0, seed=0):
    """Returns fields of a power law, stronger along one axis by `lean`."""
    cycles = np.stack(np.meshgrid(*map(np.fft.fftfreq, case.size), indexing="ij"))
    length = np.sqrt((cycles**2).sum(0))
    angle = np.arctan2(cycles[0], cycles[1])
    strength = np.maximum(length, 1 / max(case.size)) ** -case.decay_power
    strength *= 1 + lean * np.cos(2 * angle)
    noise = rng(seed).normal(size=(draws, *case.size))
    field = np.fft.ifft2(np.fft.fft2(noise) * strength).real
    lam = rng(seed + 1).random(draws)
    return fields.Block(lam, field, field > np.median(field, (1, 2), keepdims=True))


def judged(case, block):
    sums = fields.Sums(case)
    sums.add(block)
    laws = [*fields.judge_power(sums), *fields.judge_masks(sums)]
    return by_test(laws)


def test_noise_of_another_power_or_direction_is_found():
    case = fields.CASES[0]
    assert min(judged(case, field_block(case, 400)).values()) > ODD
    other = judged(case._replace(decay_power=2.9), field_block(case, 400))
    assert other["power law"] < SURE
    leaning = judged(case, field_block(case, 400, lean=0.1))
    assert leaning["each direction"] < SURE
    assert leaning["masks, rows and columns"] < SURE


def test_masks_that_stay_in_a_place_are_found():
    case = fields.CASES[0]
    block = field_block(case, 400)
    mask = block.mask.copy()
    mask[:, :, :10] |= rng(9).random((400, 32, 10)) < 0.5
    assert judged(case, block._replace(mask=mask))["masks, place"] < SURE


@pytest.mark.parametrize("case", fields.CASES, ids=lambda case: case.subject)
def test_the_noise_of_fmix_passes(case):
    sums = fields.sum_fields(case, DRAWS, 3)
    found = [*fields.judge_power(sums), *fields.judge_masks(sums)]
    assert min(law.p for law in found) > ODD
    slope = fields.fit_slope(sums)
    assert_allclose(slope.power, case.decay_power, rtol=0, atol=4 * slope.error)
