"""Labels of a pipeline, for one output or several.

Labels become soft ones, packed pairs, sets, or the own ones alone.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.parts import _forms, _outputs
from keras_msda.parts._part import Context, Settings

Tensor = Any

#: Numbers of a sample's labels from which on a compiled pass is worth its start.
_WIDE = 256
#: What stands for a float that is no class id: no class has it, and packing refuses it.
_NO_CLASS = 2**31 - 1


def check(key: str, context: Context, *, owner: str) -> Any:
    """Returns labels as tensors that can take their form, or raises; see `Part`.

    Labels are class ids, `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`. With a
    number of classes, floats of the shape of ids are ids. For several outputs they are
    a dictionary or tuple of those.
    """
    given, settings = context.parts[key], context.settings
    _checks.check_given(owner, key, given)
    several, counts = _outputs.are_labels_several(given), settings.num_classes
    if not several:
        _outputs.check_one_output(owner, name="num_classes", given=counts)
    elif counts is not None:
        _outputs.check_outputs(owner, given, name="num_classes", given=counts)

    def check_one(labels: Any, name: str, num_classes: int | None) -> Tensor:
        labels = _check_tensor(owner, name, labels, context, num_classes)
        if not keras.backend.is_float_dtype(labels.dtype):
            _check_ids(owner, name, labels, settings.targets, num_classes)
        elif num_classes is not None:
            given = labels.shape, labels.dtype
            _check_not_soft(owner, name, *given, num_classes)
            labels = _convert_float_ids(owner, name, labels, num_classes)
        if not settings.uniform_mask:
            _check_not_dense(owner, labels.shape, context.layout.size)
        return labels

    names = _outputs.name_outputs(key, given) if several else key
    return _outputs.map_labels(check_one, given, names, counts)


def mix(key: str, context: Context, *, plan: plans.Plan) -> Any:
    """Returns checked labels in the form that a plan gives them; see `Part`."""
    settings = context.settings

    def mix_one(labels: Tensor, num_classes: int | None, weights: Any) -> Tensor:
        # Sets and own labels do not depend on the weights of their samples.
        if weights is not None and settings.targets in ("soft", "pair"):
            shares, _ = plans.mix_sample_weights(weights, plan)
        else:
            shares = plan
        if settings.targets == "pair":
            return _forms.pack_labels(labels, shares, num_classes)
        soft = functools.partial(_mix_soft, num_classes=num_classes, settings=settings)
        given = labels, shares.partner, shares.weight
        # Operation by operation, wide labels take three times their bytes.
        if (num_classes or _measure_width(labels)) < _WIDE:
            return soft(*given)
        return _backend.get_ops(*given).call_fused(
            soft, *given, jit_compile=settings.jit_compile
        )

    weights = context.parts.get("sample_weight")
    return _outputs.map_labels(
        mix_one, context.parts[key], settings.num_classes, weights
    )


def _mix_soft(
    labels: Tensor,
    partner: Tensor,
    weight: Tensor,
    *,
    num_classes: int | None,
    settings: Settings,
) -> Tensor:
    """Returns the labels of one output, encoded and mixed."""
    if num_classes is not None:
        labels = _forms.encode_labels(labels, num_classes, settings.label_smoothing)
    if settings.targets == "own":
        return plans.take_own(labels, partner)
    labels = plans.mix_labels(labels, plans.MixPlan(partner, None, weight))
    if settings.targets == "union":
        labels = _forms.unite_labels(labels, settings.target_threshold)
    return labels


def _measure_width(labels: Tensor) -> int:
    """Returns how many numbers a sample's labels have, 0 if that is not known."""
    lengths = tuple(labels.shape[1:])
    return 0 if None in lengths else math.prod(lengths)


