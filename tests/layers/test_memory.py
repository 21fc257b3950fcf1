"""A loss has the draws of the last call, whatever else has called the layer."""

import copy
import gc
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.testing import assert_equal

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.handing_off import (
    CLASSES,
    EXACT,
    LAYERS,
    WRONG,
    HandedOff,
    answering,
    compiled,
    residual,
    revealing,
    unaware,
)
from tests.support.marks import parametrize


def assert_right(layer, outputs, labels, weights):
    """Checks each sample's loss of a layer, for outputs that carry the answer."""
    values = layer.loss(residual, reduction="none")(labels, outputs, weights)
    np.testing.assert_allclose(values, np.zeros(len(labels)), rtol=0, atol=EXACT)


def means(layer, images, training=True):
    return ops.mean(layer(images, training=training), [1, 2])


def in_thread(work):
    """Runs work in another thread, which then ends."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def forward(layer):
    """Returns a compiled forward pass, where the backend has one."""
    if cases.BACKEND == "tensorflow":
        return tf.function(lambda x: means(layer, x))
    if cases.BACKEND == "torch":
        import torch

        return torch.compile(lambda x: means(layer, x), backend="aot_eager")
    return lambda x: means(layer, x)


# Threads


@pytest.mark.parametrize("other", ["before", "between", "both"])
@pytest.mark.xla
def test_a_compiled_pass_and_an_eager_loss_are_one_step(other):
    layer = LAYERS["hmix"](pairing="derangement")
    images, labels, weights = answering(8)
    images = ops.convert_to_tensor(images)
    layer(images, training=True)  # An eager call of this thread, long ago.
    step = forward(layer)
    step(images)

    def call_elsewhere():
        layer(images[::-1] if cases.BACKEND != "torch" else images, training=True)

    if other in ("before", "both"):
        in_thread(call_elsewhere)
    outputs = step(images)
    if other in ("between", "both"):
        in_thread(call_elsewhere)
    assert np.mean(cases.array(unaware(labels, outputs))) > WRONG
    assert_right(layer, outputs, labels, weights)


def test_an_eager_step_is_right_while_another_thread_trains():
    layer = LAYERS["cutmix"](pairing="derangement")
    images, labels, weights = answering(8)
    outputs = means(layer, images)
    in_thread(lambda: means(layer, images))
    assert_right(layer, outputs, labels, weights)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_an_eager_step_is_right_while_another_thread_trains_in_a_graph():
    layer = LAYERS["cutmix"](pairing="derangement")
    images, labels, weights = answering(8)
    loss = layer.loss(residual)

    @tf.function
    def step(images):
        return loss(labels, means(layer, images), weights)

    outputs = means(layer, images)
    in_thread(lambda: step(images))
    assert_right(layer, outputs, labels, weights)


@pytest.mark.long
def test_the_call_of_a_thread_that_has_ended_answers_for_no_other():
    layer = LAYERS["gmix"](pairing="derangement")
    images, labels, weights = answering(8)
    for _ in range(4):  # The system gives the numbers of dead threads again.
        in_thread(lambda: means(layer, images))
        outputs = []
        step = forward(layer)
        in_thread(lambda found=outputs, step=step: found.append(step(images)))
        assert_right(layer, outputs[0], labels, weights)


def test_a_prediction_after_another_threads_call_is_not_mixed():
    layer = LAYERS["mixup"](pairing="derangement")
    images, labels, weights = answering(8)
    model = revealing(layer)
    layer(images, training=True)
    in_thread(lambda: layer(images, training=True))
    outputs = ops.convert_to_tensor(model.predict(images, verbose=0))
    if cases.BACKEND == "jax":  # Its trainer gives the state back after it.
        layer(images, training=False)
    assert_right(layer, outputs, labels, weights)


# Functions inside functions


@pytest.mark.long
@pytest.mark.tensorflow
@pytest.mark.parametrize("first", [None, True, False])
@parametrize("jit", [False, True])
def test_a_call_in_a_function_of_its_own_is_the_last_call(first, jit):
    layer = LAYERS["hmix"](pairing="derangement")
    images, labels, weights = answering(8)
    inner = tf.function(lambda x: means(layer, x))
    inner(images)  # Traced before: no Python runs when the step calls it.
    loss = layer.loss(residual, reduction="none")

    @tf.function(jit_compile=jit)
    def step(images):
        if first is not None:
            layer(images, training=first)
        return loss(labels, inner(images), weights)

    np.testing.assert_allclose(step(images), np.zeros(8), rtol=0, atol=EXACT)


@pytest.mark.long
@pytest.mark.tensorflow
def test_a_call_in_a_loop_is_the_last_call():
    layer = LAYERS["hmix"](pairing="derangement")
    images, labels, weights = answering(8)
    loss = layer.loss(residual, reduction="none")

    @tf.function
    def step(images):
        outputs = means(layer, images)
        for _ in tf.range(2):
            outputs = means(layer, images)
        return loss(labels, outputs, weights)

    np.testing.assert_allclose(step(images), np.zeros(8), rtol=0, atol=EXACT)


# Copies


def trained(model, epochs=1):
    images, labels, weights = answering(16)
    fit = model.fit(
        images, labels, 8, epochs=epochs, verbose=0, sample_weight=weights
    ).history
    assert np.max(fit["loss"]) < EXACT
    assert np.min(fit["unaware"]) > WRONG


def copied(model, how, folder):
    """Returns a copy of a model and compiles it from the configuration."""
    if how == "file":
        model.save(folder / "model.keras")
        return keras.saving.load_model(folder / "model.keras")
    copy_ = copy.deepcopy(model) if how == "deepcopy" else None
    copy_ = copy_ or keras.models.clone_model(model)
    copy_.compile_from_config(model.get_compile_config())
    return copy_


@keras.saving.register_keras_serializable(package="tests")
class Absolute(HandedOff):
    """The loss of `test_handoff`, from a file."""

    def __init__(self, layer=None):
        super().__init__(layer)

    def get_config(self):
        return {"layer": super().get_config()["layer"]}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@pytest.mark.long
@pytest.mark.parametrize("how", ["clone", "deepcopy", "file"])
@pytest.mark.parametrize("order", ["original first", "copy first"])
def test_each_model_listens_to_its_own_layer_after_a_copy(how, order, tmp_path):
    layer = LAYERS["hmix"]()
    model = revealing(layer)
    for function in (residual, unaware):
        keras.saving.register_keras_serializable(package="tests")(function)
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, Absolute(layer), metrics=[unaware])
    trained(model)
    other = copied(model, how, tmp_path)
    # The original once more, from its configuration, while there is a newer copy.
    model.compile_from_config(model.get_compile_config())
    for each in (model, other) if order == "original first" else (other, model):
        trained(each)
        trained(each)
    assert layer.uid != next(x for x in other.layers if hasattr(x, "uid")).uid


def test_a_copy_has_a_uid_of_its_own_and_the_same_configuration():
    layer = msda.GMixLayer(seed=1)
    copies = [msda.GMixLayer.from_config(layer.get_config()), copy.deepcopy(layer)]
    assert len({x.uid for x in [layer, *copies]}) == 3
    for each in copies:
        assert each.get_config() == layer.get_config()


def test_a_uid_that_is_no_number_can_be_saved(tmp_path):
    layer = msda.MixUpLayer.from_config(msda.MixUpLayer().get_config() | {"uid": "x"})
    model = keras.Sequential([keras.Input((4, 4, 1)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == layer.get_config()


@pytest.mark.long
def test_layers_that_are_gone_are_forgotten():
    from keras_msda import _handoff

    uid = msda.MixUpLayer().uid
    gc.collect()
    msda.MixUpLayer()
    assert uid not in _handoff.REGISTRY._layers


# The loss of another layer


@pytest.mark.long
@pytest.mark.parametrize("before", [False, True])
def test_the_loss_of_another_layer_than_the_models_is_an_error(before):
    images, labels, weights = answering(16)
    inside = msda.HMixLayer(seed=18, name="inside")
    outside = msda.HMixLayer(seed=19, name="outside")
    if before:
        trained(compiled(revealing(outside), outside))
    model = compiled(revealing(inside), outside)
    check_error(
        lambda: model.fit(images, labels, 8, verbose=0, sample_weight=weights),
        "HandedOff",
        ValueError,
        "a loss must belong to the mixing layer that the model calls",
        "the loss of the layer 'outside', where ",
    )


@pytest.mark.long
@pytest.mark.tensorflow
def test_two_layers_in_one_step_have_a_loss_each():
    images, labels, weights = answering(8)
    layers = [LAYERS["hmix"](), LAYERS["gmix"]()]
    losses = [layer.loss(residual, reduction="none") for layer in layers]

    @tf.function
    def step(images):
        outputs = [means(layer, images) for layer in layers]
        pairs = zip(losses, outputs, strict=True)
        return [loss(labels, found, weights) for loss, found in pairs]

    for values in step(images):
        np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)


def test_a_loss_of_given_partners_is_nan():
    images, labels, weights = answering(8)
    layer = msda.HMixLayer(seed=1)
    layer(images, training=True)
    layer(images, training=True, partner=np.arange(8)[::-1])
    values = layer.loss(residual)(labels, np.ones((8, 2), "float32"), weights)
    assert np.isnan(float(values))
    assert CLASSES > 8


# Calls that are refused.

POINTS = {"points": np.ones((2, 1, 2)), "labels": np.ones((2, 1), int)}
REFUSED = {
    "no labels to compare": (
        msda.MixUpLayer(pairing="label_similarity", bandwidth=1.0),
        {"labels": {"a": np.ones(2), "b": np.ones(2)}},
    ),
    "points of parts that move": (
        msda.PuzzleMixLayer(blocks=2),
        {"labels": np.ones(2), "keypoints": POINTS},
    ),
    "a coarse grid of a partner that moves": (
        msda.ResizeMixLayer(batch_keys=["tokens"]),
        {"labels": np.ones(2), "tokens": np.ones((2, 2, 2, 1))},
    ),
    "an axis without pixels": (
        msda.CutMixLayer(mask_axes=(3,)),
        {"labels": np.ones(2)},
    ),
}


def read_state(layer):
    state = layer._seed_state, layer._memory.variable
    return [keras.ops.convert_to_numpy(x).tolist() for x in state]


@pytest.mark.parametrize("case", REFUSED)
def test_a_call_that_is_refused_uses_up_no_draw(case):
    layer, more = REFUSED[case]
    before = read_state(layer)
    with pytest.raises(ValueError, match="Received"):
        layer({"images": cases.images(2, (4, 4)), **more})
    assert_equal(read_state(layer), before)


@pytest.mark.parametrize("more", [{"partner": np.ones(3, "int32")}, {}], ids=str)
def test_images_that_are_refused_leave_the_last_call_remembered(more):
    layer = msda.CutMixLayer(mask_axes=(1,))
    layer(cases.images(2, (4, 4)), training=True)
    before = read_state(layer)
    if not more:
        layer.mask_axes = (3,)
    with pytest.raises(ValueError, match="Received"):
        layer(cases.images(2, (4, 4)), training=True, **more)
    assert_equal(read_state(layer), before)
