"""Splits a data set into training and test pictures, each class in proportion."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda import _errors
from keras_msda.datasets._dataset import Dataset


class Split(NamedTuple):
    """A data set in two parts, with shapes and dtypes as in `Dataset`.

    Attributes:
        train_images: Pictures for training.
        train_labels: Their classes.
        test_images: Pictures for testing.
        test_labels: Their classes.
    """

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]


def split(
    dataset: Dataset, *, seed: int, test: float = 0.2, limit: int | None = 5000
) -> Split:
    """Splits a data set into training and test pictures, each class in proportion.

    If the proportions are not whole numbers, the largest remainders get one more.

    Args:
        dataset: The data set.
        seed: Seed of the split: the same seed gives the same parts in the same order.
        test: Share of the test part, in (0, 1).
        limit: The most pictures in both parts together, also taken in proportion; None
            takes all.

    Returns:
        Two disjoint parts, each in random order.

    Raises:
        ValueError: If a class would have no picture in one of the parts.

    Example:
        >>> from keras_msda import datasets
        >>> parts = datasets.split(datasets.load(), seed=7)
        >>> parts.train_images.shape[0], parts.test_images.shape[0]
        (4000, 1000)
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    taken = apportion(counts, min(limit or len(dataset.labels), len(dataset.labels)))
    tested = apportion(taken, round(test * int(taken.sum())))
    short = np.flatnonzero((tested < 1) | (taken - tested < 1))
    if short.size:
        _errors.fail(
            "datasets.split",
            "every class needs a picture in both parts.",
            f"{taken[short[0]]} of class {dataset.class_names[short[0]]!r} with "
            f"test={test} and limit={limit}",
            "Give more pictures or a higher limit.",
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


def apportion(counts: npt.NDArray[Any], total: int) -> npt.NDArray[np.int64]:
    """Divides a total in proportion to counts, by the largest remainders.

    Args:
        counts: What there is of each kind.
        total: How many are taken.
    """
    # In integers, so that a whole quota does not lose one to a rounding error.
    whole, remainder = np.divmod(counts.astype(np.int64) * total, int(counts.sum()))
    missing = total - int(whole.sum())
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole
