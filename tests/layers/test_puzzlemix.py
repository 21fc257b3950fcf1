"""What is particular to PuzzleMix: blocks, labels and transport of its layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from keras_msda import masks
from keras_msda.layers.puzzlemix import PuzzleMixLayer
from keras_msda.plans import MixPlan, MovedMixPlan
from tests.support.errors import check_error

BATCH, SIZE = 6, (9, 14)
SEED = (1, 2)
LAM = np.float32([0.2, 0.4, 0.5, 0.6, 0.7, 0.9])


def array(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def content(channels=3):
    """Returns images, and heavy-tailed saliency as gradients have."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, *SIZE, channels), np.float32)
    return {"images": images, "saliency": rng.random((BATCH, *SIZE), np.float32) ** 8}


def plan(layer, **changed):
    """Returns a plan as arrays."""
    found = layer.sample(BATCH, SIZE, seed=SEED, lam=LAM, **content() | changed)
    return keras.tree.map_structure(array, found)


@pytest.mark.long
def test_a_plan_is_that_of_the_mask_functions():
    layer = PuzzleMixLayer(
        blocks=4,
        smoothness=0.6,
        prior=0.4,
        transport_cost=0.05,
        pairing="derangement",
    )
    found, given = plan(layer), content()
    assert_equal(type(found), MovedMixPlan)
    pairs = {key: (x, x[found.partner]) for key, x in given.items()}
    settings = masks.PuzzleSettings(smoothness=0.6, prior=0.4)
    mask, weight = masks.puzzle_mask(LAM, **pairs, blocks=4, settings=settings)
    assert_array_equal(found.mask, array(mask))
    assert_allclose(found.weight, array(weight), rtol=2e-7, atol=0)
    index = masks.puzzle_transport(mask, pairs["saliency"][1], blocks=4, cost=0.05)
    assert_array_equal(found.move.index, array(index))
    index = masks.puzzle_transport(1 - mask, pairs["saliency"][0], blocks=4, cost=0.05)
    assert_array_equal(found.own_move.index, array(index))
    # Something is to be seen here.
    assert np.any(found.move.index != np.arange(126).reshape(SIZE))
    assert len(np.unique(found.weight)) > 2


def move(images, moved):
    """Returns images whose pixels are moved, by NumPy's own indexing."""
    index = array(moved.index).reshape(BATCH, -1, 1)
    pixels = np.take_along_axis(images.reshape(BATCH, -1, 3), index, 1)
    return pixels.reshape(images.shape)


@pytest.mark.long
def test_images_show_moved_blocks():
    layer = PuzzleMixLayer(blocks=4, transport_cost=0.05, pairing="derangement")
    given, labels = content(), np.eye(BATCH, dtype="float32")
    mixed = layer.mix(given | {"labels": labels}, seed=SEED)
    found = layer.sample(BATCH, SIZE, seed=SEED, **given)
    partner, mask, weight = (array(x) for x in found[:3])
    own = move(given["images"], found.own_move)
    other = move(given["images"][partner], found.move)
    share = mask[..., None]
    # One float32 product and sum.
    expected = share * own + (1 - share) * other
    assert_allclose(array(mixed["images"]), expected, rtol=0, atol=1e-6)
    assert_allclose(array(mixed["labels"])[np.arange(BATCH), partner], 1 - weight)


def test_without_transport_pixels_stay():
    layer = PuzzleMixLayer(blocks=4, transport=False)
    assert_equal(type(plan(layer)), MixPlan)
    moved = plan(PuzzleMixLayer(blocks=4))
    assert_array_equal(plan(layer).mask, moved.mask)


@pytest.mark.long
def test_images_count_by_data_smoothness_alone():
    other = content()["images"][::-1]
    plain = PuzzleMixLayer(blocks=4, data_smoothness=0.0)
    assert not plain.uses_images
    assert_array_equal(plan(plain).mask, plan(plain, images=other).mask)
    layer = PuzzleMixLayer(blocks=4, smoothness=4.0, data_smoothness=1.0)
    assert np.any(plan(layer).mask != plan(layer, images=other).mask)


