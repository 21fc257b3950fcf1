"""The README's code runs as it stands there, one block after the other."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def net():
    return keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")], name="net"
    )


@pytest.fixture(scope="module")
def names():
    """Runs all blocks on small data; returns each block's names."""
    random = np.random.default_rng(0)
    images = random.random((8, 32, 32, 3), "float32")
    labels = np.arange(8)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    shared = {"tf": tf, "dataset": dataset, "val_dataset": dataset}
    shared |= {"images": images, "names": np.array([f"image {i}" for i in range(8)])}
    shared |= {"table": np.eye(8, dtype="float32")}
    shared |= {"other_images": images[::-1], "other_labels": labels[::-1]}
    found = []
    for block in BLOCKS:
        soft = "mix_labels(labels" in block
        shared["labels"] = np.eye(10, dtype="float32")[labels] if soft else labels
        if "names}" in block:
            shared["fmix"] = shared["msda"].FMixLayer(num_classes=10)
        shared |= {"model": net(), "backbone": net()}
        exec(block, shared)
        found.append(dict(shared))
    return found


def test_every_way_of_use_is_there():
    assert len(BLOCKS) == 8


@pytest.mark.parametrize("block", [0, 1, 2])
def test_the_models_of_the_readme_train(names, block):
    scope = names[block]
    data = scope["dataset"].batch(4) if block == 1 else scope["train"]
    history = scope["model"].fit(data.repeat(2), shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    plain = scope["model"].evaluate(
        scope["dataset"].batch(4) if block == 1 else scope["val"], verbose=0
    )
    assert np.isfinite(plain).all()


def test_the_plan_of_the_readme_mixes_labels_as_it_mixes_images(names):
    scope = names[3]
    assert_allclose(np.sum(scope["soft"], 1), 1, rtol=0, atol=1e-6)
    # The mean of 1,024 float32 values.
    means = np.mean(scope["plan"].mask, (1, 2))
    assert_allclose(means, scope["plan"].weight, rtol=0, atol=1e-6)
    assert scope["mask"].shape == (1, 32, 32)


def test_the_hand_written_step_has_a_finite_loss(names):
    assert np.isfinite(float(names[4]["loss"]))


def test_the_dictionary_comes_back_with_its_other_keys(names):
    batch = names[5]["batch"]
    assert list(batch) == ["images", "labels", "id"]
    assert batch["id"][3] == b"image 3" or batch["id"][3] == "image 3"


def test_a_table_is_mixed_with_the_images_and_labels_beside_it(names):
    inputs, soft = names[6]["inputs"], np.asarray(names[6]["soft"])
    assert list(inputs) == ["images", "meta"]
    # Rows of the table and the classes are those of the same eight samples.
    assert_allclose(inputs["meta"], soft[:, :8], rtol=0, atol=1e-6)


def test_partners_of_a_second_batch_are_mixed_in(names):
    soft = np.asarray(names[7]["soft"])
    given, other = np.arange(8), np.arange(8)[::-1]
    shares = soft[given, given] + soft[given, other]
    assert_allclose(shares, 1, rtol=0, atol=1e-6)
