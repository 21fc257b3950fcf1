"""Saving, loading and cloning: layers, their losses, their draws."""

import gc
import inspect
import json
from contextlib import nullcontext

import keras
import numpy as np
import pytest

import keras_msda as msda
from keras_msda.layers.base import MixLayer
from tests.support.handing_off import (
    CLASSES,
    EXACT,
    WRONG,
    answering,
    residual,
    unaware,
)
from tests.support.saving import LAYERS, Subclassed, reddish


@keras.saving.register_keras_serializable(package="tests")
def largest(_, y_pred):
    """The share of the label that has most of a mixed batch's sample."""
    return keras.ops.max(y_pred, -1)


@keras.saving.register_keras_serializable(package="tests")
class SelfMade(Subclassed):
    """A model that makes its layers itself, as in most tutorials."""

    def __init__(self, **kwargs):
        head = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")
        super().__init__(msda.HMixLayer(seed=1), head, **kwargs)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


every_layer = pytest.mark.parametrize("method", LAYERS)
KINDS = ["sequential", "functional", "subclassed"]


def identity(units=2):
    return keras.layers.Dense(units, use_bias=False, kernel_initializer="identity")


def revealing(layer, kind="functional", channels=2):
    """Returns a model whose outputs are the means of the mixed images."""
    head, pool = identity(channels), keras.layers.GlobalAveragePooling2D()
    inputs = keras.Input((8, 8, channels))
    if kind == "sequential":
        return keras.Sequential([inputs, layer, pool, head])
    if kind == "functional":
        return keras.Model(inputs, head(pool(layer(inputs))))
    model = Subclassed(layer, head)
    model(np.zeros((1, 8, 8, channels), "float32"))
    return model


def compiled(model, loss):
    """Compiles; eagerly, for these models are seen once."""
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, loss, metrics=[unaware], run_eagerly=True)
    return model


def trained(model, epochs=1):
    images, labels, weights = answering(24)
    fit = model.fit(images, labels, 8, epochs=epochs, verbose=0, sample_weight=weights)
    return fit.history


def mixing_layer(model):
    parts = model._flatten_layers(include_self=False, recursive=False)
    return next(layer for layer in parts if isinstance(layer, MixLayer))


def through_file(model, folder, **settings):
    path = folder / "model.keras"
    model.save(path)
    return keras.saving.load_model(path, **settings)


def assert_hands_off(model):
    """Checks the compiled loss of a model, sample by sample, and that it trains."""
    images, labels, weights = answering(8, seed=9)
    values = model.loss(labels, model(images, training=True), weights)
    np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)
    history = trained(model)
    np.testing.assert_allclose(history["loss"], [0], rtol=0, atol=EXACT)
    assert np.min(history["unaware"]) > WRONG


# Compiled models


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@every_layer
def test_a_loaded_model_trains_on_with_its_own_layer(method, kind, tmp_path):
    layer = LAYERS[method]()
    # Every sample's own value, which cannot cancel.
    loss = layer.loss(residual, reduction="none")
    model = compiled(revealing(layer, kind), loss)
    trained(model)
    loaded = through_file(model, tmp_path)
    assert loaded.loss.layer is mixing_layer(loaded)
    assert loaded.loss.layer is not layer
    assert type(loaded.loss.layer) is type(layer)
    assert_hands_off(loaded)


@pytest.mark.long
def test_a_loaded_model_needs_nothing_of_the_saved_one(tmp_path):
    layer = msda.CutMixLayer(seed=1)
    model = compiled(revealing(layer), layer.loss(residual, reduction="none"))
    trained(model)
    model.save(tmp_path / "model.keras")
    del model, layer
    gc.collect()
    assert_hands_off(keras.saving.load_model(tmp_path / "model.keras"))


@pytest.mark.long
def test_loading_leaves_the_saved_model_its_layer(tmp_path):
    layer = msda.CutMixLayer(seed=1)
    model = compiled(revealing(layer), layer.loss(residual, reduction="none"))
    trained(model)
    first = through_file(model, tmp_path)
    second = through_file(model, tmp_path)
    layers = [loaded.loss.layer for loaded in (model, first, second)]
    assert len({id(layer) for layer in layers}) == 3
    # In turn, so that one layer's memory would show in another's loss.
    for loaded in (second, model, first):
        assert_hands_off(loaded)


