"""Residual networks of papers, the recipes that train them, and several devices."""

import contextlib
import itertools
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_msda.experiments import (
    _config,
    _data,
    _devices,
    _residual_networks,
    _trainer,
)
from keras_msda.experiments._networks import NETWORKS

RECIPES = Path(__file__).parents[2] / "benchmarks" / "experiments" / "recipes"
ROWS = ("none", "mixup", "cutmix", "puzzlemix", "stochastic", "hmix", "gmix")
#: Accuracies of the paper on CIFAR-100, and on ImageNet-1K.
PUBLISHED = {
    "resnet56": (73.23, 73.12, 74.83, None, 74.88, 74.99, 75.75),
    "wrn28-2": (73.50, 74.05, 74.79, 76.51, 75.49, 75.68, 76.15),
    "preactresnet18": (76.73, 77.21, 78.66, 79.38, 79.25, 79.25, 79.17),
    "preactresnet34": (77.68, 79.02, 80.05, 80.89, 81.05, 81.07, 80.52),
    "preactresnet50": (79.07, 79.34, 81.23, 82.46, 81.21, 81.38, 81.45),
    "resnet50": (75.68, 77.78, 78.04, None, 78.13, 78.38, 78.13),
}


def count_plain(blocks, filters, classes):
    """Weights of blocks of two convolutions, with shortcuts that have none."""
    total, width = 27 * filters[0] + 2 * filters[0], filters[0]
    for count, own in zip(blocks, filters, strict=True):
        total += 9 * width * own + (2 * count - 1) * 9 * own * own + 4 * own * count
        width = own
    return total + (width + 1) * classes


def count_preactivated(blocks, filters, classes, *, stem, wider=1):
    """Weights of preactivated blocks, with projections where the width changes."""
    total, width = 27 * stem, stem
    for count, own in zip(blocks, filters, strict=True):
        for _ in range(count):
            ends = wider * own
            if wider == 1:
                total += 9 * width * own + 9 * own * own + 2 * width + 2 * own
            else:
                total += width * own + 9 * own * own + own * ends + 2 * width + 4 * own
            total += width * ends if width != ends else 0
            width = ends
    return total + 2 * width + (width + 1) * classes


def count_applications(classes):
    """Weights of Keras's ResNet-50, whose convolutions have biases."""
    total, width = 49 * 3 * 64 + 3 * 64, 64
    for count, own in zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True):
        for number in range(count):
            total += width * own + 9 * own * own + 4 * own * own + 3 * (2 + 4) * own
            total += 4 * own * (width + 3) if number == 0 else 0
            width = 4 * own
    return total + (width + 1) * classes


WIDE = (64, 128, 256, 512)
WEIGHTS = {
    "resnet56": (10, 853_018, count_plain((9,) * 3, (16, 32, 64), 10)),
    "wrn28-2": (
        10,
        1_467_610,
        count_preactivated((4,) * 3, (32, 64, 128), 10, stem=16),
    ),
    "preactresnet18": (
        100,
        11_218_340,
        count_preactivated((2,) * 4, WIDE, 100, stem=64),
    ),
    "preactresnet34": (
        100,
        21_326_500,
        count_preactivated((3, 4, 6, 3), WIDE, 100, stem=64),
    ),
    "preactresnet50": (
        100,
        23_697_572,
        count_preactivated((3, 4, 6, 3), WIDE, 100, stem=64, wider=4),
    ),
    "resnet50": (1000, 25_583_592, count_applications(1000)),
}


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.long
@pytest.mark.whole
@pytest.mark.usefixtures("half_precision")
@pytest.mark.parametrize("name", WEIGHTS)
def test_networks_have_the_weights_of_their_papers(name):
    classes, written, counted = WEIGHTS[name]
    model = NETWORKS[name]((33, 35, 3), classes)
    found = sum(int(np.prod(x.shape)) for x in model.trainable_weights)
    assert found == counted == written
    assert f"| {classes:,} | {found:,} |" in _residual_networks.__doc__
    assert model.output_shape == (None, classes)
    assert model.output.dtype == "float32"
    assert model.layers[-1].activation is keras.activations.linear
    stem = next(x for x in model.layers if isinstance(x, keras.layers.Conv2D))
    assert stem.compute_dtype == "bfloat16"
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            expected = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            assert abs(kernel.std() / expected - 1) < 0.2, layer.name


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet56", "wrn28-2"])
def test_logits_are_finite_and_differ_by_image(name):
    model = NETWORKS[name]((12, 9, 1), 5)
    images = np.random.default_rng(0).random((3, 12, 9, 1), np.float32)
    logits = keras.ops.convert_to_numpy(model(images, training=True))
    assert logits.shape == (3, 5)
    assert np.isfinite(logits).all()
    assert np.std(logits, axis=0).min() > 1e-3
    values = model.get_layer("normalize")(np.array([0.0, 0.5, 1.0], np.float32))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(values), [-2, 0, 2])


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_strided_convolutions_are_centred_where_shortcuts_take_pixels(size):
    images = np.random.default_rng(0).random((2, *size, 3), np.float32)
    inputs = keras.Input((*size, 3))
    convolved = _residual_networks._convolve(inputs, 3, name="c", stride=2)
    model = keras.Model(inputs, convolved)
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    model.set_weights([kernel])
    found = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(found, images[:, ::2, ::2], rtol=1e-6)
    shrunk = _residual_networks._shrink(keras.ops.convert_to_tensor(images), 8, 2)
    shrunk = keras.ops.convert_to_numpy(shrunk)
    np.testing.assert_array_equal(shrunk[..., 2:5], images[:, ::2, ::2])
    assert shrunk.shape[-1] == 8
    assert not shrunk[..., :2].any()
    assert not shrunk[..., 5:].any()


