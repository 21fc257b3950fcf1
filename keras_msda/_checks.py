"""Checks of arguments that several modules share.

A check that one module alone needs stands in that module. Checks read settings, dtypes
and static shapes, compute nothing and run before any work.
"""

import math
import numbers
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from keras_msda import _errors

BORDERS = ("clip", "wrap", "inside", "clip_odd")
DATA_FORMATS = ("channels_last", "channels_first")
SEGMENTATION = ("auto", "select", "blend")
BOX_FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)
#: Whole numbers up to this one are exact in float32.
LARGEST_ID = 2**24
#: Along one axis four times the length must be an int32.
LONGEST_AXIS = 2**29 - 1
_MOST_PIXELS = 2**31 - 1


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_alpha(owner: str, alpha: Any) -> tuple[float, float]:
    """Returns the two parameters of the Beta distribution."""
    pair = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
    valid = len(pair) == 2 and all(
        _is_number(a) and math.isfinite(a) and a > 0 for a in pair
    )
    if not valid:
        _errors.fail(
            owner,
            "`alpha` must be a positive finite number or a pair of them.",
            f"alpha={alpha!r}",
            "Use `alpha=1.0` for uniform mixing, and `probability=0.0` for none.",
        )
    return float(pair[0]), float(pair[1])


def check_share(owner: str, name: str, value: Any, remedy: str) -> float:
    """Returns a number in [0, 1]."""
    if not (_is_number(value) and 0 <= value <= 1):
        _errors.fail(
            owner,
            f"`{name}` must be a number in [0, 1].",
            f"{name}={value!r}",
            remedy,
        )
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns one of some words."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(f'"{choice}"' for choice in choices)
        _errors.fail(
            owner,
            f"`{name}` must be one of {words}.",
            f"{name}={value!r}",
            f'The default is "{choices[0]}".',
        )
    return value


def check_data_format(owner: str, value: Any) -> str:
    """Returns a data format, Keras's own where none is given."""
    if value is None:
        return str(keras.config.image_data_format())
    return check_choice(owner, "data_format", value, DATA_FORMATS)


def check_count(owner: str, name: str, value: Any) -> int:
    """Returns a positive integer."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not (whole and value > 0):
        _errors.fail(
            owner,
            f"`{name}` must be a positive integer or None.",
            f"{name}={value!r}",
            f"Leave `{name}` out for its default.",
        )
    return int(value)


def check_optional_count(owner: str, name: str, value: Any) -> int | None:
    """Returns a positive integer or None."""
    return None if value is None else check_count(owner, name, value)


def fail_ids(owner: str, received: str) -> NoReturn:
    """Raises the error for class ids that packing would round."""
    _errors.fail(
        owner,
        f'`targets="pair"` packs class ids as float32, exact up to {LARGEST_ID}.',
        received,
        'Use `targets="soft"` with `num_classes`, or a layer inside the model, where '
        "labels stay integers.",
    )


def fail_own(owner: str) -> NoReturn:
    """Raises the error for own labels where the mask's complement has another law."""
    _errors.fail(
        owner,
        '`targets="own"` needs 1 - M(lambda) to be distributed as M(1 - lambda), which '
        "holds for MixUp, GMix and FMix; the complement of a box is no box.",
        "targets='own'",
        'Use `targets="soft"` or `targets="pair"`.',
    )


def check_decay_power(owner: str, value: Any) -> float:
    """Returns a number that is not negative."""
    if not (_is_number(value) and math.isfinite(value) and value >= 0):
        _errors.fail(
            owner,
            "`decay_power` must be a finite number, not negative.",
            f"decay_power={value!r}",
            "The paper uses 3.0; 0.0 is white noise.",
        )
    return float(value)


def check_max_soft(owner: str, value: Any) -> float:
    """Returns a number in [0, 0.5]."""
    if not (_is_number(value) and 0 <= value <= 0.5):
        _errors.fail(
            owner,
            "`max_soft` must be a number in [0, 0.5].",
            f"max_soft={value!r}",
            "Use 0.0 for hard edges.",
        )
    return float(value)


def check_spectrum(owner: str, value: Any) -> Any:
    """Returns the name of a spectrum, or a function."""
    if callable(value):
        return value
    return check_choice(owner, "spectrum", value, ("isotropic", "official"))


