"""What losses and accuracies take labels for, by value, on every backend.

Rows are those of the table in `parts._packed.is_packed`, and what a layer inside the
model changes about them.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error

BATCH = 8
# Float32 logarithms and sums of a few terms of size 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
SPARSE, SOFT = "sparse_categorical_crossentropy", "categorical_crossentropy"
#: A loss in `fit`: eagerly, in a graph, under XLA. JAX always compiles.
FIT = {
    "tensorflow": [{"run_eagerly": True}, {"jit_compile": False}],
    "jax": [{"run_eagerly": True}, {"jit_compile": True}],
    "torch": [{"jit_compile": False}],
}[cases.BACKEND]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def probabilities(*shape, seed=1):
    rows = np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])
    return rows.astype("float32")


def drawn(classes, seed=2):
    """Returns ids, partners and weights."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 0.9, BATCH).astype("float32")
    return rng.integers(0, classes, BATCH), rng.permutation(BATCH), weight


def packed(labels, partner, weight):
    return oracles.pack_labels(labels, partner, weight).astype("float32")


def mix(values, partner_values, weight):
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return weight * values + (1 - weight) * partner_values


def likelihood(labels, outputs):
    """A user's loss of class ids, `(batch, 1)`."""
    ids = ops.cast(labels, "int32")
    return -ops.log(ops.take_along_axis(outputs, ids, -1))[:, 0]


def cubes(labels, outputs):
    """A user's loss of numbers, not linear in the label."""
    difference = ops.convert_to_tensor(outputs) - ops.cast(labels, "float32")
    return ops.mean(ops.abs(difference) ** 3, -1)


def exact_cubes(labels, outputs):
    return np.mean(np.abs(outputs - labels) ** 3, -1)


def gaussian(labels, outputs):
    """A user's loss of three numbers and six outputs: means and log variances."""
    labels, outputs = ops.cast(labels, "float32"), ops.convert_to_tensor(outputs)
    mean, log_variance = outputs[:, :3], outputs[:, 3:]
    error = (labels - mean) ** 2 / ops.exp(log_variance)
    return ops.mean(0.5 * (log_variance + error), -1)


def exact_gaussian(labels, outputs):
    error = (labels - outputs[:, :3]) ** 2 / np.exp(outputs[:, 3:])
    return np.mean(0.5 * (outputs[:, 3:] + error), -1)


def values_of(loss, labels, outputs, **settings):
    settings = {"reduction": "none"} | settings
    return cases.array(msda.MixedLoss(loss, **settings)(labels, outputs))


def accuracy_of(metric, *inputs):
    metric.update_state(*inputs)
    return float(metric.result())


def asks(call, owner, *received):
    check_error(call, owner, ValueError, "three numbers may be packed", *received)


def refuses(call, owner, received):
    check_error(call, owner, ValueError, "without a layer the labels must be", received)


# Without a layer: packed ids.


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("base", ["keras", "function"])
def test_three_numbers_are_packed_ids_for_a_loss_of_ids(base, classes):
    ids, partner, weight = drawn(classes)
    outputs = probabilities(BATCH, classes)
    rows = packed(ids, partner, weight)
    if base == "keras":
        values = values_of(SPARSE, rows, outputs)
    else:
        values = values_of(likelihood, rows, outputs, ids=True)
    expected = oracles.mixed_loss(ids, partner, weight, outputs)
    np.testing.assert_allclose(values, expected, **CLOSE)


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1), (BATCH, 4), (BATCH, 11)])
def test_other_widths_are_no_packed_ids(shape):
    labels, outputs = np.zeros(shape, "float32"), probabilities(BATCH, 5)
    for loss in (msda.MixedLoss(SPARSE), msda.MixedLoss(likelihood, ids=True)):
        refuses(lambda: loss(labels, outputs), "MixedLoss", f"labels of shape {shape}")  # noqa: B023


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integers_are_never_packed(dtype):
    labels, outputs = np.ones((BATCH, 3), dtype), probabilities(BATCH, 5)
    for loss in (SPARSE, SOFT, cubes):
        refuses(
            lambda: msda.MixedLoss(loss)(labels, outputs),  # noqa: B023
            "MixedLoss",
            "labels of shape (8, 3)",
        )
    refuses(
        lambda: accuracy_of(msda.MixedAccuracy(), labels, outputs),
        "MixedAccuracy",
        "labels of shape (8, 3)",
    )


