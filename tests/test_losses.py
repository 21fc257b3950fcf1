"""Values of `MixedLoss` against loops by hand, wherever partners come from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from tests import oracles
from tests.layers import cases

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

    value = msda.MixedLoss(improbable)(np.array([row], "float32"), outputs)
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
    with pytest.raises(ValueError, match=r"`MixedLoss\(..., ids=True\)`"):
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


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
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
