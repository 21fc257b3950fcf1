"""Full disks, damaged and foreign files, NaN in labels and weights, empty batches.

Two threads and two models with one layer are in test_handoff.py, processes in
test_workers.py, restarts in test_pipeline.py, NaN in pixels in layers/test_laws.py.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal
from PIL import Image

import keras_msda as msda
from tests.support import layer_cases as cases

ROOT = Path(__file__).parents[1]
METHODS = sorted(msda.layers.METHODS)
#: Methods that a model without labels can contain.
INSIDE = [name for name in METHODS if name != "puzzlemix"]


def make(method, **settings):
    return msda.layers.METHODS[method].layer(**{"seed": 1} | settings)


def small_model(layer):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((8, 8, 2)), layer, *layers])


# Files


FULL = """
import resource, signal, sys
from keras_msda import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.processes
@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_old_drawing(tmp_path):
    # No file can become larger than 4 KB.
    rng = np.random.default_rng(1)
    for name in "ab":
        values = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    out = tmp_path / "out.png"
    out.write_bytes(b"the old drawing")
    command = [sys.executable, "-c", FULL, "preview", "--out", str(out)]
    command += ["--method", "mixup", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    done = subprocess.run(
        command,
        env=os.environ | {"MPLCONFIGDIR": "/nonexistent"},
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
    )
    assert done.returncode == 2
    assert "File too large" in done.stderr.splitlines()[-1]
    assert out.read_bytes() == b"the old drawing"
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a.png", "b.png", "out.png"]


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(kept, tmp_path):
    path = tmp_path / "model.keras"
    small_model(make("hmix")).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"model\.keras.*\.keras` zip file"):
        keras.saving.load_model(path)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_flipped_bit_is_refused(member, tmp_path):
    path = tmp_path / "model.keras"
    small_model(make("hmix")).save(path)
    with zipfile.ZipFile(path) as file:
        start = file.getinfo(member).header_offset + 30 + len(member)
    content = bytearray(path.read_bytes())
    content[start + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(zipfile.BadZipFile, match=f"Bad CRC-32 for file '{member}'"):
        keras.saving.load_model(path)


def changed_config(path, change):
    """Rewrites a file of a model with another configuration of its mixing layer."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    (layer,) = (x for x in config["config"]["layers"] if x["class_name"] == "HMixLayer")
    layer["config"].update(change)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"alpha": -1.0}, "HMixLayer: `alpha` must be .* Received: alpha=-1.0"),
        ({"seed": "x"}, "HMixLayer: `seed` must be .* Received: seed='x'"),
        ({"new_argument": 1}, "HMixLayer.*new_argument"),
    ],
    ids=["value", "type", "name"],
)
def test_a_configuration_that_cannot_be_is_named(change, expected, tmp_path):
    path = tmp_path / "model.keras"
    small_model(make("hmix")).save(path)
    changed_config(path, change)
    with pytest.raises(ValueError, match=expected):
        keras.saving.load_model(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0", None),
        ("0", np.zeros((4, 4), "int64")),
        ("0", np.full(3, np.nan, "float32")),
        ("1", None),
        ("1", np.zeros(1, "int64")),
        ("uid", np.zeros((2, 2), "float32")),
    ],
)
def test_a_state_of_something_else_is_told(name, value, tmp_path):
    layer, path = make("hmix"), tmp_path / "model.weights.h5"
    model = small_model(layer)
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        state = file["layers/h_mix_layer/vars"]
        del state[name]
        if value is not None:
            state[name] = value
    before = [np.array(x) for x in layer.variables]
    if name == "0" and value is None:  # A file of a model without the layer.
        model.load_weights(path)
    else:
        expected = "HMixLayer: the file must hold the random state of a mixing layer"
        with pytest.raises(ValueError, match=expected):
            model.load_weights(path)
    for value, old in zip(layer.variables, before, strict=True):
        assert_array_equal(np.array(value), old)


# NaN and infinity


def spoilt_mix(method, world, *, labels=None, weights=None):
    """Returns the plan and the mixed labels and weights of a batch of six."""
    layer = make(method, pairing="roll", probability=0.6, jit_compile=world == "xla")
    batch = cases.images(6, (8, 8)), labels, weights

    def mix(*batch):
        return layer.mix(batch, seed=(1, 5))[1:]

    run = mix if world == "eager" else tf.function(mix)
    plan = layer.sample(6, (8, 8), seed=(1, 5))
    return plan, [cases.array(x) for x in run(*batch)]


OF_LAMBDA = ["cutmix", "fmix", "gmix", "hmix", "mixup"]
worlds = pytest.mark.parametrize(
    "world", ["eager", "graph", pytest.param("xla", marks=pytest.mark.xla)]
)


@pytest.mark.tensorflow
@worlds
@pytest.mark.parametrize("method", OF_LAMBDA)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_reaches_only_labels_and_weights_that_take_from_it(
    method, world, value
):
    labels, weights = np.eye(6, dtype="float32"), np.ones(6, "float32")
    labels[[1, 2]], weights[[1, 4]] = value, value
    plan, (mixed, weighed) = spoilt_mix(method, world, labels=labels, weights=weights)
    share, partner = cases.array(plan.weight), cases.array(plan.partner)
    assert 0 < np.sum(share == 1) < 6  # Some are mixed, and some are not.

    def reached(spoilt):
        return (spoilt & (share > 0)) | (spoilt[partner] & (share < 1))

    bad_labels = reached(~np.isfinite(labels).all(1))
    bad_weights = reached(~np.isfinite(weights))
    assert_array_equal(~np.isfinite(weighed), bad_weights)
    # A label is weighed by what belongs to it, which is then no number either.
    assert_array_equal(
        ~np.isfinite(mixed).all(1), bad_labels | _shares(bad_weights, share)
    )


def _shares(bad, share):
    return bad & (share < 1)


@pytest.mark.tensorflow
def test_a_hidden_label_of_nan_leaves_the_loss_of_a_model_alone():
    layer = msda.HMixLayer(probability=0.5, pairing="roll", seed=3)
    loss = layer.loss("categorical_crossentropy", reduction="none")
    images = np.ones((6, 8, 8, 2), "float32")
    labels, outputs = np.eye(6, dtype="float32"), np.full((6, 6), 1 / 6, "float32")
    labels[2] = np.nan
    layer(images, training=True)
    plan = layer.replay(6)
    share, partner = cases.array(plan.weight), cases.array(plan.partner)
    values = cases.array(loss(labels, outputs))
    reached = ((np.arange(6) == 2) & (share > 0)) | ((partner == 2) & (share < 1))
    assert_array_equal(np.isnan(values), reached)
    assert 0 < reached.sum() < 6


# Empty batches


def batches(sizes):
    """Returns a dataset of batches of these sizes, which tf.data does not know."""

    def generate():
        rng = np.random.default_rng(0)
        for size in sizes:
            images = rng.random((size, 8, 8, 2)).astype("float32")
            yield images, rng.integers(0, 3, size).astype("int32")

    signature = tf.TensorSpec((None, 8, 8, 2)), tf.TensorSpec((None,), tf.int32)
    data = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(sizes)))


SIZES = [4, 0, 1, 3]


@pytest.mark.long
@pytest.mark.whole
@pytest.mark.parametrize("method", METHODS)
def test_an_empty_batch_in_a_dataset_stays_empty(method):
    layer = make(method, num_classes=3)
    for mapped in (batches(SIZES).map(layer), batches(SIZES).apply(msda.mixing(layer))):
        shapes = [(x.shape, y.shape) for x, y in mapped]
        assert shapes == [((n, 8, 8, 2), (n, 3)) for n in SIZES]


@pytest.mark.tensorflow
@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "jit"),
    [(name, False) for name in INSIDE]
    + [pytest.param(name, True, marks=pytest.mark.xla) for name in ("fmix", "hmix")],
)
def test_fit_goes_on_after_an_empty_batch_as_if_it_were_not_there(method, jit):
    losses = []
    for sizes in ([4, 0, 3], [4, 3]):
        keras.utils.set_random_seed(1)
        layer = make(method, pairing="roll", probability=0.0)
        model = small_model(layer)
        loss = layer.loss("sparse_categorical_crossentropy")
        model.compile("sgd", loss, jit_compile=jit)
        losses.append(
            model.fit(batches(sizes), shuffle=False, verbose=0).history["loss"]
        )
        assert all(np.isfinite(x).all() for x in model.get_weights())
    np.testing.assert_allclose(*losses, rtol=1e-6)
