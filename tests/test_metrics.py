"""Values of `MixedAccuracy` against loops by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from tests import oracles

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
        with pytest.raises(ValueError, match=r"`MixedAccuracy\(..., ids=True\)`"):
            accuracy(msda.MixedAccuracy(), labels.astype("float32"), scores)


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


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_a_compiled_update_gives_the_same_accuracy(jit):
    ids, partner, weight, scores = drawn()
    metric = msda.MixedAccuracy()
    update = tf.function(metric.update_state, jit_compile=jit)
    update(packed(ids, partner, weight), scores, sample_weights())
    value = metric.result()
    metric.reset_state()
    expected = accuracy(metric, packed(ids, partner, weight), scores, sample_weights())
    np.testing.assert_allclose(value, expected, **CLOSE)


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
