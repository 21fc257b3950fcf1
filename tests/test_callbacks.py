"""Schedules, wherever the layer that they change was traced already."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_msda as msda
from keras_msda import sampling
from tests.support.errors import check_error
from tests.support.marks import parametrize

# What the layers draw shows in images alone, and losses here do not matter.
pytestmark = pytest.mark.filterwarnings("ignore::keras_msda.MixWarning")

BATCH = 16
SIZE = (4, 4)


def shown(images):
    """Returns the share of the own image: image i is 1 in channel i."""
    return np.einsum("i...i->i...", np.asarray(images)).reshape(BATCH, -1).mean(1)


def signatures():
    eye = np.eye(BATCH, dtype=np.float32).reshape(BATCH, 1, 1, BATCH)
    return np.broadcast_to(eye, (BATCH, *SIZE, BATCH)).copy()


def layer_of(**settings):
    return msda.MixUpLayer(pairing="derangement", seed=1, **settings)


CALLS = {
    "eager": lambda layer: lambda x: layer(x, training=True),
    "graph": lambda layer: tf.function(lambda x: layer(x, training=True)),
    "compiled": lambda layer: tf.function(
        lambda x: layer(x, training=True), jit_compile=True
    ),
}


@parametrize("world", CALLS)
def test_a_new_probability_takes_effect_after_tracing(world):
    layer = layer_of()
    call, images = CALLS[world](layer), tf.constant(signatures())
    assert np.all(shown(call(images)) < 1)
    layer.probability = 0.0
    np.testing.assert_array_equal(call(images), images)
    layer.probability = 1.0
    assert np.all(shown(call(images)) < 1)


@parametrize("world", CALLS)
def test_a_new_alpha_takes_effect_after_tracing(world):
    layer = layer_of(alpha=1.0)
    call, images = CALLS[world](layer), tf.constant(signatures())
    call(images)
    layer.alpha = 5000.0  # Hardly anything but 1/2: a deviation of 0.005.
    np.testing.assert_allclose(shown(call(images)), 0.5, rtol=0, atol=0.05)
    layer.alpha = (5000.0, 50.0)
    np.testing.assert_allclose(shown(call(images)), 5000 / 5050, rtol=0, atol=0.01)


def test_the_alpha_of_a_choice_is_that_of_its_layers():
    member = msda.MixUpLayer()
    layer = msda.RandomMixLayer([member], per="sample", pairing="derangement", seed=1)
    call = tf.function(lambda x: layer(x, training=True))
    images = tf.constant(signatures())
    call(images)
    schedule = msda.MixSchedule(member, alpha={0: 1.0, 3: 5000.0})
    schedule.set(3)
    np.testing.assert_allclose(shown(call(images)), 0.5, rtol=0, atol=0.05)


@pytest.mark.parametrize("targets", ["soft", "own"])
def test_a_scheduled_alpha_draws_as_one_given_at_first(targets):
    first, second = layer_of(alpha=0.3, targets=targets), layer_of(targets=targets)
    second.alpha = 0.3
    plans = [layer.sample(64, SIZE, seed=(1, 2)) for layer in (first, second)]
    np.testing.assert_array_equal(plans[0].weight, plans[1].weight)
    table = sampling.beta_table(0.3, 0.3, reformulated=targets == "own")
    assert np.isin(plans[1].weight, table).all()


def test_a_running_pipeline_follows():
    layer = layer_of()
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    data = tf.data.Dataset.from_tensors(signatures()).repeat()
    data = data.map(lambda x: layer(x, training=True)).with_options(options)
    batches = iter(data)
    assert np.all(shown(next(batches)) < 1)
    layer.probability = 0.0
    np.testing.assert_array_equal(next(batches), signatures())
    layer.probability, layer.alpha = 1.0, 5000.0
    np.testing.assert_allclose(shown(next(batches)), 0.5, rtol=0, atol=0.05)


def test_prefetched_batches_lag_behind():
    layer = layer_of()
    data = tf.data.Dataset.from_tensors(signatures()).repeat(20)
    mixed = data.map(lambda x: layer(x, training=True)).prefetch(2)
    batches = iter(mixed)
    next(batches)
    layer.probability = 0.0
    left = [np.all(shown(x) == 1) for x in batches]
    # Two wait in the buffer, and one more may be on its way into it.
    assert all(left[3:])


def model_of(layer, **settings):
    """Returns a model whose metric is the mean share of the own image."""
    inputs = keras.Input((*SIZE, BATCH))
    means = keras.layers.GlobalAveragePooling2D()(layer(inputs))
    outputs = keras.layers.Dense(BATCH, use_bias=False, kernel_initializer="identity")(
        means
    )
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[share], **settings)
    return model


def share(labels, outputs):
    return keras.ops.sum(labels * outputs, -1)


@pytest.mark.long
@parametrize("jit", [False, True], ids=["graph", "xla"])
def test_fit_follows_a_table_of_epochs(jit):
    layer = layer_of()
    model = model_of(layer, jit_compile=jit)
    schedule = msda.MixSchedule(layer, probability={1: 0.0, 3: 1.0})
    history = model.fit(
        signatures(), np.eye(BATCH), BATCH, 4, verbose=0, callbacks=[schedule]
    ).history["share"]
    np.testing.assert_allclose(history[1:3], 1, rtol=0, atol=1e-6)
    assert max(history[0], history[3]) < 0.9


def test_the_mixup_off_epoch_of_timm_is_one_line():
    layer = layer_of()
    off = msda.MixSchedule(layer, probability={2: 0.0})
    history = (
        model_of(layer)
        .fit(signatures(), np.eye(BATCH), BATCH, 4, verbose=0, callbacks=[off])
        .history["share"]
    )
    assert max(history[:2]) < 0.9
    np.testing.assert_allclose(history[2:], 1, rtol=0, atol=1e-6)


class Seen(keras.callbacks.Callback):
    """Notes the layer's probability when each batch ends."""

    def __init__(self, layer):
        super().__init__()
        self.mix, self.values = layer, []

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        self.values.append(self.mix.probability)


