"""Labels of every kind, for one output and for several, against loops.

A call with a dictionary of outputs shows all kinds at once, in one plan.
"""

from typing import Any, NamedTuple

import keras
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
# One float32 product and sum of numbers of size 1, and one more for a quotient.
CLOSE = {"rtol": 0, "atol": 1e-6}
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]

methods = pytest.mark.parametrize("method", cases.METHODS)
worlds = parametrize("world", cases.WORLDS)


def kinds(batch=BATCH, seed=3):
    """Returns labels of every kind that has a mean, by name."""
    rng = np.random.default_rng(seed)
    return {
        "ids": np.resize(IDS, batch),
        "column": np.resize(IDS, batch)[:, None].astype("uint8"),
        "soft": rng.dirichlet(np.ones(CLASSES), batch).astype("float32"),
        "sets": rng.integers(0, 2, (batch, 6)).astype("float32"),
        "number": rng.normal(size=batch).astype("float32"),
        "column of numbers": rng.normal(size=(batch, 1)).astype("float32"),
        "matrix": rng.normal(size=(batch, 2, 3)).astype("float32"),
        "volume": rng.normal(size=(batch, 2, 3, 2)).astype("float32"),
    }


COUNTS = {"ids": CLASSES, "column": CLASSES}


def soft(labels, smoothing=0.0):
    """Returns labels of every kind as numbers, ids encoded."""
    return {
        key: oracles.one_hot(x, CLASSES, smoothing) if key in COUNTS else x
        for key, x in labels.items()
    }


def mixed(labels, plan, smoothing=0.0):
    return {
        key: oracles.mix_labels(x, plan.partner, plan.weight)
        for key, x in soft(labels, smoothing).items()
    }


def packed(labels, plan):
    """Returns own label, partner's label and weight, on the last axis."""
    rows = {}
    for key, x in labels.items():
        own = x[:, None] if x.ndim == 1 else x
        weight = plan.weight.reshape(-1, *[1] * (own.ndim - 1))
        weight = np.broadcast_to(weight, (*own.shape[:-1], 1))
        rows[key] = np.concatenate([own, own[plan.partner], weight], -1)
    return rows


def called(layer, world, *inputs, batch=BATCH):
    """Calls a layer in a world; returns its plan and what follows the images."""
    plan = cases.next_plan(layer, batch, SIZE)
    outputs = cases.WORLDS[world](layer, cases.images(batch, SIZE), *inputs)
    return plan, *outputs[1:]


def assert_same(labels, expected, **tolerance):
    assert_equal(list(labels), list(expected))
    for key, value in expected.items():
        assert_equal(labels[key].dtype.name, "float32")
        tolerance = tolerance or CLOSE
        assert_allclose(labels[key], value, **tolerance, err_msg=key)


# Several outputs at once.


@worlds
@methods
def test_every_kind_is_mixed_with_the_weight_of_the_images(method, world):
    labels = kinds()
    layer = cases.make(method, num_classes=COUNTS, label_smoothing=0.1)
    plan, found = called(layer, world, labels)
    assert_same(found, mixed(labels, plan, smoothing=0.1))


@worlds
@methods
def test_every_kind_is_packed_with_its_partner_and_weight(method, world):
    labels = kinds()
    plan, found = called(cases.make(method, targets="pair"), world, labels)
    assert_same(found, packed(labels, plan))


@parametrize(
    ("method", "world"),
    [
        (method, world)
        for method in cases.METHODS
        for world in cases.WORLDS
        if world != "compiled" or method in ("hmix", "fmix")
    ],
)
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_sets_are_united_above_a_threshold(method, world, threshold):
    labels = {key: x for key, x in kinds().items() if key in ("ids", "sets")}
    settings = {"targets": "union", "target_threshold": threshold}
    layer = cases.make(method, num_classes={"ids": CLASSES}, **settings)
    plan, found = called(layer, world, labels)
    expected = {key: x > threshold for key, x in mixed(labels, plan).items()}
    assert_same(found, expected, rtol=0, atol=0)


@parametrize("world", ["eager", "mapped"])
@pytest.mark.parametrize("kind", [tuple, list])
def test_outputs_may_be_a_sequence(kind, world):
    labels = kinds()
    counts = kind(COUNTS.get(key) for key in labels)
    layer = cases.make("hmix", num_classes=counts)
    plan, found = called(layer, world, tuple(labels.values()))
    assert_same(dict(zip(labels, found, strict=True)), mixed(labels, plan))