def is_image_rank(rank: int) -> bool:
    """Tells batches of images with channels and one to three spatial axes."""
    return 3 <= rank <= 5


def check_rank(owner: str, shape: Any, *, rows: bool = False) -> None:
    """Checks for a batch of images with one to three spatial axes.

    Args:
        owner: Name that an error starts with.
        shape: Shape of the images.
        rows: Whether rows without a spatial axis, `(batch, features)`, are fine.
    """
    rank = shape.rank if hasattr(shape, "rank") else len(shape)
    if rank is not None and (is_image_rank(rank) or (rows and rank == 2)):
        return
    remedy = "Flatten or expand the spatial axes to one, two or three."
    if rank == 2:
        remedy = (
            "Give signals an axis of channels, `x[..., None]`; rows of features "
            "without spatial axes are for `MixUpLayer`."
        )
    elif rank is not None and rank < 2:
        remedy = "Batch first, as in `dataset.batch(128).map(layer)`."
    _errors.fail(
        owner,
        "images must have shape (batch, *spatial, channels), rank 3 to 5.",
        f"shape {_errors.show(shape)}",
        remedy,
    )


def check_not_ragged(owner: str, name: str, ragged: bool, received: Any) -> None:
    """Refuses ragged tensors."""
    if ragged:
        _errors.fail(
            owner,
            f"{name} of one batch must have one size.",
            f"a ragged tensor of shape {_errors.show(received.shape)}",
            "Resize or pad, then `dataset.batch(...)`.",
            TypeError,
        )


def check_known_rank(
    owner: str, name: str, x: Any, *, form: str = "(None, ...)"
) -> None:
    """Checks that the number of axes is known, which a traced tensor may lack.

    Args:
        owner: Name that an error starts with.
        name: What the tensor is to the user.
        x: A tensor or a shape.
        form: A shape that the remedy gives as an example.
    """
    shape = getattr(x, "shape", x)
    if getattr(shape, "rank", 0) is None:
        _errors.fail(
            owner,
            f"{name} must have a known number of axes when a pipeline is traced.",
            "a tensor of unknown rank, as `tf.numpy_function` returns it",
            "Set its shape before mixing, with None for each length that may vary: "
            f"`x = tf.ensure_shape(x, {form})`.",
        )


def check_numbers(owner: str, name: str, dtype: Any) -> None:
    """Refuses strings, complex numbers and whatever else is not a real number."""
    word = _errors.dtype_name(dtype)
    if word.startswith(("bool", "int", "uint", "float", "bfloat")):
        return
    remedy = "Cast it to float32, or class ids to int32."
    if word.startswith(("str", "bytes", "object")):
        word = "object" if word == "object" else "string"
        remedy = (
            "Turn names of classes into ids first, for example by "
            "`keras.layers.StringLookup(vocabulary=names, num_oov_indices=0)`. Other "
            "strings come back as they are under a key of a dictionary that is not "
            "mixed."
        )
    _errors.fail(owner, f"{name} must hold real numbers.", f"dtype {word}", remedy)


def check_array(owner: str, name: str, x: Any) -> None:
    """Checks for a dense tensor of known rank, or an array or list, of real numbers."""
    received = type(x).__name__
    if hasattr(x, "dense_shape"):
        _errors.fail(
            owner,
            f"{name} must be dense.",
            received,
            "Make it dense first: `tf.sparse.to_dense(x)`.",
        )
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        try:
            dtype = None if isinstance(x, Mapping) else np.asarray(x).dtype
        except (TypeError, ValueError):
            received += " that makes no array"
        # Of None, and of what is no array, NumPy makes objects.
        if x is None or dtype is None:
            _errors.fail(
                owner,
                f"{name} must be a tensor, an array or a list of numbers.",
                received,
                "Give a tensor with one entry for each image.",
            )
    check_numbers(owner, name, dtype)
    check_known_rank(owner, name, x)


