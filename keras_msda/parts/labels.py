"""The label forms of a pipeline, for one output or several.

Labels are soft, packed in pairs, sets, or the own ones alone. Several outputs are a
dictionary or tuple of labels; sample weights may be one for all or one an output.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np

from keras_msda import _backend, _checks, _errors, plans

Tensor = Any

#: Numbers of a sample's labels from which on a compiled pass is worth its start.
_WIDE = 256
#: What stands for a float that is no class id: no class has it, and packing refuses it.
_NO_CLASS = 2**31 - 1
#: Channels of what is an image rather than a signal.
_COLOURS = (None, 1, 3, 4)


class Form(NamedTuple):
    """What becomes of labels.

    Attributes:
        targets: "soft", "pair", "own" or "union".
        num_classes: Number of classes of integer labels or None; for several outputs a
            dictionary or tuple of them.
        label_smoothing: Smoothing of integer labels that are made soft.
        threshold: Share above which a label is in the union.
    """

    targets: str
    num_classes: Any = None
    label_smoothing: float = 0.0
    threshold: float = 0.0


def _is_several(labels: Any) -> bool:
    """Returns whether labels are of several outputs; those of one may be a list."""
    if isinstance(labels, Mapping):
        return True
    leaves = keras.tree.flatten(labels) if isinstance(labels, (tuple, list)) else ()
    return bool(leaves) and all(map(_is_array, leaves))


def _is_array(value: Any) -> bool:
    """Returns whether a value is a tensor or an array, and no number of a list."""
    return hasattr(value, "shape") and not isinstance(value, np.generic)


def _each(function: Callable[..., Any], labels: Any, *settings: Any) -> Any:
    """Calls a function with each output's labels and settings, keeping the structure.

    Args:
        function: Takes the labels of an output and its settings.
        labels: Labels, or a dictionary or tuple of them.
        *settings: Each one for all outputs, or a dictionary or tuple like that of the
            labels; a dictionary may lack some, which get None.
    """
    if not _is_several(labels):
        return function(labels, *settings)

    def of(key: Any) -> list[Any]:
        return [_setting(setting, key) for setting in settings]

    if isinstance(labels, Mapping):
        return {key: function(value, *of(key)) for key, value in labels.items()}
    values = [function(value, *of(index)) for index, value in enumerate(labels)]
    return _like(labels, values)


def _like(given: Any, values: list[Any]) -> Any:
    """Returns values in a list, tuple or named tuple as they were given."""
    if hasattr(given, "_fields"):
        return type(given)(*values)
    return values if isinstance(given, list) else tuple(values)


def _setting(setting: Any, key: Any) -> Any:
    """Returns what a setting says for one output."""
    if isinstance(setting, Mapping):
        return setting.get(key)
    return setting[key] if isinstance(setting, (tuple, list)) else setting


def _names(name: str, values: Any) -> Any:
    """Returns what errors call the tensor of each output."""
    if isinstance(values, Mapping):
        return {
            key: f'{name}["{key}"]' if isinstance(key, str) else f"{name}[{key!r}]"
            for key in values
        }
    return [f"{name}[{index}]" for index in range(len(values))]


def checked(
    owner: str,
    labels: Any,
    layout: plans.Layout,
    form: Form,
    *,
    channels: int | None = None,
) -> Any:
    """Returns labels as tensors that can take the form, or raises.

    Args:
        owner: Name that an error starts with.
        labels: Class ids, `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`; with a
            number of classes floats of the shape of ids are ids. For several outputs a
            dictionary or tuple of those.
        layout: Of the images they belong to.
        form: What is to become of them.
        channels: How many channels the images have, None where that is not known.
    """
    counts = form.num_classes
    if _is_several(labels) and counts is not None:
        _check_outputs(owner, labels, "num_classes", counts)
    elif not _is_several(labels):
        _check_one_output(owner, "num_classes", counts)

    def check(labels: Any, name: str, num_classes: int | None) -> Tensor:
        ops = _backend.of(labels)
        _checks.check_not_ragged(owner, name, ops.is_ragged(labels), labels)
        _checks.check_array(owner, name, labels)
        labels = ops.convert(labels)
        _check_batched(owner, name, labels.shape, layout, channels)
        if keras.backend.standardize_dtype(labels.dtype) == "bool":
            # A set of labels, unless they are to be encoded: then ids of two classes.
            labels = ops.cast(labels, "float32" if num_classes is None else "int32")
        if not keras.backend.is_float_dtype(labels.dtype):
            found = layout.lengths(labels.shape) or tuple(labels.shape[1:])
            _check_shape_of_ids(owner, name, labels.shape, found, layout.size)
            _check_ids(owner, name, labels, form.targets, num_classes)
        elif num_classes is not None:
            given = labels.shape, labels.dtype
            _check_not_soft(owner, name, *given, num_classes)
            labels = _float_ids(owner, name, labels, num_classes)
        return labels

    names = _names("labels", labels) if _is_several(labels) else "labels"
    return _each(check, labels, names, counts)


def _check_batched(
    owner: str, name: str, shape: Any, layout: plans.Layout, channels: int | None
) -> None:
    """Checks the batch of labels, and that they are not those of one image."""
    # One image with its one-hot label looks like a batch of signals.
    single = len(layout.size) == 1 and len(shape) == 1 and channels in _COLOURS
    _checks.check_batch(owner, name, shape, (layout.batch,), unbatched=single)
    lengths = (layout.batch, *layout.size)
    unknown = not any(isinstance(length, int) for length in lengths)
    if single and unknown and isinstance(shape[0], int):
        _fail_unbatched(owner, name, shape)


def check_not_dense(owner: str, labels: Any, layout: plans.Layout) -> None:
    """Refuses labels of the images' size: their mix differs from pixel to pixel."""
    _each(lambda x: _check_not_dense(owner, x.shape, layout.size), labels)


