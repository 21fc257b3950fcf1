"""What is drawn: lambda, partners, uniforms, normals, seeds.

Statistical tests draw from fixed seeds. Chi-square tests fail by chance once in 100,000
tries, z = 4 comparisons once in 16,000.
"""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import integrate, special, stats

import keras_msda as msda
from keras_msda import _backend, sampling
from tests.support import layer_cases as cases
from tests.support.marks import parametrize

DRAWS = 100_000
FALSE_ALARM = 1e-5
# The 1 % point of the Kolmogorov-Smirnov statistic.
BOUND = 1.628 / math.sqrt(DRAWS)
ALPHAS = [(0.05, 0.05), (0.2, 0.2), (1.0, 1.0), (5.0, 5.0), (0.5, 3.0), (8.0, 1.0)]
alphas = pytest.mark.parametrize(("a", "b"), ALPHAS)


def seed_of(*pair):
    return ops.convert_to_tensor(pair, "int32")


def lambdas(a, b, draws=DRAWS, pair=(1, 2), reformulated=False):
    table = sampling.beta_table(a, b, reformulated=reformulated)
    return cases.array(sampling.sample_lam(table, draws, seed=seed_of(*pair)))


# Law 4: lambda.


def sup_distance(values, distribution, low=1e-6, high=1 - 1e-6):
    """Returns the Kolmogorov-Smirnov distance over [low, high]."""
    values = np.sort(values.astype(np.float64))
    inner = values[(values >= low) & (values <= high)]
    points = np.unique([low, *inner, high])
    cdf = distribution.cdf(points)
    below = np.searchsorted(values, points, side="left") / len(values)
    upto = np.searchsorted(values, points, side="right") / len(values)
    # At `low` only the right limit counts: values below it lie together by rounding.
    return max(np.abs(upto - cdf)[:-1].max(), np.abs(below - cdf)[1:].max())


@alphas
def test_lambda_follows_beta(a, b):
    assert sup_distance(lambdas(a, b), stats.beta(a, b)) < BOUND


@alphas
def test_the_table_itself_is_beta_to_half_an_entry(a, b):
    table = sampling.beta_table(a, b)
    distribution = stats.beta(a, b)
    # Each of 65,536 entries is the middle of its share, rounded to float32: by 2^-25
    # below 1, where a small alpha has its highest density.
    bound = 0.5 / 65_536 + 2**-25 * max(distribution.pdf(1 - 1e-6), 10)
    assert sup_distance(table, distribution) < bound


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (0.5, 3.0), (4.0, 0.7), (8.0, 1.0)])
def test_every_entry_of_a_mixture_is_a_quantile(a, b):
    # Parts of an odd number of entries hold the median, which TFP 0.25 gets wrong.
    first = round(65_536 * a / (a + b))
    parts = [(stats.beta(a + 1, b), first), (stats.beta(b + 1, a), 65_536 - first)]
    expected = [law.ppf((np.arange(n) + 0.5) / n) for law, n in parts]
    table = sampling.beta_table(a, b, reformulated=True)
    assert_allclose(table, np.concatenate(expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2, 1.0, 5.0])
def test_the_ends_have_their_mass(alpha):
    values, distribution = lambdas(alpha, alpha), stats.beta(alpha, alpha)
    ends = [
        (values < 1e-6, distribution.cdf(1e-6)),
        (values > 1 - 1e-6, distribution.sf(1 - 1e-6)),
    ]
    for found, chance in ends:
        error = math.sqrt(chance * (1 - chance) / DRAWS)
        # One entry of the table more, where the chance is less than that.
        assert_allclose(found.mean(), chance, rtol=0, atol=4 * error + 2**-16)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2, 1.0, 5.0])
def test_lambda_near_one_is_one(alpha):
    table = sampling.beta_table(alpha, alpha)
    assert_array_equal(table[table > np.float32(1 - 1e-6)], 1)
    assert_equal((table == 1).any(), alpha < 1)


@pytest.mark.parametrize("alpha", [0.01, 0.02, 0.1, 50.0, 1e4])
def test_lambda_is_a_number_in_order(alpha):
    table = sampling.beta_table(alpha, alpha)
    assert_equal((table.shape, table.dtype), ((65_536,), np.float32))
    assert_array_equal(table, np.sort(np.clip(table, 0, 1)))
    assert_equal(np.isnan(table).sum(), 0)


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.3), (2.0, 2.0), (1.0, 1.0)])
def test_reformulated_lambda_follows_beta_with_one_more(a, b):
    values = lambdas(a, b, reformulated=True)
    assert sup_distance(values, stats.beta(a + 1, b)) < BOUND


