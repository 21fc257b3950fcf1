"""Mixing in grain's pipelines: what a batch draws is a function of its index."""

import grain
import keras
import numpy as np
import pytest
from absl import flags
from numpy.testing import assert_array_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles

# Grain 0.2.18 reads a flag without that (google/grain#1355) when JAX is installed.
flags.FLAGS.mark_as_parsed()

IMAGES = np.random.default_rng(0).random((24, 4, 5, 1), np.float32)
IDS = np.arange(24) % 3
WORKERS = grain.multiprocessing.MultiprocessingOptions(num_workers=2)


class Mix(grain.transforms.RandomMap):
    """Mixes a batch by the generator that grain makes of its seed and index."""

    def __init__(self, layer):
        self.layer = layer

    def random_map(self, element, rng):
        seed = rng.integers(-(2**31), 2**31, 2).tolist()
        mixed = self.layer.mix(element, seed=seed)
        # NumPy's arrays go from process to process by shared memory.
        return keras.tree.map_structure(keras.ops.convert_to_numpy, mixed)


def make():
    return msda.HMixLayer(num_classes=3, seed=7)


def batches(shuffle=False):
    dataset = grain.MapDataset.source(list(zip(IMAGES, IDS, strict=True))).seed(5)
    return (dataset.shuffle() if shuffle else dataset).batch(8)


def recipe():
    return batches().random_map(Mix(make())).repeat(2).to_iter_dataset()


def assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for x, y in zip(one, other, strict=True):
            assert_array_equal(x, y)


def test_batches_are_mixed_by_the_seed_of_their_index():
    layer = make()

    class Keep(grain.transforms.RandomMap):
        def random_map(self, element, rng):
            # With the element: threads come to them in any order.
            return *element, rng.integers(-(2**31), 2**31, 2).tolist()

    given = list(batches().random_map(Keep()))
    mixed = list(batches().random_map(Mix(layer)))
    for (images, ids, seed), (found, labels) in zip(given, mixed, strict=True):
        partner, mask, weight = cases.arrays(layer.sample(8, (4, 5), seed=seed))
        expected = oracles.mix_images(images, partner, mask)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        expected = oracles.mix_labels(oracles.one_hot(ids, 3), partner, weight)
        np.testing.assert_allclose(labels, expected, rtol=0, atol=1e-6)


def test_epochs_of_repeat_draw_otherwise_and_iterations_alike():
    first, again = list(recipe()), list(recipe())
    assert_same(first, again)
    assert len({labels.tobytes() for _, labels in first}) == 6


def test_dictionaries_keep_their_keys():
    dataset = batches().map(lambda x: {"images": x[0], "labels": x[1], "id": x[1]})
    mixed = dataset.random_map(Mix(make()))[0]
    assert sorted(mixed) == ["id", "images", "labels"]
    assert_array_equal(mixed["id"], IDS[:8])


def test_a_restored_iterator_goes_on_alike():
    iterator = iter(recipe())
    next(iterator)
    state = iterator.get_state()
    rest = list(iterator)
    other = iter(recipe())
    other.set_state(state)
    assert_same(other, rest)


@pytest.mark.processes
@pytest.mark.slow
def test_two_workers_draw_what_one_process_draws_and_go_on_when_restored():
    one = list(recipe())
    dataset = recipe().mp_prefetch(WORKERS)
    iterator = iter(dataset)
    found = [next(iterator) for _ in range(2)]
    state = iterator.get_state()
    found += iterator
    iterator.close()
    assert_same(found, one)
    restored = iter(dataset)
    restored.set_state(state)
    assert_same(restored, one[2:])
    restored.close()


@pytest.mark.long
@pytest.mark.parametrize("targets", ["soft", "pair", "union"])
def test_models_fit_what_grain_mixes(targets):
    classes = None if targets == "pair" else 3
    layer = msda.HMixLayer(num_classes=classes, targets=targets, seed=7)
    dataset = batches(shuffle=True).random_map(Mix(layer)).repeat()
    model = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(3, activation="sigmoid")]
    )
    loss = {
        "soft": "categorical_crossentropy",
        "pair": msda.MixedLoss("sparse_categorical_crossentropy"),
        "union": "binary_crossentropy",
    }[targets]
    model.compile("sgd", loss)
    # Grain shuffles, of which Keras warns.
    history = model.fit(dataset, epochs=2, steps_per_epoch=3, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
