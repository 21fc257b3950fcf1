"""What Keras asks of a layer: shapes, masks, flags, weights, files."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda.layers.base import MixLayer
from tests.support import layer_cases as cases
from tests.support import oracles
from tests.support.errors import check_error
from tests.support.handing_off import EXACT, answering, residual
from tests.support.marks import parametrize, written_by_newer

FIXTURES = Path(__file__).parent.parent / "fixtures"
BATCH, SIZE, CLASSES = 6, (5, 6), 4
# One float32 product and sum of numbers of size 1.
CLOSE = {"rtol": 0, "atol": 1e-6}
methods = pytest.mark.parametrize("method", cases.METHODS)


# Shapes.


@methods
def test_shapes_come_out_as_they_are(method):
    layer = cases.make(method)
    for shape in [(None, 8, 8, 3), (4, None, None, 1), (2, 5, 3)]:
        assert_equal(layer.compute_output_shape(shape), shape)
        assert not layer.built
    model = keras.Sequential([cases.make(method), kl.Flatten()])
    assert_equal(model.compute_output_shape((None, 4, 3, 2)), (None, 24))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "mixed_float16", "float16"])
@pytest.mark.parametrize("given", ["float32", "uint8"])
def test_a_symbolic_call_has_the_dtype_of_a_real_one(dtype, given):
    layer = msda.CutMixLayer(dtype=dtype)
    symbolic = layer.compute_output_spec(keras.KerasTensor((2, 4, 4, 3), given))
    outputs = layer(np.ones((2, 4, 4, 3), given), training=True)
    assert_equal(tuple(symbolic.shape), tuple(outputs.shape))
    assert_equal(symbolic.dtype, cases.dtype(outputs))
    inputs = keras.Input((4, 4, 3), dtype=given)
    assert_equal(layer(inputs).dtype, symbolic.dtype)


def test_a_symbolic_call_with_labels_has_their_shapes():
    layer = msda.CutMixLayer(num_classes=CLASSES)
    images = keras.KerasTensor((6, 4, 4, 3))
    mixed, labels = layer.compute_output_spec(images, keras.KerasTensor((6,), "int32"))
    assert_equal((tuple(mixed.shape), tuple(labels.shape)), ((6, 4, 4, 3), (6, 4)))


# Keras's masks of sequences.

TOKENS = np.array(
    [[3, 1, 0, 0, 0], [2, 2, 2, 0, 0], [1, 0, 0, 0, 0], [4, 3, 2, 1, 0]], "int32"
)
LENGTH = TOKENS.shape[1]


def sequence_model(layer, first, last):
    """Returns a model whose layer gets a mask, and one that ends with the layer."""
    if first == "embedding":
        inputs = keras.Input((LENGTH,), dtype="int32")
        embedded = kl.Embedding(5, 3, mask_zero=True)(inputs)
    else:
        inputs = keras.Input((LENGTH, 3))
        embedded = kl.Masking()(inputs)
    mixed = layer(embedded)
    pool = kl.GlobalAveragePooling1D() if last == "pool" else kl.LSTM(2)
    return keras.Model(inputs, pool(mixed)), keras.Model(inputs, mixed)


def sequences(first):
    if first == "embedding":
        return TOKENS
    values = np.random.default_rng(1).normal(size=(*TOKENS.shape, 3))
    return np.where(TOKENS[..., None] > 0, values, 0).astype("float32")


@pytest.mark.long
@pytest.mark.parametrize("last", ["pool", "lstm"])
@pytest.mark.parametrize("first", ["embedding", "masking"])
def test_masks_pass_in_training_as_in_prediction(first, last):
    keras.utils.set_random_seed(1)
    model, _ = sequence_model(msda.CutMixLayer(probability=0.0), first, last)
    values = sequences(first)
    trained = cases.array(model(values, training=True))
    assert_allclose(trained, model.predict(values, verbose=0), rtol=0, atol=1e-6)
    # A mask is not without effect here.
    unmasked = cases.array(model(np.ones_like(values), training=True))
    assert np.max(np.abs(unmasked - trained)) > 1e-3


def traced_mean(model, values):
    """Returns the output in training inside of a compiled step, and drops nothing."""
    if cases.BACKEND == "tensorflow":
        call = tf.function(lambda x: model(x, training=True), jit_compile=True)
        return call(values)
    if cases.BACKEND == "torch":
        return model(values, training=True)
    import jax

    trainable = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]
    step = jax.jit(lambda t, s, x: model.stateless_call(t, s, x, training=True))
    outputs, state = step(trainable, state, values)
    for variable, value in zip(model.non_trainable_variables, state, strict=True):
        variable.assign(value)
    forget_passing(model.layers)
    return outputs


def forget_passing(layers):
    """Lets eager code read a state that a step of JAX was passed and has given back.

    Without that it is NaN: nobody can tell whether the state was given back.
    """
    for layer in layers:
        if hasattr(layer, "_memory"):
            layer._memory._passed = False


def assert_own_or_partner_shown(layer, values, found):
    """Checks means over what own or partner's mask shows."""
    plan = cases.arrays(layer.replay(len(values), (LENGTH,)))
    mixed = oracles.mix_images(values, plan.partner, plan.mask)
    own = TOKENS > 0
    shown = own | own[plan.partner]
    expected = (mixed * shown[..., None]).sum(1) / shown.sum(1)[:, None]
    assert_allclose(cases.array(found), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("method", ["mixup", "cutmix"])
def test_mixed_sequences_show_what_own_or_partner_shows(method):
    layer = cases.make(method, pairing="derangement", probability=0.7)
    values = sequences("masking")
    for _ in range(2):
        mixed = layer(kl.Masking()(values), training=True)
        found = kl.GlobalAveragePooling1D()(mixed)
        assert_own_or_partner_shown(layer, values, found)


@parametrize("jit", [False, True])
def test_mixed_sequences_in_a_model_show_what_own_or_partner_shows(jit):
    layer = cases.make("cutmix", pairing="derangement", probability=1.0)
    model, _ = sequence_model(layer, "masking", "pool")
    values = sequences("masking")
    run = traced_mean if jit else lambda model, x: model(x, training=True)
    assert_own_or_partner_shown(layer, values, run(model, values))


def test_masks_of_nothing_stay_nothing():
    layer = msda.CutMixLayer()
    assert layer.compute_mask(np.zeros((2, 3, 1)), None) is None
    layer(np.zeros((2, 3, 1), "float32"), training=True)


# One call a frame.


@pytest.mark.parametrize("bare", [False, True], ids=["model", "layer"])
def test_one_call_a_frame_is_refused_in_training(bare):
    layer = msda.CutMixLayer(seed=1)
    part = layer
    if not bare:
        part = keras.Sequential([keras.Input((4, 4, 1)), layer, kl.Flatten()])
    model = keras.Sequential([keras.Input((3, 4, 4, 1)), kl.TimeDistributed(part)])
    videos = cases.images(4, (3, 4, 4), channels=1)
    check_error(
        lambda: model(videos, training=True),
        "CutMixLayer",
        ValueError,
        "`TimeDistributed` mixes each frame by a plan of its own",
        "a call in training inside `keras.layers.TimeDistributed`",
    )
    expected = videos if bare else videos.reshape(4, 3, 16)
    assert_array_equal(cases.array(model(videos, training=False)), expected)
    assert_array_equal(model.predict(videos, verbose=0), expected)


def test_a_layer_before_or_behind_frames_is_fine():
    part = kl.TimeDistributed(kl.Flatten())
    layer = msda.CutMixLayer(mask_axes=(2, 3), seed=1)
    model = keras.Sequential([keras.Input((3, 4, 4, 1)), layer, part])
    found = model(cases.images(4, (3, 4, 4), channels=1), training=True)
    assert tuple(found.shape) == (4, 3, 16)


# Ways to say False and True.


def flags(value):
    """Returns all ways to give a truth value outside of a trace."""
    return {
        "bool": value,
        "int": int(value),
        "numpy": np.bool_(value),
        "tensor": keras.ops.convert_to_tensor(value),
        "integer tensor": keras.ops.convert_to_tensor(int(value)),
    }


WAYS = list(flags(True))


@parametrize("way", WAYS)
@methods
def test_every_way_to_say_false_leaves_the_batch(method, way):
    layer = cases.make(method, num_classes=CLASSES)
    images, ids = cases.images(BATCH, SIZE), np.arange(BATCH) % CLASSES
    flag = flags(False)[way]
    assert_array_equal(cases.array(layer(images, training=flag)), images)
    mixed, labels = layer(images, ids, training=flag)
    assert_array_equal(cases.array(mixed), images)
    assert_array_equal(cases.array(labels), oracles.one_hot(ids, CLASSES))


@parametrize("way", WAYS)
def test_every_way_to_say_true_mixes(way):
    layer = cases.make("cutmix", num_classes=CLASSES, pairing="derangement")
    images, ids = cases.images(BATCH, SIZE), np.arange(BATCH) % CLASSES
    for inputs in ((images, ids), (images,)):
        plan = cases.next_plan(layer, BATCH, SIZE)
        found = layer(*inputs, training=flags(True)[way])
        mixed = cases.array(found if len(inputs) == 1 else found[0])
        expected = oracles.mix_images(images, plan.partner, plan.mask)
        assert_allclose(mixed, expected, **CLOSE)


def flag_calls(layer, *, alone):
    """Returns functions of a batch and a flag, in which the flag is symbolic."""

    def call(x, y, flag):
        if alone:
            return layer(x, training=flag), y
        return layer(x, y, training=flag)

    if cases.BACKEND == "jax":
        return {"jitted": flag_jitted(layer, alone)}
    if cases.BACKEND == "torch":
        return {}
    return {
        "graph": tf.function(call),
        "xla": tf.function(call, jit_compile=True),
    }


def flag_jitted(layer, alone):
    import jax

    layer.build((None, *SIZE, 3))
    layer.built = True

    @jax.jit
    def step(state, x, y, flag):
        given = (x,) if alone else (x, y)
        return layer.stateless_call([], state, *given, training=flag)

    def call(x, y, flag):
        state = [variable.value for variable in layer.non_trainable_variables]
        outputs, state = step(state, x, y, flag)
        for variable, value in zip(layer.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return (outputs, y) if alone else outputs

    return call


WAYS_TO_TRACE = {"tensorflow": ["graph", "xla"], "jax": ["jitted"], "torch": []}


@pytest.mark.parametrize("alone", [False, True])
@parametrize("way", WAYS_TO_TRACE[cases.BACKEND])
def test_a_symbolic_flag_says_both(way, alone):
    layer = cases.make("cutmix", num_classes=CLASSES, pairing="derangement")
    images, ids = cases.images(BATCH, SIZE), np.arange(BATCH) % CLASSES
    one_hot = oracles.one_hot(ids, CLASSES)
    call = flag_calls(layer, alone=alone)[way]
    false, true = (keras.ops.convert_to_tensor(value) for value in (False, True))
    mixed, labels = call(images, ids, false)
    assert_array_equal(cases.array(mixed), images)
    if not alone:
        assert_array_equal(cases.array(labels), one_hot)
    plan = cases.next_plan(layer, BATCH, SIZE)
    mixed, labels = call(images, ids, true)
    expected = oracles.mix_images(images, plan.partner, plan.mask)
    assert_allclose(cases.array(mixed), expected, **CLOSE)
    if not alone:
        soft = oracles.mix_labels(one_hot, plan.partner, plan.weight)
        assert_allclose(cases.array(labels), soft, **CLOSE)


@parametrize("way", WAYS_TO_TRACE[cases.BACKEND])
def test_a_loss_is_right_whatever_a_symbolic_flag_says(way):
    images, labels, weights = answering(8)
    layer = msda.HMixLayer(seed=1)
    loss = layer.loss(residual, reduction="none")
    images = np.repeat(images, 2, -1)[:, :5, :6, :3]  # Of SIZE: w h, w h, w, ...
    call = flag_calls(layer, alone=True)[way]
    for flag in (True, False, True):
        mixed, _ = call(images, labels, keras.ops.convert_to_tensor(flag))
        forget_passing([layer])
        outputs = cases.array(mixed).mean((1, 2), dtype="float64")[:, 1:]
        values = loss(labels, outputs.astype("float32"), weights)
        assert_allclose(cases.array(values), np.zeros(8), rtol=0, atol=EXACT)
        assert np.allclose(outputs[:, 1], weights, atol=1e-6) != flag


@pytest.mark.xla
@pytest.mark.tensorflow
def test_gradients_of_an_empty_batch_compile_with_a_symbolic_flag():
    # XLA ended the process at values that left a condition around PuzzleMix's solver.
    layer = msda.PuzzleMixLayer(blocks=2, iterations=1, labels=2, seed=3)
    signature = [tf.TensorSpec((None, 4, 4, 1)), tf.TensorSpec((None, 3))]

    @tf.function(
        jit_compile=True, input_signature=[*signature, tf.TensorSpec((), "bool")]
    )
    def differentiate(images, labels, flag):
        with tf.GradientTape() as tape:
            tape.watch(images)
            mixed, _ = layer(images, labels, training=flag)
            loss = tf.reduce_sum(mixed**2)
        return mixed, tape.gradient(loss, images)

    images, labels = cases.images(3, (4, 4), 1), np.eye(3, dtype="float32")
    for flag in (True, False):
        for x in differentiate(images[:0], labels[:0], flag):
            assert_equal(x.shape, (0, 4, 4, 1))
    mixed, gradient = differentiate(images, labels, False)
    assert_array_equal(mixed, images)
    assert_allclose(gradient, 2 * images, **CLOSE)


@pytest.mark.tensorflow
@pytest.mark.parametrize("value", [False, True])
def test_labels_are_smoothed_as_a_symbolic_flag_says(value):
    first, second = (
        cases.make("hmix", num_classes=CLASSES, label_smoothing=0.2) for _ in range(2)
    )
    images, ids = cases.images(BATCH, SIZE), np.arange(BATCH) % CLASSES
    call = tf.function(lambda flag: second(images, ids, training=flag))
    expected = first(images, ids, training=value)
    for found, wanted in zip(call(tf.constant(value)), expected, strict=True):
        assert_allclose(found, wanted, **CLOSE)


@pytest.mark.parametrize("value", [False, True])
def test_a_flag_of_a_pipeline_may_be_symbolic(value):
    layer = cases.make("cutmix", num_classes=CLASSES, pairing="derangement")
    images, ids = cases.images(BATCH, SIZE), np.arange(BATCH) % CLASSES
    plan = cases.next_plan(layer, BATCH, SIZE, "mapped")
    dataset = tf.data.Dataset.from_tensors((images, ids, value))
    dataset = dataset.map(lambda x, y, flag: layer(x, y, training=flag))
    mixed, labels = next(iter(dataset))
    expected, soft = images, oracles.one_hot(ids, CLASSES)
    if value:
        expected = oracles.mix_images(images, plan.partner, plan.mask)
        soft = oracles.mix_labels(soft, plan.partner, plan.weight)
    assert_allclose(mixed, expected, **CLOSE)
    assert_allclose(labels, soft, **CLOSE)


# Weights.


def small_model(layer=None):
    between = [] if layer is None else [layer]
    return keras.Sequential(
        [keras.Input((4, 4, 1)), *between, kl.Flatten(), kl.Dense(3, name="dense")]
    )


@methods
def test_a_model_has_the_same_weights_with_the_layer(method):
    model, plain = small_model(cases.make(method)), small_model()
    assert_equal([w.shape for w in model.weights], [w.shape for w in plain.weights])
    assert_equal(model.count_params(), plain.count_params())
    model.set_weights(plain.get_weights())
    for own, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert_array_equal(own, other)


@pytest.mark.parametrize("own", [None, "cutmix", "random-batch"])
@pytest.mark.parametrize("other", [None, "mixup", "gmix"])
def test_weights_load_whatever_layer_mixes(own, other, tmp_path):
    saved, loaded = (
        small_model(None if name is None else cases.make(name)) for name in (own, other)
    )
    saved.save_weights(tmp_path / "a.weights.h5")
    if own is None and other is not None:
        state = cases.array(loaded.layers[0]._seed_state.value)
    loaded.load_weights(tmp_path / "a.weights.h5")
    if own is None and other is not None:  # It keeps its own.
        assert_array_equal(cases.array(loaded.layers[0]._seed_state.value), state)
    for one, two in zip(saved.get_weights(), loaded.get_weights(), strict=True):
        assert_array_equal(one, two)


def test_a_file_goes_on_with_the_draws_of_its_layer(tmp_path):
    saved, loaded = (small_model(msda.CutMixLayer(seed=n)) for n in (1, 2))
    images = cases.images(4, (4, 4), channels=1)
    saved.layers[0](images, training=True)
    saved.save_weights(tmp_path / "a.weights.h5")
    loaded.load_weights(tmp_path / "a.weights.h5")
    found = [cases.array(m.layers[0](images, training=True)) for m in (saved, loaded)]
    assert_array_equal(*found)


# Files of the version before.

NAMES = ["mixup", "cutmix", "hmix", "gmix", "fmix", "random"]


def fixture_images():
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (8, 6, 6, 1)).astype("float32") / 255


def is_mixing(layer):
    return isinstance(layer, MixLayer)


def mixing_layer_of(model):
    return next(x for x in model.layers if is_mixing(x))


def assert_goes_on(layer, name):
    """Checks the next draws against those of the version that wrote the file."""
    with np.load(FIXTURES / "after.npz") as after:
        expected = {
            key: after[f"{name}_{key}"] for key in ("mixed", "weight", "partner")
        }
    mixed = cases.array(layer(fixture_images(), training=True))
    plan = layer.replay(8, (6, 6))
    if name == "fmix":  # Its masks of a seed are others since 0.2.0.
        partner, mask = cases.array(plan.partner), cases.array(plan.mask)
        expected["mixed"] = oracles.mix_images(fixture_images(), partner, mask)
    assert_allclose(mixed, expected["mixed"], **CLOSE)
    assert_allclose(cases.array(plan.weight), expected["weight"], **CLOSE)
    assert_array_equal(cases.array(plan.partner), expected["partner"])


@written_by_newer
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_models_of_the_version_before_go_on(name):
    model = keras.saving.load_model(FIXTURES / f"{name}.keras")
    assert_goes_on(mixing_layer_of(model), name)


@pytest.mark.long
@written_by_newer
@pytest.mark.parametrize("name", NAMES)
def test_models_of_the_version_before_train_on(name):
    model = keras.saving.load_model(FIXTURES / f"{name}.keras")
    count = model.output_shape[-1]
    fit = model.fit(fixture_images(), np.arange(8) % count, verbose=0)
    assert np.all(np.isfinite(fit.history["loss"]))


@written_by_newer
@pytest.mark.tensorflow
def test_weights_of_the_version_before_go_on():
    model = keras.saving.load_model(FIXTURES / "hmix.keras")
    copy = keras.models.clone_model(model)
    copy.load_weights(FIXTURES / "hmix.weights.h5")
    for own, other in zip(copy.get_weights(), model.get_weights(), strict=True):
        assert_array_equal(own, other)
    assert_goes_on(mixing_layer_of(copy), "hmix")
