"""The form of every error and warning: owner, rule, received, remedy."""

import functools
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import numpy as np


def fail(
    owner: str,
    rule: str,
    received: str,
    remedy: str,
    kind: type[Exception] = ValueError,
) -> NoReturn:
    """Raises an error in the house's form."""
    raise kind(f"{owner}: {rule} Received: {received}. {remedy}")


class MixWarning(UserWarning):
    """A use of mixing that trains on labels that do not match the images.

    Turn it off, where it is meant, by
    `warnings.filterwarnings("ignore", category=keras_msda.MixWarning)`.
    """


def warn(owner: str, rule: str, received: str, remedy: str) -> None:
    """Warns in the form of the errors."""
    text = f"{owner}: {rule} Received: {received}. {remedy}"
    warnings.warn(text, MixWarning, stacklevel=2)


@functools.cache
def warn_deprecated(owner: str, old: str, new: str, *, end: str) -> None:
    """Warns of an old form, the first time that a process uses it.

    Args:
        owner: What has the old form.
        old: The old form.
        new: What to use in its place.
        end: The release that removes the old form.
    """
    text = f"{owner}: {old} is deprecated and will be removed in {end}. Use {new}."
    warnings.warn(text, FutureWarning, stacklevel=3)


def dtype_name(dtype: Any) -> str:
    """Returns the name of any dtype, of those that Keras does not know too."""
    import keras  # Not before, as the command line words errors without Keras.

    try:
        return str(keras.backend.standardize_dtype(dtype))
    except ValueError:
        return str(getattr(dtype, "name", dtype))


def quoted(key: Any) -> str:
    """Returns a key as it is written in Python."""
    return f'"{key}"' if isinstance(key, str) else repr(key)


def differ(n: Any, m: Any) -> bool:
    """Returns whether two lengths are known and differ."""
    return isinstance(n, int) and isinstance(m, int) and n != m


def extent(values: "np.ndarray") -> str:
    """Returns the smallest and the largest of some values, where they have an order."""
    if values.dtype.kind not in "biuf" or not values.size:
        return "nothing"
    return f"{values.min()} to {values.max()}"


def show_range(values: "np.ndarray") -> str:
    """Returns the range of labels, or their dtype where they are no numbers."""
    if values.dtype.kind not in "biuf":
        return f"labels of dtype {values.dtype}"
    return f"labels from {values.min()} to {values.max()}"


def show(shape: Any) -> str:
    """Returns a static shape as a tuple."""
    unknown = getattr(shape, "rank", 0) is None
    return "unknown" if unknown else str(tuple(shape))


def show_both(labels: Any, outputs: Any) -> str:
    """Returns the shapes of labels and outputs in words."""
    return f"labels of shape {show(labels)} with outputs of shape {show(outputs)}"


def fail_file(
    text: str,
    kind: type[Exception] = ValueError,
    *,
    cause: BaseException | None = None,
) -> NoReturn:
    """Raises an error about a file, in one sentence, as the command line prints it.

    Args:
        text: What is wrong with which file, and what to do.
        kind: Type of the error.
        cause: The error that led to it.
    """
    raise kind(text) from cause
