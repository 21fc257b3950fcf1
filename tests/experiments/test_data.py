"""Which pictures a seed draws, and the folders and archives that they come from."""

import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_msda import datasets
from keras_msda.experiments import _data, _streams
from keras_msda.experiments._config import Group

COUNTS = (40, 40, 20)


@pytest.fixture
def source():
    """A source whose images hold their own number."""
    labels = np.repeat(np.arange(3), COUNTS)
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    pictures = _data.Pictures(images, labels.astype(np.int64))
    return _data.Source(pictures, pictures, 3)


def draw(source, *, count=50, wrong_labels=0.0, seed=1):
    return _data.draw_training(
        source, count=count, wrong_labels=wrong_labels, seed=seed
    )


def test_a_subset_has_each_class_in_proportion_and_no_picture_twice(source):
    found = draw(source)
    np.testing.assert_array_equal(np.bincount(found.labels), [20, 20, 10])
    numbers = found.images.ravel()
    assert len(set(numbers.tolist())) == 50
    np.testing.assert_array_equal(source.train.labels[numbers], found.labels)


def test_a_subset_depends_on_the_seed_alone(source):
    first, again, other = (draw(source, seed=seed).images.ravel() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


@pytest.mark.parametrize(("share", "expected"), [(0.1, 5), (0.5, 25), (0.99, 50)])
def test_wrong_labels_have_their_number_and_never_the_same_class(
    source, share, expected
):
    right = draw(source)
    found = draw(source, wrong_labels=share)
    np.testing.assert_array_equal(found.images, right.images)
    assert (found.labels != right.labels).sum() == expected
    assert set(found.labels.tolist()) <= {0, 1, 2}


def test_wrong_labels_are_of_all_other_classes_equally_often():
    many = _data.Pictures(np.zeros((6000, 1, 1, 1), np.uint8), np.zeros(6000, np.int64))
    found = _data.draw_training(
        _data.Source(many, many, 4), count=None, wrong_labels=0.5, seed=0
    )
    counts = np.bincount(found.labels, minlength=4)
    assert counts[0] == 3000
    # Four standard errors of a share of a third.
    np.testing.assert_allclose(counts[1:], 1000, rtol=0, atol=4 * (3000 * 2 / 9) ** 0.5)


def test_wrong_labels_change_no_labels_of_the_source(source):
    before = source.train.labels.copy()
    draw(source, count=None, wrong_labels=0.5)
    np.testing.assert_array_equal(source.train.labels, before)


def test_all_pictures_come_in_their_order(source):
    np.testing.assert_array_equal(
        draw(source, count=None).images.ravel(), np.arange(100)
    )


def test_test_pictures_are_from_the_end(source):
    found = _data.draw_test(source, 10)
    np.testing.assert_array_equal(found.images.ravel(), np.arange(90, 100))
    assert _data.draw_test(source, None) is source.test


@pytest.mark.parametrize(
    ("group", "test_images", "pattern"),
    [
        (Group("x", "resnet8", 101, 0), None, "train_images: x has 100 .* 101"),
        (Group("x", "resnet8", None, 0), 200, "test_images: x has 100 .* 200"),
    ],
)
def test_more_pictures_than_there_are_is_an_error(source, group, test_images, pattern):
    with pytest.raises(ValueError, match=pattern):
        _data.check_counts(source, [group], test_images)


def write_pictures(folder, parts=("train", "test"), count=3):
    """Writes grey pictures of two classes, each of its own brightness."""
    for number, part in enumerate(parts):
        for label, name in enumerate(("cats", "dogs")):
            place = folder / part / name
            place.mkdir(parents=True)
            for each in range(count - number):
                grey = 40 * number + 20 * label + each
                array = np.full((6, 8), grey, np.uint8)
                Image.fromarray(array).save(place / f"{each}.png")
    return folder


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
        archive.writestr(f"{prefix}__MACOSX/x", "")
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "zip in a folder"])
def test_an_official_split_is_kept(kind, tmp_path):
    place = write_pictures(tmp_path / "pets")
    if kind != "folder":
        prefix = "pets/" if kind == "zip in a folder" else ""
        place = zipped(place, tmp_path / "pets.zip", prefix)
    loaded = datasets.load(place)
    assert loaded.name == "pets"
    assert loaded.class_names == ("cats", "dogs")
    assert loaded.test_count == 4
    np.testing.assert_array_equal(loaded.labels, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1])
    expected = [0, 1, 2, 20, 21, 22, 40, 41, 60, 61]
    np.testing.assert_array_equal(loaded.images[:, 0, 0, 0], expected)
    source = _data.load_source("pets", places={"pets": str(place)})
    assert sorted(source.test.images[:, 0, 0, 0].tolist()) == [40, 41, 60, 61]
    np.testing.assert_array_equal(source.train.images[:, 0, 0, 0], expected[:6])