@worlds
@pytest.mark.parametrize("targets", ["soft", "pair"])
def test_sample_weights_of_an_output_weigh_its_labels_alone(targets, world):
    rng = np.random.default_rng(4)
    labels = {key: kinds()[key] for key in ("ids", "soft", "matrix")}
    weights = {key: rng.uniform(0, 2, BATCH).astype("f") for key in ("ids", "matrix")}
    counts = {"ids": CLASSES} if targets == "soft" else None
    layer = cases.make("cutmix", targets=targets, num_classes=counts)
    plan, found, new = called(layer, world, labels, weights)
    assert_equal(list(new), list(weights))
    for key, values in soft(labels).items():
        given = weights.get(key, np.ones(BATCH))
        share = given * plan.weight
        total = share + given[plan.partner] * (1 - plan.weight)
        shares = plan._replace(weight=share / total)
        if targets == "pair":
            expected = packed({key: labels[key]}, shares)[key]
        else:
            expected = oracles.mix_labels(values, plan.partner, shares.weight)
        assert_allclose(found[key], expected, **CLOSE, err_msg=key)
        if key in weights:
            assert_allclose(new[key], total, **CLOSE, err_msg=key)


def test_one_weight_a_sample_serves_all_outputs():
    weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0], np.float32)
    labels = {"soft": kinds()["soft"], "sets": kinds()["sets"]}
    plan, found, new = called(cases.make("gmix"), "eager", labels, weights)
    for key, values in labels.items():
        expected, total = oracles.mix_sample_weights(
            weights, values, plan.partner, plan.weight
        )
        assert_allclose(found[key], expected, **CLOSE)
        assert_allclose(new, total, **CLOSE)


def test_sets_keep_their_union_whatever_samples_weigh():
    sets, weights = kinds()["sets"], np.array([1.0, 0.0, 5.0, 0.5, 3.0], np.float32)
    layer = cases.make("mixup", targets="union", target_threshold=0.2)
    plan, found, new = called(layer, "eager", sets, weights)
    expected = oracles.mix_labels(sets, plan.partner, plan.weight) > 0.2
    assert_array_equal(found, expected)
    _, total = oracles.mix_sample_weights(weights, sets, plan.partner, plan.weight)
    assert_allclose(new, total, **CLOSE)


# Dtypes.


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)])
@pytest.mark.parametrize("dtype", INTEGERS)
@parametrize("world", ["eager", "mapped"])
def test_ids_of_any_integer_dtype_become_soft_labels(dtype, shape, world):
    ids = IDS.astype(dtype).reshape(shape)
    layer = cases.make("mixup", num_classes=CLASSES)
    plan, found = called(layer, world, ids)
    rows = oracles.one_hot(IDS, CLASSES)
    expected = oracles.mix_labels(rows, plan.partner, plan.weight)
    assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("dtype", ["int16", "uint64"])
@pytest.mark.xla
def test_ids_of_any_integer_dtype_are_encoded_when_compiled(dtype):
    layer = cases.make("mixup", num_classes=CLASSES)
    plan, found = called(layer, "compiled", IDS.astype(dtype))
    rows = oracles.one_hot(IDS, CLASSES)
    expected = oracles.mix_labels(rows, plan.partner, plan.weight)
    assert_allclose(found, expected, **CLOSE)


@pytest.mark.tensorflow
@parametrize("jit", [False, True], ids=["graph", "xla"])
def test_a_weight_of_nan_shows_in_boolean_labels_too(jit):
    layer = cases.make("mixup")
    images = cases.images(1, SIZE)

    @tf.function(jit_compile=jit)
    def call(sets, partner):
        return layer((images, sets), training=True, partner=partner)[1]

    found = call(np.array([[True, False]]), np.array([1]))
    assert_equal(np.asarray(found), np.full((1, 2), np.nan))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_any_integer_dtype_are_packed(dtype):
    plan, found = called(cases.make("hmix", targets="pair"), "eager", IDS.astype(dtype))
    assert_allclose(found, packed({"ids": IDS}, plan)["ids"], **CLOSE)


@pytest.mark.long
@worlds
def test_ids_near_the_limit_of_float32_are_packed_exactly(world):
    ids = 2**24 - np.arange(BATCH)
    assert 16_777_215 in ids
    plan, found = called(cases.make("fmix", targets="pair"), world, ids)
    columns = np.stack([ids, ids[plan.partner]], 1)
    assert_array_equal(np.asarray(found)[:, :2].astype("int64"), columns)


