"""Draws every method on a user's own two pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keras_msda import _methods, plot
from keras_msda.cli import _files
from keras_msda.datasets import _pictures


def read_pair(
    first: Path, second: Path, size: int
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Reads two pictures and brings them to one size and mode.

    Args:
        first: The picture that gives the size.
        second: The picture that takes it.
        size: Longest side; larger pictures are made smaller.

    Returns:
        uint8, shape `(2, height, width, 1 or 3)`, and what was changed, in words.

    Raises:
        ValueError: When a file is no picture.
        OSError: When a file cannot be read.
    """
    pictures = [_pictures.read_picture(path) for path in (first, second)]
    notes = [
        f"{path}: {note}"
        for path, picture in zip((first, second), pictures, strict=True)
        for note in picture.notes
    ]
    images = [picture.image for picture in pictures]
    target = _pictures.fit_size(images[0].size, size)
    for path, image in zip((first, second), images, strict=True):
        if image.size != target:
            old, new = (f"{width}x{height}" for width, height in (image.size, target))
            reason = "" if image.size == images[0].size else f", as {first.name}"
            notes.append(f"{path}: resized from {old} to {new}{reason}")
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    arrays = [np.asarray(image.convert(mode).resize(target)) for image in images]
    return np.stack(arrays).reshape(2, target[1], target[0], -1), notes


def preview(
    images: npt.NDArray[np.uint8],
    out: Path,
    *,
    methods: Sequence[str],
    lam: float,
    seed: int,
) -> list[plot.Panels]:
    """Writes the picture.

    Args:
        images: Two, from `read_pair`.
        out: The file.
        methods: Keys of `_methods.LAYERS`, a row each.
        lam: Lambda of every row.
        seed: Of the masks.

    Returns:
        What is shown.
    """
    rows = [
        plot.sample_panels(
            _methods.make_layer(method, pairing="roll"),
            images,
            lam=lam,
            seed=(seed, number),
        )
        for number, method in enumerate(methods)
    ]
    figure = plot.panel_figure(rows, shown=1, heads=("A", "B", "mask", "mix"))
    with _files.replacing(out) as part:
        figure.savefig(part)
    return rows
