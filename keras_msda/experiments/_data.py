"""The pictures of an experiment: what is loaded, and what each seed draws from it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _errors, datasets
from keras_msda.datasets import _load
from keras_msda.datasets._split import apportion
from keras_msda.experiments import _streams
from keras_msda.experiments._config import Group

#: Shapes by name, for the digits that stand for what is not at hand.
_SHAPES = {"fashion-mnist": (28, 1), "mnist": (28, 1)}
_SHAPES |= {"cifar10": (32, 3), "cifar100": (32, 3)}
#: What Keras keeps of a download, by name.
_KEPT = {"mnist": "mnist*", "fashion-mnist": "fashion-mnist*"}
_KEPT |= {"cifar10": "cifar-10-*", "cifar100": "cifar-100-*"}
# Side of squares that stand for a folder which is not at hand.
_SIDE = 32


class Pictures(NamedTuple):
    """Pictures with their classes.

    Attributes:
        images: uint8, shape `(n, height, width, channels)`.
        labels: int64, shape `(n,)`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a picture."""
        return self.images.shape[1:]


class Source(NamedTuple):
    """A data set in two parts, of which seeds draw.

    Attributes:
        train: Pictures for training.
        test: Pictures for testing, the same for every seed.
        classes: Number of classes.
        notes: What a user may want to know.
    """

    train: Pictures
    test: Pictures
    classes: int
    notes: tuple[str, ...] = ()


def load_source(
    name: str, *, places: Mapping[str, str], image_size: int | None = None
) -> Any:
    """Loads a data set by the name that a config gives it.

    Args:
        name: As `datasets.load` knows it, in `places`, or "tfds:" and a name.
        places: Folders or zip files by name.
        image_size: Side of pictures that have none of their own.

    Returns:
        A `Source`, or a `Stream`.

    Raises:
        ValueError: If there is no such data set, or it is damaged.
        OSError: If it cannot be read.
        ImportError: If a package is not installed.
    """
    if name.startswith(_streams.PREFIX):
        return _streams.open_stream(name, image_size=image_size)
    place = places.get(name, name)
    if place == name and name not in datasets.NAMES and not Path(name).exists():
        _errors.fail(
            "experiment",
            "no data set, folder or zip file has this name.",
            repr(name),
            f"Give its place by --data {name}=PATH, or name one of "
            f"{', '.join(datasets.NAMES)}.",
        )
    dataset = datasets.load(place, size=image_size)
    return _divide(dataset, shuffled=place not in datasets.NAMES)


def load_stand_in(
    name: str, *, places: Mapping[str, str], image_size: int | None = None
) -> Any:
    """Loads a data set if that needs no download, and digits in its place if not.

    Args:
        name: As a config gives it.
        places: Folders or zip files by name.
        image_size: Side of pictures that have none of their own.
    """
    if is_at_hand(name, places=places):
        return load_source(name, places=places, image_size=image_size)
    side, channels = _SHAPES.get(name, (image_size or _SIDE, 3))
    digits = datasets.load(datasets.INCLUDED)
    resized = keras.ops.image.resize(
        digits.images[::5].astype(np.float32),
        (side, side),
        data_format="channels_last",
    )
    pixels = np.clip(np.rint(keras.ops.convert_to_numpy(resized)), 0, 255)
    images = np.repeat(pixels.astype(np.uint8), channels, axis=-1)
    note = f"{name} is not at hand: digits of {side}x{side} pixels stand for it"
    dataset = digits._replace(images=images, labels=digits.labels[::5], notes=(note,))
    return _divide(dataset, shuffled=True)


def is_at_hand(name: str, *, places: Mapping[str, str]) -> bool:
    """Returns whether a data set can be loaded without a download.

    Args:
        name: As a config gives it.
        places: Folders or zip files by name.
    """
    if name == datasets.INCLUDED or Path(places.get(name, name)).exists():
        return True
    if name.startswith(_streams.PREFIX):
        return _streams.is_prepared(name)
    if name == "fashion-mnist" and _load.FASHION_FOLDER.is_dir():
        return True
    # Keras has no public function that tells where.
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    kept = Path(home) / "datasets"
    return name in _KEPT and any(kept.glob(_KEPT[name]))


def check_counts(source: Any, groups: list[Group], test_images: int | None) -> None:
    """Checks that a data set has as many pictures as a config asks for.

    Args:
        source: The data set.
        groups: Those of its name.
        test_images: Number of test pictures; None for all.

    Raises:
        ValueError: If it has fewer, or a stream cannot do what is asked for.
    """
    if isinstance(source, _streams.Stream):
        for group in groups:
            _streams.check_group(group.data, group.train_images, group.wrong_labels)
        return
    name = groups[0].data
    asked = [group.train_images for group in groups if group.train_images is not None]
    _check_count(name, "train_images", max(asked, default=1), len(source.train.labels))
    _check_count(name, "test_images", test_images or 1, len(source.test.labels))


def _check_count(name: str, key: str, asked: int, there: int) -> None:
    if asked > there:
        _errors.fail(
            f"experiment: {key}",
            f"{name} has {there} pictures for it.",
            str(asked),
            "Give a smaller number, or null for all.",
        )


def draw_training(
    source: Source, *, count: int | None, wrong_labels: float, seed: int
) -> Pictures:
    """Draws the training pictures of a seed, each class in proportion.

    Args:
        source: The data set.
        count: Number of pictures; None for all.
        wrong_labels: Share of them that get another class, drawn uniformly.
        seed: Of both draws, which are independent of one another.

    Returns:
        The pictures, in random order if not all, with their labels.
    """
    images, labels = source.train
    chosen = np.arange(len(labels))
    if count is not None:
        chosen = _draw_subset(labels, source.classes, count=count, seed=seed)
    labels = labels[chosen]
    generator = np.random.default_rng([seed, 1])
    number = round(wrong_labels * len(labels))
    places = generator.choice(len(labels), number, replace=False)
    shift = generator.integers(1, source.classes, number)
    labels[places] = (labels[places] + shift) % source.classes
    return Pictures(images[chosen], labels)


def _draw_subset(
    labels: npt.NDArray[np.int64], classes: int, *, count: int, seed: int
) -> npt.NDArray[np.int64]:
    generator = np.random.default_rng([seed, 0])
    taken = apportion(np.bincount(labels, minlength=classes), count)
    each = [
        generator.permutation(np.flatnonzero(labels == label))[: taken[label]]
        for label in range(classes)
    ]
    return generator.permutation(np.concatenate(each))


def draw_test(source: Source, count: int | None) -> Pictures:
    """Returns the last test pictures, all if no number is given."""
    images, labels = source.test
    return Pictures(images[-count:], labels[-count:]) if count else source.test


def _divide(dataset: datasets.Dataset, *, shuffled: bool) -> Source:
    """Divides a data set at its official split, or by one that no seed changes."""
    classes = len(dataset.class_names)
    if not dataset.test_count:
        parts = datasets.split(dataset, seed=0, limit=None)
        train = Pictures(parts.train_images, parts.train_labels)
        test = Pictures(parts.test_images, parts.test_labels)
        return Source(train, test, classes, dataset.notes)
    start = len(dataset.labels) - dataset.test_count
    train = Pictures(dataset.images[:start], dataset.labels[:start])
    test = Pictures(dataset.images[start:], dataset.labels[start:])
    if shuffled:  # Folders are in the order of their classes.
        order = np.random.default_rng(0).permutation(dataset.test_count)
        test = Pictures(test.images[order], test.labels[order])
    return Source(train, test, classes, dataset.notes)