@parametrize("world", ["graph", "compiled", "mapped"])
def test_an_id_that_packing_would_round_has_no_weight(world):
    # An eager batch shows it, and is refused; a traced one makes the loss NaN.
    ids = np.array([1, 2**24 + 1, 2, 3, 4])
    layer = cases.make("mixup", targets="pair", pairing="roll")
    plan, found = called(layer, world, ids)
    hit = (ids > 2**24) | (ids[plan.partner] > 2**24)
    assert_array_equal(np.isnan(np.asarray(found)[:, 2]), hit)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("outside", [-1, 3])
def test_pairs_of_ids_that_are_no_class_are_nan_in_a_graph(outside, dtype):
    ids = np.array([0, outside, 2]).astype(dtype)
    layer = msda.MixUpLayer(targets="pair", num_classes=3, pairing="roll", seed=1)
    images = np.zeros((3, 4, 4, 1), "float32")
    for training, hit in [(True, [False, True, True]), (False, [False, True, False])]:
        data = tf.data.Dataset.from_tensors((images, ids))
        ((_, packed),) = list(data.map(lambda *x, t=training: layer(*x, training=t)))
        assert_array_equal(np.isnan(packed[:, 2]), hit)


def test_an_eager_id_that_packing_would_round_is_refused():
    layer = cases.make("mixup", targets="pair")
    inputs = cases.images(2, SIZE), np.array([0, 2**24 + 1])
    rule = '`targets="pair"` packs class ids as float32, exact up to 16777216.'
    check_error(
        lambda: layer(*inputs), "MixUpLayer", ValueError, rule, "the id 16777217"
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@parametrize("world", ["eager", "mapped"])
def test_labels_in_half_precision_are_mixed_in_float32(dtype, world):
    values = tf.cast(kinds()["matrix"], dtype)
    plan, found = called(cases.make("mixup", dtype=f"mixed_{dtype}"), world, values)
    expected = oracles.mix_labels(
        tf.cast(values, "float32").numpy(), plan.partner, plan.weight
    )
    assert_equal(found.dtype.name, "float32")
    assert_allclose(found, expected, **CLOSE)


@worlds
def test_sets_may_be_truth_values(world):
    sets = kinds()["sets"] > 0
    plan, found = called(cases.make("hmix"), world, sets)
    assert_allclose(found, oracles.mix_labels(sets, plan.partner, plan.weight), **CLOSE)


def test_truth_values_are_ids_where_classes_are_counted():
    truth = np.array([True, False, True, True, False])
    plan, found = called(cases.make("hmix", num_classes=2), "eager", truth)
    rows = oracles.one_hot(truth, 2)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("where", ["second", "named", "tuple", "dictionary"])
def test_labels_may_be_plain_lists(where, kind):
    layer = cases.make("mixup", num_classes=CLASSES)
    plan = cases.next_plan(layer, BATCH, SIZE)
    images, ids = cases.images(BATCH, SIZE), kind(IDS.tolist())
    found = {
        "second": lambda: layer(images, ids)[1],
        "named": lambda: layer(images, labels=ids)[1],
        "tuple": lambda: layer((images, ids))[1],
        "dictionary": lambda: layer({"images": images, "labels": ids})["labels"],
    }[where]()
    rows = oracles.one_hot(IDS, CLASSES)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


def test_lists_are_read_as_numpy_reads_them():
    layer = cases.make("mixup")
    images, soft = cases.images(2, SIZE), [[0.1, 0.9], [0.7, 0.3]]
    weights = [1.0, 2.0]
    arrays = layer.mix((images, np.array(soft), np.array(weights)), seed=(1, 2))
    lists = layer.mix((images, soft, weights), seed=(1, 2))
    for found, wanted in zip(lists, arrays, strict=True):
        assert_equal(cases.dtype(found), cases.dtype(wanted))
        assert_array_equal(cases.array(found), cases.array(wanted))


def test_outputs_in_a_dictionary_may_be_lists():
    layer = cases.make("mixup")
    labels = {"a": [0.5, 0.25], "b": np.array([1.0, 2.0])}
    _, found = layer(cases.images(2, SIZE), labels, training=False)
    assert_equal(
        {k: cases.array(x).tolist() for k, x in found.items()},
        {"a": [0.5, 0.25], "b": [1.0, 2.0]},
    )


def test_outputs_in_a_tuple_are_no_lists():
    layer = cases.make("mixup")
    labels = [0.5, 0.25], np.array([1.0, 2.0])
    rule = "labels of several outputs in a tuple must be tensors or arrays."
    for call in (layer, lambda *batch: layer.mix(batch, seed=(1, 2))):
        check_error(
            lambda call=call: call(cases.images(2, SIZE), labels),
            "MixUpLayer",
            ValueError,
            rule,
            "a tuple of list, ndarray",
        )


def test_lists_of_numpy_numbers_are_labels_of_one_output():
    layer = cases.make("mixup", num_classes=CLASSES)
    plan = cases.arrays(layer.sample(BATCH, SIZE, seed=(1, 2)))
    _, found = layer.mix((cases.images(BATCH, SIZE), list(IDS)), seed=(1, 2))
    rows = oracles.one_hot(IDS, CLASSES)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


class Column:
    """A column as a table library has it: an array inside."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_columns_of_tables_are_labels():
    layer = cases.make("mixup", num_classes=CLASSES)
    plan = cases.arrays(layer.sample(BATCH, SIZE, seed=(1, 2)))
    _, found = layer.mix((cases.images(BATCH, SIZE), Column(IDS)), seed=(1, 2))
    rows = oracles.one_hot(IDS, CLASSES)
    assert_allclose(found, oracles.mix_labels(rows, plan.partner, plan.weight), **CLOSE)


#: What is no tensor -> rule, what was received.
NO_TENSORS = {
    "words": (["a"] * BATCH, "labels must hold real numbers.", "dtype string"),
    "objects": (Column(np.array([None] * BATCH)), "real numbers", "dtype object"),
    "rows of several lengths": ([[1], [1, 2], [1], [1], [1]], "an array", "list"),
    "nothing at all": (
        [],
        "labels must have the same batch size as the images",
        "shape (0,)",
    ),
    "a dictionary inside": ({"a": {"b": IDS}}, 'labels["a"] must be', "dict"),
    "nothing inside": ({"a": IDS * 1.0, "b": None}, 'labels["b"] must', "NoneType"),
    "a sparse tensor": (
        tf.sparse.from_dense(np.eye(BATCH)),
        "labels must be dense.",
        "SparseTensor",
    ),
}


@pytest.mark.parametrize("case", NO_TENSORS)
def test_labels_that_make_no_tensor_are_refused(case):
    labels, *error = NO_TENSORS[case]
    layer = cases.make("mixup")
    check_error(
        lambda: layer.mix((cases.images(BATCH, SIZE), labels), seed=(1, 2)),
        "MixUpLayer",
        ValueError,
        *error,
    )


class Pair(NamedTuple):
    """Labels of two outputs by name."""

    first: Any
    second: Any


@pytest.mark.parametrize("kind", [Pair._make, list, tuple])
def test_outputs_come_back_in_the_kind_of_sequence_that_was_given(kind):
    labels = kind([kinds()["soft"], kinds()["number"]])
    weights = kind([np.ones(BATCH, "float32")] * 2)
    layer = cases.make("mixup")
    batch = cases.images(BATCH, SIZE), labels, weights
    _, found, new = layer.mix(batch, seed=(1, 2))
    assert_equal((type(found), type(new)), (type(labels), type(weights)))


# The ends of integers.


@pytest.mark.parametrize(
    ("ids", "received"),
    [
        (np.array([-(2**63), 3]), f"ids from {-(2**63)} to 3"),
        (np.array([2**63 - 1, -1]), f"ids from -1 to {2**63 - 1}"),
        (np.array([2**64 - 1, 2], "uint64"), f"ids from 2 to {2**64 - 1}"),
        (np.array([-128, 3], "int8"), "ids from -128 to 3"),
        (np.array([255, 3], "uint8"), "ids from 3 to 255"),
    ],
    ids=str,
)
def test_ids_at_the_ends_of_their_dtype_are_refused(ids, received):
    layer = cases.make("mixup", num_classes=CLASSES)
    check_error(
        lambda: layer(cases.images(2, SIZE), ids),
        "MixUpLayer",
        ValueError,
        "class ids must be in [0, num_classes=4).",
        received,
    )


@pytest.mark.parametrize("value", [-(2**63), 2**63 + 5, -(2**24) - 1])
def test_packing_refuses_ids_at_the_ends_of_integers(value):
    ids = np.array([value, 3], "uint64" if value > 2**63 else "int64")
    layer = cases.make("mixup", targets="pair")
    check_error(
        lambda: layer(cases.images(2, SIZE), ids),
        "MixUpLayer",
        ValueError,
        '`targets="pair"` packs class ids as float32',
        f"the id {value}",
    )


@pytest.mark.parametrize("value", [-(2**63), 2**63, 2**64 - 1])
def test_ids_at_the_ends_of_integers_are_nan_in_a_graph(value):
    ids = np.array([value, 3], "uint64" if value >= 2**63 else "int64")
    layer = msda.MixUpLayer(num_classes=CLASSES, probability=0.0)
    _, found = tf.function(layer)(cases.images(2, SIZE), tf.constant(ids))
    assert_array_equal(np.isnan(found).all(1), [True, False])


@pytest.mark.parametrize("dtype", ["int32", "uint64", "float32", "float16"])
def test_no_ids_at_all_are_encoded(dtype):
    layer = cases.make("mixup", num_classes=CLASSES)
    _, found = layer(cases.images(0, SIZE), np.zeros(0, dtype))
    assert_equal(tuple(found.shape), (0, CLASSES))


# Batches.


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("targets", ["soft", "pair"])
def test_small_batches_are_mixed_or_left_alone(batch, targets):
    labels = kinds(batch)
    counts = COUNTS if targets == "soft" else None
    layer = cases.make("hmix", targets=targets, num_classes=counts)
    plan, found = called(layer, "eager", labels, batch=batch)
    assert_same(found, (mixed if targets == "soft" else packed)(labels, plan))
    if batch == 1:
        assert_array_equal(plan.weight, [1])


@pytest.mark.long
def test_a_partial_last_batch_is_mixed_in_every_output():
    labels = kinds(8)
    layer = cases.make("fmix", num_classes=COUNTS)
    plans = cases.next_plans(layer, [5, 3], SIZE)
    data = tf.data.Dataset.from_tensor_slices((cases.images(8, SIZE), labels))
    for start, plan, (_, found) in zip(
        [0, 5], plans, data.batch(5).map(layer), strict=True
    ):
        part = {key: x[start : start + 5] for key, x in labels.items()}
        assert_same(found, mixed(part, plan))


@pytest.mark.parametrize("targets", ["soft", "pair", "union"])
def test_unmixed_batches_have_the_form_of_mixed_ones(targets):
    labels = kinds()
    counts = None if targets == "pair" else COUNTS
    layer = cases.make("hmix", targets=targets, num_classes=counts)
    images = cases.images(BATCH, SIZE)
    _, found = layer(images, labels, training=False)
    _, other = layer(images, labels)
    plan = msda.MixPlan(np.arange(BATCH), None, np.ones(BATCH, np.float32))
    if targets == "pair":
        expected = packed(labels, plan)
    else:
        expected = soft(labels)
    if targets == "union":
        expected = {key: x > 0 for key, x in expected.items()}
    assert_same(found, expected, rtol=0, atol=0)
    for key in labels:
        assert_equal(found[key].shape, other[key].shape)
        assert_equal(found[key].dtype, other[key].dtype)


# What would be mixed wrongly.


@pytest.mark.parametrize("method", ["cutmix", "hmix", "gmix", "fmix", "random-batch"])
def test_labels_of_every_pixel_are_refused_as_labels(method):
    layer = cases.make(method)
    check_error(
        lambda: layer(cases.images(2, SIZE), np.ones((2, *SIZE, 3), np.float32)),
        type(layer).__name__,
        ValueError,
        "labels of the images' size are mixed pixel by pixel",
        "labels of shape (2, 6, 7, 3) for images of size (6, 7)",
    )


def test_labels_of_every_pixel_mix_by_one_weight_where_the_mask_is_even():
    labels = np.random.default_rng(5).random((BATCH, *SIZE)).astype("float32")
    plan, found = called(cases.make("mixup"), "eager", labels)
    expected = oracles.mix_labels(labels, plan.partner, plan.weight)
    assert_allclose(found, expected, **CLOSE)


@pytest.mark.long
def test_keras_trains_two_outputs_on_mixed_labels():
    inputs = keras.Input((*SIZE, 3))
    flat = keras.layers.Flatten()(inputs)
    outputs = {
        "kind": keras.layers.Dense(CLASSES, activation="softmax", name="kind")(flat),
        "size": keras.layers.Dense(1, name="size")(flat),
    }
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"kind": "categorical_crossentropy", "size": "mse"})
    labels = {"kind": np.resize(IDS, 8), "size": np.ones((8, 1), np.float32)}
    weights = {key: np.ones(8, np.float32) for key in labels}  # Keras asks for all.
    data = tf.data.Dataset.from_tensor_slices((cases.images(8, SIZE), labels, weights))
    layer = msda.CutMixLayer(num_classes={"kind": CLASSES}, seed=1)
    mapped = data.batch(5).map(layer)
    history = model.fit(mapped, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