def _check_tensor(
    owner: str, name: str, labels: Any, context: Context, num_classes: int | None
) -> Tensor:
    """Returns the labels of one output as a tensor of their batch, or raises."""
    ops, layout = _backend.get_ops(labels), context.layout
    _checks.check_not_ragged(owner, name, ops.is_ragged(labels), labels)
    _checks.check_array(owner, name, labels)
    labels = ops.convert(labels)
    _check_batched(owner, name, labels.shape, layout)
    if keras.backend.standardize_dtype(labels.dtype) == "bool":
        # A set of labels, unless they are to be encoded: then ids of two classes.
        labels = ops.cast(labels, "float32" if num_classes is None else "int32")
    if not keras.backend.is_float_dtype(labels.dtype):
        found = layout.lengths(labels.shape) or tuple(labels.shape[1:])
        _check_shape_of_ids(owner, name, labels.shape, found, layout.size)
    return labels


def _check_batched(owner: str, name: str, shape: Any, layout: plans.Layout) -> None:
    """Checks the batch of labels, and that they are not those of one image."""
    # One image with its one-hot label looks like a batch of signals.
    single = len(layout.size) == 1 and len(shape) == 1
    _checks.check_batch(owner, name, shape, (layout.batch,), unbatched=single)
    lengths = (layout.batch, *layout.size)
    unknown = not any(isinstance(length, int) for length in lengths)
    if single and unknown and isinstance(shape[0], int):
        _fail_unbatched(owner, name, shape)


def _check_ids(
    owner: str, name: str, labels: Tensor, targets: str, num_classes: int | None
) -> None:
    """Checks that integer labels of one output can take the form."""
    if num_classes is None and targets in ("soft", "union"):
        _checks.check_soft(owner, labels.dtype, name)
    ops = _backend.get_ops(labels)
    if not (ops.is_eager(labels) and ops.shape(labels)[0]):
        return
    low, high = _find_range(labels)
    if num_classes is not None:
        _checks.check_id_range(owner, low, high, num_classes)
    largest = max(high, -low)
    if targets == "pair" and largest > _checks.LARGEST_ID:
        _checks.fail_ids(owner, f"the id {high if high == largest else low}")


def _find_range(ids: Tensor) -> tuple[int, int]:
    """Returns the smallest and the largest of some ids that can be looked at."""
    ops = _backend.get_ops(ids)
    if keras.backend.standardize_dtype(ids.dtype) in ("uint32", "uint64"):
        # Some are too large for int64.
        values = ops.read_integers(ops.reshape(ids, [-1]))
        return min(values), max(values)
    wide = ops.cast(ids, "int64")
    # -1 - x, unlike -x, is an int64 for every int64.
    below, high = ops.read_integers(ops.stack([ops.max(-1 - wide), ops.max(wide)]))
    return -1 - below, high


def _convert_float_ids(
    owner: str, name: str, labels: Tensor, num_classes: int
) -> Tensor:
    """Returns int32 of class ids that are floats, `_NO_CLASS` for other numbers."""
    _check_float_ids(owner, name, labels.dtype, num_classes)
    ops = _backend.get_ops(labels)
    # Not below num_classes, which half precision may round.
    usable = (labels >= 0) & (labels <= num_classes - 1)
    usable = usable & (labels == ops.floor(labels))
    if ops.is_eager(labels) and not bool(ops.all(usable)):
        known = ops.where(usable, 1, 0)
        wrong = ops.reshape(labels, [-1])[int(ops.argmax(1 - ops.reshape(known, [-1])))]
        _fail_float_ids(owner, name, float(wrong), num_classes)
    if keras.backend.standardize_dtype(labels.dtype) != "float64":
        # TensorFlow cannot tell which integers half precision holds.
        labels = ops.cast(labels, "float32")
    return ops.where(usable, ops.cast(labels, "int32"), _NO_CLASS)


def _fail_unbatched(owner: str, name: str, shape: Any) -> NoReturn:
    """Raises the error for one image of unknown size with one row of labels."""
    _errors.fail(
        owner,
        f"images and {name} must have a batch axis.",
        f"an image of unknown height and width, and {name} of shape "
        f"{_errors.show(shape)}",
        "Batch first, as in `dataset.batch(128).map(layer)`. For a batch of signals "
        "set its length: `x = tf.ensure_shape(x, (length_of_batch, None, channels))`.",
    )