def test_integer_rows_of_three_classes_are_soft_labels():
    ids, _, _ = drawn(3)
    labels, outputs = np.eye(3, dtype="int32")[ids], probabilities(BATCH, 3)
    values = values_of(cubes, labels, outputs)
    np.testing.assert_allclose(values, exact_cubes(labels, outputs), **CLOSE)
    found = accuracy_of(msda.MixedAccuracy(), labels, outputs)
    assert found == np.mean(outputs.argmax(-1) == ids)


# Without a layer: packed soft labels, and labels taken as they are.


@pytest.mark.parametrize("base", ["mse", cubes], ids=["keras", "function"])
@pytest.mark.parametrize("shape", [(2,), (3,), (5,), (4, 2), (3, 3), (4, 3, 5)])
def test_twice_the_outputs_and_a_weight_are_packed_soft_labels(base, shape):
    _, partner, weight = drawn(2)
    labels, outputs = numbers(BATCH, *shape), numbers(BATCH, *shape, seed=3)
    share = np.broadcast_to(
        weight.reshape(-1, *[1] * len(shape)), (BATCH, *shape[:-1], 1)
    )
    rows = np.concatenate([labels, labels[partner], share], -1)
    exact = exact_cubes if base is cubes else lambda y, o: np.mean((y - o) ** 2, -1)
    expected = mix(exact(labels, outputs), exact(labels[partner], outputs), weight)
    np.testing.assert_allclose(values_of(base, rows, outputs), expected, **CLOSE)


@pytest.mark.parametrize("base", ["mse", cubes], ids=["keras", "function"])
@pytest.mark.parametrize("shape", [(2,), (5,), (4, 2), (4, 3), (3, 3)])
def test_labels_of_the_outputs_shape_are_taken_as_they_are(base, shape):
    labels, outputs = numbers(BATCH, *shape), numbers(BATCH, *shape, seed=3)
    exact = exact_cubes if base is cubes else lambda y, o: np.mean((y - o) ** 2, -1)
    expected = exact(labels, outputs)
    np.testing.assert_allclose(values_of(base, labels, outputs), expected, **CLOSE)


@pytest.mark.parametrize("ids", [None, True, False])
def test_three_numbers_for_one_output_of_a_loss_of_keras_are_packed_numbers(ids):
    _, partner, weight = drawn(2)
    labels, outputs = numbers(BATCH, 1), numbers(BATCH, 1, seed=3)
    rows = np.concatenate([labels, labels[partner], weight[:, None]], -1)
    expected = mix((labels - outputs) ** 2, (labels[partner] - outputs) ** 2, weight)
    values = values_of("mse", rows, outputs, ids=ids)
    np.testing.assert_allclose(values, expected[:, 0], **CLOSE)


def test_packed_ids_for_a_loss_of_soft_labels_are_refused_with_the_loss_to_use():
    ids, partner, weight = drawn(5)
    with pytest.raises(ValueError, match="a loss that takes class ids") as caught:
        values_of(SOFT, packed(ids, partner, weight), probabilities(BATCH, 5))
    assert '"sparse_categorical_crossentropy"' in str(caught.value)


# Without a layer: a function, which may take anything.


@pytest.mark.parametrize(
    ("labels", "outputs"),
    [((3,), 1), ((3,), 2), ((3,), 3), ((3,), 6), ((4, 3), 1)],
    ids=str,
)
def test_a_function_is_asked_what_three_numbers_are(labels, outputs):
    outputs = numbers(BATCH, *labels[:-1], outputs)
    asks(
        lambda: msda.MixedLoss(cubes)(numbers(BATCH, *labels), outputs),
        "MixedLoss",
        f"labels of shape {(BATCH, *labels)}",
    )


