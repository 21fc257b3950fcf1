"""Values of `MixedAccuracy` against loops by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.marks import parametrize

BATCH = 16
# Means of a few float32 numbers in [0, 1].
CLOSE = {"rtol": 0, "atol": 1e-6}


def drawn(classes=5, seed=0):
    """Returns ids, partners, weights and a model's scores."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, classes, BATCH)
    partner = rng.permutation(BATCH)
    weight = rng.uniform(0, 1, BATCH).astype("float32")
    return ids, partner, weight, rng.random((BATCH, classes)).astype("float32")


def sample_weights(seed=1):
    return np.random.default_rng(seed).uniform(0.5, 2, BATCH).astype("float32")


def packed(labels, partner, weight):
    return oracles.pack_labels(labels, partner, weight).astype("float32")


def unmixed(ids, scores, weights=None):
    alone = np.arange(len(ids)), np.ones(len(ids))
    return oracles.mixed_accuracy(ids, *alone, scores, weights)


def accuracy(metric, *batch):
    metric.update_state(*batch)
    return metric.result()


def called(training, **settings):
    """Returns a layer that has just been called, and what it drew."""
    layer = msda.HMixLayer(seed=9, **settings)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=training)
    plan = layer.replay(BATCH)
    return layer, plan.partner.numpy(), plan.weight.numpy()


# Packed and soft labels


@pytest.mark.parametrize(
    ("classes", "ids_given"), [(2, None), (5, None), (2, True), (3, True), (5, True)]
)
def test_packed_ids_count_each_label_with_its_weight(classes, ids_given):
    ids, partner, weight, scores = drawn(classes)
    metric = msda.MixedAccuracy(ids=ids_given)
    value = accuracy(metric, packed(ids, partner, weight), scores)
    expected = oracles.mixed_accuracy(ids, partner, weight, scores)
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("ids_given", [None, False])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_packed_soft_labels_count_their_share_of_the_choice(classes, ids_given):
    ids, partner, weight, scores = drawn(classes)
    labels = oracles.one_hot(ids, classes)
    metric = msda.MixedAccuracy(ids=ids_given)
    value = accuracy(metric, packed(labels, partner, weight), scores)
    expected = oracles.mixed_accuracy(ids, partner, weight, scores)
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_soft_labels_without_a_layer_count_their_share_of_the_choice(classes):
    ids, partner, weight, scores = drawn(classes)
    labels = oracles.mix_labels(oracles.one_hot(ids, classes), partner, weight)
    metric = msda.MixedAccuracy(ids=False)
    value = accuracy(metric, labels.astype("float32"), scores)
    expected = oracles.mixed_accuracy(ids, partner, weight, scores)
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_three_numbers_for_three_classes_are_not_guessed_at():
    ids, partner, weight, scores = drawn(3)
    for labels in (oracles.one_hot(ids, 3), packed(ids, partner, weight)):
        with pytest.raises(ValueError, match=r"=\[MixedAccuracy\(ids=True\)\]`"):
            accuracy(msda.MixedAccuracy(), labels.astype("float32"), scores)


def test_an_accuracy_that_does_not_guess_counts_nothing():
    ids, partner, weight, scores = drawn(3)
    metric = msda.MixedAccuracy()
    with pytest.raises(ValueError, match="three"):
        metric.update_state(packed(ids, partner, weight), scores)
    for variable in metric.variables:
        np.testing.assert_array_equal(variable, 0.0)


@pytest.mark.parametrize("column", [False, True])
def test_ids_of_several_outputs_count_by_themselves(column):
    rng = np.random.default_rng(4)
    ids, scores = rng.integers(0, 5, (BATCH, 3)), rng.random((BATCH, 3, 5))
    layer, _, _ = called(training=False)
    given = ids[..., None] if column else ids
    found = accuracy(layer.accuracy(), given, scores.astype("float32"))
    np.testing.assert_allclose(found, np.mean(scores.argmax(-1) == ids), **CLOSE)


def test_one_output_is_a_choice_at_one_half():
    ids, partner, weight, _ = drawn(2)
    chance = np.random.default_rng(3).random((BATCH, 1)).astype("float32")
    value = accuracy(msda.MixedAccuracy(), packed(ids, partner, weight), chance)
    both = np.concatenate([1 - chance, chance], 1)
    expected = oracles.mixed_accuracy(ids, partner, weight, both)
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_half_precision_outputs_count_as_well():
    ids, partner, weight, scores = drawn()
    half = scores.astype("float16")
    value = accuracy(msda.MixedAccuracy(), packed(ids, partner, weight), half)
    expected = oracles.mixed_accuracy(ids, partner, weight, half)
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1), (BATCH, 4)], ids=str)
def test_labels_without_a_partner_are_an_error_that_says_what_to_do(shape):
    with pytest.raises(ValueError, match=r"MixedAccuracy: .*packed") as caught:
        accuracy(
            msda.MixedAccuracy(),
            np.zeros(shape, "int32"),
            np.ones((BATCH, 5), "float32"),
        )
    assert f"Received: labels of shape {shape}" in str(caught.value)
    assert "layer.accuracy()" in str(caught.value)


