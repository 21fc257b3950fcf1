"""Models as they are served: exported as they are, or stripped of mixing layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from keras_msda.layers.base import MixLayer
from tests.support.errors import check_error
from tests.support.saving import LAYERS, Subclassed

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


def signature_of(path):
    """Returns name, shape and dtype of each input that an exported model serves."""
    served = tf.saved_model.load(path).signatures["serving_default"]
    _, given = served.structured_input_signature
    return {key: (tuple(x.shape), x.dtype.name) for key, x in given.items()}


def test_a_stripped_model_serves_the_bytes_that_the_whole_one_serves(tmp_path):
    inputs = keras.Input(SIZE, dtype="uint8", name="image")
    # Of bytes TensorFlow has no convolution: somebody has to cast as the layer did.
    convolution = keras.layers.Conv2D(2, 3)
    layers = [inputs, msda.CutMixLayer(), convolution, *rest()]
    stripped = msda.strip(keras.Sequential(layers))
    given = np.random.default_rng(2).integers(0, 256, (4, *SIZE)).astype("uint8")
    expected = keras.Sequential(layers)(given)
    assert type(stripped.layers[0]).__name__ == "Rescaling"
    np.testing.assert_array_equal(stripped(given), expected)
    stripped.export(tmp_path / "served", verbose=False)
    assert signature_of(tmp_path / "served") == {"image": ((None, *SIZE), "uint8")}
    served = tf.saved_model.load(tmp_path / "served")
    # Another graph of the same operations: some last bits.
    values = served.serve(tf.constant(given))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)


def test_inputs_keep_name_dtype_batch_and_flags():
    given = {
        "image": keras.Input(SIZE, 4, dtype="uint8", name="image"),
        "table": keras.Input((5,), 4, sparse=True, name="table"),
        "more": keras.Input((3,), optional=True, name="more"),
    }
    flat = keras.layers.Flatten()(msda.HMixLayer()(given["image"]))
    outputs = {"flat": flat, "rows": keras.layers.Dense(2)(given["table"])}
    model = keras.Model(given, outputs, name="several")
    model.compile("sgd", "mse")
    stripped = msda.strip(model)
    assert list(stripped.input) == list(given)
    for key, value in given.items():
        for name in ("name", "dtype", "shape", "sparse", "ragged"):
            assert getattr(stripped.input[key], name) == getattr(value, name)
    assert {*given} <= {x.name for x in stripped.layers}
    assert stripped.get_layer("more").optional
    assert list(stripped.output) == ["flat", "rows"]
    assert not stripped.compiled


def test_inputs_without_a_name_keep_the_one_that_keras_gave_them():
    inputs = keras.Input(SIZE)
    flatten, dense = rest()
    model = keras.Model(inputs, dense(flatten(msda.HMixLayer()(inputs))))
    assert msda.strip(model).layers[0].name == model.layers[0].name


@pytest.mark.parametrize("outer", ["sequential", "functional"])
@pytest.mark.parametrize("inner", ["sequential", "functional", "deferred"])
@pytest.mark.parametrize("deep", [False, True])
def test_layers_in_models_in_models_are_taken_out(outer, inner, deep):
    layer, convolution = msda.GMixLayer(), keras.layers.Conv2D(2, 3)
    flatten, dense = rest()
    inputs = keras.Input(SIZE)
    if inner == "functional":
        part = keras.Model(inputs, convolution(layer(inputs)), name="part")
    else:
        first = [inputs] if inner == "sequential" else []
        part = keras.Sequential([*first, layer, convolution], name="part")
    if deep:
        part = keras.Sequential([keras.Input(SIZE), part], name="middle")
    if outer == "functional":
        model = keras.Model(inputs, dense(flatten(part(inputs))))
    else:
        model = keras.Sequential([inputs, part, flatten, dense])
    stripped = msda.strip(model)
    assert mixing(stripped) == []
    assert "keras_msda" not in stripped.to_json()
    assert "part" in [x.name for x in stripped._flatten_layers()]
    np.testing.assert_array_equal(stripped(images()), model(images()))
    assert len(stripped.trainable_weights) == 4
    pairs = zip(stripped.trainable_weights, model.trainable_weights, strict=True)
    assert all(own is other for own, other in pairs)


def test_a_part_that_is_called_twice_stays_one_part():
    part = keras.Sequential([keras.Input(SIZE), msda.HMixLayer(), *rest()])
    left, right = keras.Input(SIZE), keras.Input(SIZE)
    model = keras.Model([left, right], part(left) - part(right))
    stripped = msda.strip(model)
    given = [images(), images()[::-1].copy()]
    np.testing.assert_array_equal(stripped(given), model(given))
    inside = [x for x in stripped.layers if isinstance(x, keras.Sequential)]
    assert len(inside) == 1
    assert len(stripped.trainable_weights) == 2


def test_a_part_that_only_mixes_leaves_what_it_gets():
    part = keras.Sequential([msda.MixUpLayer()], name="augmentation")
    model = keras.Sequential([keras.Input(SIZE), part, *rest()])
    stripped = msda.strip(model)
    assert mixing(stripped) == []
    np.testing.assert_array_equal(stripped(images()), model(images()))


@pytest.mark.parametrize("bare", [False, True], ids=["model", "layer"])
def test_layers_that_see_frames_are_taken_out(bare):
    inner = [msda.MixUpLayer()] if bare else [keras.Input(SIZE), msda.MixUpLayer()]
    part = inner[0] if bare else keras.Sequential([*inner, keras.layers.Conv2D(2, 3)])
    frames = keras.Input((3, *SIZE), dtype="uint8", name="video")
    model = keras.Sequential([frames, keras.layers.TimeDistributed(part), *rest()])
    stripped = msda.strip(model)
    given = np.random.default_rng(3).integers(0, 256, (2, 3, *SIZE)).astype("uint8")
    assert mixing(stripped) == []
    assert (stripped.inputs[0].name, stripped.inputs[0].dtype) == ("video", "uint8")
    np.testing.assert_array_equal(stripped(given), model(given))


def test_a_layer_in_half_precision_still_rounds_its_images():
    dense = keras.layers.Dense(3)
    layers = [msda.HMixLayer(dtype="float16"), keras.layers.Flatten(), dense]
    model = keras.Sequential([keras.Input(SIZE), *layers])
    np.testing.assert_array_equal(msda.strip(model)(images()), model(images()))


def test_a_layer_that_rounds_floats_cannot_be_taken_out():
    model = keras.Sequential([keras.Input(SIZE), msda.HMixLayer(dtype="uint8")])
    check_error(
        lambda: msda.strip(model),
        "strip",
        ValueError,
        "a mixing layer that casts to integers cannot be taken out.",
        "of dtype uint8 after outputs of dtype float32",
    )


class Wrapping(keras.layers.Wrapper):
    """A layer of a user that calls another."""

    def call(self, inputs):
        return self.layer(inputs)


def test_a_layer_inside_another_layer_cannot_be_taken_out():
    model = keras.Sequential([keras.Input(SIZE), Wrapping(msda.HMixLayer()), *rest()])
    with pytest.raises(ValueError, match="Wrapping with a mixing layer inside"):
        msda.strip(model)


class Named(keras.Model):
    """A functional model of a user's class."""

    def predict_step(self, data):
        return {"answer": super().predict_step(data)}


def test_a_functional_model_of_ones_own_class_keeps_it():
    inputs = keras.Input(SIZE)
    flatten, dense = rest()
    model = Named(inputs, dense(flatten(msda.HMixLayer()(inputs))), name="own")
    stripped = msda.strip(model)
    assert isinstance(stripped, Named)
    answer = stripped.predict(images(), verbose=0)["answer"]
    np.testing.assert_array_equal(answer, model.predict(images(), verbose=0)["answer"])


def test_a_subclassed_model_cannot_be_stripped():
    model = Subclassed(msda.HMixLayer(), keras.layers.Dense(3))
    check_error(
        lambda: msda.strip(model),
        "strip",
        ValueError,
        "the `call` of a subclassed model cannot be rewritten.",
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


@pytest.mark.long
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


@pytest.mark.long
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
