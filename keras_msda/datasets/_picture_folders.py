"""Reads a folder that has one folder of pictures per class."""

import collections
from pathlib import Path

import numpy as np

from keras_msda import _errors
from keras_msda.datasets import _pictures
from keras_msda.datasets._dataset import Dataset

# A folder of photographs should train on two cores in minutes.
LARGEST_SIDE = 64


def list_classes(folder: Path) -> list[Path]:
    """Returns the folders in a folder, without hidden ones, in order."""
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )


def read_class_folders(folder: Path) -> Dataset:
    """Reads one folder of pictures per class, all brought to one size and mode.

    Args:
        folder: The folder that has the folders of the classes.

    Returns:
        Pictures of the most frequent size, with a note if others were resized.

    Raises:
        ValueError: If there are no pictures, or one of them is damaged.
        OSError: If a picture cannot be read.
    """
    classes = list_classes(folder)
    paths = [
        (path, label)
        for label, entry in enumerate(classes)
        for path in sorted(entry.iterdir())
        if path.suffix.lower() in _pictures.SUFFIXES
    ]
    if not paths:
        _errors.fail_file(f"no pictures in the folders of {str(folder)!r}.")
    pictures = [_pictures.read_picture(path).image for path, _ in paths]
    sizes = collections.Counter(picture.size for picture in pictures)
    size = _pictures.fit_size(sizes.most_common(1)[0][0], LARGEST_SIDE)
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    resized = sum(picture.size != size for picture in pictures)
    arrays = [np.asarray(picture.convert(mode).resize(size)) for picture in pictures]
    note = f"{resized} of {len(arrays)} pictures were resized to {size[0]}x{size[1]}"
    return Dataset(
        folder.resolve().name,
        np.stack(arrays).reshape(len(arrays), size[1], size[0], -1),
        np.array([label for _, label in paths], np.int64),
        tuple(entry.name for entry in classes),
        (note,) if resized else (),
    )
