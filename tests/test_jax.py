"""JAX alone: functions of a state, shards of a batch."""

import itertools
import re

import jax
import keras
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from keras import distribution

import keras_msda as msda
from keras_msda.layers import _planning
from tests.support import layer_cases as cases
from tests.support.errors import check_error
from tests.support.handing_off import (
    EXACT,
    LAYERS,
    HandedOff,
    answering,
    assert_handed_off,
    compiled,
    every_layer,
    residual,
    revealing,
)
from tests.support.marks import parametrize

SIZE = (8, 8)


def built(layer, size=SIZE, channels=2):
    layer.build((None, *size, channels))
    layer.built = True
    return layer


def values(variables):
    return [variable.value for variable in variables]


def step(layer, loss, state, batch):
    """Returns losses and the new state, as a step written by hand computes them."""
    images, labels, weights = batch
    mixed, state = layer.stateless_call([], state, images, training=True)
    outputs = mixed.mean((1, 2))
    passed = zip(layer.non_trainable_variables, state, strict=True)
    with keras.StatelessScope(state_mapping=list(passed)):
        return loss(labels, outputs, weights), state


@parametrize("jit", [False, True])
@every_layer
def test_a_step_written_by_hand_hands_off_exactly(method, jit):
    layer = built(LAYERS[method](pairing="derangement"))
    loss = layer.loss(residual, reduction="none")

    def run(state, *batch):
        return step(layer, loss, state, batch)

    state = values(layer.non_trainable_variables)
    run = jax.jit(run) if jit else run
    first = state
    for seed in range(3):
        found, state = run(state, *answering(8, seed=seed))
        np.testing.assert_allclose(found, np.zeros(8), rtol=0, atol=EXACT)
    assert np.any(first[0] != state[0])


@parametrize("jit", [False, True])
def test_a_partner_outside_the_batch_shows_in_boolean_labels(jit):
    layer = built(msda.MixUpLayer(seed=1))
    images = cases.images(1, SIZE)

    def label(sets, partner):
        return layer.mix((images, sets), seed=(1, 2), partner=partner)[1]

    label = jax.jit(label) if jit else label
    found = label(np.array([[True, False]]), np.array([1]))
    np.testing.assert_equal(np.asarray(found), np.full((1, 2), np.nan))


def test_no_tracer_leaks():
    layer = built(msda.GMixLayer(seed=1))
    loss = layer.loss(residual, reduction="none")
    state = values(layer.non_trainable_variables)
    with jax.checking_leaks():
        jax.jit(lambda *batch: step(layer, loss, state, batch)[0])(*answering(8))


@parametrize("jit", [False, True])
def test_a_step_that_drops_the_state_loses_nan(jit):
    images, labels, weights = answering(8)
    layer = built(msda.HMixLayer(seed=1))
    loss = layer.loss(residual, reduction="none")
    # As after `evaluate`: the layer itself remembers a call that did not mix.
    layer(images, training=False)

    def dropping(state, images, labels, weights):
        mixed, _ = layer.stateless_call([], state, images, training=True)
        return loss(labels, mixed.mean((1, 2)), weights)

    state = values(layer.non_trainable_variables)
    found = (jax.jit(dropping) if jit else dropping)(state, images, labels, weights)
    assert np.all(np.isnan(found))


def test_a_call_without_its_state_inside_jit_is_an_error():
    layer = built(msda.HMixLayer(seed=1))
    images = answering(8)[0]
    check_error(
        lambda: jax.jit(lambda x: layer(x, training=True))(images),
        ".*seed_state",
        ValueError,
        "inside `jax.jit` a mixing layer must be given its state",
        "a call of the layer itself",
    )
    layer(images, training=True)  # And nothing is lost.


@pytest.mark.parametrize(
    ("seed", "number", "shown"),
    [
        (None, 2**40, "1099511627776"),
        ((1, 2), 2**31, "2147483648"),
        ((1, 2), -(2**31) - 1, "2147483648"),
    ],
)
def test_integers_beyond_32_bits_are_refused(seed, number, shown):
    layer = msda.MixUpLayer(targets="own")
    batch = np.zeros((2, 4, 4, 1), "float32"), np.array([0, number])
    check_error(
        lambda: layer(*batch) if seed is None else layer.mix(batch, seed=seed),
        "MixUpLayer",
        ValueError,
        "JAX has integers of 32 bits",
        shown,
    )


@pytest.mark.parametrize("number", [2**31 - 1, -(2**31)])
def test_integers_of_32_bits_are_kept(number):
    batch = np.zeros((2, 4, 4, 1), "float32"), np.array([number, 0])
    _, labels = msda.MixUpLayer(targets="own").mix(batch, seed=(1, 2))
    np.testing.assert_array_equal(labels, batch[1])


