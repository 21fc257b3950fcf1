"""Values of `MixedLoss` against loops by hand, wherever partners come from."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error
from tests.support.marks import parametrize

BATCH = 8
# Float32 logarithms and sums of a few terms of size 1.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def drawn(classes=5, seed=0):
    """Returns ids, partners, weights and a model's probabilities."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, classes, BATCH)
    partner = rng.permutation(BATCH)
    weight = rng.uniform(0, 1, BATCH).astype("float32")
    scores = rng.normal(size=(BATCH, classes))
    probabilities = np.exp(scores) / np.sum(np.exp(scores), -1, keepdims=True)
    return ids, partner, weight, probabilities.astype("float32")


def sample_weights(seed=1):
    return np.random.default_rng(seed).uniform(0.5, 2, BATCH).astype("float32")


def soft_labels(classes=5, seed=2):
    labels = np.random.default_rng(seed).dirichlet(np.ones(classes), BATCH)
    return labels.astype("float32")


def packed(labels, partner, weight):
    return oracles.pack_labels(labels, partner, weight).astype("float32")


def distance(labels, outputs):
    """A user's loss: the sum of squares, which is not linear in the label."""
    return keras.ops.sum(keras.ops.square(labels - outputs), -1)


def surprise(labels, outputs):
    """A user's loss of soft labels, linear in the label."""
    return -keras.ops.sum(labels * keras.ops.log(outputs), -1)


# Packed labels


@pytest.mark.parametrize("classes", [2, 3, 5, 7])
def test_packed_ids_give_the_weighted_sum_of_both_losses(classes):
    ids, partner, weight, probabilities = drawn(classes)
    loss = msda.MixedLoss("sparse_categorical_crossentropy", reduction="none")
    values = loss(packed(ids, partner, weight), probabilities)
    expected = oracles.mixed_loss(ids, partner, weight, probabilities)
    np.testing.assert_allclose(values, expected, **CLOSE)


@pytest.mark.parametrize("classes", [2, 3, 5, 7])
@pytest.mark.parametrize("base", ["categorical_crossentropy", surprise])
def test_packed_soft_labels_give_the_loss_of_their_mix(base, classes):
    _, partner, weight, probabilities = drawn(classes)
    labels = soft_labels(classes)
    loss = msda.MixedLoss(base, reduction="none")
    values = loss(packed(labels, partner, weight), probabilities)
    mixed = oracles.mix_labels(labels, partner, weight)
    expected = oracles.cross_entropy(mixed, probabilities)
    np.testing.assert_allclose(values, expected, **CLOSE)


def test_packed_logits_give_the_loss_of_their_probabilities():
    ids, partner, weight, probabilities = drawn()
    base = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = msda.MixedLoss(base, reduction="none")
    values = loss(packed(ids, partner, weight), np.log(probabilities) + 3)
    expected = oracles.mixed_loss(ids, partner, weight, probabilities)
    np.testing.assert_allclose(values, expected, **CLOSE)


def test_packed_binary_ids_with_one_output_give_both_losses():
    ids, partner, weight, _ = drawn(2)
    chance = np.random.default_rng(3).uniform(0.1, 0.9, (BATCH, 1)).astype("float32")
    loss = msda.MixedLoss("binary_crossentropy", reduction="none")
    values = loss(packed(ids, partner, weight), chance)
    both = np.concatenate([1 - chance, chance], 1)
    expected = oracles.mixed_loss(ids, partner, weight, both)
    np.testing.assert_allclose(values, expected, **CLOSE)


def test_a_loss_that_is_not_linear_is_the_mix_of_losses():
    _, partner, weight, outputs = drawn()
    labels = soft_labels()
    own = np.sum((labels - outputs) ** 2, -1)
    other = np.sum((labels[partner] - outputs) ** 2, -1)
    expected = weight * own + (1 - weight) * other
    values = msda.MixedLoss(distance, reduction="none")(
        packed(labels, partner, weight), outputs
    )
    np.testing.assert_allclose(values, expected, **CLOSE)
    mean = msda.MixedLoss("mse")(packed(labels, partner, weight), outputs)
    np.testing.assert_allclose(mean, np.mean(expected) / 5, **CLOSE)


@pytest.mark.parametrize(
    "base",
    [
        keras.losses.CategoricalCrossentropy(),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        keras.losses.CategoricalFocalCrossentropy(),
        keras.losses.BinaryCrossentropy(label_smoothing=0.1),
    ],
    ids=["plain", "smoothed", "logits", "focal", "binary"],
)
def test_the_mixed_loss_is_the_loss_of_mixed_labels_where_that_is_linear(base):
    ids, partner, weight, probabilities = drawn()
    labels = oracles.one_hot(ids, 5)
    mixed = oracles.mix_labels(labels, partner, weight).astype("float32")
    value = msda.MixedLoss(base)(packed(labels, partner, weight), probabilities)
    np.testing.assert_allclose(value, base(mixed, probabilities), **CLOSE)


