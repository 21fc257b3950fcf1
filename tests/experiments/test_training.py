"""How networks are trained: learning rates, decay, batches and augmentation."""

import math

import keras
import numpy as np
import pytest

from keras_msda import _backend
from keras_msda.experiments import _data, _networks, _optimizers, _progress, _trainer

SETTINGS = {"epochs": 4, "learning_rate": 0.5, "weight_decay": 0.01}
SETTINGS |= {"warmup_epochs": 1, "schedule": "cosine", "optimizer": "sgd"}


def rates(**changes):
    """The learning rate of each of four epochs of five steps."""
    optimizer = _optimizers.make_optimizer({**SETTINGS, **changes}, 5)
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in range(20)]


def test_the_rate_rises_and_follows_a_cosine():
    found = rates()
    np.testing.assert_allclose(found[:5], [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-6)
    expected = [0.25 * (1 + math.cos(math.pi * k / 15)) for k in range(15)]
    np.testing.assert_allclose(found[5:], expected, rtol=1e-5)


def test_the_rate_falls_at_shares_of_the_steps():
    schedule = {"at": [0.5, 0.75], "factor": 0.1}
    found = rates(schedule=schedule, warmup_epochs=0)
    expected = [0.5] * 10 + [0.05] * 5 + [0.005] * 5
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_constant_rate_stays():
    np.testing.assert_allclose(rates(schedule="constant", warmup_epochs=0), 0.5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_decay_is_part_of_the_gradient(name):
    settings = {"optimizer": name, "schedule": "constant", "warmup_epochs": 0}
    settings = {**SETTINGS, **settings, "learning_rate": 0.1}
    optimizer = _optimizers.make_optimizer(settings, 5)
    variable = keras.Variable([2.0, -1.0])
    plain = keras.optimizers.get(name)
    plain.learning_rate = 0.1
    if name == "sgd":
        plain = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    other = keras.Variable([2.0, -1.0])
    for gradient in (np.array([0.3, 0.1]), np.array([-0.2, 0.4])):
        decayed = gradient + 0.01 * keras.ops.convert_to_numpy(other)
        optimizer.apply([keras.ops.cast(gradient, "float32")], [variable])
        plain.apply([keras.ops.cast(decayed, "float32")], [other])
    found, expected = map(keras.ops.convert_to_numpy, (variable, other))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_batches_are_in_another_order_each_epoch_and_the_same_for_a_seed(small):
    images = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    pictures = _data.Pictures(images, np.arange(40))
    parts = _trainer.Parts(pictures, pictures, 40, (1, 1, 1), 40)
    run = small.list_runs()[0]
    run = run._replace(settings={**run.settings, "batch_size": 16})

    def epochs():
        data = _trainer._make_batches(parts, run)
        for _ in range(2):
            batches = list(data.as_numpy_iterator())
            assert [len(labels) for _, labels in batches] == [16, 16, 8]
            for values, labels in batches:
                np.testing.assert_allclose(values.ravel() * 255, labels, rtol=1e-5)
            yield np.concatenate([labels for _, labels in batches])

    keras.utils.set_random_seed(0)
    first, second = epochs()
    assert sorted(first.tolist()) == list(range(40))
    assert (first != second).any()
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(np.stack(list(epochs())), [first, second])


def test_images_are_shifted_and_flipped_with_zeros_beside_them():
    ops = _backend.get_pipeline_ops()
    images = np.random.default_rng(0).random((64, 5, 6, 2)).astype(np.float32) + 0.1
    seed = _backend.get_tensorflow_ops().convert([1, 2], "int64")
    found = np.asarray(ops.shift_and_flip(images, seed=seed, shift=2))
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)])
    seen = set()
    for number, image in enumerate(found):
        for flip in (False, True):
            whole = padded[number][:, ::-1] if flip else padded[number]
            for top in range(5):
                for left in range(5):
                    part = whole[top : top + 5, left : left + 6]
                    if np.array_equal(part, image):
                        seen.add((number, flip, top, left))
    assert len({number for number, *_ in seen}) == 64
    assert {flip for _, flip, *_ in seen} == {False, True}
    assert {top for *_, top, _ in seen} == {left for *_, left in seen} == set(range(5))


def test_flips_alone_move_nothing():
    ops = _backend.get_pipeline_ops()
    images = np.random.default_rng(0).random((16, 3, 4, 1)).astype(np.float32)
    seed = _backend.get_tensorflow_ops().convert([1, 2], "int64")
    found = np.asarray(ops.shift_and_flip(images, seed=seed, shift=0))
    flipped = np.array([(x != y).any() for x, y in zip(found, images, strict=True)])
    assert 0 < flipped.sum() < 16
    np.testing.assert_array_equal(found[flipped], images[flipped][:, :, ::-1])


def test_resnet8_returns_logits_and_normalises_inside():
    model = _networks.build_resnet8((9, 11, 3), 7)
    assert model.output_shape == (None, 7)
    assert model.layers[-1].activation is keras.activations.linear
    values = model.get_layer("normalize")(np.array([0.0, 0.5, 1.0], np.float32))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(values), [-2, 0, 2])
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 1 + 3 * 2 + 2


def test_what_is_not_finite_becomes_none():
    found = _trainer._finite({"a": [1.0, float("nan")], "b": float("inf"), "c": 2})
    assert found == {"a": [1.0, None], "b": None, "c": 2}


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "40 s"), (720, "12 min"), (11100, "3 h 5 min")]
)
def test_durations_are_in_words(seconds, words):
    assert _progress.format_seconds(seconds) == words


def test_a_terminal_gets_a_bar(small, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with _progress.Progress(1, 3) as progress:
        progress.count(small.list_runs()[0], accuracy=0.5, seconds=2)
    shown = capsys.readouterr().out
    assert "2/3" in shown
    assert "none, seed 0" in shown