# A layer in the model


@pytest.mark.parametrize("form", ["ids", "column", "one-hot"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_layer_in_the_model_says_partners_and_weights(classes, form):
    layer, partner, weight = called(training=True)
    ids, _, _, scores = drawn(classes)
    labels = {
        "ids": ids,
        "column": ids[:, None],
        "one-hot": oracles.one_hot(ids, classes).astype("float32"),
    }[form]
    expected = oracles.mixed_accuracy(ids, partner, weight, scores)
    np.testing.assert_allclose(
        accuracy(layer.accuracy(), labels, scores), expected, **CLOSE
    )


@pytest.mark.parametrize("form", ["ids", "one-hot"])
@pytest.mark.parametrize("classes", [3, 5])
def test_an_unmixed_batch_gives_the_plain_accuracy(classes, form):
    layer, _, _ = called(training=False)
    ids, _, _, scores = drawn(classes, seed=2)
    one_hot = oracles.one_hot(ids, classes).astype("float32")
    value = accuracy(layer.accuracy(), ids if form == "ids" else one_hot, scores)
    np.testing.assert_allclose(value, unmixed(ids, scores), **CLOSE)


@pytest.mark.parametrize("column", [False, True], ids=["(batch,)", "(batch, 1)"])
def test_a_binary_model_in_a_layer_counts_both_labels(column):
    layer, partner, weight = called(training=True)
    ids = drawn(2)[0]
    chance = np.random.default_rng(3).random((BATCH, 1)).astype("float32")
    value = accuracy(layer.accuracy(), ids[:, None] if column else ids, chance)
    both = np.concatenate([1 - chance, chance], 1)
    expected = oracles.mixed_accuracy(ids, partner, weight, both)
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_own_labels_give_the_plain_accuracy():
    layer = msda.MixUpLayer(targets="own", seed=9)
    layer(np.zeros((BATCH, 6, 6, 1), "float32"), training=True)
    ids, _, _, scores = drawn()
    value = accuracy(layer.accuracy(), ids, scores)
    np.testing.assert_allclose(value, unmixed(ids, scores), **CLOSE)


# Sample weights and batches


@pytest.mark.parametrize("column", [False, True], ids=["(batch,)", "(batch, 1)"])
def test_sample_weights_of_a_layer_go_with_their_own_label(column):
    layer, partner, weight = called(training=True)
    ids, _, _, scores = drawn()
    weights = sample_weights()
    value = accuracy(
        layer.accuracy(), ids, scores, weights[:, None] if column else weights
    )
    expected = oracles.mixed_accuracy(ids, partner, weight, scores, weights)
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("targets", ["pair", "soft"])
def test_sample_weights_of_a_pipeline_go_with_their_own_label(targets):
    ids, _, _, scores = drawn()
    images, weights = np.zeros((BATCH, 6, 6, 1), "float32"), sample_weights()
    _, partner, weight = called(training=True)  # The same seed, the same draw.
    layer = msda.HMixLayer(
        seed=9, targets=targets, num_classes=5 if targets == "soft" else None
    )
    _, labels, mixed = layer(images, ids, weights)
    value = accuracy(msda.MixedAccuracy(), labels, scores, mixed)
    expected = oracles.mixed_accuracy(ids, partner, weight, scores, weights)
    np.testing.assert_allclose(value, expected, **CLOSE)


def test_batches_count_by_their_weights_until_the_metric_is_reset():
    metric = msda.MixedAccuracy()
    hits = total = 0.0
    for seed in (1, 2, 3):
        ids, partner, weight, scores = drawn(seed=seed)
        weights = sample_weights(seed)
        metric.update_state(packed(ids, partner, weight), scores, weights)
        value = oracles.mixed_accuracy(ids, partner, weight, scores)
        best = np.argmax(scores, -1)
        share = weight * (best == ids) + (1 - weight) * (best == ids[partner])
        np.testing.assert_allclose(np.mean(share), value, rtol=1e-6)
        hits, total = hits + np.sum(weights * share), total + np.sum(weights)
    np.testing.assert_allclose(metric.result(), hits / total, **CLOSE)
    metric.reset_state()
    np.testing.assert_array_equal(metric.result(), 0.0)


@parametrize("jit", [False, True], ids=["graph", "xla"])
def test_a_compiled_update_gives_the_same_accuracy(jit):
    ids, partner, weight, scores = drawn()
    metric = msda.MixedAccuracy()
    update = tf.function(metric.update_state, jit_compile=jit)
    update(packed(ids, partner, weight), scores, sample_weights())
    value = metric.result()
    metric.reset_state()
    expected = accuracy(metric, packed(ids, partner, weight), scores, sample_weights())
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.tensorflow
@parametrize("jit", [False, True], ids=["graph", "xla"])
def test_a_weight_of_nan_shows_where_no_label_is_hit(jit):
    rows = np.array([[0, 1, np.nan], [0, 1, 0.5]], "float32")
    metric = msda.MixedAccuracy(ids=True)
    update = tf.function(metric.update_state, jit_compile=jit)
    update(rows, np.array([[0, 0, 1], [1, 0, 0]], "float32"))
    np.testing.assert_equal(float(metric.result()), np.nan)


# Configuration


def test_the_configuration_makes_the_same_metric_again():
    metric = msda.MixedAccuracy(ids=True, name="hits")
    again = msda.MixedAccuracy.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert (again.ids, again.name, again.layer) == (True, "hits", None)


def test_the_configuration_finds_the_layer_again():
    layer = msda.HMixLayer()
    serialized = keras.saving.serialize_keras_object(layer.accuracy())
    assert keras.saving.deserialize_keras_object(serialized).layer is layer


# The k best, and the stronger label


def ranked(classes=7, batch=12, seed=8):
    rng = np.random.default_rng(seed)
    ids, partner = rng.integers(0, classes, batch), rng.permutation(batch)
    weight = rng.uniform(0, 1, batch).astype("float32")
    scores = rng.normal(size=(batch, classes)).astype("float32")
    return ids, partner, weight, scores


def in_top(ids, scores, k):
    best = np.argsort(-scores, -1)[:, :k]
    return np.array([i in row for i, row in zip(ids, best, strict=True)], float)


def metric_of(metric, *inputs):
    metric.update_state(*inputs)
    return float(metric.result())


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
@pytest.mark.parametrize("form", ["ids", "soft"])
def test_the_best_k_count_each_label_with_its_weight(form, k):
    ids, partner, weight, scores = ranked()
    own, other = in_top(ids, scores, k), in_top(ids[partner], scores, k)
    expected = np.mean(weight * own + (1 - weight) * other)
    labels = ids if form == "ids" else oracles.one_hot(ids, 7)
    rows = oracles.pack_labels(labels, partner, weight).astype("float32")
    found = metric_of(msda.MixedAccuracy(k=k), rows, scores)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_mixed_soft_labels_count_by_their_share(k):
    ids, partner, weight, scores = ranked()
    mixed = oracles.mix_labels(oracles.one_hot(ids, 7), partner, weight)
    own, other = in_top(ids, scores, k), in_top(ids[partner], scores, k)
    expected = np.mean(weight * own + (1 - weight) * other)
    found = metric_of(msda.MixedAccuracy(k=k), mixed.astype("float32"), scores)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("form", ["packed ids", "packed soft", "mixed", "inside"])
def test_the_stronger_label_alone_counts_on_request(form, k):
    ids, partner, weight, scores = ranked()
    metric = msda.MixedAccuracy(k=k, dominant=True)
    labels = oracles.one_hot(ids, 7)
    if form == "inside":
        layer = cases.make("hmix")
        plan = cases.next_plan(layer, 12, (5, 6))
        partner, weight = plan.partner, plan.weight
        layer(cases.images(12, (5, 6)), training=True)
        metric, given = layer.accuracy(k=k, dominant=True), ids
    elif form == "mixed":
        given = oracles.mix_labels(labels, partner, weight)
    else:
        given = ids if form == "packed ids" else labels
        given = oracles.pack_labels(given, partner, weight)
    strongest = np.where(weight >= 0.5, ids, ids[partner])
    expected = np.mean(in_top(strongest, scores, k))
    given = given if form == "inside" else given.astype("float32")
    np.testing.assert_allclose(
        metric_of(metric, given, scores), expected, rtol=0, atol=1e-6
    )


def test_of_two_equal_labels_the_own_one_is_the_stronger():
    rows = np.array([[0, 1, 0.5], [1, 0, 0.5]], "float32")
    scores = np.array([[1, 0, 0, 0], [1, 0, 0, 0]], "float32")
    assert metric_of(msda.MixedAccuracy(dominant=True), rows, scores) == 0.5


def test_ids_of_no_class_are_never_among_the_best():
    scores = np.ones((3, 4), "float32")
    layer = cases.make("mixup")
    layer(cases.images(3, (5, 6)), training=False)
    found = metric_of(layer.accuracy(k=4), np.array([-1, 255, 2]), scores)
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "accuracy"),
        ({"k": 5}, "top_5_accuracy"),
        ({"dominant": True}, "dominant_accuracy"),
        ({"k": 3, "dominant": True}, "dominant_top_3_accuracy"),
        ({"k": 3, "name": "mine"}, "mine"),
    ],
)
def test_metrics_are_named_after_what_they_count(settings, name):
    metric = msda.MixedAccuracy(**settings)
    assert metric.name == name
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert (again.name, again.k, again.dominant) == (name, metric.k, metric.dominant)