@pytest.mark.parametrize("own_weight", [0.0, 1.0])
def test_the_loss_that_has_no_weight_does_not_show_even_if_infinite(own_weight):
    outputs = np.array([[1, 0]], "float32")
    row = [0, 1, 1.0] if own_weight else [1, 0, 0.0]

    def improbable(labels, outputs):
        ids = keras.ops.cast(labels, "int32")
        return -keras.ops.log(keras.ops.take_along_axis(outputs, ids, -1))[:, 0]

    value = msda.MixedLoss(improbable, ids=True)(np.array([row], "float32"), outputs)
    np.testing.assert_array_equal(value, 0.0)


# Which labels are which


def test_three_soft_classes_are_no_packed_ids():
    labels = soft_labels(3)
    probabilities = drawn(3)[3]
    values = msda.MixedLoss("categorical_crossentropy", reduction="none")(
        labels, probabilities
    )
    expected = oracles.cross_entropy(labels, probabilities)
    np.testing.assert_allclose(values, expected, **CLOSE)


@pytest.mark.parametrize("base", ["categorical_crossentropy", surprise])
@pytest.mark.parametrize("classes", [3, 5])
def test_a_layer_in_the_model_gets_labels_that_are_never_packed(base, classes):
    layer = msda.HMixLayer(seed=1)
    layer(np.zeros((BATCH, 4, 4, 1), "float32"), training=False)
    ids, _, _, probabilities = drawn(classes)
    labels = oracles.one_hot(ids, classes).astype("float32")
    values = layer.loss(base, reduction="none")(labels, probabilities)
    expected = oracles.cross_entropy(labels, probabilities)
    np.testing.assert_allclose(values, expected, **CLOSE)


def test_a_function_is_told_what_three_numbers_for_three_classes_are():
    def likelihood(labels, outputs):
        return -keras.ops.sum(labels * keras.ops.log(outputs), -1)

    labels, probabilities = np.eye(3, dtype="float32"), np.full((3, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"`MixedLoss\(function, ids=True\)`"):
        msda.MixedLoss(likelihood)(labels, probabilities)
    value = msda.MixedLoss(likelihood, ids=False)(labels, probabilities)
    np.testing.assert_allclose(value, np.log(3), rtol=1e-6)  # float32 logarithms.


def test_soft_labels_without_a_layer_are_taken_as_they_are():
    labels, weights = soft_labels(), sample_weights()
    probabilities = drawn()[3]
    value = msda.MixedLoss("categorical_crossentropy")(labels, probabilities, weights)
    expected = np.mean(weights * oracles.cross_entropy(labels, probabilities))
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1), (BATCH, 4)], ids=str)
def test_labels_without_a_partner_are_an_error_that_says_what_to_do(shape, graph):
    loss = msda.MixedLoss("sparse_categorical_crossentropy")
    call = tf.function(loss) if graph else loss
    with pytest.raises(ValueError, match=r"MixedLoss: .*packed") as caught:
        call(np.zeros(shape, "int32"), np.ones((BATCH, 5), "float32"))
    assert f"Received: labels of shape {shape}" in str(caught.value)
    assert "outputs of shape (8, 5)" in str(caught.value)
    assert 'targets="pair"' in str(caught.value)
    assert "layer.loss(...)" in str(caught.value)


@pytest.mark.parametrize("classes", [1, 5])
def test_no_class_weights_change_nothing(classes):
    ids, partner, weight, probabilities = drawn(max(classes, 2))
    base = "binary_crossentropy" if classes == 1 else "sparse_categorical_crossentropy"
    batch = packed(ids, partner, weight), probabilities[:, :classes]
    plain, weighted = msda.MixedLoss(base), msda.MixedLoss(base, class_weight={})
    np.testing.assert_allclose(weighted(*batch), plain(*batch), **CLOSE)


def test_soft_labels_for_a_loss_of_ids_are_an_error():
    loss = msda.MixedLoss("sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"labels of shape \(8, 5\)"):
        loss(soft_labels(), drawn()[3])


# Unmixed batches


UNMIXED = {
    "sparse": (keras.losses.SparseCategoricalCrossentropy(), 5),
    "sparse logits": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 5),
    "ignored class": (keras.losses.SparseCategoricalCrossentropy(ignore_class=1), 5),
    "sparse by name": ("sparse_categorical_crossentropy", 5),
    "binary": (keras.losses.BinaryCrossentropy(), 1),
    "binary by name": ("binary_crossentropy", 1),
    "focal by name": ("binary_focal_crossentropy", 1),
    "mse by name": ("mse", 1),
    "hinge by name": ("hinge", 1),
}