@pytest.mark.long
def test_a_loaded_metric_uses_the_loaded_layer(tmp_path):
    # Images are one-hot, outputs their mixed labels: the choice scores its own weight.
    labels = np.random.default_rng(16).permutation(32).astype("int32")
    images = np.broadcast_to(np.eye(32)[labels][:, None, None], (32, 8, 8, 32))
    layer = msda.HMixLayer(seed=16)
    model = revealing(layer, channels=32)
    model.compile(
        keras.optimizers.SGD(0.0),
        layer.loss("sparse_categorical_crossentropy"),
        metrics=[layer.accuracy(), largest],
        run_eagerly=True,
    )
    model.fit(images.astype("float32"), labels, 8, verbose=0)
    loaded = through_file(model, tmp_path)
    del model, layer
    gc.collect()
    history = loaded.fit(images.astype("float32"), labels, 8, verbose=0).history
    # Means of 64 float32 pixels in [0, 1] against weights of the same.
    np.testing.assert_allclose(
        history["accuracy"], history["largest"], rtol=0, atol=1e-6
    )


@pytest.mark.long
def test_evaluate_of_a_loaded_model_is_that_of_the_saved_one(tmp_path):
    layer = msda.GMixLayer(seed=1)
    inputs = keras.Input((8, 8, 2))
    flat = keras.layers.Flatten()(layer(inputs))
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(flat)
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        layer.loss("sparse_categorical_crossentropy"),
        metrics=[layer.accuracy()],
        run_eagerly=True,
    )
    images, labels, _ = answering(24)
    model.fit(images, labels, 8, verbose=0)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(
        loaded.evaluate(images, labels, 8, verbose=0),
        model.evaluate(images, labels, 8, verbose=0),
    )


@pytest.mark.long
def test_a_model_that_makes_its_own_layer_is_compiled_anew_after_loading(tmp_path):
    model = SelfMade()
    compiled(model, model.mix.loss(residual, reduction="none"))
    trained(model)
    loaded = through_file(model, tmp_path, compile=False)
    compiled(loaded, loaded.mix.loss(residual, reduction="none"))
    assert_hands_off(loaded)


@pytest.mark.long
@pytest.mark.parametrize("kept", [False, True], ids=["gone", "kept"])
def test_a_model_that_makes_its_own_layer_loads_compiled(kept, tmp_path):
    # Its constructor makes a layer that the saved loss has never heard of, and in a
    # process that keeps the saved model there is one that it has.
    model = SelfMade()
    compiled(model, model.mix.loss(residual, reduction="none"))
    trained(model)
    path = tmp_path / "model.keras"
    model.save(path)
    if not kept:
        del model
        gc.collect()
    first, second = (keras.saving.load_model(path) for _ in range(2))
    assert len({id(x.loss.layer) for x in (first, second)}) == 2
    for loaded in (second, first, *([model] if kept else [])):
        assert loaded.loss.layer is loaded.mix
        assert_hands_off(loaded)


@pytest.mark.long
def test_a_metric_of_a_model_that_makes_its_own_layer_listens_to_it(tmp_path):
    model = SelfMade()
    model.compile(
        keras.optimizers.SGD(0.0),
        model.mix.loss("mse", ids=False),
        metrics=[model.mix.accuracy()],
        run_eagerly=True,
    )
    images = np.random.default_rng(2).random((8, 8, 8, 2)).astype("float32")
    labels = np.eye(2, dtype="float32")[np.arange(8) % 2]
    model.fit(images, labels, verbose=0)

    def state(layer):
        values = [np.array(variable) for variable in layer.variables]
        # What the last call did, without its number in this process.
        values[1][0] %= 4
        return values

    before = state(model.mix)
    path = tmp_path / "model.keras"
    model.save(path)
    model.fit(images, labels, verbose=0)
    after = state(model.mix)
    loaded = keras.saving.load_model(path)
    for value, expected in zip(state(loaded.mix), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    # Loading leaves the model alone that was saved.
    for value, expected in zip(state(model.mix), after, strict=True):
        np.testing.assert_array_equal(value, expected)
    loaded.fit(images, labels, verbose=0)
    metric = loaded._compile_metrics.metrics[0]
    assert metric.layer is loaded.mix
    assert np.isfinite(loaded.fit(images, labels, verbose=0).history["accuracy"])


@pytest.mark.long
def test_weights_of_another_model_take_no_loss_away(tmp_path):
    layer, other = msda.HMixLayer(seed=1), msda.HMixLayer(seed=2)
    model = compiled(revealing(layer), layer.loss(residual, reduction="none"))
    trained(model)
    loaded = through_file(model, tmp_path)
    uid = other.uid
    model.save_weights(tmp_path / "model.weights.h5")
    revealing(other).load_weights(tmp_path / "model.weights.h5")
    assert other.uid == uid
    assert loaded.loss.layer is mixing_layer(loaded)
    assert_hands_off(loaded)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_a_clone_trains_with_the_loss_of_its_own_layer(kind):
    layer = msda.HMixLayer(seed=1)
    model = compiled(revealing(layer, kind), layer.loss(residual, reduction="none"))
    trained(model)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    own = mixing_layer(clone)
    assert own is not layer
    compiled(clone, own.loss(residual, reduction="none"))
    assert_hands_off(clone)
    assert_hands_off(model)


def test_a_packed_loss_is_loaded_without_a_layer(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(5, activation="softmax")]
    )
    model.compile(
        "adam",
        msda.MixedLoss("sparse_categorical_crossentropy"),
        metrics=[msda.MixedAccuracy()],
        run_eagerly=True,
    )
    inputs = np.random.default_rng(1).random((8, 3)).astype("float32")
    images, ids = np.zeros((8, 4, 4, 1), "float32"), np.arange(8) % 5
    labels = msda.MixUpLayer(targets="pair", seed=1)(images, ids)[1].numpy()
    model.fit(inputs, labels, verbose=0)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(
        loaded.evaluate(inputs, labels, verbose=0),
        model.evaluate(inputs, labels, verbose=0),
    )


