"""Models as they are served: exported as they are, or stripped of mixing layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from keras_msda.layers.base import MixLayer
from tests.test_checks import check_error
from tests.test_saving import LAYERS, Subclassed

SIZE = (8, 8, 2)
KINDS = ["sequential", "functional", "nested", "branched"]


def images():
    return np.random.default_rng(1).random((4, *SIZE)).astype("float32")


def rest():
    return [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]


def model_of(layer, kind):
    """Returns a model with a mixing layer."""
    if kind == "sequential":
        return keras.Sequential([keras.Input(SIZE), layer, *rest()], name="whole")
    inputs = keras.Input(SIZE)
    flatten, dense = rest()
    if kind == "functional":
        return keras.Model(inputs, dense(flatten(layer(inputs))), name="whole")
    inner = keras.Sequential([keras.Input(SIZE), layer, flatten])
    if kind == "nested":
        return keras.Model(inputs, dense(inner(inputs)), name="whole")
    scaled = keras.layers.Rescaling(2.0)(inputs)
    both = keras.layers.Add()([layer(inputs), scaled])
    return keras.Model(inputs, dense(flatten(both)), name="whole")


def mixing(model):
    parts = model._flatten_layers(include_self=False)
    return [layer for layer in parts if isinstance(layer, MixLayer)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stripped_model_predicts_as_the_whole_one(kind):
    model = model_of(msda.HMixLayer(seed=1), kind)
    stripped = msda.strip(model)
    assert len(mixing(model)) == 1
    assert mixing(stripped) == []
    assert stripped.name == "whole"
    np.testing.assert_array_equal(stripped(images()), model(images()))
    # Unmixed in training, too.
    np.testing.assert_array_equal(stripped(images(), training=True), model(images()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stripped_model_shares_its_weights(kind):
    model = model_of(msda.MixUpLayer(seed=1), kind)
    stripped = msda.strip(model)
    pairs = zip(stripped.trainable_weights, model.trainable_weights, strict=True)
    assert all(own is other for own, other in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stripped_model_is_saved_without_a_trace(kind, tmp_path):
    stripped = msda.strip(model_of(msda.MixUpLayer(seed=1), kind))
    assert "MixLayer" not in stripped.to_json()
    assert "keras_msda" not in stripped.to_json()
    stripped.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images()), stripped(images()))


def test_a_model_without_mixing_layers_stays_what_it_is():
    model = keras.Sequential([keras.Input(SIZE), *rest()])
    np.testing.assert_array_equal(msda.strip(model)(images()), model(images()))


def test_an_unbuilt_model_is_stripped():
    stripped = msda.strip(keras.Sequential([msda.MixUpLayer(), *rest()]))
    assert len(stripped.layers) == 2
    assert stripped(images()).shape == (4, 3)


def test_a_subclassed_model_cannot_be_stripped():
    model = Subclassed(msda.HMixLayer(), keras.layers.Dense(3))
    check_error(
        lambda: msda.strip(model),
        "strip",
        ValueError,
        "what the `call` of a subclassed model does cannot be rewritten.",
        "Subclassed with a mixing layer inside",
    )
    outer = keras.Sequential([keras.Input(SIZE), model])
    with pytest.raises(ValueError, match="Subclassed with a mixing layer"):
        msda.strip(outer)


def test_what_is_no_model_cannot_be_stripped():
    check_error(
        lambda: msda.strip(msda.HMixLayer()),
        "strip",
        TypeError,
        "`model` must be a Keras model.",
        "HMixLayer",
    )


def compiled(layer, kind="sequential"):
    """Returns a model that has trained, so that the layer has drawn."""
    model = model_of(layer, kind)
    loss = layer.loss("sparse_categorical_crossentropy")
    model.compile("sgd", loss, metrics=[layer.accuracy()], run_eagerly=True)
    model.fit(images(), np.array([0, 1, 2, 0]), verbose=0)
    return model


@pytest.mark.parametrize("method", LAYERS)
def test_an_exported_model_never_mixes(method, tmp_path):
    model = compiled(LAYERS[method]())
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    expected = model.predict(images(), verbose=0)
    for _ in range(2):
        # Another graph of the same operations: some last bits.
        np.testing.assert_allclose(served.serve(images()), expected, rtol=1e-6)
    served = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    (values,) = served(tf.constant(images())).values()
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_an_exported_stripped_model_assigns_nothing(tmp_path):
    model = compiled(msda.HMixLayer(seed=1))
    for name, kind in (("whole", model), ("stripped", msda.strip(model))):
        kind.export(tmp_path / name, verbose=False)
    expected = model.predict(images(), verbose=0)
    served = tf.saved_model.load(tmp_path / "stripped")
    np.testing.assert_allclose(served.serve(images()), expected, rtol=1e-6)
    variables = {
        name: len(tf.saved_model.load(tmp_path / name).variables)
        for name in ("whole", "stripped")
    }
    assert variables["stripped"] == 2
    assert variables["whole"] > 2


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_a_clone_compiled_from_the_configuration_listens_to_its_own_layer(kind):
    layer = msda.CutMixLayer(seed=1)
    model = compiled(layer, kind)
    clone = keras.models.clone_model(model)
    clone.compile_from_config(model.get_compile_config())
    (own,) = mixing(clone)
    assert own is not layer
    assert clone.loss.layer is own
    assert model.loss.layer is layer
    for trained in (clone, model):
        history = trained.fit(images(), np.array([0, 1, 2, 0]), verbose=0).history
        assert np.isfinite(history["loss"] + history["accuracy"]).all()
    (metric,) = clone._compile_metrics.metrics
    assert metric.layer is own