def as_keras_takes_it(loss):
    """Returns the plain loss that `compile` makes of a loss or its name."""
    if not isinstance(loss, str):
        return loss
    names = {"mse": "MeanSquaredError"}
    name = names.get(loss, "".join(part.title() for part in loss.split("_")))
    return getattr(keras.losses, name)()


@pytest.mark.parametrize("name", UNMIXED)
@pytest.mark.parametrize("column", [False, True], ids=["(batch,)", "(batch, 1)"])
def test_an_unmixed_batch_gives_the_plain_loss(name, column):
    base, outputs = UNMIXED[name]
    ids = np.arange(BATCH) % max(outputs, 2)
    ids = ids[:, None] if column else ids
    probabilities = drawn(5)[3][:, :outputs]
    layer = msda.HMixLayer(seed=1)
    layer(np.zeros((BATCH, 4, 4, 1), "float32"), training=False)
    value = layer.loss(base)(ids, probabilities, sample_weights())
    plain = as_keras_takes_it(base)(ids, probabilities, sample_weights())
    # The own label's share is 1, where the blend selects.
    np.testing.assert_array_equal(value, plain)


@pytest.mark.parametrize("name", UNMIXED)
def test_an_unmixed_packed_batch_gives_the_plain_loss(name):
    base, outputs = UNMIXED[name]
    ids = np.arange(BATCH) % max(outputs, 2)
    probabilities = drawn(5)[3][:, :outputs]
    layer = msda.HMixLayer(targets="pair", seed=1)
    images = np.zeros((BATCH, 4, 4, 1), "float32")
    labels = layer(images, ids, training=False)[1]
    value = msda.MixedLoss(base)(labels, probabilities, sample_weights())
    plain = as_keras_takes_it(base)(ids[:, None], probabilities, sample_weights())
    np.testing.assert_array_equal(value, plain)


# Reductions and sample weights


REDUCTIONS = {
    "sum": lambda values, _: np.sum(values),
    "sum_over_batch_size": lambda values, _: np.mean(values),
    "mean": lambda values, _: np.mean(values),
    "mean_with_sample_weight": lambda values, weights: np.sum(values) / np.sum(weights),
    "none": lambda values, _: values,
}


