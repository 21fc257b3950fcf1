"""The seam: three libraries by one set of operations, and what each promises."""

import inspect
import math
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import keras_msda as msda
from keras_msda import _backend, masks
from keras_msda._backend._keras import KerasOps
from keras_msda._backend._protocol import Ops
from keras_msda._backend._tensorflow import TensorFlowOps
from keras_msda.masks import spectrum
from tests.support import layer_cases as cases

SIZE = (6, 7)
#: What pipelines and ragged tensors need.
ONLY_TENSORFLOW = {"keep_rows", "make_variable", "pad_ragged"}


def operations(kind):
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: f for name, f in members if not name.startswith("_")}


def test_every_library_has_the_operations_of_the_protocol():
    protocol = operations(Ops)
    first, other = operations(TensorFlowOps), operations(KerasOps)
    assert_equal(set(first) - set(protocol), ONLY_TENSORFLOW)
    assert_equal(set(protocol) - set(first), set())
    assert_equal(set(other), set(protocol))
    for name, function in protocol.items():
        expected = inspect.signature(function)
        assert_equal(inspect.signature(first[name]), expected, err_msg=name)
        assert_equal(inspect.signature(other[name]), expected, err_msg=name)


def test_keras_s_backend_computes_and_pipelines_are_tensorflow():
    layer = cases.make("hmix", num_classes=5)
    mixed, _ = layer(cases.images(5, SIZE), np.arange(5))
    assert type(mixed).__module__.startswith(cases.BACKEND.replace("jax", "jaxlib"))
    mixed, _ = cases.mapped(layer, cases.images(5, SIZE), np.arange(5))
    assert type(mixed).__module__.startswith("tensorflow")


def test_places_in_groups_are_gathered_from_their_own_group():
    library = _backend.get_backend_ops()
    x = library.convert(np.arange(12, dtype=np.float32).reshape(6, 2))
    places = library.convert(np.array([[1, 0, 0], [2, 2, 1]], np.int32))
    found = cases.array(library.take_in_groups(x, places))
    assert_array_equal(found[:, 0] / 2, [1, 0, 0, 5, 5, 4])


# One draw, a few, and none; one axis and two.
@pytest.mark.parametrize("shape", [(1, 9), (5, 9), (5, 3, 4), (0, 9)], ids=str)
def test_values_that_are_true_are_counted_for_each_draw(shape):
    library = _backend.get_backend_ops()
    hits = np.random.default_rng(2).random(shape) < 0.4
    expected = hits.reshape(len(hits), math.prod(shape[1:])).sum(1)
    found = library.count(library.convert(hits))
    assert_array_equal(cases.array(found), expected)
    assert_equal(cases.array(found).dtype, np.int32)
    traced = library.compile_function(library.count)(library.convert(hits))
    assert_array_equal(cases.array(traced), expected)


# The same numbers from the same noise, in TensorFlow and in Keras's backend.


def both(function, *noise):
    """Returns what TensorFlow and what Keras's backend make of the same noise."""
    import tensorflow as tf

    results = []
    for convert in (tf.constant, keras.ops.convert_to_tensor):
        made = function(*map(convert, noise))
        results.append([cases.array(x) for x in keras.tree.flatten(made)])
    return zip(*results, strict=True)


