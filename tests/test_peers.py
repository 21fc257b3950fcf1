"""What Keras 3.15's and KerasCV's MixUp and CutMix lack or get wrong, row by row.

Each test is named after a row of a feature table; most look at one value that is wrong
there. The values of all methods are tested beside the modules.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.marks import parametrize

SIZE = (6, 7)
LAYERS = pytest.mark.parametrize("kind", [msda.MixUpLayer, msda.CutMixLayer])
CLOSE = {"rtol": 0, "atol": 1e-6}


def made(kind, **settings):
    """Returns a layer, and the plan of its next call on five images."""
    layer = kind(seed=3, **settings)
    return layer, cases.next_plan(layer, 5, SIZE)


def mixed(values, plan):
    weight = plan.weight.reshape(-1, *[1] * (values.ndim - 1))
    return weight * values + (1 - weight) * values[plan.partner]


def images(dtype="float32"):
    return tf.cast(cases.images(5, SIZE), dtype)


@LAYERS
def test_sparse_int_labels_accepted(kind):
    layer, plan = made(kind, num_classes=5)
    _, labels = layer(images(), np.arange(5))
    assert_allclose(labels, mixed(np.eye(5), plan), **CLOSE)


@LAYERS
def test_multi_label(kind):
    sets = np.random.default_rng(0).integers(0, 2, (5, 4)).astype("float32")
    layer, plan = made(kind, targets="union")
    _, labels = layer(images(), sets)
    assert_array_equal(labels, mixed(sets, plan) > 0)


@LAYERS
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 3, 4)])
def test_regression_targets_and_labels_of_rank_1_and_3(kind, shape):
    values = np.random.default_rng(0).random((5, *shape)).astype("float32")
    layer, plan = made(kind)
    _, labels = layer(images(), values)
    assert labels.shape == values.shape
    assert_allclose(labels, mixed(values, plan), **CLOSE)


@LAYERS
def test_label_smoothing_built_in(kind):
    layer, plan = made(kind, num_classes=5, label_smoothing=0.1)
    _, labels = layer(images(), np.arange(5))
    assert_allclose(labels, mixed(0.9 * np.eye(5) + 0.02, plan), **CLOSE)


@LAYERS
def test_packed_target_and_matching_loss_object(kind):
    layer, plan = made(kind, targets="pair")
    _, packed = layer(images(), np.arange(5))
    outputs = np.random.default_rng(0).dirichlet(np.ones(5), 5).astype("float32")
    value = msda.MixedLoss("sparse_categorical_crossentropy")(packed, outputs)
    expected = -np.sum(mixed(np.eye(5), plan) * np.log(outputs), 1).mean()
    assert_allclose(value, expected, rtol=1e-5)


@LAYERS
def test_train_metric_under_mixing(kind):
    layer, plan = made(kind, targets="pair")
    _, packed = layer(images(), np.arange(5))
    metric = msda.MixedAccuracy()
    metric.update_state(packed, np.eye(5, dtype="float32"))
    own = plan.partner == np.arange(5)
    expected = np.mean(np.where(own, 1, plan.weight))
    assert_allclose(metric.result(), expected, **CLOSE)


@LAYERS
@parametrize("world", cases.WORLDS)
def test_segmentation_masks_and_their_channels(kind, world):
    masks = np.random.default_rng(0).integers(0, 9, (5, *SIZE, 1)).astype("uint8")
    layer, plan = made(kind)
    batch = {"images": images(), "segmentation_masks": masks}
    found = cases.WORLDS[world](layer, batch)["segmentation_masks"]
    own = plan.mask[..., None] > 0.5
    assert found.dtype == "uint8"
    assert_array_equal(found, np.where(own, masks, masks[plan.partner]))


@pytest.mark.long
@LAYERS
@parametrize("world", ["eager", "mapped"])
def test_bounding_boxes_and_their_labels(kind, world):
    boxes = np.tile(np.array([0, 0, 7, 6], "float32"), (5, 2, 1))
    labels = np.arange(10, dtype="int32").reshape(5, 2)
    layer, plan = made(kind, bounding_box_format="xyxy")
    batch = {"images": images(), "bounding_boxes": {"boxes": boxes, "labels": labels}}
    found = cases.WORLDS[world](layer, batch)["bounding_boxes"]
    assert found["boxes"].shape == (5, 4, 4)
    both = np.concatenate([labels, labels[plan.partner]], 1)
    weights = np.repeat(np.stack([plan.weight, 1 - plan.weight], 1), 2, axis=1)
    # A box of the whole image shows as much as its image.
    assert_allclose(found["weights"], weights, **CLOSE)
    assert_array_equal(found["labels"], np.where(weights > 0, both, -1))


@LAYERS
def test_keypoints(kind):
    points = np.tile(np.array([2.5, 3.5], "float32"), (5, 1, 1))
    labels = np.arange(5, dtype="int32")[:, None]
    layer, plan = made(kind)
    batch = {"images": images(), "keypoints": {"points": points, "labels": labels}}
    found = layer(batch)["keypoints"]
    shown = plan.mask[:, 3, 2]
    assert_allclose(found["weights"], np.stack([shown, 1 - shown], 1), **CLOSE)


@LAYERS
def test_sample_weights(kind):
    weights = np.arange(5, dtype="float32")
    layer, plan = made(kind)
    *_, found = layer(images(), np.eye(5, dtype="float32"), weights)
    assert_allclose(found, mixed(weights, plan), **CLOSE)


@LAYERS
def test_extra_keys_mixed(kind):
    layer, plan = made(kind, batch_keys=("second",))
    second = np.random.default_rng(0).random((5, *SIZE, 2)).astype("float32")
    found = layer({"images": images(), "second": second})["second"]
    mask = plan.mask[..., None]
    assert_allclose(found, mask * second + (1 - mask) * second[plan.partner], **CLOSE)


@pytest.mark.long
@LAYERS
def test_works_inside_a_model_without_labels(kind):
    layer = kind(seed=1)
    dense = keras.layers.Dense(5, activation="softmax")
    model = keras.Sequential([layer, keras.layers.Flatten(), dense])
    model.compile("sgd", layer.loss("sparse_categorical_crossentropy"))
    history = model.fit(images(), np.arange(5), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@LAYERS
@pytest.mark.xla
def test_xla(kind):
    layer, plan = made(kind, num_classes=5)
    _, labels = cases.compiled(layer, images(), np.arange(5))
    assert_allclose(labels, mixed(np.eye(5), plan), **CLOSE)


@LAYERS
def test_channels_first(kind):
    layer, plan = made(kind, data_format="channels_first")
    first = np.moveaxis(cases.images(5, SIZE), -1, 1)
    mask = plan.mask[:, None]
    expected = mask * first + (1 - mask) * first[plan.partner]
    assert_allclose(layer(first, training=True), expected, **CLOSE)


@LAYERS
@pytest.mark.parametrize("training", [True, False])
def test_uint8_in_uint8_out(kind, training):
    layer = kind(dtype="uint8", seed=1)
    assert layer(images("uint8"), training=training).dtype == "uint8"


@LAYERS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@parametrize("world", ["eager", "mapped"])
def test_half_precision_and_512_pixels(kind, dtype, world):
    layer = kind(dtype=f"mixed_{dtype}", num_classes=1000, seed=1)
    ids = np.array([999, 998])
    large = tf.ones((2, 512, 512, 1), dtype)
    found, labels = cases.WORLDS[world](layer, large, ids)
    assert found.dtype == dtype
    assert labels.dtype == "float32"
    assert_allclose(np.sum(np.asarray(labels)[:, 998:], 1), 1, **CLOSE)


@LAYERS
def test_ids_strings_and_int64_keys_preserved(kind):
    layer = kind(targets="pair", seed=1)
    ids = np.array([16_777_215, 16_777_213, 1])
    batch = {"images": images()[:3], "labels": ids, "key": np.array(["a", "b", "c"])}
    batch["number"] = 2**53 + np.arange(3)
    (found,) = tf.data.Dataset.from_tensors(batch).map(layer)
    assert_array_equal(found["labels"][:, 0], ids)
    assert_array_equal(found["key"], [b"a", b"b", b"c"])
    assert_array_equal(found["number"], batch["number"])


@LAYERS
def test_seeds_reproducible(kind):
    first, second = (kind(seed=1)(images(), training=True) for _ in range(2))
    assert_array_equal(first, second)


@LAYERS
def test_schedules_of_alpha_and_probability(kind):
    layer = kind(seed=1)
    call = tf.function(lambda x: layer(x, training=True))
    assert np.any(call(images()) != images())
    msda.MixSchedule(layer, probability={5: 0.0}).set(5)
    assert_array_equal(call(images()), images())


@LAYERS
def test_validation_maps_to_itself(kind):
    layer = kind(seed=1, num_classes=5)
    data = tf.data.Dataset.from_tensors((images(), np.arange(5)))
    (found,) = data.map(lambda x, y: layer(x, y, training=False))
    assert_array_equal(found[0], images())
    assert_array_equal(found[1], np.eye(5))
    assert_array_equal(layer(images()), images())


@LAYERS
def test_batch_of_1(kind):
    layer = kind(seed=1, num_classes=5)
    found, labels = layer(images()[:1], np.array([2]))
    assert_array_equal(found, images()[:1])
    assert_array_equal(labels, np.eye(5)[[2]])


def test_unbatched_images_are_refused_not_mixed():
    with pytest.raises(ValueError, match="rank 3 to 5"):
        msda.CutMixLayer()(np.zeros((4, 5)), training=True)


@pytest.mark.long
@LAYERS
def test_distinct_randomness_for_each_replica(kind, two_replicas):
    with two_replicas.scope():
        layer = kind(seed=1)
        layer.build((None, *SIZE, 3))

    @tf.function
    def step():
        layer(images(), training=True)
        return layer.replay(5).weight

    first, second = two_replicas.run(step).values
    assert np.any(first.numpy() != second.numpy())


def test_visualisation_helper_and_command_line():
    from keras_msda import cli, plot

    assert callable(plot.mixes)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