@pytest.mark.parametrize("inherited", [False, True], ids=["own", "of-the-base"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_packed_labels_are_reduced_as_keras_does(reduction, inherited):
    ids, partner, weight, probabilities = drawn()
    kind = keras.losses.SparseCategoricalCrossentropy
    if inherited:
        loss = msda.MixedLoss(kind(reduction=reduction))
    else:
        loss = msda.MixedLoss(kind(reduction="sum"), reduction=reduction)
    weights = sample_weights()
    # From a pipeline the weights of the samples come out mixed already.
    value = loss(packed(ids, partner, weight), probabilities, weights)
    values = weights * oracles.mixed_loss(ids, partner, weight, probabilities)
    np.testing.assert_allclose(value, REDUCTIONS[reduction](values, weights), **CLOSE)


def unique_ids():
    return np.random.default_rng(5).permutation(BATCH)


def plan_of(layer):
    """Returns partner and weight of a pair layer's first draw, by its packed labels."""
    images, ids = np.zeros((BATCH, 6, 6, 1), "float32"), unique_ids()
    rows = layer(images, ids)[1].numpy()
    place = {label: number for number, label in enumerate(ids)}
    return np.array([place[int(other)] for other in rows[:, 1]]), rows[:, 2]


def in_model(images, ids, weights, reduction):
    layer = msda.HMixLayer(seed=9)
    layer(images, training=True)
    loss = layer.loss("sparse_categorical_crossentropy", reduction=reduction)
    return ids, weights, loss


def in_pipeline(images, ids, weights, reduction):
    layer = msda.HMixLayer(seed=9, targets="pair")
    _, labels, weights = layer(images, ids, weights)
    loss = msda.MixedLoss("sparse_categorical_crossentropy", reduction=reduction)
    return labels, weights, loss


def in_pipeline_soft(images, ids, weights, reduction):
    layer = msda.HMixLayer(seed=9, num_classes=BATCH)
    _, labels, weights = layer(images, ids, weights)
    return labels, weights, keras.losses.CategoricalCrossentropy(reduction=reduction)


@pytest.mark.parametrize("column", [False, True], ids=["(batch,)", "(batch, 1)"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("place", [in_model, in_pipeline, in_pipeline_soft])
def test_sample_weights_go_with_their_own_loss(place, reduction, column):
    partner, weight = plan_of(msda.HMixLayer(seed=9, targets="pair"))
    given = sample_weights()
    given[2] = 0.0
    images, ids = np.zeros((BATCH, 6, 6, 1), "float32"), unique_ids()
    probabilities = drawn(BATCH)[3]
    labels, weights, loss = place(
        images, ids, given[:, None] if column else given, reduction
    )
    value = loss(labels, probabilities, weights)
    values = oracles.mixed_loss(ids, partner, weight, probabilities, given)
    totals = weight * given + (1 - weight) * given[partner]
    # Dividing by the mixed sample weight and multiplying again costs some 2^-24.
    expected = REDUCTIONS[reduction](values, totals)
    np.testing.assert_allclose(value, expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("place", [in_model, in_pipeline, in_pipeline_soft])
def test_sample_weights_of_zero_give_a_loss_of_zero(place):
    images, zeros = np.zeros((BATCH, 6, 6, 1), "float32"), np.zeros(BATCH, "float32")
    labels, weights, loss = place(images, unique_ids(), zeros, "sum")
    np.testing.assert_array_equal(loss(labels, drawn(BATCH)[3], weights), 0.0)


@pytest.mark.parametrize("kind", [msda.MixUpLayer, msda.CutMixLayer, msda.FMixLayer])
def test_sample_weights_do_not_move_what_each_label_counts(kind):
    # Twice the weight of everything is twice the loss.
    layer = kind(seed=3)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    loss = layer.loss("sparse_categorical_crossentropy")
    probabilities = drawn(BATCH)[3]
    one = loss(unique_ids(), probabilities)
    two = loss(unique_ids(), probabilities, np.full(BATCH, 2, "float32"))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)


def test_sample_weights_of_a_layer_must_be_one_a_sample():
    layer = msda.MixUpLayer(seed=1)
    layer(np.zeros((BATCH, 4, 4, 1), "float32"), training=True)
    loss = layer.loss("sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"MixedLoss: sample weights.*\(8, 5\)"):
        loss(unique_ids() % 5, drawn()[3], np.ones((BATCH, 5), "float32"))


def test_own_labels_count_alone_with_their_own_sample_weight():
    layer = msda.MixUpLayer(targets="own", seed=1)
    layer(np.zeros((BATCH, 4, 4, 1), "float32"), training=True)
    ids, _, _, probabilities = drawn()
    loss = layer.loss("sparse_categorical_crossentropy", reduction="none")
    values = loss(ids, probabilities, sample_weights())
    alone = np.arange(BATCH), np.ones(BATCH)
    expected = oracles.mixed_loss(ids, *alone, probabilities, sample_weights())
    np.testing.assert_allclose(values, expected, **CLOSE)


# Layers in a model


@pytest.mark.parametrize("base", ["sparse", "one-hot", "smoothed"])
def test_a_layer_in_the_model_gives_the_loss_of_its_mixed_labels(base):
    partner, weight = plan_of(msda.HMixLayer(seed=9, targets="pair"))
    layer = msda.HMixLayer(seed=9)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    ids, probabilities = unique_ids(), drawn(BATCH)[3]
    smoothing = 0.3 if base == "smoothed" else 0.0
    if base == "sparse":
        loss, labels = layer.loss("sparse_categorical_crossentropy"), ids
    else:
        plain = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        loss, labels = layer.loss(plain), np.eye(BATCH, dtype="float32")[ids]
    soft = oracles.one_hot(ids, BATCH, smoothing)
    mixed = oracles.mix_labels(soft, partner, weight)
    expected = np.mean(oracles.cross_entropy(mixed, probabilities))
    np.testing.assert_allclose(loss(labels, probabilities), expected, **CLOSE)


def test_a_mixed_batch_of_binary_labels_may_be_a_vector_or_a_column():
    partner, weight = plan_of(msda.HMixLayer(seed=9, targets="pair"))
    layer = msda.HMixLayer(seed=9)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    ids, chance = unique_ids() % 2, drawn(BATCH)[3][:, :1]
    loss = layer.loss("binary_crossentropy", reduction="none")
    both = np.concatenate([1 - chance, chance], 1)
    expected = oracles.mixed_loss(ids, partner, weight, both)
    np.testing.assert_allclose(loss(ids[:, None], chance), expected, **CLOSE)
    np.testing.assert_allclose(loss(ids, chance), expected, **CLOSE)


def pixel_case(seed=9):
    """Returns a called layer, its plan, labels and outputs of every pixel."""
    copy, layer = msda.HMixLayer(seed=seed), msda.HMixLayer(seed=seed)
    plan = cases.next_plan(copy, BATCH, (6, 6))
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    labels, outputs = np.random.default_rng(6).random((2, BATCH, 6, 6, 1))
    return layer, plan, labels.astype("float32"), outputs.astype("float32")


def test_a_loss_of_every_pixel_is_mixed_by_the_mask():
    layer, plan, labels, outputs = pixel_case()
    values = layer.loss("mse", reduction="none")(labels, outputs)
    own = (labels - outputs)[..., 0] ** 2
    other = (labels[plan.partner] - outputs)[..., 0] ** 2
    expected = plan.mask * own + (1 - plan.mask) * other
    np.testing.assert_allclose(values, expected, **CLOSE)


def test_a_loss_of_every_pixel_is_mixed_by_sample_on_request():
    layer, plan, labels, outputs = pixel_case()
    loss = layer.loss("mse", reduction="none", per_pixel=False)
    own = (labels - outputs)[..., 0] ** 2
    other = (labels[plan.partner] - outputs)[..., 0] ** 2
    share = plan.weight[:, None, None]
    expected = share * own + (1 - share) * other
    np.testing.assert_allclose(loss(labels, outputs), expected, **CLOSE)


# Half precision


def test_half_precision_outputs_are_computed_in_float32():
    ids, partner, weight, probabilities = drawn()
    half = probabilities.astype("float16")
    loss = msda.MixedLoss("sparse_categorical_crossentropy")
    value = loss(packed(ids, partner, weight), half)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    wide = half.astype("float32")
    wide /= np.sum(wide, -1, keepdims=True)
    expected = np.mean(oracles.mixed_loss(ids, partner, weight, wide))
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_a_mixed_float16_layer_leaves_weights_and_loss_in_float32():
    images = np.zeros((BATCH, 6, 6, 1), "float32")
    ids, _, _, probabilities = drawn()
    values = []
    for dtype in ("float32", "mixed_float16"):
        layer = msda.HMixLayer(seed=9, dtype=dtype)
        layer(images, training=True)
        loss = layer.loss("sparse_categorical_crossentropy")
        values.append(loss(ids, probabilities, sample_weights()))
    np.testing.assert_array_equal(*values)


# Gradients and worlds


def test_the_gradient_is_the_slope_of_the_loss():
    ids, partner, weight, probabilities = drawn()
    outputs = tf.Variable(probabilities)
    # A user's loss, so that Keras's normalisation of outputs does not enter the slope.
    loss = msda.MixedLoss(surprise, reduction="sum")
    labels = oracles.one_hot(ids, 5)
    with tf.GradientTape() as tape:
        value = loss(packed(labels, partner, weight), outputs)
    gradient = tape.gradient(value, outputs)
    slope = np.zeros((BATCH, 5))
    mixed = oracles.mix_labels(labels, partner, weight)
    for place in np.ndindex(BATCH, 5):
        step = np.zeros((BATCH, 5))
        step[place] = 1e-6
        up = np.sum(oracles.cross_entropy(mixed, probabilities + step))
        down = np.sum(oracles.cross_entropy(mixed, probabilities - step))
        slope[place] = (up - down) / 2e-6
    # Central differences of float64 values of size 10 are good to 1e-8.
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_layers_loss_is_that_of_mixed_labels():
    partner, weight = plan_of(msda.HMixLayer(seed=9, targets="pair"))
    layer = msda.HMixLayer(seed=9)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    ids = unique_ids()
    logits = tf.Variable(np.log(drawn(BATCH)[3]))
    base = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    with tf.GradientTape() as tape:
        value = layer.loss(base)(ids, logits)
    mixed = oracles.mix_labels(oracles.one_hot(ids, BATCH), partner, weight)
    # The gradient of a cross-entropy by its logits: probabilities less labels.
    expected = tf.nn.softmax(logits).numpy() - mixed
    np.testing.assert_allclose(tape.gradient(value, logits), expected, **CLOSE)


@parametrize("jit", [False, True], ids=["graph", "xla"])
def test_packed_labels_give_the_same_loss_when_compiled(jit):
    ids, partner, weight, probabilities = drawn()
    loss = msda.MixedLoss("sparse_categorical_crossentropy")
    labels = packed(ids, partner, weight)
    compiled = tf.function(loss, jit_compile=jit)
    value = compiled(labels, probabilities, sample_weights())
    expected = loss(labels, probabilities, sample_weights())
    np.testing.assert_allclose(value, expected, rtol=1e-6)


# Configuration


@keras.saving.register_keras_serializable(package="tests")
def cubic(labels, outputs):
    return keras.ops.sum(keras.ops.abs(labels - outputs) ** 3, -1)


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        ("sparse_categorical_crossentropy", {}),
        ("mse", {"reduction": "sum", "name": "other"}),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.2, name="own"), {}),
        (cubic, {"reduction": "none"}),
    ],
    ids=["name", "settings", "instance", "function"],
)
def test_the_configuration_makes_the_same_loss_again(base, settings):
    loss = msda.MixedLoss(base, **settings)
    again = msda.MixedLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    assert (again.name, again.reduction) == (loss.name, loss.reduction)
    _, partner, weight, outputs = drawn()
    if base == "sparse_categorical_crossentropy":
        labels = packed(drawn()[0], partner, weight)
    else:
        labels = packed(soft_labels(), partner, weight)
    np.testing.assert_array_equal(again(labels, outputs), loss(labels, outputs))


def test_the_configuration_finds_the_layer_again():
    layer = msda.HMixLayer()
    loss = layer.loss("mse")
    serialized = keras.saving.serialize_keras_object(loss)
    assert keras.saving.deserialize_keras_object(serialized).layer is layer


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("mse", "mean_squared_error"),
        (keras.losses.MeanSquaredError(name="mine"), "mine"),
        (cubic, "cubic"),
    ],
)
def test_the_loss_is_named_after_the_loss_it_mixes(base, name):
    assert msda.MixedLoss(base).name == name