def test_there_is_a_recipe_for_each_network():
    found = [_config.read_config(path) for path in sorted(RECIPES.glob("*.yaml"))]
    networks = itertools.chain.from_iterable(x.groups for x in found)
    assert sorted(x.network for x in networks) == sorted(PUBLISHED)


@pytest.mark.whole
@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda x: x.stem)
def test_a_recipe_has_the_published_numbers(path):
    config = _config.read_config(path)
    (group,) = config.groups
    numbers = zip(ROWS, PUBLISHED[group.network], strict=True)
    expected = {row: value for row, value in numbers if value is not None}
    assert config.published["rows"] == expected
    assert list(config.methods)[: len(ROWS)] == [
        row for row in ROWS if row in expected or group.data == "cifar100"
    ]
    assert config.methods["stochastic"]["of"] == [
        {"method": "mixup"},
        {"method": "cutmix"},
    ]
    assert (group.train_images, group.wrong_labels) == (None, 0)
    on_imagenet = group.network == "resnet50"
    assert group.data == ("tfds:imagenet2012" if on_imagenet else "cifar100")
    assert config.settings["devices"] == ("all" if on_imagenet else None)


# Several devices.


@pytest.fixture
def spread(monkeypatch, two_replicas):
    """Has the one strategy of two CPUs be the one that is made."""
    import tensorflow as tf

    made = []

    def make(names):
        made.append(names)
        return two_replicas

    monkeypatch.setattr(tf.distribute, "MirroredStrategy", make)
    _devices._find_spread.cache_clear()
    yield
    _devices._find_spread.cache_clear()
    # Once, however many runs there were.
    assert made == [["cpu:0", "cpu:1"]]


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.xla
@pytest.mark.usefixtures("spread")
@pytest.mark.parametrize("method", ["hmix", "puzzlemix"])
def test_a_run_is_spread_over_all_devices(method, write_config, monkeypatch):
    path = write_config(devices="all", scores="{}")
    path.write_text(path.read_text().replace("none:", f"{method}:"))
    run = _config.read_config(path).list_runs()[0]
    built = []

    def build(shape, classes):
        inputs = keras.Input(shape)
        x = keras.layers.Conv2D(4, 3, strides=2)(inputs)
        x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        built.append(keras.Model(inputs, keras.layers.Dense(classes)(x)))
        return built[0]

    monkeypatch.setitem(NETWORKS, "resnet8", build)
    source = _data.load_source("mnist-5k", places={})
    found = _trainer.do_run(run, source)
    assert None not in found["curve"]["loss"]
    assert found["scores"]["nll"] is not None
    copies = built[0].weights[0].value.values
    assert [x.device[-5:] for x in copies] == ["CPU:0", "CPU:1"]
    first, second = (x.numpy() for x in copies)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("devices", "sizes"), [("all", [16, 16]), (None, [16, 16, 8])])
def test_devices_share_whole_batches(devices, sizes, small):
    pictures = _data.Pictures(np.zeros((40, 2, 2, 1), np.uint8), np.zeros(40, int))
    parts = _trainer.Parts(pictures, pictures, 40, (2, 2, 1), 10)
    run = small.list_runs()[0]
    changed = {"devices": devices, "batch_size": 16}
    run = run._replace(settings={**run.settings, **changed})
    data = _trainer._make_batches(parts, run)
    assert [len(x) for _, x in data.as_numpy_iterator()] == sizes
    assert _trainer._count_steps(parts, run) == len(sizes)


def test_one_device_changes_nothing(monkeypatch):
    _devices._find_spread.cache_clear()
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    for devices in ("all", None):
        assert isinstance(_devices.use_devices(devices), contextlib.nullcontext)
    _devices._find_spread.cache_clear()


def test_jax_spreads_by_its_own_distribution(monkeypatch):
    _devices._find_spread.cache_clear()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["tpu:0", "tpu:1"])
    made = SimpleNamespace(scope=lambda: "the scope")
    monkeypatch.setattr(keras.distribution, "DataParallel", lambda: made)
    assert _devices.use_devices("all") == "the scope"
    _devices._find_spread.cache_clear()


def test_pytorch_says_that_it_cannot(monkeypatch):
    _devices._find_spread.cache_clear()
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(
        ValueError, match=r"devices: all.*Received: KERAS_BACKEND=torch"
    ):
        _devices.use_devices("all")


def test_tpus_are_connected_before_they_are_used():
    calls = []

    def record(name, value=None):
        return lambda *given: calls.append((name, *given)) or value

    experimental = SimpleNamespace(initialize_tpu_system=record("initialize"))
    tf = SimpleNamespace(
        config=SimpleNamespace(
            list_physical_devices=lambda kind: [kind],
            experimental_connect_to_cluster=record("connect"),
        ),
        tpu=SimpleNamespace(experimental=experimental),
        distribute=SimpleNamespace(
            TPUStrategy=record("strategy", "the strategy"),
            cluster_resolver=SimpleNamespace(TPUClusterResolver=lambda tpu: tpu),
        ),
    )
    assert _devices._find_strategy(tf) == "the strategy"
    expected = [(name, "local") for name in ("connect", "initialize", "strategy")]
    assert calls == expected
