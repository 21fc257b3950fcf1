"""What belongs to images where a trace knows little of it, and ids that are floats."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error
from tests.support.marks import parametrize

SIZE = (6, 7)
CLASSES = 4
BATCH = 5
IDS = np.array([3, 0, 2, 1, 3])
SEED = (3, 4)
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}

worlds = parametrize("world", cases.WORLDS)
# On PyTorch the world "compiled" first calls a layer eagerly, which sees the labels.
SEEING = {"eager", "compiled"} if cases.BACKEND == "torch" else {"eager"}
traced = parametrize("world", [w for w in cases.WORLDS if w not in SEEING])


def called(layer, world, labels):
    """Returns the plan and the labels of a layer's call in a world."""
    plan = cases.next_plan(layer, len(labels), SIZE, world)
    outputs = cases.WORLDS[world](layer, cases.images(len(labels), SIZE), labels)
    return plan, cases.array(outputs[1])


# Float ids.


@worlds
@pytest.mark.parametrize(
    ("dtype", "shape"), [("float32", (BATCH,)), ("float16", (BATCH, 1))], ids=str
)
def test_whole_floats_are_class_ids_where_classes_are_counted(world, dtype, shape):
    layer = cases.make("cutmix", num_classes=CLASSES, label_smoothing=0.1)
    plan, found = called(layer, world, IDS.astype(dtype).reshape(shape))
    rows = oracles.one_hot(IDS, CLASSES, 0.1)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


@worlds
@pytest.mark.parametrize("targets", ["pair", "own", "union"])
def test_float_ids_have_each_form_that_ids_have(world, targets):
    settings = {"num_classes": CLASSES, "targets": targets, "target_threshold": 0.2}
    plan, found = called(cases.make("mixup", **settings), world, IDS.astype("float32"))
    rows = oracles.one_hot(IDS, CLASSES)
    expected = {
        "pair": np.stack([IDS, IDS[plan.partner], plan.weight], 1),
        "own": rows,
        "union": oracles.mix_labels(rows, plan.partner, plan.weight) > 0.2,
    }
    assert_allclose(found, expected[targets], **CLOSE)


@worlds
def test_float_ids_of_one_of_several_outputs_are_encoded(world):
    labels = {"kind": IDS.astype("float32")[:, None], "age": IDS.astype("float32")}
    layer = cases.make("hmix", num_classes={"kind": CLASSES})
    plan = cases.next_plan(layer, BATCH, SIZE, world)
    _, found = cases.WORLDS[world](layer, cases.images(BATCH, SIZE), labels)
    shares = plan.partner, plan.weight
    rows = oracles.mix_labels(oracles.one_hot(IDS, CLASSES), *shares)
    assert_allclose(cases.array(found["kind"]), rows, **CLOSE)
    # Without a number of classes floats are averaged as numbers, to their rounding.
    ages = oracles.mix_labels(IDS.astype("float32"), *shares)
    assert_allclose(cases.array(found["age"]), ages, rtol=0, atol=1e-6)


#: Floats that are no id of four classes.
NO_IDS = [1.5, -1.0, 4.0, float("nan"), float("inf"), 3e9, -3e9]


@traced
def test_floats_that_are_no_ids_are_nan_in_a_trace(world):
    ids = np.resize(IDS, 2 * len(NO_IDS))
    wrong = np.arange(len(ids)) % 2 == 1
    labels = np.where(wrong, np.repeat(NO_IDS, 2), ids).astype("float32")
    layer = cases.make("mixup", num_classes=CLASSES, pairing="shuffle")
    plan, found = called(layer, world, labels)
    hit = wrong & (plan.weight > 0) | wrong[plan.partner] & (plan.weight < 1)
    assert_array_equal(np.isnan(found), hit[:, None].repeat(CLASSES, 1))


@traced
def test_packed_floats_that_are_no_ids_have_no_weight_in_a_trace(world):
    labels = np.array([3, -3e9, 2, 1, 1.5, 3, 0], "float32")
    settings = {"num_classes": CLASSES, "targets": "pair", "pairing": "roll"}
    plan, found = called(cases.make("mixup", **settings), world, labels)
    wrong = (labels < 0) | (labels == 1.5)
    assert_array_equal(np.isnan(found[:, 2]), wrong | wrong[plan.partner])


