"""Law 8: a loss uses the partners and weights of this very step and replica.

How a test sees that is told in `tests/support/handing_off.py`.
"""

import concurrent.futures
import itertools
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_msda as msda
from tests.support import layer_cases as cases
from tests.support.handing_off import (
    CLASSES,
    EXACT,
    LAYERS,
    MODES,
    WRONG,
    answering,
    assert_handed_off,
    assert_step_handed_off,
    compiled,
    every_layer,
    graphs,
    residual,
    revealing,
    unaware,
)
from tests.support.marks import parametrize

pytestmark = pytest.mark.every_backend


@pytest.mark.long
@pytest.mark.whole
@parametrize("mode", MODES)
@every_layer
def test_fit_hands_off_exactly(method, mode):
    # 61 leave 5 for the last batch of 8. Other modes would be traced anew for it.
    images, labels, weights = answering(61 if mode in ("eager", "graph") else 32)
    layer = LAYERS[method]()
    model = compiled(revealing(layer), layer, mode)
    fit = model.fit(images, labels, 8, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


@pytest.mark.tensorflow
@pytest.mark.xla
def test_a_partial_last_batch_hands_off_exactly_under_xla():
    images, labels, weights = answering(13)
    layer = msda.HMixLayer(seed=7, pairing="roll")
    model = compiled(revealing(layer), layer, "xla")
    fit = model.fit(images, labels, 8, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


def two_sizes():
    """Yields batches of 8 in two sizes in turn, without end."""
    for number in itertools.count():
        yield answering(8, ((8, 8), (5, 12))[number % 2], seed=number)


@parametrize(
    ("method", "mode"),
    [(method, "graph") for method in LAYERS]
    + [("hmix", mode) for mode in ("xla",) if mode in MODES],
)
def test_two_image_sizes_in_turn_hand_off_exactly(method, mode):
    layer = LAYERS[method](pairing="roll" if mode == "xla" else "shuffle")
    model = compiled(revealing(layer, size=(None, None)), layer, mode)
    fit = model.fit(two_sizes(), steps_per_epoch=4, shuffle=False, verbose=0)
    assert_handed_off(fit.history)


@pytest.mark.long
@pytest.mark.parametrize(
    "layer",
    # One draw for all is a static length beside sizes that are not.
    [msda.CutMixLayer(seed=8), msda.FMixLayer(per="batch", seed=8)],
    ids=["cutmix", "fmix-of-a-batch"],
)
def test_two_image_sizes_hand_off_exactly_by_train_on_batch(layer):
    model = compiled(revealing(layer, size=(None, None)), layer)
    for images, labels, weights in itertools.islice(two_sizes(), 4):
        logs = model.train_on_batch(images, labels, weights, return_dict=True)
        assert logs["loss"] < EXACT
        assert logs["unaware"] > WRONG


@pytest.mark.long
@parametrize(
    ("method", "jit"),
    [(method, False) for method in LAYERS] + [("mixup", True), ("gmix", True)],
)
@pytest.mark.tensorflow
def test_a_step_written_by_hand_hands_off_exactly(method, jit):
    layer = LAYERS[method](pairing="derangement")
    loss = layer.loss(residual, reduction="none")
    head = tf.Variable(tf.eye(2))

    @tf.function(jit_compile=jit)
    def step(images, labels, weights):
        with tf.GradientTape() as tape:
            mixed = layer(images, training=True)
            outputs = tf.reduce_mean(mixed, [1, 2]) @ head
            values = loss(labels, outputs, weights)
        return values, tape.gradient(values, head), unaware(labels, outputs)

    for seed in range(3):
        values, gradient, control = step(*answering(8, seed=seed))
        np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)
        assert np.all(np.isfinite(gradient))
        assert np.mean(control) > WRONG


@pytest.mark.parametrize("pairing", ["shuffle", "derangement", "reverse", "roll"])
@pytest.mark.parametrize("groups", [None, 3])
def test_every_pairing_hands_off_exactly(pairing, groups):
    layer = msda.HMixLayer(seed=9, pairing=pairing, groups=groups)
    assert_step_handed_off(layer, *answering(16))


@pytest.mark.parametrize("per", ["sample", "pair", "batch"])
@every_layer
def test_every_sharing_of_draws_hands_off_exactly(method, per):
    # An odd batch: with "pair", one sample stays alone.
    assert_step_handed_off(LAYERS[method](per=per), *answering(15))


@pytest.mark.parametrize(
    ("method", "border"),
    [
        *itertools.product(["cutmix", "hmix"], ["clip", "wrap", "inside"]),
        ("gmix", "clip"),
        ("gmix", "wrap"),
    ],
)
def test_every_border_hands_off_exactly(method, border):
    layer = LAYERS[method](border=border)
    assert_step_handed_off(layer, *answering(16, (5, 12)))


@pytest.mark.parametrize(
    "layer",
    [
        msda.MixUpLayer((0.4, 2.0), seed=1),
        msda.MixUpLayer(probability=0.5, seed=2),
        msda.CutMixLayer(ratio_range=(0.2, 0.8), seed=3),
        msda.HMixLayer(0.2, box_ratio=0.9, seed=4),
        msda.FMixLayer(max_soft=0.3, spectrum="official", seed=5),
        msda.RandomMixLayer(
            [msda.GMixLayer(), msda.CutMixLayer()], [1, 2], per="sample", seed=6
        ),
    ],
    ids=["pair-of-alphas", "probability", "ratio", "box", "soft", "weights"],
)
def test_arguments_that_change_the_distribution_hand_off_exactly(layer):
    assert_step_handed_off(layer, *answering(16))


@pytest.mark.parametrize("size", [(31,), (5, 12), (6, 7, 8)], ids=str)
@every_layer
def test_signals_images_and_volumes_hand_off_exactly(method, size):
    assert_step_handed_off(LAYERS[method](), *answering(16, size))


def test_channels_first_hands_off_exactly():
    images, labels, weights = answering(16, (5, 12))
    layer = msda.CutMixLayer(seed=10, data_format="channels_first")
    assert_step_handed_off(layer, np.moveaxis(images, -1, 1), labels, weights)


def test_sample_weights_may_be_a_column():
    images, labels, weights = answering(16)
    layer = msda.HMixLayer(seed=11)
    assert_step_handed_off(layer, images, labels[:, None], weights[:, None])


@pytest.mark.parametrize(
    ("method", "sync"),
    # Synchronised is the harder kind: a replica's call is traced before another's loss.
    [(method, True) for method in LAYERS] + [("hmix", False), ("fmix", False)],
)
@pytest.mark.tensorflow
@pytest.mark.xla
def test_replicas_of_a_mirrored_strategy_hand_off_exactly(two_replicas, method, sync):
    images, labels, weights = answering(61)
    with two_replicas.scope():
        layer = LAYERS[method]()
        model = compiled(revealing(layer, sync=sync), layer)
    # 61 leave 13 for the last batch of 16: 7 for one replica, 6 for the other.
    fit = model.fit(images, labels, 16, verbose=0, sample_weight=weights)
    assert_handed_off(fit.history)


@pytest.mark.tensorflow
@pytest.mark.xla
def test_replicas_draw_different_numbers(two_replicas):
    images = answering(16)[0]
    with two_replicas.scope():
        layer = msda.MixUpLayer(seed=12)
        layer.build(images.shape)

    @tf.function
    def step():
        layer(images, training=True)
        plan = layer.replay(16)
        return plan.partner, plan.weight

    partner, weight = two_replicas.run(step)
    (first, second), (one, other) = partner.values, weight.values
    assert np.any(first.numpy() != second.numpy())
    # Of 65,536 equally likely values, 16 pairs share one with a chance of 1 in 4,096.
    assert np.all(one.numpy() != other.numpy())


@pytest.mark.long
@parametrize("mode", [x for x in ("graph", "steps") if x in MODES])
def test_validation_inside_fit_is_plain_and_training_goes_on_mixed(mode):
    images, labels, weights = answering(48)
    layer = msda.CutMixLayer(seed=13)
    model = compiled(revealing(layer), layer, mode)
    data = (images[:32], labels[:32], weights[:32])
    fit = model.fit(
        data[0],
        data[1],
        8,
        epochs=3,
        sample_weight=data[2],
        validation_data=(images[32:], labels[32:], weights[32:]),
        verbose=0,
    )
    history = fit.history
    assert_handed_off(history)
    # Unmixed images carry the answer that their own label alone gives.
    assert np.max(history["val_unaware"]) < EXACT
    assert np.max(history["val_loss"]) < EXACT


def classifying(layer):
    """Returns a classifier with a mixing layer, and the same without it."""
    inputs = keras.Input((8, 8, 2))
    rest = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(CLASSES, activation="softmax")]
    )
    return keras.Model(inputs, rest(layer(inputs))), keras.Model(inputs, rest(inputs))