@pytest.mark.parametrize("ids", [True, False])
def test_the_answer_of_a_function_counts(ids):
    _, partner, weight = drawn(2)
    labels, outputs = numbers(BATCH, 1), numbers(BATCH, 1, seed=3)
    rows = np.concatenate([labels, labels[partner], weight[:, None]], -1)
    exact = exact_cubes(labels, outputs), exact_cubes(labels[partner], outputs)
    values = values_of(cubes, rows, outputs, ids=ids)
    np.testing.assert_allclose(values, mix(*exact, weight), **CLOSE)
    # Of three classes the answer tells a soft label from packed ids.
    soft, outputs = probabilities(BATCH, 3, seed=4), probabilities(BATCH, 3)
    if not ids:
        values = values_of(cubes, soft, outputs, ids=ids)
        np.testing.assert_allclose(values, exact_cubes(soft, outputs), **CLOSE)


def test_a_function_with_the_name_of_a_loss_of_keras_is_asked_too():
    def sparse_categorical_crossentropy(labels, outputs):
        return cubes(labels, outputs)

    def mean_squared_error(labels, outputs):
        return cubes(labels, outputs)

    for loss in (sparse_categorical_crossentropy, mean_squared_error):
        asks(
            lambda: msda.MixedLoss(loss)(numbers(BATCH, 3), numbers(BATCH, 6)),  # noqa: B023
            "MixedLoss",
            "labels of shape (8, 3)",
        )


def test_a_class_of_ones_own_takes_what_its_base_of_keras_takes():
    class Mine(keras.losses.SparseCategoricalCrossentropy):
        pass

    ids, partner, weight = drawn(5)
    outputs = probabilities(BATCH, 5)
    values = values_of(Mine(), packed(ids, partner, weight), outputs)
    expected = oracles.mixed_loss(ids, partner, weight, outputs)
    np.testing.assert_allclose(values, expected, **CLOSE)


# Without a layer: an accuracy.


@pytest.mark.parametrize("classes", [2, 4, 5])
@pytest.mark.parametrize("form", ["ids", "soft", "mixed"])
def test_an_accuracy_knows_labels_by_their_width(form, classes):
    ids, partner, weight = drawn(classes)
    outputs, one_hot = probabilities(BATCH, classes), oracles.one_hot(ids, classes)
    labels = {
        "ids": packed(ids, partner, weight),
        "soft": packed(one_hot, partner, weight),
        "mixed": oracles.mix_labels(one_hot, partner, weight).astype("float32"),
    }[form]
    found = accuracy_of(msda.MixedAccuracy(), labels, outputs)
    expected = oracles.mixed_accuracy(ids, partner, weight, outputs)
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_an_accuracy_of_three_classes_asks_with_the_line_to_write():
    ids, partner, weight = drawn(3)
    rows, outputs = packed(ids, partner, weight), probabilities(BATCH, 3)
    metric = msda.MixedAccuracy()
    asks(lambda: metric.update_state(rows, outputs), "MixedAccuracy", "shape (8, 3)")
    with pytest.raises(ValueError, match="three") as caught:
        metric.update_state(rows, outputs)
    for line in (
        "metrics=[MixedAccuracy(ids=True)]",
        "metrics=[MixedAccuracy(ids=False)]",
        "metrics=[layer.accuracy()]",
    ):
        assert line in str(caught.value)


# An accuracy of three classes learns from the loss that has read the same labels.


def classified(classes=3, count=24):
    """Returns outputs, packed ids, packed soft labels and mixed ones; the accuracy."""
    rng = np.random.default_rng(7)
    ids, partner = rng.integers(0, classes, count), rng.permutation(count)
    weight = rng.uniform(0, 1, count).astype("float32")
    outputs, one_hot = probabilities(count, classes), oracles.one_hot(ids, classes)
    forms = {
        "packed ids": packed(ids, partner, weight),
        "soft": oracles.mix_labels(one_hot, partner, weight).astype("float32"),
    }
    return outputs, forms, oracles.mixed_accuracy(ids, partner, weight, outputs)


