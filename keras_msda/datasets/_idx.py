"""Reads idx files, the format of MNIST."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keras_msda import _errors
from keras_msda.datasets import _paths
from keras_msda.datasets._dataset import Dataset, numbered_names


def read_idx_folder(folder: Path) -> Dataset:
    """Reads the parts that a folder has: `train`, `t10k` or both.

    Args:
        folder: The folder of the files, packed by gzip or not.

    Returns:
        The pictures of all parts, joined; classes are named by their numbers.

    Raises:
        ValueError: If a file is damaged, or the files do not match.
        OSError: If a file cannot be read.
    """
    images: list[npt.NDArray[np.uint8]] = []
    labels: list[npt.NDArray[np.uint8]] = []
    for path in sorted(folder.glob("*-images-idx3-ubyte*"), reverse=True):
        partner = folder / path.name.replace("-images-idx3-", "-labels-idx1-")
        images.append(_read_idx(path, rank=3))
        labels.append(_read_idx(partner, rank=1))
        if len(images[-1]) != len(labels[-1]):
            _errors.fail_file(
                f"{path} and {partner.name} must have one label per image. Received: "
                f"{len(images[-1])} images and {len(labels[-1])} labels."
            )
        if 0 in images[-1].shape or images[-1].shape[1:] != images[0].shape[1:]:
            _errors.fail_file(
                f"{path} must have pictures, of some pixels and of one size in all "
                f"parts. Received: {_sizes(images[-1])}, and {_sizes(images[0])} first."
            )
    if not images:
        _errors.fail_file(f"{folder} has labels but no *-images-idx3-ubyte file.")
    all_labels = np.concatenate(labels).astype(np.int64)
    names = numbered_names(int(all_labels.max(initial=0)) + 1)
    return Dataset(
        folder.name,
        np.concatenate(images)[..., None],
        all_labels,
        names,
        test_count=len(labels[-1]) if len(labels) == 2 else 0,
    )


def _sizes(images: npt.NDArray[np.uint8]) -> str:
    count, height, width = images.shape
    return f"{count} of {width}x{height} pixels"


def _read_idx(path: Path, rank: int) -> npt.NDArray[np.uint8]:
    """Reads one file, packed by gzip or not."""
    kind = _paths.special_kind(path)
    if kind:
        _errors.fail_file(f"{path} is {kind}, not an idx file.")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _errors.fail_file(f"{path} is damaged or cut off: {error}", cause=error)
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) < 4 + 4 * rank:
        _errors.fail_file(
            f"{path} is not an idx file of bytes with {rank} axes. Received: it "
            f"begins with {raw[:4].hex(' ') or 'nothing'}."
        )
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4))
    pixels = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if pixels.size != math.prod(shape):
        _errors.fail_file(
            f"{path} is cut off or damaged: its header promises "
            f"{math.prod(shape)} bytes for shape {shape}. Received: {pixels.size} "
            "bytes."
        )
    return pixels.reshape(shape)