def _check_ids(
    owner: str, name: str, labels: Tensor, targets: str, num_classes: int | None
) -> None:
    """Checks that integer labels of one output can take the form."""
    if num_classes is None and targets in ("soft", "union"):
        _checks.check_soft(owner, labels.dtype, name)
    ops = _backend.of(labels)
    if not (ops.is_eager(labels) and ops.shape(labels)[0]):
        return
    low, high = _range(labels)
    if num_classes is not None:
        _checks.check_id_range(owner, low, high, num_classes)
    largest = max(high, -low)
    if targets == "pair" and largest > _checks.LARGEST_ID:
        _checks.fail_ids(owner, f"the id {high if high == largest else low}")


def _range(ids: Tensor) -> tuple[int, int]:
    """Returns the smallest and the largest of some ids that can be looked at."""
    ops = _backend.of(ids)
    if keras.backend.standardize_dtype(ids.dtype) in ("uint32", "uint64"):
        values = ops.integers(ops.reshape(ids, [-1]))  # Some are too large for int64.
        return min(values), max(values)
    wide = ops.cast(ids, "int64")
    # -1 - x, unlike -x, is an int64 for every int64.
    below, high = ops.integers(ops.stack([ops.max(-1 - wide), ops.max(wide)]))
    return -1 - below, high


def _float_ids(owner: str, name: str, labels: Tensor, num_classes: int) -> Tensor:
    """Returns int32 of class ids that are floats, `_NO_CLASS` for other numbers."""
    _check_float_ids(owner, name, labels.dtype, num_classes)
    ops = _backend.of(labels)
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


def checked_weights(
    owner: str, sample_weight: Any, labels: Any, layout: plans.Layout
) -> Any:
    """Returns sample weights as tensors, or raises.

    Args:
        owner: Name that an error starts with.
        sample_weight: Shape `(batch,)` or `(batch, 1)`; for several outputs perhaps a
            dictionary or tuple of those, in which some may be None.
        labels: The labels they go with.
        layout: Of the images they belong to.
    """
    if _is_several(labels) and isinstance(sample_weight, (Mapping, tuple, list)):
        _check_outputs(owner, labels, "sample_weight", sample_weight)

    def check(weights: Any, name: str) -> Tensor | None:
        if weights is None:
            return None
        _checks.check_array(owner, name, weights)
        weights = _backend.of(weights).convert(weights)
        _checks.check_sample_weight(owner, weights.shape)
        _checks.check_batch(owner, name, weights.shape, (layout.batch,))
        return weights

    if not _are_several(sample_weight):
        return check(sample_weight, "sample_weight")
    return _each_weight(check, sample_weight, _names("sample_weight", sample_weight))


def _are_several(sample_weight: Any) -> bool:
    """Returns whether sample weights are given for each output."""
    if isinstance(sample_weight, Mapping):
        return True
    return isinstance(sample_weight, (tuple, list)) and any(
        value is None or _is_array(value) for value in sample_weight
    )