def fitted(model, layer, schedule, **settings):
    seen = Seen(layer)
    images = np.concatenate([signatures()] * 3)
    labels = np.concatenate([np.eye(BATCH)] * 3)
    callbacks = [schedule, seen]
    model.fit(images, labels, BATCH, verbose=0, callbacks=callbacks, **settings)
    return seen.values


@pytest.mark.long
def test_steps_count_on_from_epoch_to_epoch():
    layer = layer_of()
    schedule = msda.MixSchedule(layer, probability=lambda x: x / 8, by="step")
    values = fitted(model_of(layer), layer, schedule, epochs=2)
    assert values == [step / 8 for step in range(6)]


@pytest.mark.long
def test_a_resumed_run_goes_on_by_step(tmp_path):
    layer = layer_of()
    model = model_of(layer)
    schedule = msda.MixSchedule(layer, probability=lambda x: x / 8, by="step")
    fitted(model, layer, schedule)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"share": share}
    )
    again = loaded.layers[1]
    schedule = msda.MixSchedule(again, probability=lambda x: x / 8, by="step")
    assert fitted(loaded, again, schedule) == [3 / 8, 4 / 8, 5 / 8]


def test_a_resumed_run_goes_on_by_epoch():
    layer = layer_of()
    schedule = msda.MixSchedule(layer, probability=[0.0, 0.25, 0.5])
    settings = {"initial_epoch": 1, "epochs": 4}
    values = fitted(model_of(layer), layer, schedule, **settings)
    assert values == [0.25] * 3 + [0.5] * 6


def test_accumulated_gradients_do_not_slow_the_steps():
    layer = layer_of()
    model = model_of(layer)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=3)
    model.compile(optimizer, "mse")
    schedule = msda.MixSchedule(layer, probability=lambda x: x / 8, by="step")
    assert fitted(model, layer, schedule, epochs=2) == [x / 8 for x in range(6)]


@pytest.mark.long
@pytest.mark.parametrize("scaled", [False, True])
def test_steps_count_batches_where_accumulation_does_not_divide_an_epoch(
    tmp_path, scaled
):
    layer = layer_of()
    model = model_of(layer)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse")
    schedule = msda.MixSchedule(layer, probability=lambda x: x / 32, by="step")
    # 3 steps an epoch.
    assert fitted(model, layer, schedule, epochs=3) == [x / 32 for x in range(9)]
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    layer = model.layers[1]
    schedule = msda.MixSchedule(layer, probability=lambda x: x / 32, by="step")
    found = fitted(model, layer, schedule, epochs=2)
    assert found == [x / 32 for x in range(9, 15)]


