"""The callback that shows mixes, by what it writes and what it leaves alone."""

import io
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_msda as msda
from keras_msda import plot
from tests.support.figures import checkered


def model_of(layer):
    """Returns a small model with the same weights each time."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=layer.loss(loss))
    return model


def fit(layer, *callbacks, epochs=2):
    images, labels = checkered(batch=8, size=(4, 4)), np.arange(8) % 3
    model = model_of(layer)
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0, "epochs": epochs}
    history = model.fit(images, labels, callbacks=list(callbacks), **settings)
    return history.history["loss"], model.get_weights()


def events(folder):
    """Returns step, tag, plugin and entries of what is in TensorBoard's file."""
    (file,) = folder.iterdir()
    found = []
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            entries = tf.make_ndarray(value.tensor).tolist()
            found.append((event.step, value.tag, plugin, entries))
    return found


def record(monkeypatch):
    """Keeps the panels of all figures that are drawn."""
    drawn = []
    original = plot._mixes.panel_figure
    monkeypatch.setattr(
        plot._mixes, "panel_figure", lambda rows: drawn.append(rows) or original(rows)
    )
    return drawn


@pytest.mark.long
@pytest.mark.parametrize("to", ["folder", "tensorboard"])
def test_training_and_the_layers_draws_are_those_without(tmp_path, to):
    losses, weights = fit(msda.HMixLayer(seed=1))
    layer = msda.HMixLayer(seed=1)
    preview = plot.MixPreview(tmp_path, layer, checkered(size=(4, 4)), to=to)
    again, same = fit(layer, preview)
    np.testing.assert_array_equal(again, losses)
    for first, second in zip(weights, same, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.long
def test_a_folder_has_a_picture_of_every_so_many_epochs(tmp_path):
    layer = msda.CutMixLayer(seed=1)
    folder = tmp_path / "logs" / "run"
    preview = plot.MixPreview(folder, layer, checkered(), to="folder", every=2)
    there = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_, **__: there.append(len([*folder.iterdir()]))
    )
    fit(layer, preview, look, epochs=4)
    # Two batches an epoch: before the first one there is a picture.
    assert there == [1, 1, 1, 1, 2, 2, 2, 2]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["epoch-0000.png", "epoch-0002.png"]
    with Image.open(folder / names[0]) as picture:
        assert picture.size[0] > 800


@pytest.mark.long
def test_the_picture_is_that_of_the_layers_panels(tmp_path, monkeypatch):
    drawn = record(monkeypatch)
    layers, images = [msda.HMixLayer(), msda.GMixLayer()], checkered()
    plot.MixPreview(tmp_path, layers, images, to="folder", seed=5).show(3)
    (rows,) = drawn
    assert [row.name for row in rows] == ["HMix", "GMix"]
    for row in rows:
        np.testing.assert_array_equal(row.images, images)
        assert np.isnan(row.lam).all()
    expected = plot.panel_figure(rows)
    file = io.BytesIO()
    expected.savefig(file, format="png")
    with Image.open(tmp_path / "epoch-0003.png") as picture, Image.open(file) as same:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(same))


@pytest.mark.long
def test_tensorboard_has_them_as_images_by_epoch(tmp_path):
    layer = msda.FMixLayer(seed=1)
    fit(layer, plot.MixPreview(tmp_path, layer, checkered(), every=2), epochs=3)
    found = events(tmp_path)
    assert [entry[:3] for entry in found] == [
        (0, "mixes", "images"),
        (2, "mixes", "images"),
    ]
    for _, _, _, (width, height, png) in found:
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"
            assert picture.size == (int(width), int(height))
    assert found[0][3][2] != found[1][3][2]


@pytest.mark.long
def test_a_seed_draws_the_same_each_epoch_and_none_does_not(tmp_path, monkeypatch):
    drawn = record(monkeypatch)
    layer = msda.HMixLayer(seed=1)
    for seed in (7, None):
        preview = plot.MixPreview(tmp_path, layer, checkered(), to="folder", seed=seed)
        preview.show(0)
        preview.show(1)
    (first, second), (third, fourth) = drawn[:2], drawn[2:]
    np.testing.assert_array_equal(first[0].mask, second[0].mask)
    assert (third[0].mask != fourth[0].mask).any()


@pytest.mark.long
def test_it_shows_what_a_schedule_before_it_has_set(tmp_path, monkeypatch):
    drawn = record(monkeypatch)
    layer = msda.MixUpLayer(seed=1, pairing="roll")
    schedule = msda.MixSchedule(layer, probability={0: 0.0, 1: 1.0})
    preview = plot.MixPreview(tmp_path, layer, checkered(), to="folder")
    fit(layer, schedule, preview, epochs=2)
    np.testing.assert_array_equal(drawn[0][0].weight, 1)
    assert np.all(drawn[1][0].weight < 1)


def test_without_tensorflow_it_is_said_before_training(tmp_path, monkeypatch):
    from keras_msda import _backend

    arguments = (tmp_path, msda.MixUpLayer(), checkered())
    monkeypatch.setattr(_backend, "_LOADED", {})
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"TensorBoard's files.*to=\"folder\""):
        plot.MixPreview(*arguments)
    plot.MixPreview(*arguments, to="folder")


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"to": "file"}, ValueError, r'"tensorboard", "folder".*to=\'file\''),
        ({"every": 0}, ValueError, "every=0"),
        ({"seed": 0.5}, ValueError, "seed=0.5"),
        ({"layer": keras.layers.Dense(1)}, TypeError, "mixing layer.*Dense"),
        ({"images": np.zeros((2, 4))}, ValueError, r"shape=\(2, 4\)"),
    ],
    ids=["to", "every", "seed", "layer", "images"],
)
def test_wrong_arguments_are_told_before_anything_is_made(
    tmp_path, settings, kind, expected
):
    given = {"layer": msda.MixUpLayer(), "images": checkered(), "to": "folder"}
    with pytest.raises(kind, match=expected):
        plot.MixPreview(tmp_path / "new", **(given | settings))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        plot.MixPreview(
            tmp_path / "file" / "run", msda.MixUpLayer(), checkered(), to="folder"
        )