def identity(classes=3):
    """Returns a model whose outputs are its inputs."""
    return keras.layers.Dense(classes, use_bias=False, kernel_initializer="identity")


@pytest.mark.long
@pytest.mark.parametrize("settings", FIT, ids=str)
@pytest.mark.parametrize("form", ["packed ids", "soft"])
def test_an_accuracy_of_three_classes_knows_what_the_models_loss_knows(form, settings):
    outputs, forms, expected = classified()
    model = keras.Sequential([keras.Input((3,)), identity()])
    loss = msda.MixedLoss(SPARSE if form == "packed ids" else SOFT)
    metrics = [msda.MixedAccuracy()]
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=metrics, **settings)
    data = outputs, forms[form]
    # Batches of 7 and a last one of 3.
    history = model.fit(*data, 7, validation_data=data, verbose=0).history
    found = history["accuracy"], history["val_accuracy"]
    np.testing.assert_allclose(found, [[expected]] * 2, **CLOSE)
    found = model.evaluate(*data, 7, verbose=0, return_dict=True)["accuracy"]
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_accuracies_of_two_outputs_each_know_their_own_labels():
    outputs, forms, expected = classified()
    inputs = keras.Input((3,))
    heads = {name: identity()(inputs) for name in "ab"}
    # Older releases of Keras know outputs by the names of their layers alone.
    heads = {x: keras.layers.Identity(name=x)(head) for x, head in heads.items()}
    model = keras.Model(inputs, heads)
    losses = {"a": msda.MixedLoss(SPARSE), "b": msda.MixedLoss(SOFT)}
    metrics = {"a": msda.MixedAccuracy(), "b": msda.MixedAccuracy()}
    model.compile(keras.optimizers.SGD(0.0), losses, weighted_metrics=metrics)
    labels = {"a": forms["packed ids"], "b": forms["soft"]}
    history = model.fit(outputs, labels, 8, verbose=0).history
    found = history["a_accuracy"], history["b_accuracy"]
    np.testing.assert_allclose(found, [[expected]] * 2, **CLOSE)


@pytest.mark.parametrize("settings", FIT, ids=str)
def test_an_accuracy_of_three_classes_beside_a_plain_loss_asks(settings):
    outputs, forms, _ = classified()
    model = keras.Sequential([keras.Input((3,)), identity()])
    model.compile("sgd", SOFT, metrics=[msda.MixedAccuracy()], **settings)
    asks(
        lambda: model.fit(outputs, forms["soft"], verbose=0),
        "MixedAccuracy",
        "labels of shape",
    )


def test_what_a_loss_has_read_says_nothing_about_other_labels():
    outputs, forms, expected = classified()
    rows = forms["packed ids"]
    msda.MixedLoss(SPARSE)(rows, outputs)
    found = accuracy_of(msda.MixedAccuracy(), rows, outputs)
    np.testing.assert_allclose(found, expected, **CLOSE)
    metric = msda.MixedAccuracy()
    asks(lambda: metric.update_state(rows.copy(), outputs), "MixedAccuracy", "(24, 3)")


@pytest.mark.long
@pytest.mark.parametrize("form", ["ids", "one-hot"])
def test_an_accuracy_of_a_layer_never_asks(form):
    layer = cases.make("hmix")
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layer, keras.layers.GlobalMaxPooling2D()]
    )
    ids = np.arange(24) % 3
    base = SPARSE if form == "ids" else SOFT
    labels = ids if form == "ids" else np.eye(3, dtype="float32")[ids]
    model.compile("sgd", layer.loss(base), metrics=[layer.accuracy()])
    images = np.broadcast_to(probabilities(24, 3)[:, None, None], (24, 4, 4, 3))
    found = model.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"]
    expected = np.mean(images[:, 0, 0].argmax(-1) == ids)
    np.testing.assert_allclose(found, expected, **CLOSE)


# With a layer inside, labels are never packed.


