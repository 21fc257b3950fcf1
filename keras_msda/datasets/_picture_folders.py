"""Reads a folder or a zip file that has one folder of pictures per class.

The folders of the classes may be in two folders, `train` and `test`.
"""

import collections
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keras_msda import _errors
from keras_msda.datasets import _pictures
from keras_msda.datasets._dataset import Dataset

# A folder of photographs should train on two cores in minutes.
LARGEST_SIDE = 64
#: Folders of an official split.
PARTS = ("train", "test")

#: A folder, or one inside a zip file, which nothing unpacks.
Folder = Path | zipfile.Path


def list_classes(folder: Folder) -> list[Folder]:
    """Returns the folders in a folder, without hidden ones, in order."""
    found = [x for x in folder.iterdir() if x.is_dir() and not is_hidden(x.name)]
    return sorted(found, key=lambda entry: entry.name)


def open_zip(path: Path) -> zipfile.Path:
    """Opens a zip file at the folder that holds the folders of its pictures.

    Args:
        path: The file.

    Returns:
        Its root, or the one folder in it where that has the folders.

    Raises:
        ValueError: If it is no zip file.
        OSError: If it cannot be read.
    """
    try:
        root = zipfile.Path(path)
    except zipfile.BadZipFile as error:
        _errors.fail_file(f"{path} is not a zip file, or damaged.", cause=error)
    inside = list_classes(root)
    alone = len(inside) == 1 and list_classes(inside[0])
    # Iterating over a folder gives entries of the kind of the folder.
    return inside[0] if alone else root  # type: ignore[return-value]


def read_class_folders(folder: Folder, *, size: int | None = None) -> Dataset:
    """Reads one folder of pictures per class, all brought to one size and mode.

    Args:
        folder: The folder that has the folders of the classes, or `train` and `test`,
            which have these.
        size: Side of the pictures, which are cut to squares; None for the size that
            most of them have, shrunk.

    Returns:
        Pictures of one size, with a note if some were resized. Those of `test` are the
        last ones.

    Raises:
        ValueError: If there are no pictures, or one of them is damaged, or `train` and
            `test` have other classes.
        OSError: If a picture cannot be read.
    """
    parts = _find_parts(folder)
    names = [entry.name for entry in list_classes(parts[0])]
    listed = [list(_list_pictures(part, names)) for part in parts]
    entries = [entry for each in listed for entry in each]
    if not all(listed):
        _errors.fail_file(f"no pictures in the folders of {str(folder)!r}.")
    # One large picture at a time.
    pictures = [_shrink(_read(entry, size), size) for entry, _ in entries]
    sizes = collections.Counter(full for full, _ in pictures)
    common = sizes.most_common(1)[0][0]
    target = common if size else _pictures.fit_size(common, LARGEST_SIDE)
    mode = "L" if all(small.mode == "L" for _, small in pictures) else "RGB"
    resized = sum(full != target for full, _ in pictures)
    smalls = [
        # Read again where another size is needed, since resizing twice would blur.
        small if small.size == target else _read(entry, size).resize(target)
        for (_, small), (entry, _) in zip(pictures, entries, strict=True)
    ]
    words = f"pictures were resized to {target[0]}x{target[1]}"
    return Dataset(
        _name(folder),
        np.stack([np.asarray(image.convert(mode)) for image in smalls]).reshape(
            len(smalls), target[1], target[0], -1
        ),
        np.array([label for _, label in entries], np.int64),
        tuple(names),
        (f"{resized} of {len(smalls)} {words}",) if resized else (),
        len(listed[1]) if len(parts) == 2 else 0,
    )


def is_hidden(name: str) -> bool:
    """Returns whether a name is hidden, or one that macOS adds to zip files."""
    return name.startswith(".") or name == "__MACOSX"


def _name(folder: Folder) -> str:
    if isinstance(folder, Path):
        return folder.resolve().name
    return Path(folder.root.filename or "").stem


def _find_parts(folder: Folder) -> list[Folder]:
    """Returns the folders of an official split, or the folder itself."""
    inside = {entry.name: entry for entry in list_classes(folder)}
    split = set(inside) == set(PARTS) and all(map(list_classes, inside.values()))
    return [inside[name] for name in PARTS] if split else [folder]


def _list_pictures(part: Folder, names: list[str]) -> Iterator[tuple[Folder, int]]:
    """Yields the pictures of a part, with their classes."""
    classes = list_classes(part)
    if [entry.name for entry in classes] != names:
        other = sorted(set(names) ^ {entry.name for entry in classes})
        _errors.fail_file(
            f"{part} must have the same classes as `train`. Received: {other[0]!r} in "
            "one of them alone."
        )
    for label, entry in enumerate(classes):
        entries: list[Folder] = list(entry.iterdir())
        for path in sorted(entries, key=lambda path: path.name):
            suffix = Path(path.name).suffix.lower()
            if suffix in _pictures.SUFFIXES and not is_hidden(path.name):
                yield path, label


def _read(entry: Folder, size: int | None) -> Image.Image:
    """Reads a picture, and cuts and resizes it to a square."""
    image = _pictures.read_picture(entry).image
    return ImageOps.fit(image, (size, size)) if size else image


def _shrink(
    image: Image.Image, size: int | None
) -> tuple[tuple[int, int], Image.Image]:
    """Returns the size of a picture, and it as small as if all had this size."""
    target = image.size if size else _pictures.fit_size(image.size, LARGEST_SIDE)
    return image.size, image.resize(target)