@pytest.mark.parametrize("value", NO_IDS)
@pytest.mark.parametrize("targets", ["soft", "pair"])
def test_floats_that_are_no_ids_are_refused_where_they_are_seen(targets, value):
    labels = IDS.astype("float32")
    labels[2] = value
    layer = cases.make("mixup", num_classes=CLASSES, targets=targets)
    check_error(
        lambda: layer(cases.images(BATCH, SIZE), labels),
        "MixUpLayer",
        ValueError,
        "class ids must be whole numbers in [0, num_classes=4).",
        f"labels that hold {value:g}",
    )


@parametrize("world", ["eager", "mapped"])
@pytest.mark.parametrize("classes", [2048, 2049])
def test_the_last_id_that_half_precision_holds_is_encoded(world, classes):
    ids = np.array([classes - 1, 0, 1, 2, 3])
    layer = cases.make("mixup", num_classes=classes)
    plan, found = called(layer, world, ids.astype("float16"))
    rows = oracles.one_hot(ids, classes)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


# Traces that do not know a shape. Under every backend a pipeline is TensorFlow's.


def unknown(batch, lost=(), shapes=None):
    """Returns a dataset of one batch without the shapes of the named tensors.

    Args:
        batch: Dictionary, perhaps with dictionaries inside.
        lost: Names of tensors of unknown rank, "key" or "key/entry".
        shapes: What is known of the shape of others, by name.
    """
    shapes = shapes or {}

    def lose(value, name):
        if isinstance(value, dict):
            return {k: lose(x, f"{name}/{k}") for k, x in value.items()}
        if name not in lost and name not in shapes:
            return value
        value = tf.numpy_function(lambda x: x, [value], value.dtype)
        return tf.ensure_shape(value, shapes[name]) if name in shapes else value

    data = tf.data.Dataset.from_tensors(batch)
    return data.map(lambda x: {key: lose(value, key) for key, value in x.items()})


ROWS = np.ones((BATCH, 2), "int32")
#: Everything that may belong to images.
WHOLE = {
    "images": cases.images(BATCH, SIZE),
    "labels": {"kind": IDS, "age": np.ones(BATCH, "float32")},
    "sample_weight": np.ones(BATCH, "float32"),
    "segmentation_masks": np.ones((BATCH, *SIZE), "uint8"),
    "bounding_boxes": {"boxes": np.ones((BATCH, 2, 4), "float32"), "labels": ROWS},
    "keypoints": {"points": np.ones((BATCH, 2, 2), "float32"), "labels": ROWS},
    "view": cases.images(BATCH, SIZE),
}
#: Name of a tensor -> what errors call it.
NAMES = {
    "labels/kind": 'labels["kind"]',
    "labels/age": 'labels["age"]',
    "sample_weight": "sample_weight",
    "segmentation_masks": "segmentation masks",
    "bounding_boxes/boxes": 'bounding_boxes["boxes"]',
    "bounding_boxes/labels": 'bounding_boxes["labels"]',
    "keypoints/points": 'keypoints["points"]',
    "view": '"view"',
}


def whole_layer(method="cutmix", **settings):
    return cases.make(
        method,
        num_classes={"kind": CLASSES},
        bounding_box_format="xyxy",
        batch_keys=("view",),
        **settings,
    )


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_tensors_of_unknown_rank_are_named_with_the_remedy(name):
    layer = whole_layer()
    data = unknown(WHOLE, [name])
    for mix in (lambda: data.map(layer.call), lambda: data.apply(msda.mixing(layer))):
        with pytest.raises(ValueError, match="ensure_shape") as caught:
            mix()
        text = str(caught.value)
        assert f"CutMixLayer: {NAMES[name]} must have a known number of axes" in text
        assert "`x = tf.ensure_shape(x, (None, " in text


def test_labels_in_a_tuple_are_named_by_their_place():
    data = unknown(WHOLE, ["labels/age"])
    layer = cases.make("mixup", num_classes=(CLASSES, None))

    def mix(batch):
        labels = batch["labels"]["kind"], batch["labels"]["age"]
        return layer.mix((batch["images"], labels), seed=SEED)

    with pytest.raises(ValueError, match=r"labels\[1\] must have a known number of"):
        data.map(mix)