def called(training=True, method="hmix", **settings):
    """Returns a layer that has just been called, its partners and weights."""
    layer = cases.make(method, **settings)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=training)
    plan = layer.replay(BATCH)
    return layer, cases.array(plan.partner), cases.array(plan.weight)


NEVER_PACKED = {
    "mean and variance": (gaussian, exact_gaussian, 3, 6),
    "three for one": (cubes, exact_cubes, 3, 1),
    "three for one, by Keras": ("mse", lambda y, o: np.mean((y - o) ** 2, -1), 3, 1),
    "2 C + 1": (
        lambda y, o: ops.mean((y[:, :2] - o) ** 2 * y[:, 2:4] * y[:, 4:], -1),
        lambda y, o: np.mean((y[:, :2] - o) ** 2 * y[:, 2:4] * y[:, 4:], -1),
        5,
        2,
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("ids", [None, False, True])
@pytest.mark.parametrize("name", NEVER_PACKED)
def test_labels_of_a_layer_inside_are_never_packed(name, ids, training):
    loss, exact, width, classes = NEVER_PACKED[name]
    labels, outputs = numbers(BATCH, width), numbers(BATCH, classes, seed=3)
    layer, partner, weight = called(training)
    loss = layer.loss(loss, ids=ids, reduction="none", name="loss")
    expected = mix(exact(labels, outputs), exact(labels[partner], outputs), weight)
    np.testing.assert_allclose(loss(labels, outputs), expected, **CLOSE)
    assert training == np.any(weight < 1)


@pytest.mark.parametrize(
    ("base", "width", "rule"),
    [
        (SPARSE, 3, "class ids, of shape (batch,) or (batch, 1)"),
        (SPARSE, 5, "class ids, of shape (batch,) or (batch, 1)"),
        (SOFT, 11, "not packed"),
    ],
)
def test_what_a_loss_of_keras_cannot_take_is_refused(base, width, rule):
    layer, _, _ = called()
    check_error(
        lambda: layer.loss(base)(numbers(BATCH, width), probabilities(BATCH, 5)),
        "MixedLoss",
        ValueError,
        f"with a layer inside the model the labels must be {rule}",
        f"labels of shape (8, {width})",
    )


def test_a_loss_of_a_layer_refuses_packed_labels_of_several_outputs():
    layer, _, _ = called()
    check_error(
        lambda: layer.loss("categorical_crossentropy")(
            numbers(BATCH, 5, 11), probabilities(BATCH, 5, 5)
        ),
        "MixedLoss",
        ValueError,
        "with a layer inside the model the labels must be not packed",
        "labels of shape (8, 5, 11)",
    )


@pytest.mark.parametrize("width", [3, 11])
def test_an_accuracy_of_a_layer_refuses_packed_labels(width):
    layer, _, _ = called()
    check_error(
        lambda: layer.accuracy().update_state(
            numbers(BATCH, width), probabilities(BATCH, 5)
        ),
        "MixedAccuracy",
        ValueError,
        "the labels must be class ids, one for each output, or soft labels",
        f"labels of shape (8, {width})",
    )


@pytest.mark.tensorflow
def test_labels_of_unknown_shape_are_named():
    loss, outputs = msda.MixedLoss(SPARSE), tf.TensorSpec([None, 5], tf.float32)
    free = tf.TensorSpec(None, tf.float32)
    check_error(
        lambda: tf.function(loss).get_concrete_function(free, outputs),
        "MixedLoss",
        ValueError,
        "the number of axes of the labels must be known when traced.",
        "labels of unknown shape",
    )
    with pytest.raises(ValueError, match=r"tf.ensure_shape\(labels, \(None, 3\)\)"):
        tf.function(loss).get_concrete_function(
            tf.TensorSpec([None, None], tf.float32), outputs
        )
    check_error(
        lambda: tf.function(loss).get_concrete_function(
            outputs, tf.TensorSpec([None, None], tf.float32)
        ),
        "MixedLoss",
        ValueError,
        "the last axis of the outputs must be known when traced.",
        "outputs of shape (None, None)",
    )


# Losses that return one number per batch.


def focal(labels, outputs):
    """The usual snippet, which ends with a mean over the batch."""
    outputs = ops.clip(ops.convert_to_tensor(outputs), 1e-7, 1 - 1e-7)
    labels = ops.cast(labels, "float32")
    return ops.mean(ops.sum(-labels * (1 - outputs) ** 2 * ops.log(outputs), -1))


def kept(labels, outputs):
    return ops.reshape(focal(labels, outputs), (1,))


def one_hot(classes=4):
    ids, partner, weight = drawn(classes)
    return np.eye(classes, dtype="float32")[ids], partner, weight


ONE_NUMBER = {
    "function": (focal, "`keras.ops.mean(values, axis=-1)`"),
    "kept axis": (kept, "`keras.ops.mean(values, axis=-1)`"),
    "dice": ("dice", "`keras.losses.Dice(axis=-1)`"),
    "Dice": (keras.losses.Dice(), "`keras.losses.Dice(axis=-1)`"),
    "tversky": ("tversky", "`keras.losses.Tversky(axis=-1)`"),
    "Tversky": (keras.losses.Tversky(0.3, 0.7), "`keras.losses.Tversky(axis=-1)`"),
}


@pytest.mark.parametrize("place", ["inside", "packed"])
@pytest.mark.parametrize("name", ONE_NUMBER)
def test_a_loss_of_one_number_per_batch_is_told_to_return_one_per_sample(name, place):
    base, remedy = ONE_NUMBER[name]
    labels, partner, weight = one_hot()
    if place == "inside":
        loss = called()[0].loss(base)
    else:
        loss, labels = msda.MixedLoss(base), packed(labels, partner, weight)
    with pytest.raises(ValueError, match="MixedLoss: the loss must return one value p"):
        loss(labels, probabilities(BATCH, 4))
    with pytest.raises(ValueError, match="Received: values of shape") as caught:
        loss(labels, probabilities(BATCH, 4))
    assert remedy in str(caught.value)
    assert "segmentation" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("settings", FIT, ids=str)
def test_a_loss_of_one_number_per_batch_is_told_so_in_fit(settings):
    labels, _, _ = one_hot()
    layer = cases.make("mixup")
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), layer, keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    for base in (focal, kept, "dice"):
        model.compile("sgd", layer.loss(base), **settings)
        with pytest.raises(ValueError, match="the loss must return one value per samp"):
            model.fit(np.zeros((BATCH, 4, 4, 1)), labels, verbose=0)


def exact_overlap(labels, outputs, axes, false=0.5, missed=0.5):
    both = np.sum(labels * outputs, axes)
    first = np.sum(labels * (1 - outputs), axes)
    second = np.sum((1 - labels) * outputs, axes)
    return 1 - both / (both + false * first + missed * second)


REMEDIES = {
    "Dice(axis=-1)": (keras.losses.Dice(axis=-1), (4,), {}),
    "Tversky(axis=-1)": (
        keras.losses.Tversky(0.3, 0.7, axis=-1),
        (4,),
        {"false": 0.3, "missed": 0.7},
    ),
    "Dice(axis=(1, 2))": (keras.losses.Dice(axis=(1, 2)), (5, 4), {}),
}


@pytest.mark.parametrize("place", ["inside", "packed"])
@pytest.mark.parametrize("name", REMEDIES)
def test_the_remedy_for_losses_of_overlap_is_right(name, place):
    base, shape, settings = REMEDIES[name]
    labels, outputs = probabilities(BATCH, *shape, seed=5), probabilities(BATCH, *shape)
    axes = tuple(range(1, 1 + len(shape)))
    if place == "inside":
        layer, partner, weight = called()
        loss, given = layer.loss(base, reduction="none"), labels
    else:
        _, partner, weight = drawn(2)
        loss = msda.MixedLoss(base, reduction="none")
        share = np.broadcast_to(
            weight.reshape(-1, *[1] * len(shape)), (BATCH, *shape[:-1], 1)
        )
        given = np.concatenate([labels, labels[partner], share], -1)
    own = exact_overlap(labels, outputs, axes, **settings)
    other = exact_overlap(labels[partner], outputs, axes, **settings)
    expected = mix(own, other, weight)
    # Keras adds 1e-7 to divisors of size 1.
    np.testing.assert_allclose(loss(given, outputs), expected, rtol=1e-5, atol=1e-6)


def test_the_axes_of_the_remedy_are_those_of_a_sample():
    layer, _, _ = called()
    with pytest.raises(ValueError, match=r"`keras.losses.Dice\(axis=\(1, 2\)\)`"):
        layer.loss("dice")(probabilities(BATCH, 5, 4), probabilities(BATCH, 5, 4))


def test_one_number_of_labels_that_are_not_mixed_is_taken():
    labels, _, _ = one_hot()
    outputs = probabilities(BATCH, 4)
    layer, _, _ = called(method="mixup", targets="own")
    expected = float(focal(labels, outputs))
    for loss in (layer.loss(focal), msda.MixedLoss(focal)):
        np.testing.assert_allclose(float(loss(labels, outputs)), expected, rtol=1e-6)
    weighed = layer.loss(focal, class_weight={0: 2.0})
    with pytest.raises(ValueError, match="the loss must return one value per sample"):
        weighed(labels, outputs)


def test_the_mean_of_each_sample_is_the_remedy_for_a_function():
    def per_sample(labels, outputs):
        labels, outputs = ops.cast(labels, "float32"), ops.convert_to_tensor(outputs)
        return ops.sum(-labels * (1 - outputs) ** 2 * ops.log(outputs), axis=-1)

    labels, _, _ = one_hot()
    outputs = probabilities(BATCH, 4)
    layer, partner, weight = called()
    own = -np.sum(labels * (1 - outputs) ** 2 * np.log(outputs), -1)
    other = -np.sum(labels[partner] * (1 - outputs) ** 2 * np.log(outputs), -1)
    value = float(layer.loss(per_sample)(labels, outputs))
    np.testing.assert_allclose(value, np.mean(mix(own, other, weight)), **CLOSE)


# Own labels are NaN, too, where the layer was not called, or with another batch.


@pytest.mark.parametrize("form", ["ids", "soft"])
def test_own_labels_of_a_layer_never_called_are_not_a_number(form):
    layer = cases.make("mixup", targets="own")
    ids, outputs = np.arange(BATCH) % 5, probabilities(BATCH, 5)
    labels = ids if form == "ids" else np.eye(5, dtype="float32")[ids]
    loss = layer.loss(SPARSE if form == "ids" else SOFT)
    metric = layer.accuracy()
    assert np.isnan(float(loss(labels, outputs)))
    assert np.isnan(accuracy_of(metric, labels, outputs))


@pytest.mark.parametrize("training", [True, False])
def test_own_labels_of_another_batch_than_the_call_are_not_a_number(training):
    layer, _, _ = called(training, "fmix", targets="own")
    ids, outputs = np.arange(BATCH) % 5, probabilities(BATCH, 5)
    loss = layer.loss(SPARSE, reduction="none")
    right = cases.array(loss(ids, outputs))
    np.testing.assert_allclose(right, -np.log(outputs[range(BATCH), ids]), **CLOSE)
    expected = np.mean(outputs.argmax(-1) == ids)
    found = accuracy_of(layer.accuracy(), ids, outputs)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.all(np.isnan(cases.array(loss(ids[:6], outputs[:6]))))
    assert np.isnan(accuracy_of(layer.accuracy(), ids[:6], outputs[:6]))


def own_model(layer):
    model = keras.Sequential([keras.Input((4, 4, 1))])
    if layer is not None:
        model.add(layer)
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(5, "softmax"))
    return model


