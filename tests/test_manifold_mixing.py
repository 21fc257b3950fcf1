"""Manifold Mixup: one place and one plan a step, which the loss knows."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from numpy.testing import assert_allclose, assert_array_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.errors import FORM
from tests.support.handing_off import (
    EXACT,
    MODES,
    WRONG,
    answering,
    assert_handed_off,
    compiled,
    residual,
    unaware,
)
from tests.support.marks import parametrize

#: Places whose features have 2, 2 and 1 spatial axes, of different lengths.
SPATIAL = ["input", "half", "line"]
#: And one whose features have none.
ALL = [*SPATIAL, "row"]
#: Without XLA, which would compile each place anew.
MIXERS = {
    "mixup": lambda: msda.MixUpLayer(seed=1, jit_compile=False),
    "cutmix": lambda: msda.CutMixLayer(seed=2, jit_compile=False),
    # Weights are those of the masks, which a loss makes again.
    "fmix": lambda: msda.FMixLayer(seed=3, jit_compile=False),
}


def revealing(size=(8, 8)):
    """Returns a backbone whose outputs are the means of its inputs."""
    x = inputs = keras.Input((*size, 2))
    x = layers.AveragePooling2D(2, name="half")(x)
    x = layers.Reshape((-1, 2), name="line")(x)
    x = layers.GlobalAveragePooling1D(name="row")(x)
    outputs = layers.Dense(
        2, use_bias=False, kernel_initializer="identity", name="out"
    )(x)
    return keras.Model(inputs, outputs)


def classifying(**settings):
    """Returns a small classifier of images with a residual connection."""
    keras.utils.set_random_seed(5)
    x = inputs = keras.Input((8, 8, 2), **settings)
    x = layers.Rescaling(0.5, name="scale")(x)
    x = before = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    x = layers.Conv2D(4, 3, padding="same", name="branch")(x)
    x = layers.Add(name="sum")([x, before])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    outputs = layers.Dense(64, activation="softmax", dtype="float32", name="out")(x)
    return keras.Model(inputs, outputs, name="classifier")


def train(model, layer, data, **settings):
    """Trains, and returns the history."""
    loss = layer.loss("sparse_categorical_crossentropy")
    metrics = [layer.accuracy()]
    settings = {"jit_compile": cases.BACKEND == "jax"} | settings
    model.compile("sgd", loss, weighted_metrics=metrics, **settings)
    images, labels, weights = data
    fit = model.fit(images, labels, 8, shuffle=False, sample_weight=weights, verbose=0)
    return fit.history


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "dtype", "policy"),
    [
        ("mixup", "uint8", "float32"),
        ("cutmix", "float32", "mixed_bfloat16"),
    ],
)
def test_with_the_input_alone_it_is_the_plain_layer_bit_for_bit(method, dtype, policy):
    images, labels, weights = answering(16)
    if dtype == "uint8":
        images = np.random.default_rng(1).integers(0, 256, images.shape, "uint8")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = msda.ManifoldMixing(
            classifying(dtype=dtype), ["input"], mixer=MIXERS[method]()
        )
        layer = MIXERS[method]()
        inputs = keras.Input((8, 8, 2), dtype=dtype)
        plain = keras.Model(inputs, classifying()(layer(inputs)))
    finally:
        keras.config.set_dtype_policy(before)
    data = (images, labels, weights)
    assert train(model, model.mixing, data) == train(plain, layer, data)
    for own, other in zip(model.weights, plain.weights, strict=True):
        assert_array_equal(ops.convert_to_numpy(own), ops.convert_to_numpy(other))


@pytest.mark.parametrize(
    ("method", "place"),
    [("mixup", x) for x in ALL] + list(itertools.product(["cutmix", "fmix"], SPATIAL)),
)
def test_the_loss_knows_the_plan_at_each_place(method, place):
    images, labels, weights = answering(16)
    model = msda.ManifoldMixing(revealing(), [place], mixer=MIXERS[method]())
    loss = model.mixing.loss(residual, reduction="none")
    outputs = model(images, training=True)
    values = loss(labels, outputs, weights)
    assert_allclose(cases.array(values), np.zeros(16), rtol=0, atol=EXACT)
    assert np.mean(cases.array(unaware(labels, outputs))) > WRONG


@pytest.mark.long
@parametrize(
    ("method", "mode"),
    [("mixup", mode) for mode in ("graph", "steps") if mode in MODES][-1:]
    + [("cutmix", mode) for mode in ("eager", "xla") if mode in MODES],
)
def test_fit_hands_off_exactly_whatever_place_is_drawn(method, mode):
    # 45 leave 5 for the last batch of 8.
    images, labels, weights = answering(48 if mode == "xla" else 45)
    places = ALL if method == "mixup" else SPATIAL
    model = msda.ManifoldMixing(revealing(), places, mixer=MIXERS[method]())
    model = compiled(model, model.mixing, mode)
    fit = model.fit(images, labels, 8, epochs=2, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


@pytest.mark.tensorflow
@pytest.mark.xla
def test_replicas_of_a_mirrored_strategy_hand_off_exactly(two_replicas):
    images, labels, weights = answering(61)
    with two_replicas.scope():
        model = msda.ManifoldMixing(revealing(), SPATIAL, mixer=MIXERS["cutmix"]())
        model = compiled(model, model.mixing)
    fit = model.fit(images, labels, 16, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


def test_two_image_sizes_in_turn_hand_off_exactly():
    model = msda.ManifoldMixing(
        revealing((None, None)), ["input", "half"], mixer=MIXERS["cutmix"]()
    )
    loss = model.mixing.loss(residual, reduction="none")
    controls = []
    for number in range(4):
        size = ((8, 8), (4, 12))[number % 2]
        images, labels, weights = answering(8, size, seed=number)
        outputs = model(images, training=True)
        values = loss(labels, outputs, weights)
        assert_allclose(cases.array(values), np.zeros(8), rtol=0, atol=EXACT)
        controls.append(cases.array(unaware(labels, outputs)))
    assert np.mean(controls) > WRONG


@pytest.mark.tensorflow
@parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.xla)])
@pytest.mark.parametrize("method", [msda.GMixLayer, msda.ResizeMixLayer])
def test_gradients_of_a_graph_are_those_of_eager_steps(method, jit_compile):
    # XLA crashed at values that left a condition, of a batch of unknown length, and
    # refused the gradient of moved pixels.
    first, second = (
        msda.ManifoldMixing(
            classifying(), ["input", "conv", "pool"], mixer=method(seed=4)
        )
        for _ in range(2)
    )
    images = cases.images(5, (8, 8), 2)

    def differentiate(model, images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(images, training=True)[:, :3])
        return tape.gradient(loss, model.trainable_variables)

    signature = [tf.TensorSpec((None, 8, 8, 2))]
    graph = tf.function(
        lambda images: differentiate(second, images),
        jit_compile=jit_compile,
        input_signature=signature,
    )
    for _ in range(6):
        pairs = zip(differentiate(first, images), graph(images), strict=True)
        for eager, traced in pairs:
            assert_allclose(traced, eager, rtol=1e-4, atol=1e-7)


@pytest.mark.long
@pytest.mark.tensorflow
def test_features_of_unknown_size_hand_off_exactly_in_a_graph():
    model = msda.ManifoldMixing(
        revealing((None, None)), ["input", "half"], mixer=MIXERS["fmix"]()
    )
    loss = model.mixing.loss(residual, reduction="none")

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, 2)),
            tf.TensorSpec((None,), "int32"),
            tf.TensorSpec((None,)),
        ]
    )
    def step(images, labels, weights):
        return loss(labels, model(images, training=True), weights)

    for number in range(4):
        size = ((8, 8), (4, 12))[number % 2]
        values = step(*answering(8, size, seed=number))
        assert_allclose(cases.array(values), np.zeros(8), rtol=0, atol=EXACT)


def test_places_are_drawn_with_the_same_probability():
    model = msda.ManifoldMixing(revealing(), SPATIAL, mixer=MIXERS["cutmix"]())
    seeds = ops.convert_to_tensor(np.arange(600).reshape(300, 2), "int32")
    drawn = [model.mixing._draw_gate(seeds[n]) for n in range(300)]
    # Each is binomial with 300 draws of 1/3: four deviations of 8.2.
    assert_allclose(np.bincount(drawn, minlength=3), 100, atol=33)


def test_the_place_that_is_drawn_mixes_and_no_other():
    model = msda.ManifoldMixing(
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Rescaling(2.0, name="twice"),
                layers.Rescaling(1.0, offset=1.0, name="more"),
            ]
        ),
        ["input", "twice", "more"],
        mixer=msda.MixUpLayer(seed=4),
    )
    images = np.random.default_rng(2).random((6, 8, 8, 1)).astype("float32")
    for _ in range(6):
        outputs = cases.array(model(images, training=True))
        plan = model.mixing.replay(6)
        weight = cases.array(plan.weight)[:, None, None, None]
        partner = cases.array(plan.partner)
        mixed = weight * images + (1 - weight) * images[partner]
        # Both maps are affine, so that the mix commutes with them: once, not twice.
        assert_allclose(outputs, 2 * mixed + 1, rtol=0, atol=1e-5)
        assert not np.allclose(outputs, 2 * images + 1, atol=1e-2)


@pytest.mark.long
def test_evaluate_and_predict_are_those_of_the_backbone():
    images, labels, weights = answering(16)
    backbone = classifying()
    model = msda.ManifoldMixing(backbone, ["pool"], mixer=MIXERS["mixup"]())
    train(model, model.mixing, (images, labels, weights))
    backbone.compile(
        loss="sparse_categorical_crossentropy",
        weighted_metrics=["sparse_categorical_accuracy"],
        jit_compile=False,
    )
    found = model.evaluate(images, labels, 8, verbose=0, sample_weight=weights)
    expected = backbone.evaluate(images, labels, 8, verbose=0, sample_weight=weights)
    assert_allclose(found, expected, rtol=1e-6)
    predicted = model.predict(images, verbose=0)
    assert_array_equal(predicted, backbone.predict(images, verbose=0))
    for training in (None, False, 0, np.False_):
        outputs = model(images, training=training)
        assert_allclose(cases.array(outputs), predicted, rtol=0, atol=1e-6)


@pytest.mark.long
def test_a_saved_model_trains_on_as_the_given_one(tmp_path):
    data = answering(16)
    model = msda.ManifoldMixing(
        classifying(), ["input", "pool"], mixer=MIXERS["cutmix"]()
    )
    train(model, model.mixing, data)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layer_names == model.layer_names
    images, labels, weights = data
    histories = [
        x.fit(images, labels, 8, shuffle=False, sample_weight=weights, verbose=0)
        for x in (model, loaded)
    ]
    assert histories[0].history == histories[1].history


def test_features_keep_the_dtype_of_their_layer():
    images, labels, weights = answering(16)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x = inputs = keras.Input((8, 8, 2))
        x = layers.AveragePooling2D(2, name="half", dtype="float32")(x)
        outputs = layers.GlobalAveragePooling2D(dtype="float32")(x)
        model = msda.ManifoldMixing(
            keras.Model(inputs, outputs), ["half"], mixer=MIXERS["mixup"]()
        )
    finally:
        keras.config.set_dtype_policy(before)
    loss = model.mixing.loss(residual, reduction="none")
    values = loss(labels, model(images, training=True), weights)
    # In half precision it would be off by some 1e-3.
    assert_allclose(cases.array(values), np.zeros(16), rtol=0, atol=EXACT)


@pytest.mark.long
def test_half_precision_features_are_mixed_too():
    data = answering(16)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = msda.ManifoldMixing(
            classifying(), ["pool", "flat"], mixer=MIXERS["mixup"]()
        )
    finally:
        keras.config.set_dtype_policy(before)
    history = train(model, model.mixing, data)
    assert np.isfinite(history["loss"]).all()


def test_weights_are_those_of_the_backbone_in_its_order():
    backbone = classifying()
    model = msda.ManifoldMixing(backbone)
    for name in ("weights", "trainable_weights", "non_trainable_weights"):
        own, other = getattr(model, name), getattr(backbone, name)
        assert [id(x) for x in own] == [id(x) for x in other]
    assert msda.strip(model) is not model
    images = answering(4)[0]
    assert_array_equal(
        cases.array(msda.strip(model)(images)), cases.array(backbone(images))
    )


def test_places_by_default_are_the_input_and_two_layers_that_all_passes():
    # Of conv, sum, pool and flat: those before the first weights are the input again.
    model = msda.ManifoldMixing(classifying())
    assert model.layer_names == ("input", "sum", "pool")
    # No flat features for a mask, no ids at the input.
    model = msda.ManifoldMixing(classifying(), mixer=MIXERS["cutmix"]())
    assert model.layer_names == ("input", "conv", "sum")
    tokens = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(5, 4, name="embed"),
            layers.GlobalAveragePooling1D(name="mean"),
            layers.Dense(2),
        ]
    )
    assert msda.ManifoldMixing(tokens).layer_names == ("embed", "mean")


def nested():
    inner = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.AveragePooling2D(2, name="half")], name="body"
    )
    inputs = keras.Input((8, 8, 2))
    outputs = layers.GlobalAveragePooling2D(name="mean")(inner(inputs))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("name", ["half", "body/half", "body"])
def test_layers_of_models_inside_can_be_named(name):
    images, labels, weights = answering(16)
    model = msda.ManifoldMixing(nested(), [name], mixer=MIXERS["cutmix"]())
    assert model.layer_names == ("body" if name == "body" else "body/half",)
    loss = model.mixing.loss(residual, reduction="none")
    outputs = model(images, training=True)
    values = loss(labels, outputs, weights)
    assert_allclose(cases.array(values), np.zeros(16), rtol=0, atol=EXACT)
    assert np.mean(cases.array(unaware(labels, outputs))) > WRONG


@pytest.mark.long
def test_a_schedule_reaches_the_mixer():
    images, labels, weights = answering(16)
    model = msda.ManifoldMixing(revealing(), ["half"], mixer=MIXERS["mixup"]())
    model = compiled(model, model.mixing)
    schedule = msda.MixSchedule(model.mixer, probability={0: 1.0, 1: 0.0})
    fit = model.fit(
        images, labels, 8, 2, sample_weight=weights, callbacks=[schedule], verbose=0
    )
    first, second = fit.history["unaware"]
    assert first > WRONG
    assert second < EXACT
    assert np.max(fit.history["loss"]) < EXACT


def test_a_mask_of_sequences_is_mixed_with_them():
    tokens = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 1, 1], [2, 0, 0, 0]])
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True, name="embed")(inputs)
    outputs = layers.GlobalAveragePooling1D()(x)
    backbone = keras.Model(inputs, outputs)
    mixer = msda.MixUpLayer(pairing="roll", seed=3)
    model = msda.ManifoldMixing(backbone, ["embed"], mixer=mixer)
    found = cases.array(model(tokens, training=True))
    plan = model.mixing.replay(4)
    weight = cases.array(plan.weight)[:, None, None]
    partner = cases.array(plan.partner)
    table = cases.array(backbone.get_layer("embed").embeddings)
    mixed = weight * table[tokens] + (1 - weight) * table[tokens[partner]]
    shown = ((tokens > 0) | (tokens[partner] > 0))[..., None]
    assert_allclose(found, (mixed * shown).sum(1) / shown.sum(1), rtol=0, atol=1e-6)


def segmenting(pooled=2):
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Rescaling(1.0, name="same")(x)
    x = layers.AveragePooling2D(pooled, name="half")(x)
    outputs = layers.UpSampling2D(pooled, name="back")(x)
    return keras.Model(inputs, outputs)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("method", "places", "pooled"),
    # Beside the edge of a mask, pooling mixes pixels of both images.
    [("mixup", ["input", "half"], 2)]
    + [(method, ["input", "same"], 1) for method in ("cutmix", "fmix")],
)
def test_labels_of_each_pixel_are_mixed_where_masks_suit_them(method, places, pooled):
    images = np.random.default_rng(0).random((6, 8, 8, 2)).astype("float32")
    model = msda.ManifoldMixing(segmenting(pooled), places, mixer=MIXERS[method]())

    def linear(labels, outputs):
        return ops.sum(outputs, -1) - labels

    # The label of a pixel is what the backbone returns there.
    labels = cases.array(ops.sum(model(images), -1))
    loss = model.mixing.loss(linear, reduction="none")
    for _ in range(3):
        values = cases.array(loss(labels, model(images, training=True)))
        assert_allclose(values, np.zeros_like(labels), rtol=0, atol=EXACT)


def test_labels_of_each_pixel_refuse_masks_of_another_size():
    model = msda.ManifoldMixing(segmenting(), ["half"], mixer=MIXERS["cutmix"]())
    outputs = model(np.ones((2, 8, 8, 2), "float32"), training=True)
    loss = model.mixing.loss("sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"must have the outputs' size.*\(4, 4\)"):
        loss(np.zeros((2, 8, 8), "int32"), outputs)


class Subclassed(keras.Model):
    """A model whose `call` nobody can read."""

    def call(self, x):
        return x


def twice():
    inputs = keras.Input((8, 8, 2))
    layer = layers.AveragePooling2D(1, name="shared")
    return keras.Model(inputs, layer(layer(inputs)))


def several():
    inputs = keras.Input((8, 8, 2))
    outputs = layers.LSTM(3, return_state=True, name="states")(
        layers.Reshape((64, 2), name="line")(inputs)
    )
    return keras.Model(inputs, outputs[0])


def ambiguous():
    body, head = (
        keras.Sequential([keras.Input((8, 8, 2)), layers.ReLU(name="relu")], name=name)
        for name in ("body", "head")
    )
    return keras.Sequential([keras.Input((8, 8, 2)), body, head])


def mixing_already():
    return keras.Sequential([keras.Input((8, 8, 2)), msda.MixUpLayer(name="mix")])


@pytest.mark.parametrize(
    ("backbone", "names", "rule", "received"),
    [
        (classifying, ["con"], "must be names of layers", "Names like it: 'conv'"),
        (classifying, ["zzz"], "must be names of layers", "Its layers are 'input'"),
        (classifying, ["branch"], "leads around", "is 'sum'"),
        (classifying, ["conv", "conv"], "must be different", "conv"),
        (classifying, [], "must be a list of names", "[]"),
        (classifying, "conv", "must be a list of names", "conv"),
        (classifying, ["flat"], "needs features", "'flat', whose features are (None"),
        (twice, ["shared"], "must be called once", "2 times"),
        (several, ["states"], "must have one tensor", "states"),
        (ambiguous, ["relu"], "must mean one place", "'body/relu', 'head/relu'"),
        (mixing_already, None, "must not mix by itself", "mix"),
        (Subclassed, None, "subclassed model", "Subclassed"),
        (lambda: keras.Sequential([layers.ReLU()]), None, "must be known", "without"),
        (layers.ReLU, None, "must be a Keras model", "ReLU"),
    ],
)
def test_what_cannot_be_mixed_is_refused_before_any_work(
    backbone, names, rule, received
):
    with pytest.raises((ValueError, TypeError), match=rule) as caught:
        msda.ManifoldMixing(backbone(), names, mixer=msda.CutMixLayer())
    found = re.fullmatch(FORM.format("ManifoldMixing"), str(caught.value))
    assert found, str(caught.value)
    assert received in str(caught.value)


def test_a_mixer_must_be_a_mixing_layer():
    with pytest.raises(TypeError, match=r"must be a mixing layer.*Dropout"):
        msda.ManifoldMixing(classifying(), mixer=layers.Dropout(0.5))


def test_the_loss_of_the_mixer_itself_is_refused():
    images, labels, _ = answering(8)
    model = msda.ManifoldMixing(classifying())
    model.compile("sgd", model.mixer.loss("sparse_categorical_crossentropy"))
    # In eager steps Keras does not say what was called, and the loss is NaN.
    rule = "must belong to the mixing layer|must be trained with that layer's loss"
    with pytest.raises((ValueError, msda.MixWarning), match=rule):
        model.fit(images, labels, verbose=0)


@pytest.mark.long
def test_training_without_the_loss_warns():
    images, labels, _ = answering(8)
    model = msda.ManifoldMixing(classifying())
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.warns(msda.MixWarning, match="that layer's loss"):
        model.fit(images, labels, verbose=0)
