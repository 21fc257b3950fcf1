"""Chooses and reads the pictures that `preview` mixes, without Keras."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda import _errors
from keras_msda.cli import _files
from keras_msda.datasets import _picture_folders, _pictures

#: Pairs of a folder, if the command line asks for no other number.
PAIRS = 3
# Folders in a folder that are searched: those of `train` and `test`, and of classes.
_DEPTH = 2

Images = npt.NDArray[np.uint8]


class Pair(NamedTuple):
    """Two pictures to mix.

    Attributes:
        names: What they are called.
        images: Both, uint8 of shape `(2, height, width, 1 or 3)`.
    """

    names: tuple[str, str]
    images: Images


def read_two(given: Sequence[Path], size: int) -> tuple[list[Pair], list[str]]:
    """Reads two pictures that were named.

    Args:
        given: Paths of the picture that gives the size, and of the one that takes it.
        size: Longest side; larger pictures are made smaller.

    Returns:
        One pair, and notes in words on what was changed.

    Raises:
        ValueError: If a file is not a picture.
        OSError: If a file cannot be read.
    """
    first, second = given
    images, notes, resized = _read_pair((first, second), size)
    return [Pair((first.name, second.name), images)], notes + resized


def read_folder(
    folder: Path, size: int, *, count: int | None, seed: int, out: Path
) -> tuple[list[Pair], list[str]]:
    """Draws pairs of the pictures in a folder, and reads them.

    Args:
        folder: It has pictures, or folders that have some.
        size: Longest side; larger pictures are made smaller.
        count: Number of pairs; None for `PAIRS`, or what there is.
        seed: Seed of the pairs.
        out: The file to write, which must not be one of the pictures.

    Returns:
        The pairs, each of its own size, and notes in words on what was changed.

    Raises:
        ValueError: If there are less than two pictures, or one is damaged.
        OSError: If a file cannot be read.
    """
    found = _list_pictures(folder, out)
    chosen = _draw_pairs(found, PAIRS if count is None else count, seed)
    pairs, notes, resized = [], [], 0
    for first, second in chosen:
        images, said, changed = _read_pair((first, second), size)
        names = (str(first.relative_to(folder)), str(second.relative_to(folder)))
        pairs.append(Pair(names, images))
        notes += said
        resized += len(changed)
    if resized:
        notes.append(f"{resized} of {2 * len(pairs)} pictures were resized")
    if count is not None and len(pairs) < count:
        words = f"{len(found)} pictures have no {count} pairs"
        notes.append(f"{words}; drawn: {len(pairs)}")
    return pairs, notes


def _list_pictures(folder: Path, out: Path) -> list[Path]:
    """Returns the pictures in a folder, at least two, none of which is the output."""
    found = list(_find_pictures(folder, _DEPTH))
    if len(found) < 2:
        number = "only one picture" if found else "no picture"
        _errors.fail_file(
            f"there is {number} in the folder {folder}. Give two or more."
        )
    # Or the next preview of the folder would show it.
    inside = Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder))
    if inside and out.suffix.lower() in _pictures.SUFFIXES:
        _errors.fail_file(
            f"the output {out} would be one of the pictures in the folder. Give the "
            "name of a file outside of it."
        )
    if out.exists():
        _files.check_picture(out, found)
    return found


def _find_pictures(folder: Path, depth: int) -> Iterator[Path]:
    """Yields pictures in order of their names; those of folders stand together."""
    for path in sorted(folder.iterdir()):
        if _picture_folders.is_hidden(path.name):
            continue
        if path.is_dir():
            if depth:
                yield from _find_pictures(path, depth - 1)
        elif path.suffix.lower() in _pictures.SUFFIXES:
            yield path


def _draw_pairs(
    found: Sequence[Path], count: int, seed: int
) -> list[tuple[Path, Path]]:
    """Draws different pairs; no picture comes twice as long as one is left.

    Args:
        found: The pictures.
        count: Number of pairs; there may be less.
        seed: Seed of the draw.
    """
    number = len(found)
    order = np.random.default_rng(seed).permutation(number)
    # Neighbours in a circle of all pictures, then those that are two steps apart.
    places = (
        frozenset((first, (first + step) % number))
        for step in range(1, number // 2 + 1)
        for start in (0, 1)
        for first in range(start, number, 2)
    )
    drawn: dict[frozenset[int], None] = {}
    for pair in places:
        if len(drawn) == count:
            break
        drawn[pair] = None
    chosen = (sorted(pair) for pair in drawn)
    return [(found[order[one]], found[order[other]]) for one, other in chosen]


def _read_pair(
    paths: tuple[Path, Path], size: int
) -> tuple[Images, list[str], list[str]]:
    """Reads two pictures and brings them to one size and mode.

    Args:
        paths: The picture that gives the size, and the one that takes it.
        size: Longest side; larger pictures are made smaller.

    Returns:
        The pictures, notes on what was changed, and notes on what was resized.
    """
    pictures = [_pictures.read_picture(path) for path in paths]
    notes = [
        f"{path}: {note}"
        for path, picture in zip(paths, pictures, strict=True)
        for note in picture.notes
    ]
    images = [picture.image for picture in pictures]
    target = _pictures.fit_size(images[0].size, size)
    resized = []
    for path, image in zip(paths, images, strict=True):
        if image.size != target:
            old, new = (f"{width}x{height}" for width, height in (image.size, target))
            reason = "" if image.size == images[0].size else f", as {paths[0].name}"
            resized.append(f"{path}: resized from {old} to {new}{reason}")
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    arrays = [np.asarray(image.convert(mode).resize(target)) for image in images]
    return np.stack(arrays).reshape(2, target[1], target[0], -1), notes, resized
