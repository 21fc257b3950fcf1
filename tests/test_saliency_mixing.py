"""Training on mixes placed by the gradient: the step, its modes and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda.layers import _adversarial
from keras_msda.models import _saliency_pass
from tests.support.brighter_layer import BrighterLayer
from tests.support.errors import check_error
from tests.support.marks import parametrize

BACKEND = keras.config.backend()
SIZE, CHANNELS, CLASSES = (4, 4), 2, 3
LOSS = {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}


def mixer(**settings):
    return BrighterLayer(**({"num_classes": CLASSES, "seed": 1} | settings))


def small(*, seed=3, rest=(), dtype=None):
    """Returns a backbone with batch normalisation; others have its weights."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((*SIZE, CHANNELS)),
            layers.Conv2D(3, 3, activation="tanh", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            *rest,
            layers.Flatten(dtype=dtype),
            layers.Dense(CLASSES, dtype=dtype),
        ]
    )


def compiled(model, *, rate=0.5, momentum=0.0, loss=LOSS, **options):
    options = {"run_eagerly": BACKEND != "jax"} | options
    model.compile(
        keras.optimizers.SGD(rate, momentum), keras.losses.get(loss), **options
    )
    return model


def mixing(backbone=None, layer=None, **settings):
    backbone = small() if backbone is None else backbone
    return msda.SaliencyMixing(backbone, layer or mixer(), **settings)


def batch(count=5, seed=0):
    """Returns images, class ids and sample weights."""
    rng = np.random.default_rng(seed)
    return (
        rng.random((count, *SIZE, CHANNELS), "float32"),
        rng.integers(0, CLASSES, count).astype("int32"),
        rng.uniform(0.5, 1.5, count).astype("float32"),
    )


def one_hot(ids):
    return np.eye(CLASSES, dtype="float32")[ids]


def numbers(values):
    return [np.array(ops.convert_to_numpy(value)) for value in values]


def saliency_of(model, images, labels, **options):
    found = msda.loss_saliency(
        model, images, labels=labels, loss=keras.losses.get(LOSS), **options
    )
    return ops.convert_to_numpy(found)


# The functional form.


def linear():
    """Returns a model without bias, and its weights of each pixel and channel."""
    model = keras.Sequential(
        [
            keras.Input((*SIZE, CHANNELS)),
            layers.Flatten(),
            layers.Dense(CLASSES, use_bias=False),
        ]
    )
    weights = np.random.default_rng(5).normal(size=(32, CLASSES)).astype("float32")
    model.set_weights([weights])
    return model, weights


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_saliency_of_a_linear_model_is_that_of_its_formula(data_format):
    model, weights = linear()
    images, ids, _ = batch()
    logits = images.reshape(5, -1) @ weights
    gradient = ((softmax(logits) - one_hot(ids)) @ weights.T).reshape(5, 4, 4, 2)
    axis = 3
    if data_format == "channels_first":  # The same numbers, read in another way.
        axis, gradient = 1, gradient.reshape(5, 4, 4, 2)
    expected = np.sqrt((gradient**2).mean(axis))
    found = saliency_of(model, images, one_hot(ids), data_format=data_format)
    assert_allclose(found, expected, rtol=2e-5)


def test_saliency_is_the_difference_quotient_of_the_loss():
    model, (images, ids, _) = small(), batch(2)
    loss = keras.losses.get(LOSS)
    moves = 1e-2 * np.eye(32, dtype="float32").reshape(32, *images.shape[1:])
    expected = []
    for image, label in zip(images, one_hot(ids), strict=True):
        points = np.concatenate([image + moves, image - moves])
        values = loss.call(np.tile(label, (64, 1)), model(points, training=False))
        upper, lower = ops.convert_to_numpy(values).reshape(2, *image.shape)
        expected.append(np.sqrt((((upper - lower) / 2e-2) ** 2).mean(-1)))
    found = saliency_of(model, images, one_hot(ids))
    assert_allclose(found, expected, rtol=0.02, atol=2e-4)


def test_saliency_changes_no_variable_in_training_mode():
    model = small(rest=[layers.Dropout(0.5, seed=4)])
    before = numbers(model.variables)
    images, ids, _ = batch()
    found = saliency_of(model, images, one_hot(ids), training=True)
    for old, new in zip(before, numbers(model.variables), strict=True):
        assert_array_equal(new, old)
    # Batch statistics are those of training mode all the same.
    assert np.abs(found - saliency_of(model, images, one_hot(ids))).max() > 1e-3