def check_batch(
    owner: str, name: str, shape: Any, images_shape: Any, *, unbatched: bool = False
) -> None:
    """Checks that a tensor has one entry a sample.

    Args:
        owner: Name that an error starts with.
        name: What the tensor is to the user.
        shape: Of the tensor.
        images_shape: Of the images, or the number of images alone, in a tuple.
        unbatched: Whether both look like those of one sample, as a pipeline gives them
            that is mapped before it is batched.
    """
    if len(shape) == 0:
        _errors.fail(
            owner,
            f"{name} must have a batch axis.",
            "a scalar",
            "Batch first, as in `dataset.batch(128).map(layer)`.",
        )
    given, batch = shape[0], images_shape[0]
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        remedy = f"Give one entry of {name} for each image."
        if unbatched:
            remedy = (
                "If these are one image and its label, batch first, as in "
                f"`dataset.batch(128).map(layer)`. {remedy}"
            )
        _errors.fail(
            owner,
            f"{name} must have the same batch size as the images, {batch}.",
            f"shape {_errors.show(shape)}",
            remedy,
        )


def check_soft(owner: str, dtype: Any, name: str = "labels") -> None:
    """Refuses integer labels where soft ones are mixed."""
    if not keras.backend.is_float_dtype(dtype):
        _errors.fail(
            owner,
            "integer labels cannot be averaged; set `num_classes` to one-hot encode "
            "them.",
            f"{name} of dtype {keras.backend.standardize_dtype(dtype)}",
            'Or use `targets="pair"` with `MixedLoss`; cast labels that are not class '
            "ids to float32.",
        )


def check_id_range(owner: str, low: int, high: int, num_classes: int) -> None:
    """Checks class ids that can be looked at."""
    if low < 0 or high >= num_classes:
        _errors.fail(
            owner,
            f"class ids must be in [0, num_classes={num_classes}).",
            f"ids from {low} to {high}",
            "Give the number of classes that the labels count up to.",
        )


def check_sample_weight(owner: str, shape: Any) -> None:
    """Checks that there is one weight a sample."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        _errors.fail(
            owner,
            "sample weights must have shape (batch,) or (batch, 1).",
            f"shape {_errors.show(shape)}",
            "Give one weight for each sample.",
        )


def check_given(owner: str, key: str, value: Any) -> None:
    """Refuses None where a dictionary names something to mix."""
    if value is None:
        _errors.fail(
            owner,
            f'"{key}" of a dictionary must be given where the key is there.',
            f'{{"{key}": None}}',
            f'Leave the key "{key}" out, or give its tensor.',
        )


def check_segmentation(owner: str, value: Any) -> str | int:
    """Returns how segmentation masks are mixed: a word or a number of classes."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return check_count(owner, "segmentation", value)
    return check_choice(owner, "segmentation", value, SEGMENTATION)


def check_box_format(owner: str, value: Any) -> str:
    """Returns a format of bounding boxes in lower case."""
    value = value.lower() if isinstance(value, str) else value
    return check_choice(owner, "bounding_box_format", value, BOX_FORMATS)


def check_seed_pair(owner: str, seed: Any) -> Any:
    """Returns a seed of draws: a pair of integers, or a tensor of two."""
    if hasattr(seed, "dtype") and hasattr(seed, "shape"):
        rank = getattr(seed.shape, "rank", len(tuple(seed.shape or ())))
        fits = rank is None or tuple(seed.shape) in ((2,), (None,))
        if fits and not keras.backend.is_float_dtype(seed.dtype):
            return seed
    elif (
        isinstance(seed, (tuple, list))
        and len(seed) == 2
        and all(_is_whole(x) or _is_integer_scalar(x) for x in seed)
    ):
        return tuple(seed)
    _errors.fail(
        owner,
        "`seed` must be a pair of integers, or a tensor of two.",
        f"seed={seed!r}",
        "Use for example `seed=(epoch, step)`.",
    )


def check_seed(owner: str, seed: Any) -> int:
    """Checks the seed of a layer, and returns it in 64 bits with a sign."""
    try:
        number = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**64:
        _errors.fail(
            owner,
            "`seed` must be an integer of at most 64 bits or None.",
            f"seed={seed!r}",
            "Use for example `seed=7`.",
        )
    return number - 2**64 if number >= 2**63 else number


def check_lam(
    owner: str, lam: Any, remedy: str = "Leave `lam` out to draw it."
) -> None:
    """Checks a lambda, or some.

    Args:
        owner: Name that the error starts with.
        lam: What `_backend.visible` returns of it; None is not checked.
        remedy: What the error ends with.
    """
    _check_within(owner, "lam", lam, remedy)