@pytest.mark.parametrize(("a", "b"), [(0.5, 3.0), (2.0, 1.0), (0.7, 0.7)])
def test_reformulated_lambda_follows_the_mixture(a, b):
    class Mixture:
        @staticmethod
        def cdf(x):
            share = a / (a + b)
            first, second = stats.beta.cdf(x, a + 1, b), stats.beta.cdf(x, b + 1, a)
            return share * first + (1 - share) * second

    assert sup_distance(lambdas(a, b, reformulated=True), Mixture) < BOUND


@pytest.mark.parametrize(
    "function", [np.square, np.cos, np.exp], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(("a", "b"), [(0.2, 0.2), (1.0, 1.0), (0.5, 3.0), (4.0, 0.7)])
def test_reformulated_mean_is_that_of_both_labels(a, b, function):
    # E[lam f(lam) + (1 - lam) f(1 - lam)] over Beta(a, b), by quadrature against its
    # algebraic weight. By symmetry of a = b it is twice E[lam f(lam)].
    def both(x):
        return x * function(x) + (1 - x) * function(1 - x)

    weighted, _ = integrate.quad(both, 0, 1, weight="alg", wvar=(a - 1, b - 1))
    found = function(
        sampling.beta_table(a, b, reformulated=True).astype(np.float64)
    ).mean()
    # Quantiles of 65,536 equal shares: measured error below 4e-6.
    assert_allclose(found, weighted / special.beta(a, b), rtol=0, atol=2e-5)


# Uniforms, normals and bits.


def test_uniforms_are_multiples_of_the_float32_spacing():
    values = cases.array(sampling.sample_uniform([DRAWS], seed=seed_of(3, 4)))
    assert_array_equal(values * 2**23, np.rint(values * 2**23))
    assert 0 <= values.min()
    assert values.max() < 1
    # Kolmogorov-Smirnov, a false alarm has probability 1e-5.
    assert stats.kstest(values, "uniform").pvalue > FALSE_ALARM


def test_normals_have_the_moments_of_normals():
    values = cases.array(sampling.sample_normal([DRAWS // 2, 2], seed=seed_of(5, 6)))
    flat = values.ravel().astype(np.float64)
    # Means of x, x^2, x^3, x^4 with variances 1, 2, 15, 96; z = 4.
    expected = [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]
    for power, mean, variance in expected:
        error = 4 * math.sqrt(variance / DRAWS)
        assert_allclose((flat**power).mean(), mean, rtol=0, atol=error)
    assert stats.kstest(flat, "norm").pvalue > FALSE_ALARM


def test_normals_of_a_pair_are_independent():
    x, y = cases.array(sampling.sample_normal([DRAWS // 2, 2], seed=seed_of(5, 6))).T
    error = 4 / math.sqrt(DRAWS / 2)
    assert_allclose(np.mean(x * y), 0, atol=error)
    # E[(x^2 - 1)(y^2 - 1)] has variance 4.
    assert_allclose(np.mean((x**2 - 1) * (y**2 - 1)), 0, atol=2 * error)


def test_the_table_of_normals_is_that_of_scipy():
    table = sampling.normal_table().astype(np.float64)
    assert_array_equal(table, -table[::-1])
    expected = stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16)
    # Scaled to the variance 1, and float32.
    assert_allclose(table, 1.0000101 * expected, rtol=1e-6)


def test_the_table_of_normals_has_the_moments_that_are_documented():
    table = sampling.normal_table().astype(np.float64)
    # Float32, and as many digits as the docstring has.
    assert_allclose((table**2).mean(), 1, rtol=1e-8)
    assert_allclose([(table**4).mean(), table.max()], [2.9992, 4.325], atol=5e-5)


def test_normals_are_all_values_of_the_table():
    values = cases.array(sampling.sample_normal([10 * DRAWS, 2], seed=seed_of(7, 8)))
    table = sampling.normal_table()
    assert_array_equal(np.unique(values), table)
    for part in values.T:
        counts = np.bincount(np.searchsorted(table, part), minlength=2**16)
        assert stats.chisquare(counts).pvalue > FALSE_ALARM
    # 4 of 65,536 values are beyond 4: 122 of 2 million, within z = 4.
    assert_allclose((np.abs(values) > 4).sum(), 122.1, rtol=0, atol=4 * 11.1)


def test_halves_are_those_of_the_bits():
    library = _backend.get_ops(seed_of(1, 1))
    bits = cases.array(library.random_bits([5, 4], seed_of(1, 1))).astype(np.int64)
    halves = cases.array(library.random_halves([5, 4], seed_of(1, 1)))
    assert_equal((halves.dtype, halves.shape), (np.int32, (5, 4, 2)))
    expected = np.stack([bits % 2**16, bits // 2**16 % 2**16], -1)
    assert_array_equal(halves, expected)


@pytest.mark.parametrize("bits", [1, 16, 23, 31])
def test_integers_fill_their_bits(bits):
    ops = _backend.get_ops(seed_of(1, 1))
    values = cases.array(ops.random_integers([DRAWS], bits, seed_of(1, 1)))
    assert_equal(values.dtype, np.int32)
    assert values.min() >= 0
    high = np.bincount(values >> max(bits - 4, 0), minlength=2 ** min(bits, 4))
    assert_equal(len(high), 2 ** min(bits, 4))
    low = np.bincount(values & 1, minlength=2)
    assert min(stats.chisquare(high).pvalue, stats.chisquare(low).pvalue) > FALSE_ALARM


# One seed, one result.


def permutation(seed):
    arguments = {"pairing": "shuffle", "per": "sample", "groups": 3}
    return sampling.sample_partners(50, seed=seed, **arguments).partner


def matching(seed):
    arguments = {"pairing": "shuffle", "per": "pair", "groups": 1}
    return sampling.sample_partners(33, seed=seed, **arguments).partner


def cycle(seed):
    arguments = {"pairing": "derangement", "per": "batch", "groups": 2}
    return sampling.sample_partners(33, seed=seed, **arguments).partner


SAMPLERS = {
    "bits": lambda seed: _backend.get_ops(seed).random_bits([7, 3], seed),
    "integers": lambda seed: _backend.get_ops(seed).random_integers([50], 31, seed),
    "normals": lambda seed: sampling.sample_normal([50, 2], seed=seed),
    "uniforms": lambda seed: sampling.sample_uniform([50, 2], seed=seed),
    "lambdas": lambda seed: sampling.sample_lam(
        sampling.beta_table(0.3, 0.3), 50, seed=seed
    ),
    "permutation": permutation,
    "matching": matching,
    "cycle": cycle,
    "seeds": lambda seed: ops.stack(_backend.get_ops(seed).split_seed(seed, 4)),
    "fold": lambda seed: _backend.get_ops(seed).fold_in(seed, 3),
}
samplers = pytest.mark.parametrize("name", SAMPLERS)


@samplers
@parametrize("jit", [False, True])
@pytest.mark.tensorflow
def test_draws_are_bit_for_bit_the_same_in_every_world(name, jit):
    sampler = SAMPLERS[name]
    traced = tf.function(sampler, jit_compile=jit)
    for pair in [(1, 2), (-5, 2**31 - 1)]:
        assert_array_equal(traced(seed_of(*pair)), sampler(seed_of(*pair)))


@samplers
def test_draws_are_a_function_of_the_seed(name):
    sampler = SAMPLERS[name]
    first = cases.array(sampler(seed_of(4, 9)))
    assert_array_equal(cases.array(sampler(seed_of(4, 9))), first)
    for other in [(9, 4), (4, 10), (5, 9), (-4, 9)]:
        assert (cases.array(sampler(seed_of(*other))) != first).any()


def test_seeds_of_any_pair_of_integers_are_accepted():
    layer = msda.HMixLayer()
    for seed in [(1, 2), [1, 2], np.array([1, 2]), ops.convert_to_tensor([1, 2])]:
        plan = layer.sample(5, (4,), seed=seed)
        assert_array_equal(plan.mask, layer.sample(5, (4,), seed=(1, 2)).mask)


def test_seeds_of_one_seed_are_unrelated():
    library = _backend.get_ops(seed_of(0, 0))
    pairs = {
        tuple(cases.array(s))
        for n in range(300)
        for s in library.split_seed(seed_of(0, n), 3)
    }
    assert_equal(len(pairs), 900)


def test_folding_gives_each_replica_its_own_seed():
    library = _backend.get_ops(seed_of(0, 0))
    pairs = {tuple(cases.array(library.fold_in(seed_of(3, 1), n))) for n in range(300)}
    assert_equal(len(pairs), 300)


# Partners.

ORDERS = {n: list(itertools.permutations(range(n))) for n in (3, 4)}


def partners(batch, pair, **arguments):
    arguments = {"pairing": "shuffle", "per": "sample", "groups": 1} | arguments
    return sampling.sample_partners(batch, seed=seed_of(*pair), **arguments)


def mapped(function, seeds):
    """Returns a function of each of many seeds, as an array."""
    if cases.BACKEND == "tensorflow":
        many = tf.function(
            lambda seeds: tf.map_fn(function, seeds, fn_output_signature=tf.int32)
        )
    elif cases.BACKEND == "jax":
        import jax

        many = jax.jit(jax.vmap(function))
    else:

        def many(seeds):
            return ops.stack([function(seed) for seed in ops.convert_to_tensor(seeds)])

    return cases.array(many(seeds))


def frequencies(batch, draws, **arguments):
    """Counts the partner vectors of many seeds."""

    def one(seed):
        options = {"pairing": "shuffle", "per": "sample", "groups": 1} | arguments
        return sampling.sample_partners(batch, seed=seed, **options).partner

    seeds = np.stack([np.arange(draws), np.full(draws, 17)], 1).astype(np.int32)
    rows, counts = np.unique(mapped(one, seeds), axis=0, return_counts=True)
    return {tuple(row): count for row, count in zip(rows, counts, strict=True)}


def assert_uniform(found, expected):
    assert_equal(sorted(found), sorted(expected))
    counts = [found[row] for row in expected]
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > FALSE_ALARM


def cycles(batch):
    """Lists the permutations of one cycle: i -> next."""
    found = []
    for rest in itertools.permutations(range(1, batch)):
        path = (0, *rest)
        step = dict(zip(path, (*rest, 0), strict=True))
        found.append(tuple(step[i] for i in range(batch)))
    return found


def matchings(batch):
    """Lists the involutions with as few fixed points as there can be."""
    orders = itertools.permutations(range(batch))
    return [
        order
        for order in orders
        if all(order[j] == i for i, j in enumerate(order))
        and sum(i == j for i, j in enumerate(order)) == batch % 2
    ]


@pytest.mark.parametrize("batch", [3, 4])
def test_shuffle_is_a_uniform_permutation(batch):
    assert_uniform(frequencies(batch, 4000), ORDERS[batch])


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_derangement_is_a_uniform_cycle(batch):
    found = frequencies(batch, 4000, pairing="derangement")
    assert_equal(len(cycles(batch)), math.factorial(batch - 1))
    assert_uniform(found, cycles(batch))


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_shuffled_pairs_are_a_uniform_matching(batch):
    assert_uniform(frequencies(batch, 4000, per="pair"), matchings(batch))


def test_shuffle_of_groups_is_uniform_in_each():
    found = frequencies(5, 4000, groups=2)  # Parts of 3 and 2.
    expected = [(*first, *last) for first in ORDERS[3] for last in [(3, 4), (4, 3)]]
    assert_uniform(found, expected)


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8])
def test_roll_and_reverse_are_what_they_say(batch):
    index = np.arange(batch)
    rolled = partners(batch, (0, 1), pairing="roll").partner
    assert_array_equal(rolled, (index - 1) % max(batch, 1))
    reverse = partners(batch, (0, 1), pairing="reverse").partner
    assert_array_equal(reverse, batch - 1 - index)


def parts(batch, groups):
    """Lists the samples of each part of ceil(batch / groups), the last ones shorter."""
    length = math.ceil(batch / groups)
    return [
        range(batch)[start : start + length] for start in range(0, batch, length or 1)
    ]


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@pytest.mark.parametrize("pairing", ["shuffle", "derangement", "reverse", "roll"])
@pytest.mark.parametrize("groups", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8, 16])
def test_partners_stay_inside_their_group(batch, groups, pairing, per):
    drawn = partners(batch, (batch, groups), pairing=pairing, per=per, groups=groups)
    partner = cases.array(drawn.partner)
    assert_equal(partner.shape, (batch,))
    for part in parts(batch, groups):
        assert_array_equal(np.sort(partner[list(part)]), list(part))


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [2, 7, 8, 16])
def test_roll_and_reverse_of_groups_are_those_of_each(batch, groups):
    for pairing in ("roll", "reverse"):
        drawn = cases.array(
            partners(batch, (1, 2), pairing=pairing, groups=groups).partner
        )
        for part in parts(batch, groups):
            alone = cases.array(partners(len(part), (1, 2), pairing=pairing).partner)
            assert_array_equal(drawn[list(part)], alone + part.start)


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2, 7, 16])
def test_derangements_are_one_cycle_in_each_group(batch, groups):
    arguments = {"pairing": "derangement", "groups": groups}
    partner = cases.array(partners(batch, (3, batch), **arguments).partner)
    for part in parts(batch, groups):
        seen, place = [], part.start
        for _ in part:
            seen.append(place)
            place = partner[place]
        assert_equal(sorted(seen), list(part))


@pytest.mark.parametrize("pairing", ["shuffle", "reverse"])
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8])
def test_pairs_share_a_draw_that_no_other_takes(batch, groups, pairing):
    arguments = {"pairing": pairing, "groups": groups}
    partner, unit, units = partners(batch, (1, batch), per="pair", **arguments)
    partner, unit = cases.array(partner), cases.array(unit)
    assert_array_equal(partner[partner], np.arange(batch))
    assert_array_equal(unit[partner], unit)
    assert_equal(len(set(unit)), len({frozenset(p) for p in enumerate(partner)}))
    assert all(0 <= number < units for number in unit)