@parametrize(
    ("dtype", "channels", "mode"),
    [
        ("uint8", 1, "auto"),
        ("int32", 3, "select"),
        ("float32", 1, "auto"),
        ("float32", 3, "auto"),
        ("float32", 1, "select"),
        ("float16", 3, "blend"),
    ],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_masks_need_not_tell_their_channels(dtype, channels, mode, data_format):
    rng = np.random.default_rng(5)
    last = data_format == "channels_last"
    shape = (*SIZE, channels) if last else (channels, *SIZE)
    masks = rng.integers(0, 9, (BATCH, *shape)).astype(dtype)
    images = cases.images(BATCH, SIZE)
    images = images if last else np.moveaxis(images, -1, 1)
    batch = {"images": images, "segmentation_masks": masks}
    # Not compiled, where all is known, either: that takes seconds.
    settings = {"data_format": data_format, "jit_compile": False}
    layer = cases.make("gmix", segmentation=mode, **settings)
    shapes = {key: [None] * 4 for key in batch}
    found, expected = (
        next(iter(data.map(lambda x: layer.mix(x, seed=SEED))))["segmentation_masks"]
        for data in (unknown(batch, shapes=shapes), unknown(batch))
    )
    assert_equal(found.dtype.name, dtype)
    # Of two graphs; numbers to 8 are rounded at 2^-22.
    assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not np.array_equal(found, masks)


@pytest.mark.long
@pytest.mark.parametrize("method", cases.METHODS)
def test_every_layer_mixes_masks_of_unknown_channels(method):
    masks = np.random.default_rng(6).integers(0, 9, (BATCH, *SIZE, 1)).astype("uint8")
    batch = {"images": cases.images(BATCH, SIZE), "segmentation_masks": masks}
    layer = cases.make(method)
    data = unknown(batch, shapes={key: [None] * 4 for key in batch})
    (found,) = (x["segmentation_masks"].numpy() for x in data.map(layer))
    assert_equal((found.shape, found.dtype.name), (masks.shape, "uint8"))
    # Each pixel is one of those that lie there.
    there = np.moveaxis(masks, 0, -1)[None]
    assert np.all(np.any(found[..., None] == there, -1))


def test_a_number_of_classes_asks_for_the_channels_of_masks():
    masks = np.zeros((BATCH, *SIZE, 1), "uint8")
    batch = {"images": cases.images(BATCH, SIZE), "segmentation_masks": masks}
    layer = cases.make("cutmix", segmentation=3)
    data = unknown(batch, shapes={key: [None] * 4 for key in batch})
    with pytest.raises(ValueError, match="an unknown number of channels") as caught:
        data.map(lambda x: layer.mix(x, seed=SEED))
    assert "`masks = tf.ensure_shape(masks, (None, None, None, 1))`" in str(
        caught.value
    )


# Maps before batches.

ONE_HOT = np.eye(10, dtype="float32")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("known", [True, False])
def test_a_map_before_the_batch_is_told_for_one_hot_labels(known, channels):
    images = np.ones((10, 32, 32, channels), "float32")
    batch = {"images": images, "labels": ONE_HOT}
    shapes = {} if known else {"images": [None] * 3 + [channels]}
    data = unknown(batch, shapes=shapes).unbatch()
    layer = cases.make("cutmix")
    with pytest.raises(ValueError, match=r"[bB]atch first") as caught:
        data.map(lambda x: layer.mix(x, seed=SEED))
    assert "dataset.batch(128).map(layer)" in str(caught.value)


def test_batches_of_signals_are_no_images_before_their_batch():
    signals = np.random.default_rng(7).random((10, 20, 3), np.float32)
    batch = {"images": signals, "labels": ONE_HOT[:, 0]}
    shapes = {"images": [None, None, 3], "labels": [None]}
    layer = cases.make("mixup")
    (found,) = unknown(batch, shapes=shapes).map(lambda x: layer.mix(x, seed=SEED))
    plan = cases.arrays(_pipeline_plan(layer, 10, (20,)))
    expected = oracles.mix_labels(ONE_HOT[:, 0], plan.partner, plan.weight)
    assert_allclose(found["labels"], expected, **CLOSE)


def _pipeline_plan(layer, batch, size):
    """Returns a plan that TensorFlow draws, as in a pipeline."""
    return layer.sample(batch, size, seed=tf.constant(SEED, "int64"))