@pytest.mark.long
@pytest.mark.parametrize("what", ["loss", "accuracy"])
def test_a_loss_or_metric_whose_layer_is_gone_says_so(what):
    layer = msda.HMixLayer()
    kind = layer.loss("mse") if what == "loss" else layer.accuracy()
    config, uid = keras.saving.serialize_keras_object(kind), layer.uid
    del layer, kind
    gc.collect()
    owner = "MixedLoss" if what == "loss" else "MixedAccuracy"
    alone = keras.saving.deserialize_keras_object(config)
    use = alone if what == "loss" else alone.update_state
    with pytest.raises(ValueError, match=f"{owner}: .*needs its layer") as caught:
        use(np.zeros((2, 1), "float32"), np.zeros((2, 1), "float32"))
    assert f"Received: layer uid '{uid}'" in str(caught.value)
    assert "layer.loss(...)" in str(caught.value)
    assert keras.saving.serialize_keras_object(alone) == config


# The sequence of draws


def next_mix(layer):
    """Returns a batch of unlike pixels as the layer mixes it next."""
    images = np.random.default_rng(7).random((8, 8, 8, 2)).astype("float32")
    return layer(images, training=True).numpy()


@every_layer
def test_draws_go_on_from_a_file(method, tmp_path):
    layer = LAYERS[method]()
    model = revealing(layer)
    first = next_mix(layer)
    next_mix(layer)
    loaded = mixing_layer(through_file(model, tmp_path))
    third = next_mix(layer)
    np.testing.assert_array_equal(next_mix(loaded), third)
    assert np.any(third != first)
    np.testing.assert_array_equal(next_mix(loaded), next_mix(layer))


@every_layer
def test_draws_go_on_from_a_file_of_weights(method, tmp_path):
    layer, other = LAYERS[method](), LAYERS[method]()
    model = revealing(layer)
    next_mix(layer)
    model.save_weights(tmp_path / "model.weights.h5")
    revealing(other).load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(next_mix(other), next_mix(layer))


@pytest.mark.long
@pytest.mark.parametrize("mixed", [False, True], ids=["plain", "mixed"])
def test_weights_of_a_compiled_model_suit_a_model_compiled_otherwise(mixed, tmp_path):
    first, second = msda.HMixLayer(seed=1), msda.HMixLayer(seed=2)
    model = compiled(revealing(first, "subclassed"), first.loss(residual))
    trained(model)
    model.save_weights(tmp_path / "model.weights.h5")
    other = revealing(second, "subclassed")
    compiled(other, second.loss(residual) if mixed else residual)
    # A loss that does not ask the layer is one of the mistakes that are warned of.
    with nullcontext() if mixed else pytest.warns(msda.MixWarning):
        trained(other)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(next_mix(second), next_mix(first))


@every_layer
def test_draws_start_again_from_a_configuration(method):
    layer = LAYERS[method]()
    first = next_mix(layer)
    next_mix(layer)
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(next_mix(again), first)


def test_draws_start_again_in_a_clone():
    layer = msda.FMixLayer(seed=1)
    model = revealing(layer)
    first = next_mix(layer)
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(next_mix(mixing_layer(clone)), first)