def test_gradients_whose_squares_are_too_small_for_float32_have_saliency():
    gradient = np.array([[[3e-30, 4e-30]], [[0, 0]], [[np.nan, 1]], [[np.inf, 1]]])
    found = _saliency_pass.to_saliency(
        ops.convert_to_tensor(gradient, "float32"), "channels_last"
    )
    tiny, zero, *unknown = ops.convert_to_numpy(found)[:, 0]
    assert_allclose([tiny, zero], [3.5355339e-30, 0.0], rtol=1e-6)
    assert not np.isfinite(unknown).any()


# One step.


def test_a_step_is_one_by_hand():
    images, ids, weights = batch()
    model = compiled(mixing(), momentum=0.9)
    plain, layer = compiled(small(), momentum=0.9), mixer()
    for _ in "ab":
        # The compiled loss has the weights, which scale the gradient of a sample.
        saliency = saliency_of(plain, images, one_hot(ids)) * weights[:, None, None]
        given = {"images": images, "labels": ids, "sample_weight": weights}
        mixed = layer(given | {"saliency": saliency}, training=True)
        mixed = [mixed[key] for key in given]
        expected = plain.train_on_batch(*numbers(mixed))
        found = model.train_on_batch(images, ids, sample_weight=weights)
        assert_allclose(found, expected, rtol=1e-5)
    for own, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert_allclose(own, other, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@parametrize("jit", [False, True] if BACKEND != "torch" else [False])
def test_the_unmixed_loss_adds_its_gradient_by_its_weight(jit):
    images, ids, _ = batch()
    options = {"run_eagerly": False, "jit_compile": jit}
    model = compiled(mixing(clean_weight=0.7), **options)
    start = model.get_weights()
    # The weights of a step on either loss alone.
    layer = mixer()
    saliency = saliency_of(small(), images, one_hot(ids), training=True)
    given = {"images": images, "labels": ids}
    by_hand = layer(given | {"saliency": saliency}, training=True)
    by_hand = numbers(by_hand[key] for key in given)
    steps, losses = [], []
    for x, y in (by_hand, (images, one_hot(ids))):
        plain = compiled(small())
        losses.append(plain.train_on_batch(x, y))
        steps.append([a - b for a, b in zip(plain.get_weights(), start, strict=True)])
    found = model.train_on_batch(images, ids)
    assert_allclose(found, losses[0] + 0.7 * losses[1], rtol=1e-5)
    kinds = [variable.trainable for variable in model.weights]
    pairs = zip(model.get_weights(), start, *steps, kinds, strict=True)
    for new, old, own, clean, trainable in pairs:
        # Statistics of batches are those of the mixed batch alone.
        change = own + 0.7 * clean if trainable else own
        assert_allclose(new - old, change, rtol=1e-3, atol=1e-5)


MODES = {
    "graph": {"run_eagerly": False, "jit_compile": False},
    "xla": {"run_eagerly": False, "jit_compile": True},
    "steps": {"run_eagerly": False, "jit_compile": False, "steps_per_execution": 2},
}
if BACKEND == "torch":
    MODES = {"graph": MODES["graph"]}  # The rest is by `torch.compile`, or refused.
elif BACKEND == "jax":
    MODES = {"steps": MODES["steps"] | {"jit_compile": True}}


def fitted(**options):
    """Returns the history of two epochs, whose last batch has one sample."""
    images, ids, weights = batch(7)
    keras.utils.set_random_seed(3)
    backbone = keras.Sequential(
        [
            keras.Input((*SIZE, CHANNELS)),
            layers.Flatten(),
            layers.Dense(4, activation="tanh"),
            layers.Dense(CLASSES),
        ]
    )
    noise = {"adversarial_probability": 0.5, "adversarial_size": 0.1}
    model = mixing(backbone, clean_weight=0.5, **noise)
    compiled(model, metrics=["accuracy"], **options)
    given = {"sample_weight": weights, "batch_size": 3, "epochs": 2}
    return model.fit(images, ids, shuffle=False, verbose=0, **given).history


@pytest.fixture(scope="module")
def eager_history():
    return fitted(run_eagerly=True, jit_compile=False)


@pytest.mark.long
@pytest.mark.every_backend
@parametrize("mode", MODES)
def test_steps_are_the_same_however_they_run(mode, eager_history):
    found = fitted(**MODES[mode])
    for name, values in eager_history.items():
        assert_allclose(found[name], values, rtol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.xla
def test_replicas_add_up_the_gradients_of_both_passes(two_replicas):
    images, ids, weights = batch(6)
    unmixed = {"probability": 0.0}
    with two_replicas.scope():
        model = compiled(
            mixing(layer=mixer(**unmixed), clean_weight=1.0),
            run_eagerly=False,
            jit_compile=False,
        )
        # Batch statistics would be of each replica alone.
        model.backbone.layers[1].trainable = False
    start = model.get_weights()
    model.fit(images, ids, 6, sample_weight=weights, verbose=0)
    plain = small()
    plain.layers[1].trainable = False
    compiled(plain, rate=1.0)  # Twice the gradient at half the rate.
    plain.fit(images, one_hot(ids), 6, sample_weight=weights, verbose=0)
    pairs = zip(model.get_weights(), plain.get_weights(), start, strict=True)
    changes = [(a - s, b - s) for a, b, s in pairs]
    for own, other in changes:
        assert_allclose(own, other, atol=1e-5)
    assert max(np.abs(own).max() for own, _ in changes) > 1e-2


def test_half_precision_scales_the_loss_of_both_passes():
    images, ids, _ = batch()
    tiny = {"loss_weights": 1e-6}  # Gradients far below the least of float16.
    policy = "mixed_float16"
    model = mixing(small(dtype=policy), clean_weight=1.0, dtype=policy)
    compiled(model, rate=1e3, **tiny)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    start = model.get_weights()
    model.train_on_batch(images, ids)
    found = model.get_weights()
    other = compiled(mixing(clean_weight=1.0), rate=1e3, **tiny)
    other.train_on_batch(images, ids)
    for own, full in zip(found, other.get_weights(), strict=True):
        assert_allclose(own, full, atol=2e-4)
        assert own.dtype == "float32"
    assert np.abs(found[0] - start[0]).max() > 1e-4


# Labels, weights and outputs.


@pytest.mark.long
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@parametrize("jit", [True, False] if BACKEND != "torch" else [False])
def test_puzzlemix_trains_on_an_odd_last_batch(jit, policy):
    layer = msda.PuzzleMixLayer(blocks=(2, 4), num_classes=CLASSES, seed=1)
    model = mixing(small(dtype=policy), layer)
    compiled(model, rate=0.05, run_eagerly=False, jit_compile=jit)
    images, ids, _ = batch(7)
    images[:, 0, 0, 0] += 3 * ids  # What tells the classes apart.
    losses = model.fit(images, ids, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    assert model.evaluate(images, ids, verbose=0) < losses[0]


def test_evaluation_encodes_labels_and_is_that_of_the_backbone():
    images, ids, _ = batch()
    model = compiled(mixing(), metrics=["accuracy"])
    plain = compiled(small(), metrics=["accuracy"])
    expected = plain.evaluate(images, one_hot(ids), verbose=0)
    assert_allclose(model.evaluate(images, ids, verbose=0), expected, rtol=1e-6)
    assert_allclose(
        model.predict(images, verbose=0), plain.predict(images, verbose=0), rtol=1e-6
    )


@pytest.mark.long
def test_packed_pairs_have_the_loss_of_soft_labels():
    images, ids, _ = batch()
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pair = mixing(layer=mixer(num_classes=None, targets="pair"), clean_weight=1.0)
    compiled(pair, loss=msda.MixedLoss(sparse))
    soft = compiled(mixing(clean_weight=1.0))
    for _ in "ab":
        expected = soft.train_on_batch(images, ids)
        assert_allclose(pair.train_on_batch(images, ids), expected, rtol=1e-5)
    expected = soft.evaluate(images, ids, verbose=0)
    assert_allclose(pair.evaluate(images, ids, verbose=0), expected, rtol=1e-5)


def test_dictionaries_of_inputs_and_outputs_pass_through():
    images, ids, _ = batch()
    inputs = {
        "images": keras.Input((*SIZE, CHANNELS), name="images"),
        "age": keras.Input((1,), name="age"),
    }
    flat = layers.Concatenate()([layers.Flatten()(inputs["images"]), inputs["age"]])
    outputs = {
        "kind": layers.Dense(CLASSES, activation="softmax", name="kind")(flat),
        "size": layers.Dense(1, name="size")(flat),
    }
    layer = mixer(num_classes={"kind": CLASSES}, batch_keys=("age",))
    model = mixing(keras.Model(inputs, outputs), layer, clean_weight=0.5)
    losses = {"kind": "categorical_crossentropy", "size": "mse"}
    model.compile("sgd", losses, run_eagerly=BACKEND != "jax", metrics={"size": "mae"})
    given = {"images": images, "age": np.ones((5, 1), "float32")}
    labels = {"kind": ids, "size": np.ones((5, 1), "float32")}
    logs = model.train_on_batch(given, labels, return_dict=True)
    assert {"loss", "kind_loss", "size_loss", "size_mae"} <= set(logs)
    # The first pass is no part of what Keras reports of each output.
    assert logs["loss"] > logs["kind_loss"] + logs["size_loss"] + 1e-3
    assert len(model.evaluate(given, labels, verbose=0)) == 4


def test_bytes_are_trained_on_as_floats():
    images, ids, _ = batch()
    pixels = (255 * images).astype("uint8")
    losses = [
        compiled(mixing()).train_on_batch(x, ids)
        for x in (pixels, pixels.astype("float32"))
    ]
    assert_equal(losses[0], losses[1])


# Samples without a usable gradient.


class Norm(layers.Layer):
    """The norm of an image, which has no gradient at zero."""

    def call(self, images):
        return ops.sqrt(ops.sum(images**2, (1, 2)))


def test_a_sample_whose_gradient_is_not_finite_stays_as_it_is():
    images, ids, _ = batch()
    images[1] = 0.0
    backbone = keras.Sequential(
        [keras.Input((*SIZE, CHANNELS)), Norm(), layers.Dense(CLASSES)]
    )
    settings = {"adversarial_probability": 1.0, "adversarial_size": 1e-30}
    model = compiled(mixing(backbone, mixer(pairing="roll"), **settings))
    model.build(images.shape)
    mixed = ops.convert_to_numpy(model._mix(images, ids, None)[0])
    assert np.isfinite(mixed).all()
    # Its neighbour would show it, and has no mix either.
    assert_array_equal(mixed[1:3], images[1:3])
    assert np.abs(mixed[3:] - images[3:]).max() > 0.1


def test_a_model_that_stops_gradients_is_refused_or_has_uniform_saliency():
    images, ids, _ = batch()
    backbone = keras.Sequential(
        [
            keras.Input((*SIZE, CHANNELS)),
            layers.Lambda(ops.stop_gradient, output_shape=lambda shape: shape),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )
    model = compiled(mixing(backbone))
    if BACKEND == "jax":  # It does not say what depends on what.
        assert_array_equal(saliency_of(backbone, images, one_hot(ids)), 0.0)
        assert np.isfinite(model.train_on_batch(images, ids))
        return
    refused(
        lambda: model.train_on_batch(images, ids),
        "a gradient",
        "no gradient of the loss",
    )


# Adversarial noise.


def test_noise_is_that_of_its_formula():
    images, _, _ = batch(64)
    rng = np.random.default_rng(2)
    gradient = rng.normal(size=images.shape).astype("float32")
    gradient[:, 0] = 0.0
    noise = _adversarial.check_noise("Test", 0.5, 0.1, (0, 1))
    x, g = (ops.convert_to_tensor(value) for value in (images, gradient))
    begun = _adversarial.start(x, noise, seed=(3, 4))
    first, factor = numbers([begun.noise, begun.factor])
    found = ops.convert_to_numpy(_adversarial.finish(x, begun, g, noise))
    chosen = factor.reshape(64) > 0
    assert 20 < chosen.sum() < 44
    assert_array_equal(found[~chosen], images[~chosen])
    assert_array_equal(ops.convert_to_numpy(begun.images)[~chosen], images[~chosen])
    assert 0.05 < np.abs(first).max() <= 0.1 + 1e-6
    step = np.clip(first + 0.12 * np.sign(gradient), -0.1, 0.1) * factor
    expected = np.clip(images + step, 0, 1)
    assert_allclose(found[chosen], expected[chosen], atol=1e-6)
    assert len(np.unique(factor[chosen])) == chosen.sum()


def test_images_without_noise_may_be_out_of_range():
    values = np.linspace(-1, 2, 24, dtype="float32").reshape(2, 3, 4, 1)
    x = ops.convert_to_tensor(values)
    noise = _adversarial.check_noise("Test", 0.0, 0.5, (0, 1))
    begun = _adversarial.start(x, noise, seed=(3, 4))
    found = _adversarial.finish(x, begun, ops.ones_like(x), noise)
    assert_array_equal(ops.convert_to_numpy(found), values)


def test_noise_makes_the_loss_larger():
    images, ids, _ = batch(16)
    settings = {"adversarial_probability": 1.0, "adversarial_size": 0.2}
    layer = mixer(probability=0.0)
    noised = compiled(mixing(linear()[0], layer, **settings))
    plain = compiled(mixing(linear()[0], mixer(probability=0.0)))
    values = [model.train_on_batch(images, ids) for model in (noised, plain)]
    assert values[0] > values[1] + 0.1


# Files.


@pytest.mark.long
def test_a_saved_model_goes_on_as_the_one_that_was_saved(tmp_path):
    images, ids, _ = batch()
    settings = {"clean_weight": 0.5, "adversarial_probability": 0.5}
    model = mixing(adversarial_size=0.1, value_range=(0, 1), **settings)
    compiled(model, momentum=0.9, loss="categorical_crossentropy")
    model.train_on_batch(images, ids)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config() | {
        key: loaded.get_config()[key] for key in ("backbone", "mixer")
    }
    assert loaded.mixer.num_classes == CLASSES
    assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    model.reset_metrics()
    steps = [x.train_on_batch(images, ids) for x in (loaded, model)]
    assert_allclose(*steps, rtol=1e-5)


def test_weights_interchange_with_those_of_the_backbone(tmp_path):
    model, other = mixing(), small(seed=8)
    other.save_weights(tmp_path / "other.weights.h5")
    model.load_weights(tmp_path / "other.weights.h5")
    for own, given in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(own, given)
    model.save_weights(tmp_path / "model.weights.h5")
    again = mixing()
    again.load_weights(tmp_path / "model.weights.h5")
    assert_array_equal(again.get_weights()[0], other.get_weights()[0])
    small().set_weights(model.get_weights())
    assert_array_equal(msda.strip(model).get_weights()[0], other.get_weights()[0])
    linear()[0].save_weights(tmp_path / "alien.weights.h5")
    with pytest.raises(ValueError, match="expected 2 variables"):
        again.load_weights(tmp_path / "alien.weights.h5")


# What is refused.


def of_bytes():
    inputs = keras.Input((*SIZE, CHANNELS), dtype="uint8")
    outputs = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES)(outputs))


def mixing_inside():
    return keras.Sequential([keras.Input((*SIZE, CHANNELS)), msda.HMixLayer()])


@pytest.mark.parametrize(
    ("make", "rule", "received"),
    [
        (lambda: mixing("resnet"), "a Keras model", "backbone of type str"),
        (lambda: mixing(layer=small()), "a mixing layer", "mixer of type Sequential"),
        (lambda: mixing(layer=msda.HMixLayer()), "by saliency", "HMixLayer"),
        (lambda: mixing(mixing_inside()), "not mix by itself", "a backbone with"),
        (lambda: mixing(of_bytes()), "must take floats", "an input of dtype uint8"),
        (lambda: mixing(clean_weight=-1), "`clean_weight`", "clean_weight=-1"),
        (lambda: mixing(clean_weight=np.nan), "`clean_weight`", "clean_weight=nan"),
        (
            lambda: mixing(adversarial_probability=2.0, adversarial_size=1.0),
            "`adversarial_probability`",
            "adversarial_probability=2.0",
        ),
        (
            lambda: mixing(adversarial_probability=0.1),
            "needs `adversarial_size`",
            "adversarial_size=None",
        ),
        (lambda: mixing(value_range=(1, 0)), "`value_range`", "value_range=(1, 0)"),
    ],
)
def test_bad_settings_are_refused(make, rule, received):
    kind = TypeError if " of type " in received else ValueError
    check_error(make, "SaliencyMixing", kind, rule, received)


def test_bad_batches_are_refused():
    images, ids, _ = batch()
    model = compiled(mixing())
    refused(lambda: step(model, images), "needs labels", "a batch without labels")
    given = {"images": images, "saliency": images[..., 0]}
    refused(lambda: step(model, given, ids), "the gradient", 'the key "saliency"')
    with pytest.raises(ValueError, match="num_classes"):
        compiled(mixing(layer=mixer(num_classes=None))).train_on_batch(images, ids)
    for loss in (
        keras.losses.SparseCategoricalCrossentropy(),
        "sparse_categorical_crossentropy",
    ):
        model = compiled(mixing(), loss=loss)
        refused(lambda m=model: step(m, images, ids), "labels are soft", "the loss")
    model = mixing()
    model.compile("sgd")
    refused(lambda: step(model, images, ids), "the compiled loss", "no loss")


def step(model, *batch):
    """Calls what the trainers of Keras call; JAX passes a state, too."""
    return model.train_step(*[None] * (BACKEND == "jax"), batch)


def refused(call, rule, received):
    check_error(call, "SaliencyMixing", ValueError, rule, received)