def test_pictures_are_cut_to_squares_of_a_given_size(tmp_path):
    place = write_pictures(tmp_path / "pets")
    assert datasets.load(place, size=5).images.shape == (10, 5, 5, 1)
    assert datasets.load(place).images.shape == (10, 6, 8, 1)


def test_a_class_of_one_part_alone_is_an_error(tmp_path):
    place = write_pictures(tmp_path / "pets")
    (place / "test" / "birds").mkdir()
    with pytest.raises(ValueError, match=r"same classes as `train`.*'birds'"):
        datasets.load(place)


def test_a_file_that_is_no_zip_is_an_error(tmp_path):
    path = tmp_path / "pets.zip"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"pets\.zip is not a zip file"):
        datasets.load(path)


def test_a_picture_that_is_damaged_in_a_zip_is_named(tmp_path):
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/a.png", b"no picture")
    with pytest.raises(ValueError, match=r"cats/a\.png cannot be read"):
        datasets.load(path)


def test_folders_of_classes_are_split_alike_for_every_seed(tmp_path):
    write_pictures(tmp_path / "pets", ("train",), count=10)
    place = {"pets": str(tmp_path / "pets" / "train")}
    first, second = (_data.load_source("pets", places=place) for _ in range(2))
    assert (len(first.train.labels), len(first.test.labels)) == (16, 4)
    np.testing.assert_array_equal(first.test.images, second.test.images)


def test_a_data_set_without_a_place_is_an_error():
    with pytest.raises(ValueError, match=r"'birds'.*--data birds=PATH"):
        _data.load_source("birds", places={})


def test_digits_stand_for_what_is_not_at_hand():
    source = _data.load_stand_in("birds", places={}, image_size=20)
    assert source.train.shape == (20, 20, 3)
    assert source.train.images.dtype == np.uint8
    assert source.train.images.max() > 200
    assert "birds is not at hand" in source.notes[0]
    assert not _data.is_at_hand("birds", places={})


def test_official_test_parts_are_the_last_pictures(monkeypatch):
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = np.zeros(10, np.int64)
    loaded = datasets.Dataset("mnist", images, labels, ("a",), test_count=3)
    monkeypatch.setattr(datasets, "load", lambda *_, **__: loaded)
    source = _data.load_source("mnist", places={})
    np.testing.assert_array_equal(source.train.images.ravel(), np.arange(7))
    np.testing.assert_array_equal(source.test.images.ravel(), np.arange(7, 10))


# Streams, of a library that is made up here.


@pytest.fixture
def fake_tfds(monkeypatch):
    import tensorflow as tf

    def load(name, *, split, as_supervised, download):
        assert (name, as_supervised, download) == ("toys", True, False)
        count = {"train": 6, "test": 4}[split]
        images = np.full((count, 30, 20, 3), 7, np.uint8)
        return tf.data.Dataset.from_tensor_slices((images, np.arange(count) % 2))

    counts = {"train": types.SimpleNamespace(num_examples=6), "test": None}
    features = {
        "image": types.SimpleNamespace(shape=(None, None, 3)),
        "label": types.SimpleNamespace(num_classes=2),
    }
    info = types.SimpleNamespace(splits=counts, features=features)
    path = types.SimpleNamespace(exists=lambda: True)
    builder = types.SimpleNamespace(info=info, data_path=path)
    library = types.ModuleType("tensorflow_datasets")
    library.load, library.builder = load, lambda _: builder
    library.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", library)
    return path


def test_a_stream_is_resized_while_it_is_read(fake_tfds):
    stream = _data.load_source("tfds:toys", places={}, image_size=8)
    assert (stream.shape, stream.classes, stream.train_count) == ((8, 8, 3), 2, 6)
    images, labels = zip(*stream.test.as_numpy_iterator(), strict=True)
    np.testing.assert_array_equal(np.stack(images), np.full((4, 8, 8, 3), 7))
    assert labels == (0, 1, 0, 1)
    assert fake_tfds.exists()


def test_a_stream_that_is_not_prepared_is_an_error(fake_tfds):
    fake_tfds.exists = lambda: False
    with pytest.raises(OSError, match=r"tfds:toys is not prepared.*tfds build toys"):
        _data.load_source("tfds:toys", places={})
    assert not _data.is_at_hand("tfds:toys", places={})


def test_a_stream_takes_no_subset(fake_tfds):
    stream = _data.load_source("tfds:toys", places={})
    with pytest.raises(ValueError, match="train_images=5, wrong_labels=0"):
        _data.check_counts(stream, [Group("tfds:toys", "resnet8", 5, 0)], None)
    assert fake_tfds.exists()


def test_streams_need_their_library(monkeypatch):
    monkeypatch.setattr(_streams.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install tensorflow-datasets"):
        _data.load_source("tfds:toys", places={})
    assert not _data.is_at_hand("tfds:toys", places={})