def _is_ids(shape: Any) -> bool:
    """Returns whether labels have the shape of class ids."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _check_shape_of_ids(
    owner: str, name: str, shape: Any, found: Sequence[Any], size: Sequence[Any]
) -> None:
    """Checks the shape of integer labels.

    Args:
        owner: Name that an error starts with.
        name: What the labels are to the user.
        shape: Shape of the labels.
        found: Their spatial lengths, if they are masks.
        size: Spatial lengths of the images.
    """
    if _is_ids(shape):
        return
    known = all(isinstance(n, int) for n in (*found, *size))
    alike = len(found) == len(size) and not any(map(_errors.differ, found, size))
    if alike and (known or len(size) > 1):
        _fail_dense(owner, f"{name} of shape {_errors.show(shape)}", size)
    remedy = (
        "Cast labels that are not class ids, such as one-hot and multi-hot rows, to "
        "float32, and leave `num_classes` out."
    )
    if len(shape) > 2:
        remedy += ' Give masks under the key "segmentation_masks" of a dictionary.'
    elif shape[1] is None:
        remedy += " For a column of ids: `x = tf.ensure_shape(x, (None, 1))`."
    _errors.fail(
        owner,
        "integer labels are class ids, of shape (batch,) or (batch, 1).",
        f"{name} of shape {_errors.show(shape)}",
        remedy,
    )


def _check_not_dense(owner: str, shape: Any, size: Sequence[Any]) -> None:
    """Refuses labels of the images' size, which have one label a pixel.

    Their mix differs from pixel to pixel, unlike the mix of other labels.
    """
    lengths = tuple(shape[1 : 1 + len(size)])
    known = all(isinstance(n, int) for n in (*lengths, *size))
    if len(shape) > 2 and known and lengths == tuple(size):
        _fail_dense(owner, f"labels of shape {_errors.show(shape)}", size)


def _fail_dense(owner: str, received: str, size: Sequence[Any]) -> NoReturn:
    """Raises the error for labels of the images' size."""
    if all(isinstance(length, int) for length in size):
        received += f" for images of size {_errors.show(size)}"
    _errors.fail(
        owner,
        "labels of the images' size are mixed pixel by pixel, under their own key.",
        received,
        'Use a dictionary, `layer({"images": x, "segmentation_masks": y})`, for '
        'masks, or `batch_keys=("y",)` for other values.',
    )


def _check_not_soft(
    owner: str, name: str, shape: Any, dtype: Any, num_classes: int
) -> None:
    """Refuses a number of classes for labels that are already soft."""
    if keras.backend.is_float_dtype(dtype) and not _is_ids(shape):
        _errors.fail(
            owner,
            "`num_classes` turns class ids into soft labels, and these are soft.",
            f"num_classes={num_classes} with {name} of shape {_errors.show(shape)} and "
            f"dtype {keras.backend.standardize_dtype(dtype)}",
            "Leave `num_classes` out for labels that are soft; class ids have shape "
            "(batch,) or (batch, 1).",
        )


def _check_float_ids(owner: str, name: str, dtype: Any, num_classes: int) -> None:
    """Checks that a float dtype holds all class ids exactly."""
    word = str(keras.backend.standardize_dtype(dtype))
    exact = {"bfloat16": 2**8, "float16": 2**11}.get(word, _checks.LARGEST_ID)
    if num_classes - 1 > exact and word != "float64":
        _errors.fail(
            owner,
            f"class ids of dtype {word} are exact up to {exact}.",
            f"{name} of dtype {word} with num_classes={num_classes}",
            "Keep class ids as integers: cast them to int32 before anything makes "
            "floats of them.",
        )


def _fail_float_ids(owner: str, name: str, value: float, num_classes: int) -> NoReturn:
    """Raises the error for a float that is no class id."""
    _errors.fail(
        owner,
        f"class ids must be whole numbers in [0, num_classes={num_classes}).",
        f"{name} that hold {value:g}",
        "Leave `num_classes` out for labels that are averaged as numbers.",
    )