def test_every_number_of_blocks_is_drawn_alike():
    layer = PuzzleMixLayer(blocks=(1, 2, 5, 9))
    lam = keras.ops.ones(4000)
    seed = keras.ops.convert_to_tensor(SEED, "int32")
    _, blocks = layer.sample_params(lam, SIZE, seed=seed)
    values, counts = np.unique(array(blocks), return_counts=True)
    assert_array_equal(values, [1, 2, 5, 9])
    # z = 4.5 standard errors of 4,000 draws with probability 1/4.
    assert_allclose(counts, 1000, rtol=0, atol=4.5 * np.sqrt(750))


@pytest.mark.long
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_samples_or_batches_have_their_own_number_of_blocks(per):
    saliency = np.float32(np.random.default_rng(0).random((40, 64)) ** 8)
    layer = PuzzleMixLayer(
        blocks=(2, 64), per=per, labels=2, smoothness=0.0, prior=0.0, pairing="roll"
    )
    mask = array(layer.sample(40, (64,), seed=SEED, lam=0.5, saliency=saliency).mask)
    fine = np.any(mask[:, 1:32] != mask[:, :31], axis=1)
    assert_equal(len(np.unique(fine)), 2 if per == "sample" else 1)


@pytest.mark.tensorflow
@pytest.mark.xla
def test_xla_mixes_as_eager_code_does():
    layer = PuzzleMixLayer(blocks=(2, 4), num_classes=3)
    given = content() | {"labels": np.array([0, 1, 2] * 2)}
    expected = layer.mix(given, seed=SEED)
    compiled = tf.function(layer.mix, jit_compile=True, autograph=False)
    mixed = compiled(tf.nest.map_structure(tf.constant, given), seed=tf.constant(SEED))
    for key in ("images", "labels"):
        # Products and sums of float32, in another order.
        assert_allclose(mixed[key].numpy(), expected[key].numpy(), rtol=0, atol=1e-6)


def test_a_config_makes_the_same_layer():
    layer = PuzzleMixLayer(
        (1.0, 2.0),
        blocks=(3, 5),
        labels=4,
        smoothness=0.7,
        data_smoothness=0.1,
        prior=0.3,
        transport=False,
        transport_cost=0.2,
        iterations=40,
        probability=0.9,
        seed=3,
    )
    config = layer.get_config()
    again = PuzzleMixLayer.from_config(config)
    assert_equal(again.get_config(), config)
    assert_array_equal(plan(again).mask, plan(layer).mask)


@pytest.mark.parametrize("transport", [True, False])
def test_an_empty_batch_stays_empty(transport):
    layer = PuzzleMixLayer(num_classes=3, transport=transport, seed=1)
    batch = np.zeros((0, 6, 5, 2), "float32"), np.zeros(0, "int32")
    mixed, labels = layer.mix(batch, seed=(1, 2))
    assert_equal((tuple(mixed.shape), tuple(labels.shape)), ((0, 6, 5, 2), (0, 3)))


REFUSED = [
    ({"blocks": 0}, "`blocks` must be a positive integer", "blocks=0"),
    ({"blocks": (2, 1.5)}, "`blocks` must be a positive integer", "blocks=(2, 1.5)"),
    ({"blocks": ()}, "`blocks` must be a positive integer", "blocks=()"),
    ({"labels": 1}, "`labels` must be an integer, 2 or more", "labels=1"),
    ({"smoothness": -1}, "`smoothness` must be a finite number", "smoothness=-1"),
    ({"prior": np.nan}, "`prior` must be a finite number", "prior=nan"),
    ({"data_smoothness": "a"}, "`data_smoothness` must be", "data_smoothness='a'"),
    ({"transport": 1}, "`transport` must be True or False", "transport=1"),
    ({"transport_cost": -0.1}, "`transport_cost` must be", "transport_cost=-0.1"),
    ({"iterations": 0}, "`iterations` must be a positive integer", "iterations=0"),
    ({"targets": "own"}, "targets", "own"),
]


@pytest.mark.whole
@pytest.mark.parametrize(("given", "rule", "received"), REFUSED, ids=str)
def test_wrong_settings_are_refused(given, rule, received):
    check_error(
        lambda: PuzzleMixLayer(**given), "PuzzleMixLayer", ValueError, rule, received
    )