# Labels of every pixel, with a layer inside the model


def drawn_pixels(method, size=(6, 7)):
    """Returns a layer that was called, its plan, ids of all pixels and chances."""
    layer = cases.make(method)
    plan = cases.next_plan(layer, BATCH, size)
    layer(np.zeros((BATCH, *size, 1), "float32"), training=True)
    rng = np.random.default_rng(12)
    ids = rng.integers(0, 4, (BATCH, *size))
    chances = rng.dirichlet(np.ones(4), (BATCH, *size)).astype("float32")
    return layer, plan, ids, chances


def pixel_losses(ids, partner, mask, chances, weights=None):
    """Returns w_i M l_i + w_j (1 - M) l_j at each pixel, by loops."""
    weights = np.ones(len(ids)) if weights is None else weights
    values = np.zeros(ids.shape)
    for place in np.ndindex(ids.shape):
        i, j = place[0], partner[place[0]]
        other = ids[(j, *place[1:])]
        own_loss = -np.log(chances[place][ids[place]])
        other_loss = -np.log(chances[place][other])
        values[place] = weights[i] * mask[place] * own_loss
        values[place] += weights[j] * (1 - mask[place]) * other_loss
    return values


@pytest.mark.parametrize("size", [(6, 7), (9,), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("method", cases.METHODS)
def test_a_segmentation_is_mixed_pixel_by_pixel(method, size):
    layer, plan, ids, chances = drawn_pixels(method, size)
    loss = layer.loss("sparse_categorical_crossentropy", reduction="none")
    expected = pixel_losses(ids, plan.partner, plan.mask, chances)
    np.testing.assert_allclose(loss(ids, chances), expected, rtol=1e-5, atol=1e-5)


def test_a_segmentation_counts_samples_by_their_weights():
    layer, plan, ids, chances = drawn_pixels("hmix")
    weights = sample_weights()
    loss = layer.loss("sparse_categorical_crossentropy", reduction="none")
    expected = pixel_losses(ids, plan.partner, plan.mask, chances, weights)
    values = loss(ids, chances, weights)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)


def test_a_segmentation_of_soft_masks_is_the_loss_of_their_mix():
    layer, plan, _, chances = drawn_pixels("gmix")
    soft = np.random.default_rng(1).dirichlet(np.ones(4), (BATCH, 6, 7))
    soft = soft.astype("float32")
    mixed = msda.mix_segmentation_masks(soft, plan).numpy()
    loss = layer.loss("categorical_crossentropy", reduction="none")
    expected = -np.sum(mixed * np.log(chances), -1)
    np.testing.assert_allclose(loss(soft, chances), expected, rtol=1e-5, atol=1e-5)


def test_ignored_pixels_do_not_count_where_they_are_shown():
    layer, plan, ids, chances = drawn_pixels("cutmix")
    ids[:, :3] = 255
    base = keras.losses.SparseCategoricalCrossentropy(
        ignore_class=255, reduction="none"
    )
    values = layer.loss(base)(ids, chances)
    shown = np.where(plan.mask == 1, ids, ids[plan.partner])
    expected = [
        0 if shown[place] == 255 else -np.log(chances[place][shown[place]])
        for place in np.ndindex(ids.shape)
    ]
    np.testing.assert_allclose(np.ravel(values), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.long
@parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("method", ["cutmix", "gmix", "fmix"])
def test_a_model_learns_from_the_pixels_that_its_layer_showed(method, jit):
    # The image is the answer: value of the own image's label at each pixel, or the
    # partner's, mixed by the mask; the loss of both is 0 if each pixel has its own.
    labels = np.random.default_rng(3).random((16, 6, 7, 1)).astype("float32")

    def off(labels, outputs):
        return keras.ops.abs(labels - outputs)[..., 0]

    class Pixels(msda.MixedLoss):
        def call(self, y_true, y_pred):
            weight = y_true["weight"]
            mixed = weight * y_true["own"][..., 0]
            mixed += (1 - weight) * y_true["other"][..., 0]
            return keras.ops.abs(mixed - y_pred[..., 0])

    layer = cases.make(method)
    head = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((6, 7, 1)), layer, head])
    loss = Pixels(off, layer)
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, loss, metrics=[off], jit_compile=jit)
    history = model.fit(labels, labels, 8, epochs=2, verbose=0).history
    assert np.max(history["loss"]) < 1e-6
    assert np.min(history["off"]) > 0.01