def _each_weight(
    function: Callable[..., Any], sample_weight: Any, names: Any = None
) -> Any:
    """Calls a function with each output's sample weights, which may be None.

    Args:
        function: Takes the weights of an output, and its name where names are given.
        sample_weight: Weights, or a dictionary or tuple of them.
        names: Dictionary or list of the name of each output's weights, or None.
    """

    def call(value: Any, key: Any) -> Any:
        return function(value) if names is None else function(value, names[key])

    if not _are_several(sample_weight):
        return function(sample_weight)
    if isinstance(sample_weight, Mapping):
        return {key: call(value, key) for key, value in sample_weight.items()}
    values = [call(value, index) for index, value in enumerate(sample_weight)]
    return _like(sample_weight, values)


def mixed(
    labels: Any,
    sample_weight: Any,
    plan: plans.MixPlan,
    form: Form,
    *,
    jit_compile: bool | str,
) -> Any:
    """Returns checked labels in the form that a plan gives them.

    Args:
        labels: Tensor, or a structure of tensors.
        sample_weight: Checked weights of the samples, or None.
        plan: The plan of the batch.
        form: What becomes of labels.
        jit_compile: Whether a graph compiles this for wide labels, as in the layers.
    """

    def mix(labels: Tensor, num_classes: int | None, weights: Any) -> Tensor:
        # A set is a set whatever its samples weigh, and so is the own label.
        if weights is not None and form.targets in ("soft", "pair"):
            shares, _ = plans.mix_sample_weights(weights, plan)
        else:
            shares = plan
        if form.targets == "pair":
            return plans.pack_labels(labels, shares)
        soft = functools.partial(_soft, num_classes=num_classes, form=form)
        given = labels, shares.partner, shares.weight
        # Operation by operation, wide labels take three times their bytes.
        if (num_classes or _width(labels)) < _WIDE:
            return soft(*given)
        return _backend.of(*given).fused(soft, *given, jit_compile=jit_compile)

    return _each(mix, labels, form.num_classes, sample_weight)


def _soft(
    labels: Tensor,
    partner: Tensor,
    weight: Tensor,
    *,
    num_classes: int | None,
    form: Form,
) -> Tensor:
    """Returns the labels of one output, encoded and mixed."""
    if num_classes is not None:
        labels = plans.encode_labels(labels, num_classes, form.label_smoothing)
    if form.targets == "own":
        return plans.take_own(labels, partner)
    labels = plans.mix_labels(labels, plans.MixPlan(partner, None, weight))
    if form.targets == "union":
        labels = plans.unite_labels(labels, form.threshold)
    return labels


def _width(labels: Tensor) -> int:
    """Returns how many numbers a sample's labels have, 0 if that is not known."""
    lengths = tuple(labels.shape[1:])
    return 0 if None in lengths else math.prod(lengths)


def mixed_weights(sample_weight: Any, plan: plans.MixPlan, form: Form) -> Any:
    """Returns checked sample weights as they belong to mixed labels.

    Args:
        sample_weight: Tensor, None or a structure of them.
        plan: The plan of the batch.
        form: What becomes of labels.
    """

    def mix(weights: Any) -> Any:
        if weights is None:
            return None
        if form.targets == "own":
            return plans.take_own(weights, plan.partner)
        return plans.mix_sample_weights(weights, plan)[1]

    return _each_weight(mix, sample_weight)


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

    Their mix differs from pixel to pixel, unlike that of other labels.
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
        "labels of the images' size are mixed pixel by pixel, under a key of their "
        "own.",
        received,
        'Use a dictionary, `layer({"images": x, "segmentation_masks": y})`, for '
        'masks, or `batch_keys=("y",)` for other values.',
    )


def _check_one_output(owner: str, name: str, given: Any) -> None:
    """Checks that an argument for labels of one output is not one for several."""
    if isinstance(given, (Mapping, tuple, list)):
        _errors.fail(
            owner,
            f"`{name}` is for several outputs, the labels are of one.",
            f"{name}={given!r}",
            "Give labels as a dictionary or tuple, or one number.",
        )


def _check_outputs(owner: str, labels: Any, name: str, given: Any) -> None:
    """Checks that an argument for several outputs is one entry an output."""
    kinds = (Mapping, (tuple, list))
    fits = any(isinstance(labels, k) and isinstance(given, k) for k in kinds)
    if fits and isinstance(labels, Mapping):
        fits = set(given) <= set(labels)
    elif fits:
        fits = len(given) == len(labels)
    if not fits:
        keys = list(labels) if isinstance(labels, Mapping) else len(labels)
        _errors.fail(
            owner,
            f"several outputs need `{name}` as a dictionary or tuple like the labels.",
            f"{name}={given!r} for the outputs {keys}",
            f'Use for example `{name}={{"class": 10}}`, without the outputs that need '
            "none.",
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