@pytest.fixture
def spread(request):
    """Spreads what is made over some of the devices, as (kind, number) names them."""
    kind, count = request.param
    devices = distribution.list_devices("cpu")[:count]
    if kind == "data":
        chosen = distribution.DataParallel(devices=devices)
    else:
        mesh = distribution.DeviceMesh((count // 2, 2), ["batch", "model"], devices)
        layout = distribution.LayoutMap(mesh)
        layout["dense.*kernel"] = (None, "model")
        chosen = distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    distribution.set_distribution(chosen)
    yield chosen
    distribution.set_distribution(None)


def spreads(*counts):
    """Gives a test both kinds of `keras.distribution` over some numbers of devices."""
    pairs = list(itertools.product(("data", "model"), counts))
    return pytest.mark.parametrize("spread", pairs, indirect=True, ids=str)


@pytest.mark.usefixtures("spread")
@spreads(4, 8)
@every_layer
def test_devices_hand_off_exactly(method):
    images, labels, weights = answering(64)
    layer = LAYERS[method]()
    model = compiled(revealing(layer), layer, "xla")
    fit = model.fit(images, labels, 32, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


def collectives(layer, spread, batch=16):
    """Returns what the compiled call of a layer exchanges between devices."""
    mesh = spread.device_mesh.backend_mesh
    sharded = NamedSharding(mesh, PartitionSpec("batch"))
    images = jax.device_put(answering(batch)[0], sharded)
    built(layer)

    def call(state, images):
        return layer.stateless_call([], state, images, training=True)

    jitted = jax.jit(call, out_shardings=(sharded, None))
    state = values(layer.non_trainable_variables)
    text = jitted.lower(state, images).compile().as_text()
    kinds = "all-gather|all-to-all|all-reduce|collective-permute|reduce-scatter"
    return re.findall(rf"= (\w+\[[\d,]*\])\S* (?:{kinds})(?:-start)?\(", text)


def of_images(found):
    """Returns the exchanged arrays of the images' rank."""
    return [shape for shape in found if shape.count(",") == 3]


@pytest.mark.parametrize(
    ("name", "pairing"),
    [
        *((name, "shuffle") for name in cases.METHODS),
        *(("cutmix", pairing) for pairing in ("derangement", "reverse", "roll")),
    ],
)
@spreads(4, 8)
def test_groups_of_the_devices_exchange_no_images(spread, name, pairing):
    # By default there are as many groups as devices.
    layer = cases.make(name, pairing=pairing)
    assert of_images(collectives(layer, spread)) == []


@spreads(4, 8)
def test_devices_with_one_sample_each_are_no_groups(spread):
    parts, layer = spread.device_mesh.shape[0], cases.make("mixup")
    batches = (2 * parts - 1, 2 * parts)
    found = [_planning.count_groups(layer, x, np.zeros(1)) for x in batches]
    assert found == [1, parts]


@spreads(4, 8)
def test_one_group_exchanges_images(spread):
    layer = cases.make("cutmix", groups=1)
    found = of_images(collectives(layer, spread))
    if isinstance(spread, distribution.DataParallel):
        assert found == ["f32[16,8,8,2]"]
    assert found  # Over two axes in two steps.


@spreads(4, 8)
def test_shards_draw_different_numbers(spread):
    images = cases.images(64, SIZE)
    layer = cases.make("mixup", targets="pair")
    _, packed = layer(images, np.arange(64))
    packed = np.asarray(packed)
    parts = spread.device_mesh.shape[0]
    place = packed[:, :2] // (64 // parts)
    assert np.array_equal(place[:, 0], place[:, 1])  # In their own shard.
    drawn = np.split(packed[:, 2], parts)
    assert len({part.tobytes() for part in drawn}) == parts


class Guided(keras.Model):
    """A model with the step of Keras's guide for JAX.

    Args:
        right: Whether its loss is given what `stateless_call` returns.
    """

    def __init__(self, *args, right=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.right = right

    def compute_loss_and_updates(self, trainable, state, metrics, x, y):
        y_pred, state = self.stateless_call(trainable, state, x, training=True)
        if not self.right:
            return self.compute_loss(x, y, y_pred), (y_pred, state)
        loss, (_, state, _) = self.stateless_compute_loss(
            trainable, state, metrics, x=x, y=y, y_pred=y_pred
        )
        return loss, (y_pred, state)

    def train_step(self, state, data):
        trainable, fixed, optimizer, metrics = state
        gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (_, fixed)), gradients = gradient(trainable, fixed, metrics, *data[:2])
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        return {"loss": loss}, (trainable, fixed, optimizer, metrics)


def guided(layer, right):
    inputs = keras.Input((*SIZE, 2))
    means = keras.layers.GlobalAveragePooling2D()(layer(inputs))
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")
    model = Guided(inputs, dense(means), right=right)
    model.compile(keras.optimizers.SGD(0.0), HandedOff(layer))
    return model


def test_a_train_step_that_drops_the_state_names_the_remedy():
    images, labels, _ = answering(8)
    model = guided(msda.HMixLayer(seed=1), right=False)
    # Once: when a step has failed Keras does not give its variables back their values.
    with pytest.raises(ValueError, match=r"self\.stateless_compute_loss\(") as caught:
        model.fit(images, labels, verbose=0)
    assert "memory: in a `train_step` of JAX the loss must" in str(caught.value)
    assert "Received: a loss outside of a stateless call." in str(caught.value)


def test_a_train_step_with_the_remedy_hands_off_exactly():
    images, labels, _ = answering(16)
    images = images / images[..., 1:]  # Of sample weights of 1.
    model = guided(msda.HMixLayer(seed=1), right=True)
    fit = model.fit(images, labels, 8, verbose=0)
    assert np.max(fit.history["loss"]) < EXACT


def test_an_accuracy_of_own_labels_needs_no_loss_of_the_layer():
    images, ids = cases.images(8, SIZE), np.arange(8) % 3
    layer = msda.MixUpLayer(targets="own", seed=1)
    inputs = keras.Input((*SIZE, images.shape[-1]))
    pixels = keras.layers.GlobalAveragePooling2D()(layer(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pixels))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=[layer.accuracy()])
    history = model.fit(images, ids, batch_size=4, verbose=0).history
    values = [values for name, values in history.items() if name != "loss"]
    assert np.all(np.isfinite(values))