def _check_within(
    owner: str, name: str, values: Any, remedy: str, below: bool = False
) -> None:
    """Checks numbers in [0, 1], or in [0, 1), and leaves alone what is traced."""
    known = (numbers.Real, list, tuple, str, np.ndarray, np.generic)
    if not isinstance(values, known):
        return
    array, wrong = np.asarray(values), np.ones((), bool)
    if array.dtype.kind in "biuf":
        wrong = ~((array >= 0) & ((array < 1) if below else (array <= 1)))
    if not np.any(wrong):
        return
    received = f"{name}={values.tolist() if array is values else values!r}"
    if array.size > 8:
        first = array.ravel()[int(np.argmax(np.broadcast_to(wrong, array.shape)))]
        received = f"{name} of shape {array.shape} with the value {first!r}"
    ends = "[0, 1)" if below else "[0, 1]"
    _errors.fail(owner, f"`{name}` must be in {ends}.", received, remedy)


def _is_integer_scalar(value: Any) -> bool:
    """Returns whether a value is an integer tensor without axes."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    dtype = keras.backend.standardize_dtype(value.dtype)
    return len(value.shape) == 0 and keras.backend.is_int_dtype(dtype)


def check_size(owner: str, size: Any) -> tuple[Any, ...]:
    """Returns the spatial size of a plan, integers or traced scalars."""
    lengths = tuple(size) if isinstance(size, (tuple, list)) else ()
    fits = 1 <= len(lengths) <= 3 and all(
        _is_length(n) or (not _is_whole(n) and _is_integer_scalar(n)) for n in lengths
    )
    if not fits:
        _errors.fail(
            owner,
            "`size` must hold one to three spatial lengths, positive integers, without "
            "channels.",
            f"size={size!r}",
            "Use for example `size=(32, 32)`.",
        )
    lengths = tuple(int(n) if _is_whole(n) else n for n in lengths)
    check_countable(owner, lengths, _MOST_PIXELS)
    return lengths


def check_countable(owner: str, size: Sequence[Any], most: int | None = None) -> None:
    """Checks that pixels can be counted, where lengths are integers.

    Args:
        owner: Name that the error starts with.
        size: Spatial lengths.
        most: Largest number of pixels, None for any.
    """
    known = [length for length in size if isinstance(length, int)]
    if known and max(known) > LONGEST_AXIS:
        _errors.fail(
            owner,
            f"an axis may have {LONGEST_AXIS:,} pixels at most.",
            f"size={tuple(size)!r}",
            "Cut the images into parts first.",
        )
    if most is not None and math.prod(known) > most:
        _errors.fail(
            owner,
            f"an image may have {most:,} pixels at most.",
            f"size={tuple(size)!r}, {math.prod(known):,} pixels",
            "Cut the images into parts first.",
        )


def check_no_alpha(owner: str, arguments: dict[str, Any]) -> None:
    """Refuses a law of lambda where the members give it."""
    if "alpha" in arguments:
        _errors.fail(
            owner,
            "`alpha` belongs to each of its layers.",
            f"alpha={arguments['alpha']!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
        )


def check_two_columns(owner: str, labels: Any, outputs: Any) -> None:
    """Refuses labels of two classes for one output."""
    if len(labels) == len(outputs) > 1 and (labels[-1], outputs[-1]) == (2, 1):
        _errors.fail(
            owner,
            "one output for two classes takes labels of shape (batch, 1), from 0 to 1.",
            _errors.show_both(labels, outputs),
            "Leave `num_classes=2` out and map floats: "
            '`layer(x, tf.cast(y, "float32")[:, None])`; or give the model two outputs '
            "with a softmax.",
        )


def check_scheduled(owner: str, layer: Any, settings: Sequence[str]) -> None:
    """Checks for a layer that has what is scheduled."""
    if not all(hasattr(layer, name) for name in settings):
        _errors.fail(
            owner,
            "`layer` must be a mixing layer.",
            f"layer={layer!r}",
            "Give the layer that is in the model or mapped over the dataset.",
            TypeError,
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_length(value: Any) -> bool:
    return _is_whole(value) and value > 0
