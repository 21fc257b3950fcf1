"""The local search that exact masks of PuzzleMix are compared with."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import keras_msda as msda
from keras_msda.experiments import _local_search, _methods
from keras_msda.masks import _puzzle_solver


def make_costs():
    """Costs where neighbours matter, of one problem of 5x6 blocks and three labels."""
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0, 2, (5, 6, 1))
    unary = ((np.arange(3) - wanted) ** 2).astype("float32")
    weights = rng.uniform(0, 4, (2, 5, 6)).astype("float32")
    weights[0, -1], weights[1, :, -1] = 0, 0
    return unary, weights


def pairs_of(weights, i, j):
    """Yields the weight of each pair of a block, and the place of its neighbour."""
    _, height, width = weights.shape
    for axis, (down, right) in enumerate(((1, 0), (0, 1))):
        if i + down < height and j + right < width:
            yield weights[axis, i, j], (i + down, j + right)
        if i - down >= 0 and j - right >= 0:
            yield weights[axis, i - down, j - right], (i - down, j - right)


def search_by_hand(unary, weights, sweeps):
    """The same search, block by block."""
    labels = unary.argmin(-1)
    for number in range(2 * sweeps):
        for i, j in np.ndindex(labels.shape):
            if (i + j) % 2 == number % 2:
                costs = unary[i, j].astype("float64")
                for weight, place in pairs_of(weights, i, j):
                    costs += weight * (np.arange(3) - labels[place]) ** 2 / 4
                labels[i, j] = costs.argmin()
    return labels


@pytest.mark.parametrize("sweeps", [1, 3])
def test_labels_are_those_of_a_search_by_hand(sweeps):
    unary, weights = make_costs()
    problem = _puzzle_solver.make_problem(
        keras.ops.convert_to_tensor(unary[None]),
        [keras.ops.convert_to_tensor(each[None]) for each in weights],
    )
    found = keras.ops.convert_to_numpy(_local_search.search_locally(problem, sweeps))
    expected = search_by_hand(unary, weights, sweeps)
    assert_array_equal(found[0], expected)
    # Neighbours have changed labels, or this would test nothing.
    assert (expected != unary.argmin(-1)).any()


@pytest.mark.long
def test_the_row_differs_from_puzzlemix_in_its_labels_alone():
    exact = _methods.make_layer({"method": "puzzlemix", "smoothness": 20.0}, seed=3)
    local = _methods.make_layer(
        {"method": "puzzlemix-local", "smoothness": 20.0, "sweeps": 1}, seed=3
    )
    images = np.random.default_rng(1).random((8, 16, 16, 1), "float32")
    plans = [
        layer.sample(8, (16, 16), images=images, seed=(1, 2))
        for layer in (exact, local)
    ]
    assert_array_equal(plans[0].partner, plans[1].partner)
    assert (np.abs(plans[0].mask - plans[1].mask) > 0).any()


def test_the_number_of_sweeps_is_checked():
    with pytest.raises(ValueError, match="`sweeps` must be"):
        _methods.make_layer({"method": "puzzlemix-local", "sweeps": 0}, seed=1)
    assert isinstance(
        _methods.make_layer({"method": "puzzlemix-local"}, seed=1), msda.PuzzleMixLayer
    )
