"""One warning a layer, with the remedy, where images are mixed and labels are not."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.marks import parametrize

SIZE, CLASSES = (6, 6), 3
PIPELINE = "a pipeline must mix labels together with the images."
UNHEARD = "a model with a mixing layer inside must be trained with that layer's loss."


def batch(count=8):
    images = cases.images(count, SIZE, channels=1)
    return images, np.eye(CLASSES, dtype="float32")[np.arange(count) % CLASSES]


@contextlib.contextmanager
def caught():
    """Yields a list that gets the texts of the warnings about labels."""
    texts = []
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        yield texts
    texts += [str(x.message) for x in record if issubclass(x.category, msda.MixWarning)]


def assert_once(texts, rule, owner="CutMixLayer"):
    assert len(texts) == 1, texts
    assert texts[0].startswith(f"{owner}: {rule} Received: ")


# Pipelines.


def dataset():
    return tf.data.Dataset.from_tensor_slices(batch()).batch(4)


@pytest.mark.long
@pytest.mark.tensorflow  # Elsewhere Keras calls no Sequential in a pipeline.
def test_images_alone_in_a_mapped_model_warn_once_a_layer():
    layers = [msda.CutMixLayer(seed=1), msda.MixUpLayer(seed=2)]
    augment = keras.Sequential([kl.RandomFlip(), *layers])
    with caught() as texts:
        for _ in range(2):
            mapped = dataset().map(lambda x, y: (augment(x, training=True), y))
            next(iter(mapped))
    assert len(texts) == 2, texts
    for text, layer in zip(texts, layers, strict=True):
        assert_once([text], PIPELINE, type(layer).__name__)
        assert "`dataset.map(layer)`" in text
        assert "keras_msda.MixWarning" in text


def test_a_layer_mapped_over_images_alone_warns():
    layer = msda.CutMixLayer(seed=1)
    with caught() as texts:
        next(iter(dataset().map(lambda x, y: (layer(x, training=True), y))))
    assert_once(texts, PIPELINE)


@parametrize("way", ["map", "sequential", "no training", "evaluation", "mixing", "mix"])
def test_labels_that_are_mixed_or_images_that_are_not_do_not_warn(way):
    layer = msda.CutMixLayer(seed=1)
    flip = kl.RandomFlip()
    with caught() as texts:
        mapped = {
            "map": lambda: dataset().map(layer),
            "sequential": lambda: dataset().map(
                lambda x, y: layer(flip(x, training=True), y)
            ),
            "no training": lambda: dataset().map(lambda x, y: (layer(x), y)),
            "evaluation": lambda: dataset().map(
                lambda x, y: (layer(x, training=False), y)
            ),
            "mixing": lambda: dataset().apply(msda.mixing(layer, seed=1)),
            "mix": lambda: dataset().map(lambda x, y: layer.mix((x, y), seed=(1, 2))),
        }[way]()
        next(iter(mapped))
    assert texts == []


def test_an_eager_call_of_images_alone_does_not_warn():
    with caught() as texts:
        msda.CutMixLayer()(batch()[0], training=True)
    assert texts == []


def test_the_documented_filter_silences_pipelines():
    layer = msda.CutMixLayer(seed=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=msda.MixWarning)
        dataset().map(lambda x, y: (layer(x, training=True), y))
    assert caught == []


# Models.

MODES = {
    "graph": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "jit": {"jit_compile": True},
    "steps": {"jit_compile": False, "steps_per_execution": 2},
}
if cases.BACKEND == "torch":
    del MODES["jit"], MODES["steps"]
modes = parametrize("mode", MODES)


def model_of(layer):
    return keras.Sequential(
        [
            keras.Input((*SIZE, 1)),
            layer,
            kl.Flatten(),
            kl.Dense(CLASSES, activation="softmax"),
        ]
    )


def compiled(layer, loss="categorical_crossentropy", mode="graph", **settings):
    model = model_of(layer)
    model.compile("sgd", loss, **MODES[mode], **settings)
    return model


def fit(model, epochs=2):
    return model.fit(*batch(), batch_size=2, epochs=epochs, verbose=0)


@pytest.mark.long
@modes
def test_a_plain_loss_warns_once_by_the_first_epochs_end(mode):
    layer = msda.CutMixLayer(seed=1, name="mixer")
    model = compiled(layer, mode=mode)
    with caught() as texts:
        fit(model, epochs=1)
    assert_once(texts, UNHEARD)
    assert "'mixer'" in texts[0]
    assert "`loss=layer.loss(...)`" in texts[0]
    with caught() as texts:
        fit(model)
    assert texts == []


@pytest.mark.long
@modes
def test_the_layers_own_loss_does_not_warn(mode):
    layer = msda.CutMixLayer(seed=1)
    loss = layer.loss("categorical_crossentropy")
    with caught() as texts:
        fit(compiled(layer, loss, mode, metrics=[layer.accuracy()]))
    assert texts == []


@pytest.mark.long
@parametrize("mode", list(MODES)[:2])
def test_a_metric_of_the_layer_is_no_loss(mode):
    layer = msda.CutMixLayer(seed=1)
    with caught() as texts:
        fit(compiled(layer, mode=mode, metrics=[layer.accuracy()]))
    assert_once(texts, UNHEARD)


def test_a_model_in_a_model_warns_too():
    layer = msda.CutMixLayer(seed=1)
    part = keras.Sequential([kl.RandomFlip(), layer])
    model = keras.Sequential(
        [keras.Input((*SIZE, 1)), part, kl.Flatten(), kl.Dense(CLASSES)]
    )
    model.compile("sgd", "mse", jit_compile=False)
    with caught() as texts:
        fit(model)
    assert_once(texts, UNHEARD)


@pytest.mark.long
def test_own_labels_need_no_loss_of_the_layer():
    with caught() as texts:
        fit(compiled(msda.MixUpLayer(targets="own", seed=1)))
    assert texts == []


def test_evaluation_and_prediction_do_not_warn():
    model = compiled(msda.CutMixLayer(seed=1))
    with caught() as texts:
        model.evaluate(*batch(), verbose=0)
        model.predict(batch()[0], verbose=0)
        model.test_on_batch(*batch())
    assert texts == []


@pytest.mark.long
def test_a_layer_that_mixes_in_the_pipeline_does_not_warn():
    layer = msda.CutMixLayer(seed=1)
    model = keras.Sequential([keras.Input((*SIZE, 1)), kl.Flatten(), kl.Dense(CLASSES)])
    model.compile("sgd", "mse", jit_compile=False)
    with caught() as texts:
        model.fit(dataset().map(layer), verbose=0)
    assert texts == []


def test_steps_written_by_hand_do_not_warn():
    model = model_of(msda.CutMixLayer(seed=1))
    images, labels = batch()
    with caught() as texts:
        for _ in range(2):
            outputs = model(images, training=True)
            keras.losses.CategoricalCrossentropy()(labels, outputs)
    assert texts == []


@pytest.mark.long
def test_the_documented_filter_silences_models():
    model = compiled(msda.CutMixLayer(seed=1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", msda.MixWarning)
        warnings.filterwarnings("ignore", category=msda.MixWarning)
        fit(model)
    assert caught == []