def test_evaluate_equals_the_plain_loss_and_accuracy():
    images, labels, weights = answering(61)
    layer = msda.GMixLayer(seed=14)
    model, plain = classifying(layer)
    model.compile(
        keras.optimizers.SGD(0.1),
        layer.loss("sparse_categorical_crossentropy"),
        weighted_metrics=[layer.accuracy()],
        jit_compile=False,
    )
    plain.compile(
        loss="sparse_categorical_crossentropy",
        weighted_metrics=["sparse_categorical_accuracy"],
        jit_compile=False,
    )
    model.fit(images, labels, 8, epochs=2, verbose=0, sample_weight=weights)
    mixed = model.evaluate(images, labels, 8, verbose=0, sample_weight=weights)
    expected = plain.evaluate(images, labels, 8, verbose=0, sample_weight=weights)
    # Bit for bit: the share of the own label is 1, and blending at 1 selects.
    np.testing.assert_array_equal(mixed, expected)


@pytest.mark.long
def test_predict_equals_the_model_without_the_layer():
    images, labels, _ = answering(61)
    layer = msda.FMixLayer(seed=15)
    model, plain = classifying(layer)
    model.compile("sgd", layer.loss("sparse_categorical_crossentropy"))
    model.fit(images[:16], labels[:16], 8, verbose=0)
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), plain.predict(images, verbose=0)
    )