def test_a_loss_of_whole_images_cannot_be_mixed_pixel_by_pixel():
    layer, _, _, chances = drawn_pixels("hmix")
    check_error(
        lambda: layer.loss(keras.losses.Dice(axis=(1, 2, 3)))(chances, chances),
        "MixedLoss",
        ValueError,
        "with a label for each pixel the loss must return a value for each.",
        "values of shape (8,)",
    )


@pytest.mark.parametrize("spoiled", ["labels", "outputs"])
def test_pixels_of_another_size_are_refused(spoiled):
    layer, _, ids, chances = drawn_pixels("hmix")
    if spoiled == "labels":
        ids = ids[:, :3]
    else:
        ids, chances = ids[:, ::2], chances[:, ::2]
    check_error(
        lambda: layer.loss("sparse_categorical_crossentropy")(ids, chances),
        "MixedLoss",
        ValueError,
        "outputs of the images' rank need a label for each pixel",
        "images of size (6, 7)",
    )


def test_pixels_of_another_size_than_the_call_had_are_not_a_number():
    inputs = keras.Input((None, None, 1))
    layer = msda.HMixLayer(seed=1)
    layer(inputs)
    layer(np.zeros((2, 6, 8, 1), "float32"), training=True)
    loss = layer.loss("mse", reduction="none")
    values = loss(np.zeros((2, 6, 4, 1)), np.zeros((2, 6, 4, 1), "float32"))
    assert np.isnan(values).all()