@pytest.mark.parametrize("settings", FIT, ids=str)
def test_own_labels_of_a_layer_outside_of_the_model_train_to_nan(settings):
    layer = cases.make("gmix", targets="own")
    model = own_model(None)
    model.compile("sgd", layer.loss(SPARSE), metrics=[layer.accuracy()], **settings)
    data = np.zeros((12, 4, 4, 1)), np.arange(12) % 5
    assert np.isnan(model.fit(*data, 8, verbose=0).history["loss"][0])


@pytest.mark.long
@pytest.mark.parametrize("listening", [True, False], ids=["its loss", "a plain loss"])
@pytest.mark.parametrize("settings", FIT, ids=str)
def test_own_labels_train_as_plain_ones_do(settings, listening):
    layer = cases.make("mixup", targets="own")
    model = own_model(layer)
    loss = layer.loss(SPARSE) if listening else SPARSE
    metrics = [layer.accuracy(), "sparse_categorical_accuracy"]
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=metrics, **settings)
    data = np.random.default_rng(1).random((20, 4, 4, 1)), np.arange(20) % 5
    history = model.fit(*data, 8, verbose=0, validation_data=data).history
    for start in ("", "val_"):
        np.testing.assert_allclose(
            history[f"{start}accuracy"],
            history[f"{start}sparse_categorical_accuracy"],
            rtol=1e-6,
        )
    assert np.isfinite(history["loss"]).all()