@pytest.mark.long
@parametrize("mode", [x for x in ("graph", "xla") if x in MODES])
def test_the_accuracy_counts_each_label_with_its_weight(mode):
    # The output is the mean of one-hot images, the mixed label itself, so that the
    # choice is the label of the larger weight and scores that weight.
    labels = np.random.default_rng(16).permutation(32).astype("int32")
    images = np.broadcast_to(np.eye(32)[labels][:, None, None], (32, 8, 8, 32))
    layer = msda.HMixLayer(seed=16)
    inputs = keras.Input((8, 8, 32))
    means = keras.layers.GlobalAveragePooling2D()(layer(inputs))
    outputs = keras.layers.Dense(32, use_bias=False, kernel_initializer="identity")
    model = keras.Model(inputs, outputs(means))

    def largest(_, y_pred):
        return ops.max(y_pred, -1)

    model.compile(
        keras.optimizers.SGD(0.0),
        layer.loss("sparse_categorical_crossentropy"),
        metrics=[layer.accuracy(), largest, "sparse_categorical_accuracy"],
        **MODES[mode],
    )
    history = model.fit(images.astype("float32"), labels, 8, verbose=0).history
    # Means of 64 float32 pixels in [0, 1] against weights of the same.
    np.testing.assert_allclose(
        history["accuracy"], history["largest"], rtol=0, atol=1e-6
    )
    plain = np.array(history["sparse_categorical_accuracy"])
    assert np.min(np.abs(plain - history["largest"])) > WRONG