# Class weights


CLASS_WEIGHT = {0: 2.0, 3: 0.5}


def class_weights(ids):
    return np.array([CLASS_WEIGHT.get(int(x), 1.0) for x in np.ravel(ids)])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_weigh_each_label_of_packed_ids(weighted, reduction):
    ids, partner, weight, probabilities = drawn()
    given = sample_weights() if weighted else np.ones(BATCH)
    factors = class_weights(ids) * given
    expected = oracles.mixed_loss(ids, partner, weight, probabilities, factors)
    own = weight * given
    total = own + (1 - weight) * given[partner]
    rows = packed(ids, partner, own / total)
    loss = msda.MixedLoss(
        "sparse_categorical_crossentropy",
        class_weight=CLASS_WEIGHT,
        reduction=reduction,
    )
    value = loss(rows, probabilities, total.astype("float32") if weighted else None)
    if reduction == "sum":
        expected = expected.sum()
    elif reduction != "none":
        shares = weight * factors + (1 - weight) * factors[partner]
        expected = expected.sum() / shares.sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["ids", "column", "soft"])
def test_class_weights_weigh_each_label_of_a_layer_inside(form, weighted):
    copy, layer = msda.CutMixLayer(seed=4), msda.CutMixLayer(seed=4)
    plan = cases.next_plan(copy, BATCH, (6, 6))
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    ids, _, _, probabilities = drawn()
    given = sample_weights() if weighted else None
    factors = class_weights(ids) * (1 if given is None else given)
    expected = oracles.mixed_loss(
        ids, plan.partner, plan.weight, probabilities, factors
    )
    name = "categorical_crossentropy" if form == "soft" else None
    loss = layer.loss(
        name or "sparse_categorical_crossentropy",
        class_weight=CLASS_WEIGHT,
        reduction="none",
    )
    labels = {"ids": ids, "column": ids[:, None], "soft": oracles.one_hot(ids, 5)}
    value = loss(labels[form].astype("float32"), probabilities, given)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_class_weights_of_unmixed_batches_are_those_of_keras():
    ids, _, _, probabilities = drawn()
    layer = msda.HMixLayer(seed=1)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=False)
    loss = layer.loss("sparse_categorical_crossentropy", class_weight=CLASS_WEIGHT)
    plain = keras.losses.SparseCategoricalCrossentropy()
    expected = plain(ids, probabilities, class_weights(ids))
    np.testing.assert_allclose(loss(ids, probabilities), expected, **CLOSE)


def test_class_weights_of_one_output_are_those_of_two_classes():
    ids, partner, weight, _ = drawn(2)
    chance = np.random.default_rng(3).uniform(0.1, 0.9, (BATCH, 1)).astype("float32")
    loss = msda.MixedLoss(
        "binary_crossentropy", class_weight={1: 3.0}, reduction="none"
    )
    both = np.concatenate([1 - chance, chance], 1)
    factors = np.where(ids == 1, 3.0, 1.0)
    expected = oracles.mixed_loss(ids, partner, weight, both, factors)
    value = loss(packed(ids, partner, weight), chance)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


def test_class_weights_reach_pixels():
    layer, plan, ids, chances = drawn_pixels("fmix")
    loss = layer.loss(
        "sparse_categorical_crossentropy", class_weight=CLASS_WEIGHT, reduction="none"
    )
    factors = class_weights(ids).reshape(ids.shape)
    own = factors * plan.mask
    other = factors[plan.partner] * (1 - plan.mask)
    one_hot = np.eye(4)
    expected = -own * np.sum(one_hot[ids] * np.log(chances), -1)
    expected -= other * np.sum(one_hot[ids[plan.partner]] * np.log(chances), -1)
    np.testing.assert_allclose(loss(ids, chances), expected, rtol=1e-5, atol=1e-5)


