"""Grid masks against loops, and the expectation that they must have."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from keras_msda.masks import grid as _grid
from tests.support import layer_cases, mask_cases
from tests.support import method_oracles as oracles
from tests.support.errors import check_error

GRIDS = {
    (31,): (4,),
    (9, 14): (4, 4),
    (5, 6, 9): (2, 3, 4),
    (1, 7): (4, 3),
    (1, 1, 5): (2, 2, 7),
    (8, 8): (1, 1),
}
sizes = pytest.mark.parametrize("size", GRIDS, ids=str)
kinds = pytest.mark.parametrize("exact_count", [True, False])


def grid_mask(*arguments, **options):
    parts = masks.grid_mask(*arguments, **options)
    return tuple(map(layer_cases.array, parts))


def draws(size, seed=0):
    """Returns lambda, noise and rounding: every share, twice."""
    lam = np.repeat(mask_cases.shares(), 2)
    rng = np.random.default_rng(seed)
    noise = rng.random((len(lam), *GRIDS[size]), np.float32)
    return lam, noise, rng.random(len(lam), np.float32)


@sizes
@kinds
def test_cells_are_those_of_the_loop(size, exact_count):
    lam, noise, rounding = draws(size)
    mask, _ = grid_mask(lam, noise, size, exact_count=exact_count, rounding=rounding)
    expected = oracles.grid_mask(lam, noise, size, rounding, exact_count=exact_count)
    assert_array_equal(mask, expected)


@sizes
@kinds
def test_the_weight_is_the_mean_of_the_mask(size, exact_count):
    lam, noise, rounding = draws(size, seed=1)
    mask, weight = grid_mask(
        lam, noise, size, exact_count=exact_count, rounding=rounding
    )
    assert_allclose(weight, layer_cases.pixel_means(mask), rtol=0, atol=1e-6)
    assert_equal([mask.dtype, weight.dtype], [np.float32, np.float32])


@sizes
@kinds
@pytest.mark.parametrize("lam", [0, 1])
def test_a_share_of_all_or_nothing_is_one_image(size, exact_count, lam):
    _, noise, _ = draws(size)
    lam = np.full(len(noise), lam, np.float32)
    mask, weight = grid_mask(
        lam,
        noise,
        size,
        exact_count=exact_count,
        rounding=float(mask_cases.JUST_UNDER_ONE),
    )
    assert_array_equal(mask, np.broadcast_to(lam[0], mask.shape))
    assert_array_equal(weight, lam)


@pytest.mark.parametrize(
    ("length", "cells", "lengths"),
    [
        (8, 4, [2, 2, 2, 2]),
        (7, 4, [1, 2, 2, 2]),
        (10, 4, [2, 3, 2, 3]),
        (2, 4, [1, 1, 0, 0]),
        (1, 3, [1, 0, 0]),
        (2**29 - 1, 256, None),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_boundaries_are_products_rounded_down(length, cells, lengths, traced):
    ops = layer_cases._backend.get_backend_ops()
    given = ops.convert(length, "int32") if traced else length
    found = layer_cases.array(_grid._boundaries(cells, given, ops.zeros([1], "int32")))
    if lengths is None:
        assert_array_equal(found, [k * length // cells for k in range(cells + 1)])
    else:
        assert_array_equal(np.diff(found), lengths)


@pytest.mark.parametrize("size", [(5, 3), (1, 4), (4,)], ids=str)
@pytest.mark.parametrize("lam", [0.1, 0.37, 0.5, 0.9])
def test_every_pixel_is_the_own_one_with_probability_lambda(size, lam):
    shape = (2, 2) if len(size) == 2 else (4,)
    orders = np.array(list(itertools.permutations(range(4))), np.float32) / 8
    noise = orders.reshape(-1, *shape)
    lam = np.float32(lam)
    cells = np.prod([min(n, m) for n, m in zip(shape, size, strict=True)])
    more = float(lam) * cells % 1  # Probability that rounding adds a cell.
    average = np.zeros(size)
    for rounding, share in [
        (0.0, 1 - more),
        (float(mask_cases.JUST_UNDER_ONE), more),
    ]:
        shares = np.full(len(noise), lam)
        mask, _ = grid_mask(shares, noise, size, rounding=rounding)
        average += share * mask.mean(0, dtype=np.float64)
    assert_allclose(average, np.full(size, lam), rtol=0, atol=1e-6)


@pytest.mark.parametrize("lam", [0.1, 0.37, 0.5])
def test_single_cells_are_the_own_ones_with_probability_lambda(lam):
    steps = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    noise = np.stack([steps, steps[::-1]], 1)
    shares = np.full(1000, lam, np.float32)
    mask, _ = grid_mask(shares, noise, (5,), exact_count=False)
    # One of the 1000 equally spaced values.
    assert_allclose(mask.mean(0), np.full(5, lam), rtol=0, atol=1.001e-3)


def test_the_smallest_noise_keeps_no_cell_for_a_share_of_zero():
    noise = np.zeros((2, 3), np.float32)
    mask, _ = grid_mask(np.float32([0, 1e-7]), noise, (3,), exact_count=False)
    assert_array_equal(mask, [[0, 0, 0], [1, 1, 1]])


@pytest.mark.whole
@pytest.mark.parametrize(
    ("change", "rule", "received"),
    [
        ({"lam": [1.5]}, "`lam` must be in [0, 1]", "[1.5]"),
        ({"noise": [[1.0, 0.5]]}, "`noise` must be in [0, 1)", "[[1.0, 0.5]]"),
        ({"noise": [0.5]}, "`noise` must have the shape (draws=1, cells)", "(1,)"),
        ({"noise": np.zeros((1, 300))}, "`grid` must be an integer from 1", "(300,)"),
        ({"rounding": 1.0}, "`rounding` must be in [0, 1)", "1.0"),
        ({"size": (0,)}, "`size` must hold", "(0,)"),
        ({"size": (2**29 - 1, 4)}, "pixels at most", "(536870911, 4)"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(change, rule, received):
    arguments = {"lam": [0.5], "noise": [[0.5, 0.25]], "size": (4,)} | change
    check_error(
        lambda: masks.grid_mask(**arguments), "grid_mask", ValueError, rule, received
    )