LAM = np.linspace(0, 1, 33, dtype=np.float32)
CENTERS = np.stack([np.arange(33) % 6, np.arange(33) % 7], 1).astype(np.int32)
NOISE = np.random.default_rng(3).normal(size=(33, 5, 3, 2)).astype(np.float32)
MASKS = {
    "constant": lambda lam, _: masks.constant_mask(lam, SIZE),
    "box": lambda lam, center: masks.box_mask(lam, center, SIZE),
    "wrapped box": lambda lam, center: masks.box_mask(lam, center, SIZE, "wrap", 0.3),
    "floor box": lambda lam, center: masks.floor_box_mask(lam, center, SIZE),
    "gaussian": lambda lam, center: masks.gaussian_mask(lam, center, SIZE),
    "wrapped": lambda lam, center: masks.gaussian_mask(lam, center, SIZE, "wrap"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_and_weights_are_the_same_in_every_library(name):
    for first, other in both(MASKS[name], LAM, CENTERS):
        assert_allclose(other, first, rtol=0, atol=1e-6)


def test_fields_and_masks_of_fmix_are_the_same_in_every_library():
    shape = spectrum.noise_shape(SIZE, 3.0, "isotropic")
    noise = np.random.default_rng(3).normal(size=(33, *shape)).astype(np.float32)
    for first, other in both(lambda x: masks.fourier_field(x, SIZE), noise):
        assert_allclose(other, first, rtol=0, atol=1e-5 * np.abs(first).max())
    # From the same field, since a difference of an ulp may change the order of two.
    field = cases.array(masks.fourier_field(noise, SIZE))
    for first, other in both(masks.fourier_mask, LAM, field):
        assert_allclose(other, first, rtol=0, atol=1e-7)  # A count over the pixels.
    for first, other in both(lambda *x: masks.fourier_mask(*x, 0.3), LAM, field):
        assert_allclose(other, first, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_images_and_labels_are_mixed_the_same_in_every_library(dtype):
    plan = cases.arrays(cases.make("gmix").sample(5, SIZE, seed=(1, 2)))
    images = (200 * cases.images(5, SIZE)).astype(dtype)
    tolerance = {"float32": 3e-5, "float16": 0.13, "uint8": 1}[dtype]
    for first, other in both(lambda x: msda.mix_images(x, plan), images):
        assert_allclose(other.astype(float), first.astype(float), atol=tolerance)
    labels = np.eye(5, dtype=np.float32)
    for first, other in both(lambda x: msda.mix_labels(x, plan), labels):
        assert_allclose(other, first, rtol=0, atol=1e-6)


# Seeds.


@pytest.mark.parametrize("seed", [0, -1, 2**31, 2**40 + 7, 2**63 - 1, 2**64 - 1])
def test_layers_take_seeds_of_64_bits_and_either_sign(seed):
    plans = [
        cases.next_plan(msda.MixUpLayer(seed=s), 32, (1,))
        for s in (seed, seed, seed ^ 1, seed ^ 2**35)
    ]
    first, again, *others = [plan.weight.tobytes() for plan in plans]
    assert_equal(again, first)
    assert first not in others
    assert_equal(len(set(others)), 2)


def test_a_seed_may_be_a_tensor():
    seed = keras.ops.convert_to_tensor(7, "int32")
    assert_equal(msda.MixUpLayer(seed=seed).seed, 7)
    layer = msda.CutMixLayer()
    pair = keras.ops.convert_to_tensor([5, -6], "int32")
    first, other = (layer.sample(5, SIZE, seed=seed) for seed in ((5, -6), pair))
    assert_array_equal(cases.array(first.mask), cases.array(other.mask))


def test_words_beyond_32_bits_count():
    layer = msda.MixUpLayer()
    pairs = [(1, 2), (1 + 2**32, 2), (1, 2 + 2**32), (1 - 2**32, 2)]
    weights = [cases.array(layer.sample(32, (1,), seed=p).weight) for p in pairs]
    assert_equal(len({weight.tobytes() for weight in weights}), 4)


@pytest.mark.parametrize("name", ["hmix", "random-sample"])
def test_files_continue_the_sequence(name, tmp_path):
    model = keras.Sequential([keras.Input((*SIZE, 3)), cases.make(name)])
    images = cases.images(5, SIZE)
    for _ in range(3):
        model(images, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = cases.array(model(images, training=True))
    assert_array_equal(cases.array(loaded(images, training=True)), expected)


def test_another_backend_s_file_goes_on_where_it_was():
    # The form in files is TensorFlow's: 256 times the count, 0 and the seed.
    layer = cases.make("hmix", seed=-(2**40) - 3)
    images = cases.images(5, SIZE)
    for _ in range(3):
        layer(images, training=True)
    store = {}
    layer.save_own_variables(store)
    assert_array_equal(store["0"], [768, 0, -(2**40) - 3])
    other = cases.make("hmix", seed=1)
    other.load_own_variables(store)
    found, expected = (cases.array(x(images, training=True)) for x in (other, layer))
    assert_array_equal(found, expected)


# Settings reach pipelines that are traced.


def test_a_schedule_reaches_a_running_pipeline():
    import tensorflow as tf

    layer = cases.make("mixup", targets="pair")
    batch = cases.signatures(5, SIZE), np.arange(5)
    # TensorFlow may prefetch of its own accord.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    dataset = tf.data.Dataset.from_tensors(batch).repeat().map(layer)
    batches = iter(dataset.with_options(options))
    assert (cases.array(next(batches)[1])[:, 2] < 1).any()
    layer.probability = 0.0
    assert_array_equal(next(batches)[1][:, 2], np.ones(5))
    layer.probability, layer.alpha = 1.0, 1e-4
    weight = next(batches)[1][:, 2]
    assert_array_equal(np.asarray(weight) % 1, np.zeros(5))


@pytest.mark.xla
def test_a_model_s_schedule_reaches_its_compiled_step():
    layer = cases.make("mixup")
    inputs = keras.Input((*SIZE, 5))
    pixels = keras.layers.GlobalMaxPooling2D()(layer(inputs))
    head = keras.layers.Dense(5, kernel_initializer="identity", use_bias=False)
    model = keras.Model(inputs, head(pixels))

    def highest(_, outputs):
        return keras.ops.max(outputs, -1)

    model.compile(keras.optimizers.SGD(0.0), layer.loss("mse"), metrics=[highest])
    images, labels = cases.signatures(5, SIZE), np.eye(5, dtype=np.float32)
    images, labels = np.tile(images, (4, 1, 1, 1)), np.tile(labels, (4, 1))
    schedule = msda.MixSchedule(layer, probability={0: 1.0, 1: 0.0})
    settings = {"batch_size": 5, "epochs": 2, "verbose": 0}
    fit = model.fit(images, labels, callbacks=[schedule], **settings)
    assert fit.history["highest"][0] < 0.99
    assert_equal(fit.history["highest"][1], 1.0)
    # Within an epoch: the mean over its steps has all but the first unmixed.
    layer.probability = 1.0
    model.optimizer.iterations.assign(0)
    step = msda.MixSchedule(layer, probability={0: 1.0, 1: 0.0, 4: 1.0}, by="step")
    fit = model.fit(images, labels, callbacks=[step], **settings)
    first, second = fit.history["highest"]
    assert 0.75 < first < 1
    assert second < first


# Without TensorFlow.

ALONE = """
import importlib.machinery
import sys


class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Without
import numpy as np
import keras_msda as msda

layer = msda.CutMixLayer(0.4, num_classes=3, seed=1)
images, labels = layer(np.zeros((4, 8, 8, 3), "float32"), np.array([0, 1, 2, 0]))
print(tuple(images.shape), tuple(labels.shape))
try:
    msda.mixing(layer)
except ImportError as error:
    print(error)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.others
def test_it_works_where_tensorflow_is_missing():
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert "(4, 8, 8, 3) (4, 3)" in found
    assert "keras_msda: a tf.data pipeline computes with TensorFlow" in found


@pytest.mark.parametrize(
    ("given", "target", "expected"),
    [
        ("int32", "uint8", [0, 0, 7, 255, 255]),
        ("int64", "int8", [-128, -1, 7, 127, 127]),
        ("int16", "uint16", [0, 0, 7, 300, 300]),
        ("int32", "int64", [-300, -1, 7, 300, 300]),
    ],
)
def test_integers_saturate_in_a_cast(given, target, expected):
    ops = _backend.get_backend_ops()
    values = ops.convert(np.array([-300, -1, 7, 300, 300], given))
    assert_array_equal(cases.array(ops.cast(values, target)), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["int32", "int16", "uint16"])
def test_layers_saturate_in_training_and_out_of_it(training, kind):
    layer = msda.MixUpLayer(probability=0.0, dtype="uint8", seed=1)
    values = np.array([0, 255, 256, 300, 30_000], kind).reshape(1, 5, 1, 1)
    found = cases.array(layer(np.repeat(values, 2, 0), training=training))
    assert_array_equal(found[1].ravel(), [0, 255, 255, 255, 255])


# JAX has 64 bits only if it is told so, and Keras has no unsigned tensors of PyTorch.
LONG = {"jax": ("int32", "uint32"), "torch": ("int32", "int64")}


@pytest.mark.parametrize(
    "dtype",
    LONG.get(keras.config.backend(), ("int32", "uint32", "int64", "uint64")),
)
def test_long_integers_are_exact_where_the_mask_is_0_or_1(dtype):
    values = np.array([2**24 + 1, 2**31 - 1, 2**30 + 7, 123, 2**25 - 1])
    values = (values if "32" in dtype else values * 2**20 + 1).astype(dtype)
    images = np.stack([values, values[::-1]]).reshape(2, 5, 1, 1)
    mask = np.float32([[1, 1, 0, 0, 0.5], [0, 1, 1, 0, 0.5]])[..., None]
    plan = msda.MixPlan(np.array([1, 0], np.int32), mask, mask.mean((1, 2)))
    found = cases.array(msda.mix_images(images, plan, "channels_last"))
    expected = np.where(mask[..., None] == 1, images, images[::-1])
    assert_equal(found.dtype.name, dtype)
    assert_array_equal(found[:, :4], expected[:, :4])
    middle = images[:, 4].astype(np.float64).mean(0)
    # float32 has 24 digits.
    assert_allclose(found[:, 4].astype(np.float64), [middle] * 2, rtol=2.0**-23)


SUBTLE = [-0.0, 1e-40, -1e-45, 1e-38, 1.0]


def test_without_training_all_bits_of_floats_are_kept():
    images = np.array(SUBTLE * 2, np.float32).reshape(2, 5, 1, 1)
    for name in ("mixup", "cutmix", "fmix"):
        found = cases.array(cases.make(name)(images, training=False))
        assert_array_equal(found.view(np.int32), images.view(np.int32))


def test_where_the_mask_is_1_floats_are_equal_up_to_what_counts_as_0():
    images = np.array(SUBTLE * 2, np.float32).reshape(2, 5, 1, 1)
    layer = msda.CutMixLayer(probability=0.0, seed=1)
    found = cases.array(layer(images, training=True))
    # The smallest float32 with all its digits is 1.2e-38.
    assert_allclose(found, images, rtol=0, atol=1.2e-38)
    assert_array_equal(found[:, 4], images[:, 4])