def test_class_weights_reach_labels_without_an_output():
    # As with `ignore_class`: what such a label is worth is up to the loss.
    def ones(labels, outputs):
        del labels
        return 0 * outputs[:, 0] + 1

    loss = msda.MixedLoss(ones, ids=True, class_weight={7: 3.0}, reduction="none")
    rows = packed(np.array([7, 2, 8]), np.array([1, 2, 0]), np.full(3, 0.25))
    value = loss(rows, np.full((3, 5), 0.2, "float32"))
    np.testing.assert_allclose(value, [1.5, 1.0, 2.5], rtol=1e-6)


def test_class_weights_survive_a_configuration():
    loss = msda.MixedLoss("mse", class_weight={0: 2.0, 10: 0.5}, per_pixel=False)
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(stored)
    assert again.class_weight == {0: 2.0, 10: 0.5}
    assert again.per_pixel is False


def test_class_weights_of_mixed_labels_are_refused():
    loss = msda.MixedLoss("categorical_crossentropy", class_weight={0: 2.0})
    soft = soft_labels()
    check_error(
        lambda: loss(soft, soft),
        "MixedLoss",
        ValueError,
        "`class_weight` needs both labels of a mix",
        "labels of shape (8, 5)",
    )


@pytest.mark.parametrize(
    "value",
    [[1.0, 2.0], {"dog": 1.0}, {0: -1.0}, {0: float("nan")}, {0: "1"}, {-1: 1.0}],
)
def test_class_weights_that_cannot_be_are_refused(value):
    check_error(
        lambda: msda.MixedLoss("mse", class_weight=value),
        "MixedLoss",
        ValueError,
        "`class_weight` must map class ids to finite, non-negative weights.",
        "class_weight=",
    )


# Sets


@pytest.mark.parametrize("threshold", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_layer_inside_unites_sets_as_one_in_a_pipeline(threshold, weighted):
    settings = {"targets": "union", "target_threshold": threshold, "seed": 3}
    inside, before = (msda.HMixLayer(**settings) for _ in range(2))
    rng = np.random.default_rng(5)
    sets = rng.integers(0, 2, (BATCH, 6)).astype("float32")
    outputs = rng.uniform(0.1, 0.9, (BATCH, 6)).astype("float32")
    images = np.zeros((BATCH, 6, 6, 1), "float32")
    given = (sample_weights(),) if weighted else ()
    _, *united = before(images, sets, *given)
    inside(images, training=True)
    expected = keras.losses.BinaryCrossentropy()(united[0], outputs, *united[1:])
    value = inside.loss("binary_crossentropy")(sets, outputs, *given)
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_ids_cannot_be_united_inside_a_model():
    layer = msda.HMixLayer(targets="union")
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    check_error(
        lambda: layer.loss("binary_crossentropy")(np.arange(BATCH), np.eye(BATCH)),
        "MixedLoss",
        ValueError,
        'a layer of `targets="union"` needs labels of the outputs',
        "labels of shape (8,) with outputs of shape (8, 8)",
    )


# Packed labels of a higher rank


@parametrize("world", ["eager", "mapped"])
def test_packed_sequences_give_the_mix_of_the_losses_of_each_step(world):
    layer = cases.make("hmix", targets="pair")
    plan = cases.next_plan(layer, BATCH, (6, 7))
    rng = np.random.default_rng(5)
    labels, outputs = rng.random((2, BATCH, 3, 4)).astype("float32")
    rows = cases.WORLDS[world](layer, cases.images(BATCH, (6, 7)), labels)[1]
    value = msda.MixedLoss("mse", reduction="none")(rows, outputs)
    share = plan.weight[:, None]
    own = np.mean((labels - outputs) ** 2, -1)
    other = np.mean((labels[plan.partner] - outputs) ** 2, -1)
    np.testing.assert_allclose(value, share * own + (1 - share) * other, **CLOSE)


def test_packed_numbers_give_the_mix_of_their_losses():
    layer = cases.make("mixup", targets="pair")
    plan = cases.next_plan(layer, BATCH, (6, 7))
    rng = np.random.default_rng(5)
    labels, outputs = rng.random((2, BATCH)).astype("float32")
    rows = layer(cases.images(BATCH, (6, 7)), labels)[1]
    value = msda.MixedLoss("mae", reduction="none")(rows, outputs[:, None])
    own, other = abs(labels - outputs), abs(labels[plan.partner] - outputs)
    expected = plan.weight * own + (1 - plan.weight) * other
    np.testing.assert_allclose(value, expected, **CLOSE)