def test_pixels_that_do_not_count_stay_so_where_own_labels_are_known():
    layer, _, _ = called(method="mixup", targets="own")
    ids = np.arange(BATCH) % 5
    base = keras.losses.SparseCategoricalCrossentropy(ignore_class=1)
    outputs = probabilities(BATCH, 5)
    expected = float(base(ids, outputs))
    np.testing.assert_allclose(
        float(layer.loss(base)(ids, outputs)), expected, rtol=1e-6
    )


# Binary classification: one output.


def chances(seed=6):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (BATCH, 1)).astype("float32")


def exact_binary(labels, outputs):
    values = -labels * np.log(outputs) - (1 - labels) * np.log(1 - outputs)
    return np.ravel(values)


@pytest.mark.parametrize("column", [False, True], ids=["(batch,)", "(batch, 1)"])
def test_mixed_numbers_of_one_output_may_lack_its_axis(column):
    labels = chances(3)
    given = labels if column else labels[:, 0]
    outputs = chances()
    values = values_of("binary_crossentropy", given, outputs)
    np.testing.assert_allclose(values, exact_binary(labels, outputs), **CLOSE)
    share = np.where(outputs > 0.5, labels, 1 - labels)
    found = accuracy_of(msda.MixedAccuracy(), given, outputs)
    np.testing.assert_allclose(found, np.mean(share), **CLOSE)


