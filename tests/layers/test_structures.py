"""A nest goes in, the same nest comes out, and all of it is mixed by one plan."""

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

BATCH, CLASSES, SIZE = 5, 3, (6, 7)
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}
worlds = parametrize("world", cases.worlds("eager", "graph", "mapped"))
methods = pytest.mark.parametrize("method", ["mixup", "cutmix", "gmix", "random-batch"])


class Sample(NamedTuple):
    """A batch as some pipelines have it."""

    images: Any
    labels: Any
    name: Any


def data(seed=1):
    """Returns images, a second view, a table of features, ids and weights."""
    rng = np.random.default_rng(seed)
    images, view = (cases.images(BATCH, SIZE, seed=seed + n) for n in (0, 9))
    table = rng.normal(size=(BATCH, 4)).astype("float32")
    ids = rng.integers(0, CLASSES, BATCH)
    weights = rng.uniform(0.5, 1.5, BATCH).astype("float32")
    return images, view, table, ids, weights


def made(method, **settings):
    return cases.make(method, num_classes=CLASSES, pairing="roll", **settings)


def expected(plan, image=None, table=None, ids=None):
    """Returns what the loops make of images, of features or of class ids."""
    if image is not None:
        return oracles.mix_images(image, plan.partner, plan.mask)
    values = oracles.one_hot(ids, CLASSES) if table is None else table
    return oracles.mix_labels(values, plan.partner, plan.weight)


def run(world, layer, *inputs):
    """Returns what a layer makes of inputs in a world, and the plan that it drew."""
    plan = cases.next_plan(layer, BATCH, SIZE, world)
    return cases.WORLDS[world](layer, *inputs), plan


@worlds
@methods
def test_labels_beside_a_dictionary_of_inputs_are_mixed_with_it(method, world):
    images, _, table, ids, weights = data()
    inputs = {"images": images, "meta": table, "number": np.arange(BATCH)}
    layer = made(method, batch_keys=("meta",))
    (mixed, labels, shares), plan = run(world, layer, inputs, ids, weights)
    assert_equal(list(mixed), list(inputs))
    assert_allclose(mixed["images"], expected(plan, images), **CLOSE)
    assert_allclose(mixed["meta"], expected(plan, table=table), rtol=0, atol=3e-6)
    assert_array_equal(mixed["number"], inputs["number"])
    partners = weights[plan.partner] * (1 - plan.weight)
    assert_allclose(shares, weights * plan.weight + partners, **CLOSE)
    own = (weights * plan.weight / cases.array(shares))[:, None]
    soft = own * np.eye(CLASSES)[ids] + (1 - own) * np.eye(CLASSES)[ids[plan.partner]]
    assert_allclose(labels, soft, rtol=0, atol=2e-6)


@worlds
@methods
def test_a_tuple_of_inputs_is_mixed_by_one_plan(method, world):
    images, view, table, ids, _ = data()
    inputs = (images, view, table)
    (mixed, labels), plan = run(world, made(method), inputs, ids)
    assert type(mixed) is tuple
    assert_allclose(mixed[0], expected(plan, images), **CLOSE)
    assert_allclose(mixed[1], expected(plan, view), **CLOSE)
    assert_allclose(mixed[2], expected(plan, table=table), rtol=0, atol=3e-6)
    assert_allclose(labels, expected(plan, ids=ids), **CLOSE)


@parametrize("world", cases.worlds("eager", "mapped"))
def test_a_named_tuple_with_images_is_a_dictionary_of_its_fields(world):
    images, _, _, ids, _ = data()
    layer = made("cutmix")
    sample, plan = run(world, layer, Sample(images, ids, np.arange(BATCH)))
    assert type(sample) is Sample
    assert_allclose(sample.images, expected(plan, images), **CLOSE)
    assert_allclose(sample.labels, expected(plan, ids=ids), **CLOSE)
    assert_array_equal(sample.name, np.arange(BATCH))


def test_inputs_as_a_list_come_back_as_a_list():
    images, view, _, ids, _ = data()
    mixed, _ = made("mixup")([images, view], ids)
    assert type(mixed) is list
    assert type(made("mixup")([images, ids])) is list


@pytest.mark.parametrize("first", ["tensor", "dictionary", "tuple"])
def test_mix_takes_what_call_takes(first):
    images, view, table, ids, weights = data()
    inputs = {
        "tensor": images,
        "dictionary": {"images": images, "meta": table},
        "tuple": (images, view),
    }[first]
    keys = ("meta",) if first == "dictionary" else ()
    layer = made("cutmix", batch_keys=keys)
    plan = cases.arrays(cases.sample(layer, BATCH, SIZE, (3, 4)))
    batch = (inputs, ids, weights)
    mixed = layer.mix(batch, seed=(3, 4))
    keras.tree.assert_same_structure(mixed, batch)
    leaves = keras.tree.flatten(mixed)
    assert_allclose(cases.array(leaves[0]), expected(plan, images), **CLOSE)
    assert_equal(len(leaves), len(keras.tree.flatten(batch)))