@pytest.mark.long
def test_a_learning_rate_schedule_of_keras_is_a_schedule():
    layer = layer_of()
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    schedule = msda.MixSchedule(layer, probability=decay, by="step")
    values = fitted(model_of(layer), layer, schedule, epochs=2)
    # Computed in float32 by Keras.
    np.testing.assert_allclose(values, [1, 0.75, 0.5, 0.25, 0, 0], rtol=0, atol=1e-6)


@pytest.mark.xla
def test_replicas_follow(two_replicas):
    with two_replicas.scope():
        layer = layer_of()
        model = model_of(layer)
    schedule = msda.MixSchedule(layer, probability={1: 0.0}, alpha={0: 0.5})
    history = model.fit(
        signatures(), np.eye(BATCH), BATCH, 2, verbose=0, callbacks=[schedule]
    ).history["share"]
    assert history[0] < 0.9
    np.testing.assert_allclose(history[1], 1, rtol=0, atol=1e-6)


def test_values_are_a_function_of_the_position_alone():
    layer = layer_of(probability=0.75)
    schedule = msda.MixSchedule(
        layer, probability={2: 0.5, 5: 0.0}, alpha=[(1, 2), 3.0]
    )
    expected = [0.75, 0.75, 0.5, 0.5, 0.5, 0.0, 0.0]
    for order in (range(7), reversed(range(7))):
        for position in order:
            schedule.set(position)
            assert layer.probability == expected[position]
            assert layer.alpha == ((1, 2) if position == 0 else 3)


def test_a_scheduled_layer_is_saved_and_cloned_with_its_present_values():
    layer = layer_of()
    msda.MixSchedule(layer, probability={0: 0.25}, alpha={0: 0.5}).set(0)
    copy = msda.MixUpLayer.from_config(layer.get_config())
    assert (copy.probability, copy.alpha) == (0.25, 0.5)


def test_schedules_are_no_weights():
    layer = layer_of()
    assert layer.weights == []
    # Steps read them all the same.
    names = ["seed_state", "memory", "probability", "lam_table_mixed"]
    assert [x.name for x in layer.variables] == names


WRONG = [
    (lambda: msda.MixSchedule("mixup", probability=[1.0]), TypeError, "`layer` must"),
    (lambda: msda.MixSchedule(layer_of()), ValueError, "there is nothing to schedule."),
    *(
        (
            lambda table=table: msda.MixSchedule(layer_of(), probability=table),
            ValueError,
            "`probability` must be a function, a table",
        )
        for table in (0.5, "off", {}, [], {-1: 0.5}, {0.5: 0.5})
    ),
    (
        lambda: msda.MixSchedule(layer_of(), probability=[1.5]),
        ValueError,
        "`probability` must be a number in [0, 1].",
    ),
    (
        lambda: msda.MixSchedule(layer_of(), alpha={0: 0.0}),
        ValueError,
        "`alpha` must be a positive finite number or a pair of them.",
    ),
    (
        lambda: msda.MixSchedule(layer_of(), alpha=lambda _: -1).set(3),
        ValueError,
        "`alpha` must be a positive finite number or a pair of them.",
    ),
    (
        lambda: msda.MixSchedule(msda.RandomMixLayer([msda.MixUpLayer()]), alpha=[1.0]),
        ValueError,
        "the layers of a RandomMixLayer draw lambda.",
    ),
    (
        lambda: msda.MixSchedule(layer_of(), probability=[1.0], by="batch"),
        ValueError,
        "`by` must be one of",
    ),
]


@pytest.mark.parametrize(("call", "kind", "rule"), WRONG)
def test_a_schedule_that_cannot_be_is_refused(call, kind, rule):
    check_error(call, r"MixSchedule( at \d+)?", kind, rule, "")


@pytest.mark.parametrize(("name", "value"), [("probability", 2), ("alpha", 0)])
def test_a_wrong_value_leaves_the_layer_as_it_was(name, value):
    layer = layer_of()
    before = layer.get_config()
    with pytest.raises(ValueError, match=f"MixUpLayer: `{name}` must"):
        setattr(layer, name, value)
    assert layer.get_config() == before


def test_a_choice_has_no_alpha_to_set():
    layer = msda.RandomMixLayer([msda.MixUpLayer()])
    with pytest.raises(ValueError, match="RandomMixLayer: `alpha` belongs to each"):
        layer.alpha = 0.5
