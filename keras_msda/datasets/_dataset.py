"""What a data set is: pictures with their classes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Dataset(NamedTuple):
    """Pictures with their classes.

    Attributes:
        name: Its name in tables.
        images: uint8, shape `(n, height, width, channels)`, 1 or 3 channels.
        labels: int64, shape `(n,)`, from 0.
        class_names: One name per class.
        notes: What was done to the pictures, where a user may want to know it.
        test_count: How many pictures at the end are the official test part; 0 if there
            is none.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    test_count: int = 0


def numbered_names(count: int) -> tuple[str, ...]:
    """Returns the names of classes that have only numbers."""
    return tuple(str(number) for number in range(count))