def test_pixels_count_by_the_mask():
    layer = cases.make("cutmix")
    plan = cases.next_plan(layer, 5, (6, 7))
    layer(cases.images(5, (6, 7)), training=True)
    rng = np.random.default_rng(2)
    ids, scores = rng.integers(0, 4, (5, 6, 7)), rng.random((5, 6, 7, 4))
    choice = scores.argmax(-1)
    own, other = choice == ids, choice == ids[plan.partner]
    expected = np.mean(plan.mask * own + (1 - plan.mask) * other)
    found = metric_of(layer.accuracy(), ids, scores.astype("float32"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_pixels_of_two_classes_have_one_output():
    layer = cases.make("hmix")
    plan = cases.next_plan(layer, 5, (6, 7))
    layer(cases.images(5, (6, 7)), training=True)
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (5, 6, 7, 1))
    scores = rng.random((5, 6, 7, 1)).astype("float32")
    choice = (scores > 0.5)[..., 0]
    own, other = choice == labels[..., 0], choice == labels[plan.partner][..., 0]
    expected = np.mean(plan.mask * own + (1 - plan.mask) * other)
    found = metric_of(layer.accuracy(), labels, scores)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# Soft labels of one output


class SoftAUC(keras.metrics.AUC):
    """That of docs/binary.md: each sample counts twice."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        one = keras.ops.ones_like(y_true)
        weights = keras.ops.concatenate([y_true, one - y_true])
        if sample_weight is not None:
            given = keras.ops.reshape(sample_weight, (-1, 1))
            weights = weights * keras.ops.concatenate([given, given])
        hard = keras.ops.concatenate([one, 0 * one])
        super().update_state(hard, keras.ops.concatenate([y_pred, y_pred]), weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_auc_of_the_documents_counts_each_pair_by_its_shares(weighted):
    rng = np.random.default_rng(4)
    labels, outputs = rng.uniform(0, 1, (2, BATCH, 1)).astype("float32")
    weights = sample_weights() if weighted else np.ones(BATCH, "float32")
    ordered = (outputs > outputs[:, 0]) + 0.5 * (outputs == outputs[:, 0])
    shares = weights[:, None] * labels * (weights * (1 - labels[:, 0]))
    expected = np.sum(shares * ordered) / np.sum(shares)
    metric = SoftAUC(num_thresholds=20001)
    found = metric_of(metric, labels, outputs, *([weights] if weighted else []))
    # Outputs lie some thresholds of 5e-5 apart.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_metrics_of_hard_labels_are_zero_where_a_soft_output_is_perfect():
    soft = np.array([[0.9], [0.2], [0.6], [0.3]], "float32")
    assert metric_of(keras.metrics.BinaryAccuracy(), soft, soft) == 0
    assert metric_of(keras.metrics.AUC(), soft, soft) == 0
    found = metric_of(msda.MixedAccuracy(), soft, soft)
    np.testing.assert_allclose(found, 0.75, rtol=1e-6)
    assert metric_of(msda.MixedAccuracy(dominant=True), soft, soft) == 1


def test_the_dominant_of_two_classes_is_that_of_each_pixel():
    shares = np.random.default_rng(0).random((2, 3, 4, 1)).astype("float32")
    assert metric_of(msda.MixedAccuracy(dominant=True), shares, shares) == 1
    wrong = np.where(shares < 0.5, 1.0, 0.0)
    assert metric_of(msda.MixedAccuracy(dominant=True), shares, wrong) == 0


@pytest.mark.parametrize("k", [0, -1, 1.5, None, True])
def test_a_count_that_cannot_be_is_refused(k):
    with pytest.raises(ValueError, match="MixedAccuracy: `k` must be a positive"):
        msda.MixedAccuracy(k=k)
