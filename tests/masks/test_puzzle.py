"""Puzzle masks: labels against enumeration and minimum cuts, and the laws of masks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import optimize, sparse

from keras_msda import masks
from keras_msda.masks import _puzzle_costs, _puzzle_grid
from tests.support import puzzle_oracles as oracles
from tests.support.errors import check_error

#: Small grids with the number of labels: all labellings can be listed.
SMALL = [((2, 2), 3), ((3, 3), 3), ((4, 4), 2), ((9,), 3), ((2, 2, 2), 3)]


def array(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def solve(unary, pairwise, **options):
    """Returns labels, energy and bound of float32 problems, as arrays."""
    weights = [np.float32(weight) for weight in pairwise]
    found = masks.solve_labels(np.float32(unary), weights, **options)
    return masks.Labelling(*map(array, found))


def saliency(draws, size, seed=0):
    """Returns heavy-tailed saliency, as gradients have."""
    rng = np.random.default_rng(seed)
    return np.float32(rng.random((draws, *size)) ** 8)


def puzzle(lam, size, blocks, seed=0, **options):
    """Returns masks and weights for random saliency, as arrays."""
    pair = (saliency(len(lam), size, seed), saliency(len(lam), size, seed + 1))
    found = masks.puzzle_mask(np.float32(lam), pair, blocks=blocks, **options)
    return tuple(map(array, found))


# Labels.


@pytest.mark.parametrize(("grid", "labels"), SMALL, ids=str)
@pytest.mark.parametrize("smoothness", [1.2, 12.0])
def test_no_labelling_of_a_small_grid_costs_less(grid, labels, smoothness):
    problems = oracles.random_problems(200, grid, labels, smoothness=smoothness)
    found, every = solve(*problems), oracles.all_energies(*problems)
    least, usual = every.min(1), every.mean(1)
    excess = oracles.energy(*problems, found.labels) - least
    assert_array_equal(excess > 1e-12, np.zeros(200, bool))
    # Sums of float32.
    assert_allclose(found.energy, least, rtol=0, atol=2e-6)
    assert_array_equal(found.bound <= least + 2e-6, np.ones(200, bool))
    assert np.max((least - found.bound) / (usual - least)) < 1e-4


@pytest.mark.parametrize("length", [8, 16])
@pytest.mark.parametrize("smoothness", [1.2, 12.0])
def test_certificates_of_larger_grids_are_close(length, smoothness):
    grid = (length, length)
    problems = oracles.random_problems(100, grid, 3, smoothness=smoothness, seed=1)
    found = solve(*problems)
    rng = np.random.default_rng(0)
    drawn = [
        oracles.energy(*problems, rng.integers(0, 3, (100, *grid))) for _ in range(9)
    ]
    cost = oracles.energy(*problems, found.labels)
    gap = (cost - found.bound) / (np.mean(drawn, 0) - cost)
    print(f"{grid}, smoothness {smoothness}: {gap.mean():.1e}, worst {gap.max():.1e}")
    assert gap.max() < 1e-3


def test_two_labels_cost_as_much_as_a_minimum_cut():
    rng = np.random.default_rng(0)
    unary = rng.integers(0, 1000, (8, 16, 16, 2))
    pairwise = [rng.integers(0, 400, (8, *s)) for s in ((15, 16), (16, 15))]
    found = solve(unary, pairwise)
    number = np.arange(256).reshape(16, 16)
    for problem in range(8):
        rows, columns, capacities = [], [], []
        for axis, weight in enumerate(pairwise):
            before, after = (number[None][part] for part in oracles.halves(axis))
            for start, stop in ((before, after), (after, before)):
                rows.append(start.ravel())
                columns.append(stop.ravel())
                capacities.append(weight[problem].ravel())
        for label, (start, stop) in enumerate(((number, 257), (256, number))):
            start, stop = np.broadcast_arrays(start, stop)
            rows.append(start.ravel())
            columns.append(stop.ravel())
            capacities.append(unary[problem, ..., 1 - label].ravel())
        joined = [np.concatenate(x) for x in (capacities, rows, columns)]
        graph = sparse.csr_array(
            (joined[0].astype("int32"), joined[1:]), shape=(258, 258)
        )
        least = sparse.csgraph.maximum_flow(graph, 256, 257).flow_value
        labels = found.labels[problem : problem + 1]
        one = [weight[problem : problem + 1] for weight in pairwise]
        cost = oracles.energy(unary[problem : problem + 1], one, labels)
        assert_equal(cost[0], least)


def test_more_iterations_give_a_better_bound():
    problems = oracles.random_problems(20, (8, 8), 3, smoothness=12.0)
    bounds = [solve(*problems, iterations=n).bound.mean() for n in (5, 20, 100)]
    assert bounds[0] < bounds[1] < bounds[2]


# Costs.


@pytest.mark.parametrize("blocks", [2, 4, 8])
def test_costs_are_the_published_ones_where_blocks_divide_the_image(blocks):
    own, partner = saliency(2, (16, 16))
    colors = np.random.default_rng(3).random((2, 16, 16, 3), np.float32)
    colors[0, 0, 0], colors[1, 0, 0] = 0, 1  # The whole range.
    lost, weights = oracles.published_costs(own, partner, *colors, blocks)
    lam = keras.ops.convert_to_tensor(np.float32([0.3]))
    each = keras.ops.convert_to_tensor(np.int32([blocks]))
    grid = _puzzle_grid.make_grid((16, 16), each, (blocks,))
    settings = masks.PuzzleSettings(prior=0.0)
    tensors = [keras.ops.convert_to_tensor(x[None]) for x in (own, partner, *colors)]
    shares = tuple(_puzzle_costs.share_saliency(grid, x) for x in tensors[:2])
    unary, found = _puzzle_costs.find_costs(
        grid, lam, shares, tuple(tensors[2:]), settings
    )
    expected = [(1 - t) * lost[0] + t * lost[1] for t in (0, 0.5, 1)]
    assert_allclose(array(unary)[0], np.stack(expected, -1), rtol=0, atol=1e-6)
    for one, two in zip(found, weights, strict=True):
        assert_allclose(array(one)[0], two, rtol=0, atol=1e-6)


def test_the_prior_is_the_binomial_distribution():
    lam = np.float32([0.0, 0.2, 0.9])
    grid = _puzzle_grid.make_grid((4,), keras.ops.zeros(3, "int32") + 2, (2,))
    zeros = keras.ops.zeros((3, 2))
    unary, _ = _puzzle_costs.find_costs(
        grid,
        keras.ops.convert_to_tensor(lam),
        (zeros, zeros),
        None,
        masks.PuzzleSettings(labels=4),
    )
    a = lam.clip(1e-6).astype("float64")[:, None]
    chance = [a**3, 3 * a**2 * (1 - a), 3 * a * (1 - a) ** 2, (1 - a) ** 3]
    expected = -0.1 * np.log(np.stack(chance, -1)) + np.zeros((3, 2, 4))
    assert_allclose(array(unary), expected, rtol=1e-5, atol=1e-7)


# Masks.

SIZES = [(7,), (9, 14), (1, 6), (1, 1), (4, 3, 5), (16, 16)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
LAM = [0.0, 0.05, 0.3, 0.5, 0.8, 1.0]


@sizes
def test_masks_are_shares_of_whole_blocks_with_their_mean_as_weight(size):
    mask, weight = puzzle(LAM, size, 3)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])
    assert_array_equal(np.isin(mask, [0, 0.5, 1]), np.ones_like(mask, bool))
    mean = mask.reshape(len(LAM), -1).mean(1, dtype=np.float64)
    assert_allclose(weight, mean, rtol=0, atol=1e-7)
    for axis, length in enumerate(size, 1):
        side = -(-length // 3)
        inside = np.flatnonzero(np.arange(1, length) % side)
        assert not np.diff(mask, axis=axis).take(inside, axis).any()


@sizes
def test_at_the_ends_of_lambda_one_image_is_all(size):
    maps = np.zeros((2, len(LAM), *size), np.float32)
    # All that is salient is in one pixel, and not in the image that is shown.
    maps[(0, 0, *[0] * len(size))] = maps[(1, -1, *[0] * len(size))] = 1
    mask, weight = map(array, masks.puzzle_mask(LAM, tuple(maps), blocks=3))
    assert_array_equal(mask[[0, -1]], np.stack([np.zeros(size), np.ones(size)]))
    assert_array_equal(weight[[0, -1]], [0, 1])


def test_equal_saliency_is_mixed_by_the_prior_alone():
    ones = np.ones((5, 8, 8), np.float32)
    lam = np.float32([0.1, 0.3, 0.5, 0.7, 0.9])
    for pair in ((ones, ones), (0 * ones, 0 * ones), (1e-30 * ones, 1e30 * ones)):
        mask, weight = masks.puzzle_mask(lam, pair, blocks=4)
        # [a^2, 2a(1-a), (1-a)^2]: the middle label is the likeliest in (1/3, 2/3).
        assert_array_equal(array(weight), [0, 0, 0.5, 1, 1])
        assert_array_equal(array(mask)[:, 0, 0], array(weight))


def test_salient_blocks_are_shown():
    own = np.zeros((1, 8, 8), np.float32)
    own[:, :4], other = 1, np.zeros_like(own)
    other[:, 4:] = 1
    mask, _ = masks.puzzle_mask([0.5], (own, other), blocks=4)
    assert_array_equal(array(mask), own)


def test_one_block_shows_one_share():
    mask, weight = puzzle(LAM, (6, 5), 1)
    assert_array_equal(mask, np.broadcast_to(weight[:, None, None], mask.shape))


@pytest.mark.long
def test_a_grid_of_its_own_for_each_draw_changes_nothing():
    lam, blocks = [0.2, 0.4, 0.5, 0.6], [1, 4, 2, 7]
    rng = np.random.default_rng(4)
    pair = (saliency(4, (9, 14)), saliency(4, (9, 14), 1))
    images = tuple(np.float32(rng.random((2, 4, 9, 14, 2))))
    mask, weight = masks.puzzle_mask(
        np.float32(lam), pair, blocks=blocks, images=images
    )
    for draw, number in enumerate(blocks):
        one = slice(draw, draw + 1)
        expected, mean = masks.puzzle_mask(
            np.float32(lam[one]),
            tuple(x[one] for x in pair),
            blocks=number,
            images=tuple(x[one] for x in images),
        )
        assert_array_equal(array(mask)[draw], array(expected)[0])
        # JAX divides by multiplying by the reciprocal where it compiles.
        assert_allclose(array(weight)[draw], array(mean)[0], rtol=2e-7, atol=0)


@pytest.mark.parametrize("channels", [1, 4])
def test_colours_count_relative_to_the_range_of_the_pair(channels):
    rng = np.random.default_rng(5)
    images = np.float32(rng.random((2, 6, 8, 8, channels)) > 0.5)
    settings = masks.PuzzleSettings(smoothness=8.0, data_smoothness=1.0)
    plain, _ = puzzle([0.5] * 6, (8, 8), 4, settings=settings)
    first, second = (
        puzzle([0.5] * 6, (8, 8), 4, images=tuple(x), settings=settings)[0]
        for x in (images, 255 * images - 7)
    )
    assert_array_equal(first, second)
    assert np.any(first != plain)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_not_finite_leave_their_colours_out(value):
    images = np.random.default_rng(5).random((2, 6, 8, 8, 1), np.float32)
    images[0, :, 3, 4] = value
    plain, _ = puzzle([0.5] * 6, (8, 8), 4)
    assert_array_equal(puzzle([0.5] * 6, (8, 8), 4, images=tuple(images))[0], plain)


# Transport.


def transport(mask, maps, blocks, **options):
    return array(masks.puzzle_transport(mask, maps, blocks=blocks, **options))


@pytest.mark.whole
@pytest.mark.parametrize("power", [1, 8, 40])
def test_transport_is_that_of_the_published_iteration(power):
    rng = np.random.default_rng(power)
    maps = np.float32(rng.random((12, 6, 6)) ** power)
    shown = rng.random((12, 6, 6)) < 0.4
    index = transport(np.float32(~shown), maps, 6)
    for draw in range(12):
        share = maps[draw] / maps[draw].sum()
        _, winners = oracles.published_transport(share, shown[draw], 0.8)
        expected = np.arange(36)
        expected[list(winners)] = list(winners.values())
        assert_array_equal(index[draw].ravel(), expected)


def test_transport_is_close_to_the_best_assignment():
    rng = np.random.default_rng(0)
    maps = np.float32(rng.random((60, 4, 4)) ** 6)
    shown = rng.random((60, 4, 4)) < 0.5
    index = transport(np.float32(~shown), maps, 4).reshape(60, 16)
    gained, possible, equal = 0.0, 0.0, 0
    for draw in range(60):
        share = maps[draw] / maps[draw].sum()
        costs, _ = oracles.published_transport(share, shown[draw], 0.8)
        places = np.flatnonzero(shown[draw])
        stay = costs[places, places].sum()
        found = costs[index[draw, places], places].sum()
        rows, columns = optimize.linear_sum_assignment(costs[:, places])
        best = costs[:, places][rows, columns].sum()
        assert best - 1e-6 <= found <= stay + 1e-6
        gained, possible = gained + stay - found, possible + stay - best
        equal += found - best < 1e-6
    print(f"{gained / possible:.3f} of the gain, best in {equal} of 60")
    assert gained > 0.9 * possible


@pytest.mark.long
@sizes
def test_shown_places_show_different_blocks_of_their_own_sides(size):
    mask, _ = puzzle(LAM, size, 3)
    index = transport(mask, saliency(len(LAM), size, 9), 3, cost=0.0)
    own = np.arange(np.prod(size)).reshape(size)
    for draw in range(len(LAM)):
        shown = mask[draw] < 1
        moved = index[draw][shown]
        assert_equal(len(np.unique(moved)), moved.size)
        assert moved.size == 0 or 0 <= moved.min() <= moved.max() < own.size
        assert_array_equal(index[draw][~shown], own[~shown])
        # A pixel stays at its place in the block.
        sides = np.array([-(-n // 3) for n in size])
        there = np.stack(np.unravel_index(index[draw], size), -1)
        here = np.stack(np.unravel_index(own, size), -1)
        assert_array_equal((there - here) % sides, np.zeros_like(here))
        # Blocks that are smaller show one another alone, as they cannot fill others.
        small = np.array(size) // sides * sides
        assert_array_equal(there >= small, here >= small)


def test_without_a_cost_all_that_is_shown_is_the_most_salient():
    maps = saliency(3, (4, 4))
    shown = np.zeros((3, 4, 4), bool)
    shown[:, :2, :2] = True
    index = transport(np.float32(~shown), maps, 4, cost=0.0)
    for draw in range(3):
        best = np.sort(np.argsort(maps[draw].ravel())[-4:])
        assert_array_equal(np.sort(index[draw][shown[draw]]), best)


# Graphs.


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.xla)])
def test_graphs_give_what_eager_code_gives(jit):
    rng = np.random.default_rng(6)
    lam, size = np.float32(rng.random(5)), (9, 14)
    pair = (saliency(5, size), saliency(5, size, 1))
    images = tuple(np.float32(rng.random((2, 5, *size, 3))))

    def run(lam, pair, images):
        mask, weight = masks.puzzle_mask(lam, pair, blocks=4, images=images)
        return mask, weight, masks.puzzle_transport(mask, pair[1], blocks=4)

    expected = [array(x) for x in run(lam, pair, images)]
    graph = tf.function(run, jit_compile=jit, autograph=False)
    found = graph(*tf.nest.map_structure(tf.constant, (lam, pair, images)))
    for one, two in zip(found[::2], expected[::2], strict=True):
        assert_array_equal(array(one), two)
    # Graphs divide by multiplying by the reciprocal.
    assert_allclose(array(found[1]), expected[1], rtol=2e-7, atol=0)


@pytest.mark.long
@pytest.mark.tensorflow
def test_sizes_may_be_unknown():
    pair = (saliency(3, (9, 14)), saliency(3, (9, 14), 1))
    lam = np.float32([0.3, 0.5, 0.6])
    maps = tf.TensorSpec([None, None, None])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None]), (maps, maps)])
    def run(lam, pair):
        mask, _ = masks.puzzle_mask(lam, pair, blocks=5)
        return mask, masks.puzzle_transport(mask, pair[1], blocks=5)

    mask, _ = masks.puzzle_mask(lam, pair, blocks=5)
    found = run(tf.constant(lam), tuple(map(tf.constant, pair)))
    assert_array_equal(array(found[0]), array(mask))
    assert_array_equal(array(found[1]), transport(mask, pair[1], 5))


# Errors.

UNARY, PAIRS = np.zeros((1, 3, 2)), [np.ones((1, 2))]
ONES = np.ones((2, 4, 4))
REFUSED = {
    "labels of unary": (
        lambda: masks.solve_labels(np.zeros((1, 3, 1)), PAIRS),
        ("solve_labels", "`unary` must have the shape", "shape (1, 3, 1)"),
    ),
    "pairs": (
        lambda: masks.solve_labels(UNARY, [np.ones((1, 3))]),
        ("solve_labels", "`pairwise` must hold weights for each", "shapes (1, 3)"),
    ),
    "negative pairs": (
        lambda: masks.solve_labels(UNARY, [-PAIRS[0]]),
        ("solve_labels", "weights that are not negative", "-1.0 to -1.0"),
    ),
    "concave": (
        lambda: masks.solve_labels(np.float32([[[0, 1, 1]]]), [np.ones((1, 0))]),
        ("solve_labels", "convex in the label", "-1.0 to -1.0"),
    ),
    "iterations": (
        lambda: masks.solve_labels(UNARY, PAIRS, iterations=0),
        ("solve_labels", "`iterations` must be a positive integer", "iterations=0"),
    ),
    "lam": (
        lambda: masks.puzzle_mask([2.0], (ONES, ONES)),
        ("puzzle_mask", "`lam` must be in [0, 1]", "lam=[2.0]"),
    ),
    "saliency": (
        lambda: masks.puzzle_mask([0.5, 0.5], (ONES, -ONES)),
        ("puzzle_mask", "`saliency` must be finite and not negative", "-1.0 to -1.0"),
    ),
    "draws": (
        lambda: masks.puzzle_mask([0.5], (ONES, ONES)),
        ("puzzle_mask", "`saliency` must have the shape (draws=1", "shape (2, 4, 4)"),
    ),
    "images": (
        lambda: masks.puzzle_mask([0.5, 0.5], (ONES, ONES), images=(ONES, ONES)),
        ("puzzle_mask", "`images` must have the shape", "shape (2, 4, 4)"),
    ),
    "images of another size": (
        lambda: masks.puzzle_mask(
            [0.5, 0.5], (ONES, ONES), images=[np.ones((2, 4, 5, 3), np.float32)] * 2
        ),
        ("puzzle_mask", "`images` must have the shape", "shape (2, 4, 5, 3)"),
    ),
    "blocks": (
        lambda: masks.puzzle_mask([0.5, 0.5], (ONES, ONES), blocks=0),
        ("puzzle_mask", "`blocks` must be a positive integer", "blocks=0"),
    ),
    "blocks of draws": (
        lambda: masks.puzzle_mask([0.5, 0.5], (ONES, ONES), blocks=[1, 2, 3]),
        ("puzzle_mask", "`blocks` must be an integer, or one for", "[1, 2, 3]"),
    ),
    "labels": (
        lambda: masks.puzzle_mask(
            [0.5, 0.5], (ONES, ONES), settings=masks.PuzzleSettings(labels=1)
        ),
        ("puzzle_mask", "`labels` must be an integer, 2 or more", "labels=1"),
    ),
    "prior": (
        lambda: masks.puzzle_mask(
            [0.5, 0.5], (ONES, ONES), settings=masks.PuzzleSettings(prior=-1.0)
        ),
        ("puzzle_mask", "`prior` must be a finite number", "prior=-1.0"),
    ),
    "cost": (
        lambda: masks.puzzle_transport(ONES, ONES, cost=-1.0),
        ("puzzle_transport", "`cost` must be a finite number", "cost=-1.0"),
    ),
}


@pytest.mark.whole
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    call, (owner, rule, received) = REFUSED[name]
    check_error(call, owner, ValueError, rule, received)


@pytest.mark.tensorflow
def test_maps_of_unknown_rank_are_refused():
    call = tf.function(
        lambda maps: masks.puzzle_mask([0.5, 0.5], (maps, maps)),
        input_signature=[tf.TensorSpec(None)],
        autograph=False,
    )
    with pytest.raises(ValueError, match=r"`saliency` must have the shape \(draws=2"):
        call.get_concrete_function()
