"""Checks of arguments that several modules share.

A check that only one module needs stands in that module. Checks read settings, dtypes
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

DATA_FORMATS = ("channels_last", "channels_first")
SEGMENTATION = ("auto", "select", "blend")
BOX_FORMATS = (
    *("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"),
    *("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"),
)
#: float32 holds integers up to this one exactly.
LARGEST_ID = 2**24


def is_number(value: Any) -> bool:
    """Returns whether a value is a real number and not a boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Returns whether a value is an integer and not a boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_length(value: Any) -> bool:
    """Returns whether a value is a positive integer."""
    return is_whole(value) and value > 0


def is_integer_scalar(value: Any) -> bool:
    """Returns whether a value is an integer tensor without axes."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    dtype = keras.backend.standardize_dtype(value.dtype)
    return len(value.shape) == 0 and keras.backend.is_int_dtype(dtype)


def check_alpha(owner: str, alpha: Any) -> tuple[float, float]:
    """Returns the two parameters of the Beta distribution."""
    pair = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
    valid = len(pair) == 2 and all(
        is_number(a) and math.isfinite(a) and a > 0 for a in pair
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
    if not (is_number(value) and 0 <= value <= 1):
        rule = f"`{name}` must be a number in [0, 1]."
        _errors.fail(owner, rule, f"{name}={value!r}", remedy)
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns one of several words."""
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
    """Returns a data format, by default the one that Keras is set to."""
    if value is None:
        return str(keras.config.image_data_format())
    return check_choice(owner, "data_format", value, DATA_FORMATS)


def check_count(owner: str, name: str, value: Any) -> int:
    """Returns a positive integer."""
    if not is_length(value):
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
    """Raises the error for own labels where 1 - M has another distribution."""
    _errors.fail(
        owner,
        '`targets="own"` needs 1 - M(lambda) to be distributed as M(1 - lambda), which '
        "holds for MixUp, GMix, FMix and GridMix; the complement of a box is none.",
        "targets='own'",
        'Use `targets="soft"` or `targets="pair"`.',
    )


def is_image_rank(rank: int) -> bool:
    """Returns whether images of this rank have one to three spatial axes."""
    return 3 <= rank <= 5


def check_rank(owner: str, shape: Any, *, rows: bool = False) -> None:
    """Checks for a batch of images with one to three spatial axes.

    Args:
        owner: Name that an error starts with.
        shape: Shape of the images.
        rows: Whether rows without spatial axes, `(batch, features)`, are allowed.
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
    rule = "images must have shape (batch, *spatial, channels), rank 3 to 5."
    _errors.fail(owner, rule, f"shape {_errors.show(shape)}", remedy)


def check_not_ragged(owner: str, name: str, ragged: bool, received: Any) -> None:
    """Refuses ragged tensors."""
    if ragged:
        _errors.fail(
            owner,
            f"{name} of one batch must have the same size.",
            f"a ragged tensor of shape {_errors.show(received.shape)}",
            "Resize or pad, then `dataset.batch(...)`.",
            TypeError,
        )


def check_known_rank(
    owner: str, name: str, x: Any, *, form: str = "(None, ...)"
) -> None:
    """Checks that the number of axes is known, which it may not be when traced.

    Args:
        owner: Name that an error starts with.
        name: What the user calls the tensor.
        x: A tensor or a shape.
        form: An example of a shape, for the remedy.
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
    """Refuses strings, complex numbers and everything else that is not real."""
    word = _errors.dtype_name(dtype)
    if word.startswith(("bool", "int", "uint", "float", "bfloat")):
        return
    remedy = "Cast it to float32, or class ids to int32."
    if word.startswith(("str", "bytes", "object")):
        word = "object" if word == "object" else "string"
        remedy = (
            "Turn names of classes into ids first, for example with "
            "`keras.layers.StringLookup(vocabulary=names, num_oov_indices=0)`. Other "
            "strings are returned unchanged under a key of a dictionary that is not "
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
            received += " that is no array"
        # NumPy turns None, and other objects, into arrays of objects.
        if x is None or dtype is None:
            _errors.fail(
                owner,
                f"{name} must be a tensor, an array or a list of numbers.",
                received,
                "Give a tensor with one entry per image.",
            )
    check_numbers(owner, name, dtype)
    check_known_rank(owner, name, x)


def check_batch(
    owner: str, name: str, shape: Any, images_shape: Any, *, unbatched: bool = False
) -> None:
    """Checks that a tensor has one entry per sample.

    Args:
        owner: Name that an error starts with.
        name: What the user calls the tensor.
        shape: Shape of the tensor.
        images_shape: Shape of the images, or a tuple of their number alone.
        unbatched: Whether both look like a single sample, as they do when a pipeline is
            mapped before it is batched.
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
        remedy = f"Give one entry of {name} per image."
        if unbatched:
            remedy = (
                "If these are one image and its label, batch first, as in "
                f"`dataset.batch(128).map(layer)`. {remedy}"
            )
        rule = f"{name} must have the same batch size as the images, {batch}."
        _errors.fail(owner, rule, f"shape {_errors.show(shape)}", remedy)


def check_soft(owner: str, dtype: Any, name: str = "labels") -> None:
    """Refuses integer labels where soft labels are mixed."""
    if not keras.backend.is_float_dtype(dtype):
        _errors.fail(
            owner,
            "integer labels cannot be averaged; set `num_classes` to one-hot encode "
            "them.",
            f"{name} of dtype {keras.backend.standardize_dtype(dtype)}",
            'Or use `targets="pair"` with `MixedLoss`. Cast labels that are not class '
            "ids to float32.",
        )


def check_id_range(owner: str, low: int, high: int, num_classes: int) -> None:
    """Checks the range of class ids whose values are known."""
    if low < 0 or high >= num_classes:
        rule = f"class ids must be in [0, num_classes={num_classes})."
        remedy = "Set `num_classes` to one more than the largest id."
        _errors.fail(owner, rule, f"ids from {low} to {high}", remedy)


def check_sample_weight(owner: str, shape: Any) -> None:
    """Checks that there is one weight per sample."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        _errors.fail(
            owner,
            "sample weights must have shape (batch,) or (batch, 1).",
            f"shape {_errors.show(shape)}",
            "Give one weight per sample.",
        )