def test_samples_take_their_own_draw_and_batches_one():
    partner, unit, units = partners(6, (1, 2), per="sample")
    assert_equal((unit, units, len(partner)), (None, 6, 6))
    _, unit, units = partners(6, (1, 2), per="batch")
    assert_equal(units, 1)
    assert_array_equal(unit, np.zeros(6))


# Seeds of a layer.


def next_seeds(layer, calls):
    library = _backend.get_backend_ops()
    return [
        tuple(cases.array(library.next_seed(layer._seed_state))) for _ in range(calls)
    ]


def test_calls_and_layers_have_seeds_of_their_own():
    seeds = [
        pair for s in range(20) for pair in next_seeds(msda.MixUpLayer(seed=s), 20)
    ]
    assert_equal(len(set(seeds)), 400)


@parametrize("jit", [False, True])
@pytest.mark.tensorflow
def test_seeds_are_the_same_in_a_graph(jit):
    layer = msda.MixUpLayer(seed=2**40 + 7)
    library = _backend.get_backend_ops()
    call = tf.function(lambda: library.next_seed(layer._seed_state), jit_compile=jit)
    found = [tuple(call().numpy()) for _ in range(5)]
    assert_equal(found, next_seeds(msda.MixUpLayer(seed=2**40 + 7), 5))