def test_a_random_seed_is_kept_by_a_configuration():
    layer = msda.MixUpLayer()
    first = next_mix(layer)
    again = msda.MixUpLayer.from_config(layer.get_config())
    np.testing.assert_array_equal(next_mix(again), first)


# Configurations


SHARED = {
    "probability": 0.75,
    "per": "pair",
    "pairing": "reverse",
    "groups": 2,
    "num_classes": 7,
    "label_smoothing": 0.125,
    "targets": "soft",
    "target_threshold": 0.25,
    "segmentation": 5,
    "bounding_box_format": "rel_xyxy",
    "min_box_share": 0.125,
    "batch_keys": ["second"],
    "mask_axes": (2,),
    "fold": False,
    "data_format": "channels_first",
    "jit_compile": False,
    "seed": 2**40 + 1,
    "name": "mine",
    "dtype": "mixed_float16",
}
OWN = {
    msda.MixUpLayer: [{"targets": "own"}, {"alpha": (0.25, 2.0)}],
    msda.CutMixLayer: [
        {"alpha": 0.5, "border": "wrap", "exact_weight": False},
        {"ratio_range": (0.25, 0.75), "ratio_endpoint": False, "targets": "pair"}
        | {"label_smoothing": 0.0},
    ],
    msda.HMixLayer: [{"alpha": (2.0, 0.25), "box_ratio": 0.75, "border": "inside"}],
    msda.GMixLayer: [{"alpha": 0.5, "border": "wrap"}],
    msda.FMixLayer: [
        {
            "alpha": (0.25, 2.0),
            "decay_power": 2.0,
            "max_soft": 0.25,
            "spectrum": reddish,
        },
        {"spectrum": "official"},
    ],
    msda.RandomMixLayer: [{"weights": [1.0, 3.0]}],
}
CASES = [(kind, own) for kind, cases in OWN.items() for own in cases]


def members():
    return [
        msda.CutMixLayer(0.5, ratio_range=(0.25, 0.75), name="first"),
        msda.FMixLayer((0.25, 2.0), spectrum=reddish, name="second"),
    ]


def made(kind, settings):
    if kind is msda.RandomMixLayer:
        return kind(members(), **settings)
    return kind(**settings)


@pytest.mark.parametrize(("kind", "own"), CASES)
def test_a_configuration_keeps_every_argument(kind, own):
    settings = SHARED | own
    layer = made(kind, settings)
    # As in a file, where tuples become lists.
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(stored)
    assert type(again) is kind
    assert again.get_config() == layer.get_config()
    for name in settings.keys() - {"dtype", "weights", "batch_keys"}:
        assert getattr(again, name) == settings[name], name
    assert again.dtype_policy == layer.dtype_policy
    assert again.batch_keys == ("second",)
    # A copy that losses find by the name that the original has in files.
    assert again.uid != layer.uid


@pytest.mark.parametrize("count", [{"a": 3, "b": None}, (4, None)])
def test_a_configuration_keeps_the_classes_of_several_outputs(count):
    layer = msda.MixUpLayer(num_classes=count)
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(stored)
    assert again.num_classes == count


def test_a_configuration_keeps_the_values_of_a_schedule():
    layer = msda.MixUpLayer(seed=1)
    layer.alpha, layer.probability = (0.5, 2.0), 0.25
    again = msda.MixUpLayer.from_config(layer.get_config())
    np.testing.assert_array_equal(next_mix(again), next_mix(layer))


@pytest.mark.parametrize("kind", OWN)
def test_no_argument_is_left_out_of_the_configurations_tried(kind):
    given = set(SHARED).union(*OWN[kind])
    for cls in (kind, MixLayer):
        given |= {"layers"} if kind is msda.RandomMixLayer else set()
        arguments = set(inspect.signature(cls.__init__).parameters)
        unused = {"alpha"} if kind is msda.RandomMixLayer else set()
        assert arguments - {"self", "kwargs"} - unused <= given


def test_the_members_of_a_choice_keep_their_arguments():
    layer = msda.RandomMixLayer(members(), [1, 3], per="sample", seed=1)
    again = msda.RandomMixLayer.from_config(layer.get_config())
    cutmix, fmix = again.layers
    assert (cutmix.alpha, cutmix.ratio_range) == (0.5, (0.25, 0.75))
    assert (fmix.alpha, fmix.spectrum) == ((0.25, 2.0), reddish)
    np.testing.assert_array_equal(next_mix(again), next_mix(layer))


def test_a_layer_made_by_hand_has_a_uid_of_its_own():
    layers = [msda.MixUpLayer(seed=1) for _ in range(3)]
    assert len({layer.uid for layer in layers}) == 3