def test_weights_of_none_keep_their_place():
    images, _, _, ids, _ = data()
    for mixed in (
        made("mixup")((images, ids, None)),
        made("mixup").mix((images, ids, None), seed=(1, 2)),
    ):
        assert_equal(len(mixed), 3)
        assert mixed[2] is None


@pytest.mark.tensorflow
@pytest.mark.parametrize("first", ["dictionary", "tuple"])
def test_mixing_takes_several_inputs_and_fit_takes_what_comes(first):
    images, _, table, ids, _ = data()
    inputs = {"images": images, "meta": table}
    inputs = inputs if first == "dictionary" else (images, table)
    layer = made("mixup", batch_keys=("meta",) if first == "dictionary" else ())
    dataset = tf.data.Dataset.from_tensor_slices((inputs, ids)).batch(BATCH)
    mixed = dataset.apply(msda.mixing(layer, seed=7, epoch=0))
    parts = (keras.Input((*SIZE, 3), name="images"), keras.Input((4,), name="meta"))
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(parts[0]), parts[1]])
    keyed = {"images": parts[0], "meta": parts[1]}
    model = keras.Model(
        keyed if first == "dictionary" else parts,
        keras.layers.Dense(CLASSES, "softmax")(flat),
    )
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    history = model.fit(mixed, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"][0])
    (again, labels) = next(iter(mixed))
    assert_allclose(np.sum(labels, 1), 1, rtol=0, atol=1e-6)
    keras.tree.assert_same_structure(again, inputs)


ERRORS = {
    "labels twice": (
        lambda x, y: made("mixup")({"images": x, "labels": y}, y),
        "labels and weights must be in the dictionary or beside it",
        "'labels' in both",
    ),
    "weights beside": (
        lambda x, y: made("mixup")({"images": x, "labels": y}, None, np.ones(BATCH)),
        "with a dictionary of images and labels, sample weights must be one of its",
        "a dictionary, and `sample_weight` beside it",
    ),
    "nested tuple": (
        lambda x, y: made("mixup")((x, (x, x)), y),
        "several inputs in a tuple must be tensors, the images first",
        "a tuple of ",
    ),
    "no images": (
        lambda x, y: made("mixup")({"image": x, "meta": x}, y),
        'a dictionary must hold "images"',
        "keys ['image', 'labels', 'meta']",
    ),
    "missing batch key": (
        lambda x, y: made("mixup", batch_keys=("meta",))({"images": x}, y),
        'the dictionary must hold "meta"',
        "keys ['images', 'labels']",
    ),
    "views of other sizes": (
        lambda x, y: made("mixup")((x, x[:, :5]), y),
        'the spatial lengths of "inputs[1]" must divide',
        "lengths (5, 7)",
    ),
    "integers of no image": (
        lambda x, y: made("mixup")((x, np.zeros((BATCH, 4), int)), y),
        '"inputs[1]"',
        "dtype int",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_nest_that_cannot_be_mixed_is_refused(case):
    call, rule, received = ERRORS[case]
    images, _, _, ids, _ = data()
    check_error(lambda: call(images, ids), "MixUpLayer", ValueError, rule, received)


@pytest.mark.parametrize("how", ["map", "mixing"])
@pytest.mark.parametrize("unknown", ["images", "labels", "weights", "inputs[1]"])
def test_a_tensor_of_unknown_rank_is_named(how, unknown):
    images, view, _, ids, weights = data()
    layer = made("cutmix")
    names = ["images", "inputs[1]", "labels", "weights"]

    def forget(*parts):
        found = {
            name: tf.numpy_function(lambda x: x, [part], part.dtype)
            if name == unknown
            else part
            for name, part in zip(names, parts, strict=True)
        }
        inputs = (found["images"], found["inputs[1]"])
        return inputs, found["labels"], found["weights"]

    parts = (images, view, ids, weights)
    dataset = tf.data.Dataset.from_tensors(parts).map(forget)
    apply = dataset.map if how == "map" else dataset.apply
    what = layer if how == "map" else msda.mixing(layer, seed=1)
    name = {"weights": "sample_weight", "inputs[1]": '"inputs[1]"'}.get(
        unknown, unknown
    )
    check_error(
        lambda: apply(what),
        "CutMixLayer",
        ValueError,
        f"{name} must have a known number of axes",
        "a tensor of unknown rank",
    )
