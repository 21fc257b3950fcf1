"""Reading data sets and parting them."""

import gzip
import os

import keras
import numpy as np
import pytest
from PIL import Image

from keras_msda import datasets
from keras_msda.datasets import _load


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    raw = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return raw


@pytest.fixture
def idx_folder(tmp_path):
    """Two parts in MNIST's layout; pixel values tell the images apart."""
    images = np.arange(12 * 4 * 5).reshape(12, 4, 5) % 251
    labels = np.arange(12) % 3
    for part, chosen in (("train", slice(0, 9)), ("t10k", slice(9, 12))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images[chosen])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels[chosen])
    return tmp_path


def numbered(counts):
    """A data set whose every image holds its own number, in its two pixels."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    numbers = np.arange(len(labels))
    images = np.stack([numbers // 256, numbers % 256], 1).astype(np.uint8)
    names = tuple(f"class {n}" for n in range(len(counts)))
    return datasets.Dataset("numbered", images.reshape(-1, 1, 2, 1), labels, names)


def numbers_of(images):
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]


def test_the_shipped_digits_are_five_hundred_of_each():
    digits = datasets.load()
    assert digits.images.shape == (5000, 28, 28, 1)
    assert digits.images.dtype == np.uint8
    assert digits.labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(digits.labels), [500] * 10)
    assert digits.images.max() == 255
    # A one has less ink than a zero.
    ink = [digits.images[digits.labels == label].mean() for label in (0, 1)]
    assert ink[1] < 0.6 * ink[0]


def test_the_digits_are_parted_in_proportion():
    parts = datasets.split(datasets.load(), seed=3)
    np.testing.assert_array_equal(np.bincount(parts.train_labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(parts.test_labels), [100] * 10)


def test_idx_parts_come_joined_with_train_first(idx_folder):
    loaded = datasets.load(idx_folder)
    expected = np.arange(12 * 4 * 5).reshape(12, 4, 5, 1) % 251
    np.testing.assert_array_equal(loaded.images, expected)
    np.testing.assert_array_equal(loaded.labels, np.arange(12) % 3)
    assert loaded.class_names == ("0", "1", "2")


def test_idx_files_may_be_unpacked_and_one_part_alone(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.full((2, 3, 3), 9))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([1, 0]))
    loaded = datasets.load(tmp_path)
    np.testing.assert_array_equal(loaded.images, np.full((2, 3, 3, 1), 9))
    np.testing.assert_array_equal(loaded.labels, [1, 0])


def test_debians_fashion_mnist_is_found_by_name(idx_folder, monkeypatch):
    monkeypatch.setattr(_load, "FASHION_FOLDER", idx_folder)
    loaded = datasets.load("fashion_mnist")
    assert loaded.images.shape == (12, 4, 5, 1)
    assert loaded.class_names[0] == "T-shirt/top"
    assert loaded.class_names[9] == "Ankle-boot"
    assert len(loaded.class_names) == 10


@pytest.mark.parametrize("kept", [0, 3, 12, 20, -1])
def test_a_cut_off_idx_file_is_named(idx_folder, kept):
    path = idx_folder / "train-images-idx3-ubyte.gz"
    raw = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(raw[:kept]))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz .*Received"):
        datasets.load(idx_folder)


def test_a_cut_off_archive_is_named(idx_folder):
    path = idx_folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz is damaged"):
        datasets.load(idx_folder)


def test_labels_must_be_as_many_as_images(idx_folder):
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", np.zeros(8))
    with pytest.raises(ValueError, match="9 images and 8 labels"):
        datasets.load(idx_folder)


def test_missing_labels_are_named(idx_folder):
    (idx_folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte"):
        datasets.load(idx_folder)


@pytest.mark.parametrize("shape", [(9, 0, 0), (9, 4, 0), (0, 4, 5)])
def test_pictures_of_no_pixels_and_no_pictures_are_told(idx_folder, shape):
    write_idx(idx_folder / "train-images-idx3-ubyte.gz", np.zeros(shape))
    write_idx(idx_folder / "train-labels-idx1-ubyte.gz", np.zeros(shape[0]))
    received = f"Received: {shape[0]} of {shape[2]}x{shape[1]} pixels"
    with pytest.raises(ValueError, match=f"train-images.*some pixels.*{received}"):
        datasets.load(idx_folder)


def test_parts_of_different_sizes_are_told(idx_folder):
    write_idx(idx_folder / "t10k-images-idx3-ubyte.gz", np.zeros((3, 6, 5)))
    expected = "t10k-images.*one size.*3 of 5x6 pixels, and 9 of 5x4 pixels first"
    with pytest.raises(ValueError, match=expected):
        datasets.load(idx_folder)


@pytest.mark.parametrize("part", ["images-idx3", "labels-idx1"])
def test_a_pipe_among_idx_files_is_not_waited_for(idx_folder, part):
    path = idx_folder / f"train-{part}-ubyte.gz"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=f"{part}.*is a pipe, not an idx file"):
        datasets.load(idx_folder)


def test_a_pipe_among_pictures_is_not_waited_for(tmp_path):
    (tmp_path / "cats").mkdir()
    os.mkfifo(tmp_path / "cats" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is a pipe.*, not a picture"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("target", ["data", "/dev/zero"])
def test_data_that_are_no_folder_are_told(tmp_path, target):
    (tmp_path / "data").symlink_to(target)  # A loop, or a device.
    with pytest.raises(ValueError, match="no data set and no folder"):
        datasets.load(tmp_path / "data")


def test_missing_images_are_told(idx_folder):
    for path in idx_folder.glob("*images*"):
        path.unlink()
    with pytest.raises(ValueError, match="neither idx files"):
        datasets.load(idx_folder)


def test_a_folder_of_pictures_has_a_class_a_folder(tmp_path):
    for name, value, size in (("cat", 10, (6, 4)), ("dog", 200, (6, 4))):
        (tmp_path / name).mkdir()
        for number in range(2):
            picture = Image.new("L", size, value + number)
            picture.save(tmp_path / name / f"{number}.png")
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    loaded = datasets.load(tmp_path)
    assert loaded.class_names == ("cat", "dog")
    assert loaded.images.shape == (4, 4, 6, 1)
    np.testing.assert_array_equal(loaded.images[:, 0, 0, 0], [10, 11, 200, 201])
    np.testing.assert_array_equal(loaded.labels, [0, 0, 1, 1])
    assert loaded.notes == ()


def test_names_that_begin_with_an_underscore_are_no_hidden_ones(tmp_path):
    for name in ("_background", "cat"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "_DSC0001.png")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "cat" / "._DSC0001.png").write_bytes(b"what macOS adds")
    loaded = datasets.load(tmp_path)
    assert loaded.class_names == ("_background", "cat")
    np.testing.assert_array_equal(loaded.labels, [0, 1])


def test_pictures_of_other_sizes_are_resized_and_said(tmp_path):
    (tmp_path / "a").mkdir()
    for number, size in enumerate([(8, 8), (8, 8), (30, 20)]):
        Image.new("RGB", size, (9, 99, 199)).save(tmp_path / "a" / f"{number}.png")
    Image.new("L", (8, 8), 50).save(tmp_path / "a" / "grey.png")
    loaded = datasets.load(tmp_path)
    assert loaded.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(loaded.images[2], np.full((8, 8, 3), (9, 99, 199)))
    np.testing.assert_array_equal(loaded.images[3], np.full((8, 8, 3), 50))
    assert loaded.notes == ("1 of 4 pictures were resized to 8x8",)


def test_photographs_are_made_small(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (640, 480), 7).save(tmp_path / "a" / "photo.png")
    assert datasets.load(tmp_path).images.shape == (1, 48, 64, 1)


def test_a_broken_picture_in_a_folder_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.jpg").write_bytes(b"no jpeg")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("inside", [None, "empty"])
def test_an_empty_folder_is_told(tmp_path, inside):
    if inside:
        (tmp_path / inside).mkdir()
    with pytest.raises(ValueError, match=tmp_path.name):
        datasets.load(tmp_path)


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Received: 'minst'.* mnist-5k, mnist"):
        datasets.load("minst")


def test_without_a_network_the_way_out_is_said(monkeypatch):
    def fail():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail)
    with pytest.raises(OSError, match=r"cifar10 could not .* fetch failure.*--data"):
        datasets.load("cifar10")


def test_what_keras_downloads_is_joined(monkeypatch):
    train = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), np.array([[3], [1]])
    test = np.full((1, 2, 2, 3), 7, np.uint8), np.array([[9]])
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (train, test))
    loaded = datasets.load("cifar10")
    np.testing.assert_array_equal(loaded.images, np.concatenate([train[0], test[0]]))
    np.testing.assert_array_equal(loaded.labels, [3, 1, 9])
    assert loaded.class_names[9] == "truck"


def test_grey_data_from_keras_get_a_channel(monkeypatch):
    part = np.ones((2, 4, 4), np.uint8), np.array([0, 1], np.uint8)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (part, part))
    loaded = datasets.load("mnist")
    assert loaded.images.shape == (4, 4, 4, 1)
    assert loaded.labels.dtype == np.int64


def test_one_seed_is_one_split_and_another_is_another():
    data = numbered([50, 30])
    first, again, other = (datasets.split(data, seed=seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (numbers_of(first.test_images) != numbers_of(other.test_images)).any()


def test_parts_are_disjoint_whole_and_keep_their_labels():
    data = numbered([250, 100, 150])
    parts = datasets.split(data, seed=5)
    train, test = numbers_of(parts.train_images), numbers_of(parts.test_images)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([train, test])), np.arange(500)
    )
    np.testing.assert_array_equal(data.labels[train], parts.train_labels)
    np.testing.assert_array_equal(data.labels[test], parts.test_labels)
    np.testing.assert_array_equal(np.bincount(parts.test_labels), [50, 20, 30])


def test_a_limit_keeps_the_proportions():
    parts = datasets.split(numbered([600, 300, 100]), seed=0, limit=100)
    np.testing.assert_array_equal(np.bincount(parts.train_labels), [48, 24, 8])
    np.testing.assert_array_equal(np.bincount(parts.test_labels), [12, 6, 2])


def test_the_largest_remainders_get_one_more():
    parts = datasets.split(numbered([7, 7, 6]), seed=0, test=0.5, limit=None)
    # 10 tested of 20: quotas 3.5, 3.5, 3.
    np.testing.assert_array_equal(np.bincount(parts.test_labels), [4, 3, 3])


def test_training_pictures_come_in_mixed_order():
    labels = datasets.split(numbered([100, 100]), seed=0).train_labels
    assert (np.diff(labels) != 0).sum() > 40


def test_a_class_too_small_to_part_is_named():
    with pytest.raises(ValueError, match=r"Received: 2 of class 'class 1'"):
        datasets.split(numbered([100, 2]), seed=0)