def check_given(owner: str, key: str, value: Any) -> None:
    """Refuses None under a key of a dictionary that is mixed."""
    if value is None:
        _errors.fail(
            owner,
            f'"{key}" of a dictionary must not be None.',
            f'{{"{key}": None}}',
            f'Leave the key "{key}" out, or give its tensor.',
        )


def check_segmentation(owner: str, value: Any) -> str | int:
    """Returns how segmentation masks are mixed: a word or a number of classes."""
    if is_whole(value):
        return check_count(owner, "segmentation", value)
    return check_choice(owner, "segmentation", value, SEGMENTATION)


def check_box_format(owner: str, value: Any) -> str:
    """Returns a format of bounding boxes in lower case."""
    value = value.lower() if isinstance(value, str) else value
    return check_choice(owner, "bounding_box_format", value, BOX_FORMATS)


def check_seed_pair(owner: str, seed: Any) -> Any:
    """Returns the seed of a draw: a pair of integers, or a tensor of two."""
    if hasattr(seed, "dtype") and hasattr(seed, "shape"):
        rank = getattr(seed.shape, "rank", len(tuple(seed.shape or ())))
        fits = rank is None or tuple(seed.shape) in ((2,), (None,))
        if fits and not keras.backend.is_float_dtype(seed.dtype):
            return seed
    elif (
        isinstance(seed, (tuple, list))
        and len(seed) == 2
        and all(is_whole(x) or is_integer_scalar(x) for x in seed)
    ):
        return tuple(seed)
    _errors.fail(
        owner,
        "`seed` must be a pair of integers, or a tensor of two.",
        f"seed={seed!r}",
        "Use for example `seed=(epoch, step)`.",
    )


def check_seed(owner: str, seed: Any) -> int:
    """Returns the seed of a layer as a signed integer of 64 bits."""
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


def check_no_alpha(owner: str, arguments: dict[str, Any]) -> None:
    """Refuses parameters of lambda where the members have their own."""
    if "alpha" in arguments:
        _errors.fail(
            owner,
            "`alpha` belongs to each of its layers.",
            f"alpha={arguments['alpha']!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
        )


def check_two_columns(owner: str, labels: Any, outputs: Any) -> None:
    """Refuses one-hot labels of two classes where the model has one output."""
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
    """Checks that a layer has the settings that are scheduled."""
    if not all(hasattr(layer, name) for name in settings):
        _errors.fail(
            owner,
            "`layer` must be a mixing layer.",
            f"layer={layer!r}",
            "Give the layer that is in the model or that is mapped over the dataset.",
            TypeError,
        )
