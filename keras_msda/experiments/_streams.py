"""Data sets of `tensorflow_datasets`, which are read while they are used."""

import importlib
import importlib.util
from typing import Any, NamedTuple

import keras

from keras_msda import _errors

PREFIX = "tfds:"
_SIDE = 224


class Stream(NamedTuple):
    """A data set that does not fit in memory.

    Attributes:
        train: Dataset of `(uint8 picture, label)`, resized.
        test: The same of the test part.
        train_count: Number of training pictures.
        shape: Of a picture.
        classes: Number of classes.
        notes: What a user may want to know.
    """

    train: Any
    test: Any
    train_count: int
    shape: tuple[int, ...]
    classes: int
    notes: tuple[str, ...] = ()


def open_stream(name: str, *, image_size: int | None) -> Stream:
    """Opens a data set of `tensorflow_datasets`.

    Args:
        name: "tfds:" and its name there.
        image_size: Side of the squares that pictures are cut to; None for 224.

    Returns:
        Its parts; the test part is "test", or "validation" where it has labels alone.

    Raises:
        ImportError: If `tensorflow_datasets` is not installed.
        OSError: If the data set was not prepared.
    """
    library, builder = _builder(name)
    side = image_size or _SIDE
    splits = builder.info.splits
    held_out = "validation" if name.partition(":")[2].startswith("imagenet") else "test"
    held_out = held_out if held_out in splits else "validation"

    def load(split: str) -> Any:
        data = library.load(
            name.removeprefix(PREFIX), split=split, as_supervised=True, download=False
        )
        return data.map(lambda x, y: (_resize(x, side), y), num_parallel_calls=-1)

    return Stream(
        load("train"),
        load(held_out),
        int(splits["train"].num_examples),
        (side, side, int(builder.info.features["image"].shape[-1])),
        int(builder.info.features["label"].num_classes),
    )


def is_prepared(name: str) -> bool:
    """Returns whether a data set is installed and on this machine."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return False
    try:
        _builder(name)
    except (OSError, ValueError):
        return False
    return True


def check_group(name: str, train_images: int | None, wrong_labels: float) -> None:
    """Checks that what is asked for can be done with a stream.

    Args:
        name: Of the data set.
        train_images: Must be None.
        wrong_labels: Must be 0.

    Raises:
        ValueError: If one of them is not.
    """
    if train_images is not None or wrong_labels:
        _errors.fail(
            "experiment",
            f"{name} is read while it is used, all of it, with its own labels.",
            f"train_images={train_images}, wrong_labels={wrong_labels}",
            "Leave both out.",
        )


def _builder(name: str) -> tuple[Any, Any]:
    """Returns the library and what knows the data set."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        _errors.fail(
            "experiment",
            "names with tfds: need the package tensorflow_datasets.",
            repr(name),
            "Install it by `pip install tensorflow-datasets`.",
            ImportError,
        )
    library = importlib.import_module("tensorflow_datasets")
    try:
        builder = library.builder(name.removeprefix(PREFIX))
        ready = builder.data_path.exists()
    except Exception as error:  # Its own kinds of errors, for an unknown name.
        _errors.fail_file(
            f"tensorflow_datasets has no {name}: {error}", ValueError, cause=error
        )
    if not ready:
        _errors.fail_file(
            f"{name} is not prepared on this machine. Run `tfds build "
            f"{name.removeprefix(PREFIX)}`, once.",
            OSError,
        )
    return library, builder


def _resize(image: Any, side: int) -> Any:
    """Cuts a picture to the square in its middle, and resizes it."""
    resized = keras.ops.image.resize(
        keras.ops.cast(image, "float32"),
        (side, side),
        crop_to_aspect_ratio=True,
        data_format="channels_last",
    )
    return keras.ops.cast(keras.ops.round(resized), "uint8")