@pytest.mark.long
@graphs
def test_a_loss_whose_layer_was_never_called_is_nan(graph):
    layer = msda.CutMixLayer(seed=17)
    loss, metric = layer.loss(residual), layer.accuracy()

    def step():
        metric.update_state(np.array([1, 2]), np.ones((2, 5), "float32"))
        return loss(np.array([1, 2]), np.ones((2, 2), "float32"))

    assert np.isnan(float(tf.function(step)() if graph else step()))
    assert np.isnan(float(metric.result()))


@pytest.mark.long
@graphs
@pytest.mark.parametrize("training", [False, True])
def test_a_loss_of_another_batch_than_the_call_is_nan(graph, training):
    images, labels, _ = answering(8)
    layer = msda.HMixLayer(seed=20)
    loss, metric = layer.loss(residual), layer.accuracy()
    layer(images, training=training)

    def step():
        metric.update_state(labels[:6], np.ones((6, CLASSES), "float32"))
        return loss(labels[:6], np.ones((6, 2), "float32"))

    assert np.isnan(float(tf.function(step)() if graph else step()))
    assert np.isnan(float(metric.result()))


def test_the_last_of_two_calls_counts():
    images, labels, weights = answering(8)
    layer = msda.HMixLayer(seed=21)
    layer(images[::-1], training=True)
    outputs = ops.mean(layer(images, training=True), [1, 2])
    values = layer.loss(residual, reduction="none")(labels, outputs, weights)
    np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)


def in_two_threads(work):
    """Returns the results of work(0) and work(1), each in a thread of its own."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, range(2)))


def waiting(barrier, values):
    """Returns the values when both threads have come so far."""
    if cases.BACKEND != "tensorflow":
        barrier.wait(60)
        return values

    def wait():
        barrier.wait(60)
        return np.int64(0)

    with tf.control_dependencies([values]):
        both = tf.numpy_function(wait, [], tf.int64)
    with tf.control_dependencies([both]):
        return tf.identity(values)


@pytest.mark.long
@graphs
def test_two_threads_train_by_one_layer(graph):
    layer = msda.HMixLayer(seed=23, pairing="derangement")
    layer.build((None, 8, 8, 2))
    layer.built = True
    loss = layer.loss(residual, reduction="none")
    barrier = threading.Barrier(2)

    def train(number):
        def step(images, labels, weights):
            outputs = ops.mean(layer(images, training=True), [1, 2])
            # From here on the layer has been called by the other thread, too.
            outputs = waiting(barrier, outputs)
            with tf.control_dependencies([outputs] if graph else []):
                return outputs, loss(labels, outputs, weights)

        step = tf.function(step) if graph else step
        batches = [answering(8, seed=10 * number + n) for n in range(3)]
        return [[cases.array(x) for x in step(*batch)] for batch in batches]

    first, second = in_two_threads(train)
    for outputs, values in first + second:
        np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)
        assert np.all(np.isfinite(outputs))
    # And neither has drawn what the other has.
    drawn = [outputs.tobytes() for outputs, _ in first + second]
    assert len(set(drawn)) == 6


@pytest.mark.long
@parametrize("mode", [x for x in ("graph", "steps") if x in MODES])
def test_two_models_train_by_one_layer_in_turn(mode):
    layer = msda.GMixLayer(seed=24)
    models = [compiled(revealing(layer), layer, mode) for _ in range(2)]
    for epoch in range(2):
        for number, model in enumerate(models):
            images, labels, weights = answering(32, seed=10 * epoch + number)
            fit = model.fit(images, labels, 8, verbose=0, sample_weight=weights)
            assert_handed_off(fit.history)


def test_calls_with_labels_leave_the_loss_of_the_model_alone():
    # The same layer may serve a pipeline; only calls with images alone count.
    images, labels, weights = answering(8)
    layer = msda.HMixLayer(seed=22, num_classes=CLASSES)
    outputs = ops.mean(layer(images, training=True), [1, 2])
    layer(images[:3], labels[:3])
    values = layer.loss(residual, reduction="none")(labels, outputs, weights)
    np.testing.assert_allclose(values, np.zeros(8), rtol=0, atol=EXACT)
