"""GridMix: cells, their number and their settings."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda.testing import check_layer
from tests.support import layer_cases as cases
from tests.support.errors import check_error

SEED = (1, 2)


def masks_of(layer, draws, size, lam=None):
    found = layer.sample_masks(draws, size, seed=SEED, lam=lam)
    return tuple(map(cases.array, found))


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "exact_count"), [((2, 7), True), (4, False)])
def test_the_layer_obeys_the_laws_of_all_layers(grid, exact_count):
    layer = msda.GridMixLayer(grid=grid, exact_count=exact_count, seed=3)
    checked = check_layer(layer, sizes=[(6, 5)], worlds=["eager"])
    assert ("symmetric", "eager") in checked


@pytest.mark.parametrize(
    ("size", "grid"),
    [((12,), 4), ((8, 12), 4), ((8, 12), (2, 6)), ((4, 6, 2), 2)],
    ids=str,
)
def test_lambda_of_the_cells_are_the_own_ones_up_to_one(size, grid):
    lam = np.linspace(0, 1, 40, dtype=np.float32)
    layer = msda.GridMixLayer(grid=grid)
    mask, weight = masks_of(layer, 40, size, lam)
    counts = grid if isinstance(grid, tuple) else (grid,) * len(size)
    cells = np.prod(counts)
    # Cells of equal length here: one pixel of each stands for it.
    first = (
        slice(None),
        *(slice(None, None, n // k) for n, k in zip(size, counts, strict=True)),
    )
    kept = mask[first].reshape(40, -1).sum(1)
    assert np.all(np.abs(kept - lam * cells) < 1)
    assert_allclose(weight, kept / cells, rtol=0, atol=1e-6)
    for axis, (length, count) in enumerate(zip(size, counts, strict=True), start=1):
        inner = np.delete(
            np.diff(mask, axis=axis),
            np.s_[length // count - 1 :: length // count],
            axis,
        )
        assert_array_equal(inner, np.zeros_like(inner))


@pytest.mark.parametrize("size", [(7, 9), (1, 5), (3,)], ids=str)
@pytest.mark.parametrize("exact_count", [True, False])
def test_pixels_are_the_own_ones_with_probability_lambda(size, exact_count):
    layer, draws = msda.GridMixLayer(exact_count=exact_count), 2000
    mask, weight = masks_of(layer, draws, size, 0.3)
    # Five standard errors of a share.
    bound = 5 * np.sqrt(0.3 * 0.7 / draws)
    assert_allclose(mask.mean(0), np.full(size, 0.3), rtol=0, atol=bound)
    assert_allclose(weight.mean(), 0.3, rtol=0, atol=bound)


def test_exact_counts_vary_less():
    exact, single = (
        masks_of(msda.GridMixLayer(exact_count=x), 500, (8, 8), 0.5)[1].std()
        for x in (True, False)
    )
    assert_equal(exact, 0)
    # Sixteen coins: a standard deviation of 1/8.
    assert_allclose(single, 0.125, rtol=0.2)


def test_the_own_label_alone_can_be_used():
    layer = msda.GridMixLayer(targets="own", seed=1)
    labels = np.eye(4, dtype="float32")
    _, mixed = layer(cases.images(4, (8, 8)), labels)
    assert_array_equal(cases.array(mixed), labels)


def test_settings_come_back_from_a_config():
    layer = msda.GridMixLayer(0.4, grid=(3, 5), exact_count=False, seed=1)
    again = msda.GridMixLayer.from_config(layer.get_config())
    assert_equal((again.grid, again.exact_count, again.alpha), ((3, 5), False, 0.4))
    pair = (layer, again)
    plans = [cases.arrays(x.sample(4, (9, 9), seed=SEED)) for x in pair]
    assert_array_equal(plans[0].mask, plans[1].mask)


@pytest.mark.whole
@pytest.mark.parametrize(
    "grid", [0, -1, 257, 2.5, True, "4", None, (), (2, 0), (2,) * 4, (256, 256, 2)]
)
def test_wrong_grids_are_refused(grid):
    check_error(
        lambda: msda.GridMixLayer(grid=grid),
        "GridMixLayer",
        ValueError,
        "`grid` must be an integer from 1 to 256, or one per axis",
        f"grid={grid!r}",
    )


@pytest.mark.parametrize("grid", [1, 256, (256, 256)])
def test_the_largest_and_the_smallest_grids_are_taken(grid):
    assert msda.GridMixLayer(grid=grid).grid == grid


@pytest.mark.whole
@pytest.mark.parametrize(
    ("grid", "size", "rule"),
    [
        ((2, 3), (9,), "one number of cells per axis"),
        ((2, 3), (9, 9, 9), "one number of cells per axis"),
        (256, (300, 300, 300), "65,536 cells at most"),
    ],
)
def test_grids_that_do_not_suit_the_images_are_refused(grid, size, rule):
    check_error(
        lambda: msda.GridMixLayer(grid=grid).sample(2, size, seed=SEED),
        "GridMixLayer",
        ValueError,
        rule,
        f"grid={grid!r}",
    )