def test_large_seeds_differ_in_every_bit():
    seeds = [0, 1, 2**31, 2**32, 2**62, 2**63 - 1]
    assert_equal(len({next_seeds(msda.MixUpLayer(seed=s), 1)[0] for s in seeds}), 6)


@pytest.mark.tensorflow
def test_parallel_maps_never_draw_one_seed_twice():
    layer = msda.MixUpLayer(seed=1)
    library = _backend.get_backend_ops()
    dataset = tf.data.Dataset.range(20_000).map(
        lambda _: library.next_seed(layer._seed_state), num_parallel_calls=8
    )
    seeds = np.concatenate(list(dataset.batch(1000).as_numpy_iterator()))
    assert_equal(len(np.unique(seeds, axis=0)), 20_000)
    # And they are the 20,000 first of the sequence, in some order.
    first = next_seeds(msda.MixUpLayer(seed=1), 50)
    assert_equal({tuple(pair) for pair in seeds} >= set(first), True)
    after = next_seeds(layer, 1)[0]
    assert after not in {tuple(pair) for pair in seeds}


def test_the_seed_of_python_decides_where_none_is_given():
    keras.utils.set_random_seed(5)
    first = msda.MixUpLayer().seed
    second = msda.MixUpLayer().seed
    keras.utils.set_random_seed(5)
    assert_equal(msda.MixUpLayer().seed, first)
    assert first != second
