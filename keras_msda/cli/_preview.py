"""Draws what each method makes of a user's own two pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keras_msda import plot
from keras_msda.cli import _files
from keras_msda.datasets import _pictures
from keras_msda.layers import METHODS


def read_pair(
    first: Path, second: Path, size: int
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Reads two pictures and brings them to one size and mode.

    Args:
        first: The picture that gives the size.
        second: The picture that takes it.
        size: Longest side; larger pictures are made smaller.

    Returns:
        The pictures, uint8 of shape `(2, height, width, 1 or 3)`, and notes in words on
        what was changed.

    Raises:
        ValueError: If a file is not a picture.
        OSError: If a file cannot be read.
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
    """Mixes the pictures and writes the drawing.

    Args:
        images: Two, from `read_pair`.
        out: The file to write.
        methods: Names in `METHODS`, one row each.
        lam: Lambda of every row.
        seed: Seed of the masks.

    Returns:
        The panels that are shown, one row each.
    """
    rows = [
        plot.sample_panels(
            METHODS[method].layer(pairing="roll"),
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