def test_ids_of_one_output_that_lack_its_axis_have_not_been_mixed():
    ids, _, _ = drawn(2)
    for call in (
        lambda: values_of("binary_crossentropy", ids, chances()),
        lambda: accuracy_of(msda.MixedAccuracy(), ids, chances()),
    ):
        with pytest.raises(ValueError, match="without a layer the labels must be"):
            call()


@pytest.mark.whole
@pytest.mark.parametrize("place", ["packed", "inside"])
def test_two_columns_for_one_output_are_refused_with_the_line_to_write(place):
    layer = called()[0] if place == "inside" else None
    labels = np.eye(2, dtype="float32")[drawn(2)[0]]
    loss = msda.MixedLoss("binary_crossentropy", layer)
    metric = msda.MixedAccuracy(layer)
    for call in (loss, metric.update_state):
        with pytest.raises(ValueError, match="one output for two classes takes") as got:
            call(labels, chances())
        assert '`layer(x, tf.cast(y, "float32")[:, None])`' in str(got.value)
        assert "Leave `num_classes=2` out" in str(got.value)


def test_two_targets_for_one_output_are_no_two_classes():
    layer, partner, weight = called()
    labels, outputs = numbers(BATCH, 2), numbers(BATCH, 1, seed=3)
    loss = layer.loss("mse", reduction="none")
    own = np.mean((labels - outputs) ** 2, -1)
    other = np.mean((labels[partner] - outputs) ** 2, -1)
    expected = mix(own, other, weight)
    np.testing.assert_allclose(loss(labels, outputs), expected, **CLOSE)
