"""The label forms of a pipeline, for one output or several.

Labels are soft, packed in pairs, sets, or the own ones alone. Several outputs are a
dictionary or tuple of labels; sample weights may be one for all or one an output.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from keras_msda import _backend, _checks, plans

Tensor = Any

#: Numbers of a sample's labels from which on a compiled pass is worth its start.
_WIDE = 256


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
    """Tells labels of several outputs from those of one, which may be a list."""
    if isinstance(labels, Mapping):
        return True
    return isinstance(labels, (tuple, list)) and all(
        hasattr(leaf, "shape") for leaf in keras.tree.flatten(labels)
    )


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
    return tuple(function(value, *of(index)) for index, value in enumerate(labels))


def _setting(setting: Any, key: Any) -> Any:
    """Returns what a setting says for one output."""
    if isinstance(setting, Mapping):
        return setting.get(key)
    return setting[key] if isinstance(setting, (tuple, list)) else setting


def checked(owner: str, labels: Any, layout: plans.Layout, form: Form) -> Any:
    """Returns labels as tensors that can take the form, or raises.

    Args:
        owner: Name that an error starts with.
        labels: Class ids, `(batch,)` or `(batch, 1)`, or floats `(batch, ...)`; for
            several outputs a dictionary or tuple of those.
        layout: Of the images they belong to.
        form: What is to become of them.
    """
    counts = form.num_classes
    if _is_several(labels) and counts is not None:
        _checks.check_outputs(owner, labels, "num_classes", counts)
    elif not _is_several(labels):
        _checks.check_one_output(owner, "num_classes", counts)

    def check(labels: Any, num_classes: int | None) -> Tensor:
        ops = _backend.of(labels)
        _checks.check_not_ragged(owner, "labels", ops.is_ragged(labels), labels)
        labels = ops.convert(labels)
        _checks.check_batch(owner, "labels", labels.shape, (layout.batch,))
        if keras.backend.standardize_dtype(labels.dtype) == "bool":
            # A set of labels, unless they are to be encoded: then ids of two classes.
            labels = ops.cast(labels, "float32" if num_classes is None else "int32")
        _check_kind(owner, labels, form.targets, num_classes)
        return labels

    return _each(check, labels, counts)


def check_not_dense(owner: str, labels: Any, layout: plans.Layout) -> None:
    """Refuses labels of the images' size: their mix differs from pixel to pixel."""
    _each(lambda x: _checks.check_not_dense(owner, x.shape, layout.size), labels)


def _check_kind(
    owner: str, labels: Tensor, targets: str, num_classes: int | None
) -> None:
    """Checks that labels of one output are of a kind that can take the form."""
    if num_classes is not None:
        _checks.check_not_soft(owner, labels.dtype, num_classes)
    elif targets in ("soft", "union"):
        _checks.check_soft(owner, labels.dtype)
    if keras.backend.is_float_dtype(labels.dtype):
        return
    _checks.check_ids(owner, labels.shape)
    ops = _backend.of(labels)
    if not (ops.is_eager(labels) and ops.shape(labels)[0]):
        return
    wide = ops.cast(labels, "int64")
    low, high = ops.integers(ops.stack([-ops.max(-wide), ops.max(wide)]))
    if num_classes is not None:
        _checks.check_id_range(owner, low, high, num_classes)
    if targets == "pair" and high > _checks.LARGEST_ID:
        _checks.fail_ids(owner, f"the id {high}")


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
        _checks.check_outputs(owner, labels, "sample_weight", sample_weight)

    def check(weights: Any) -> Tensor | None:
        if weights is None:
            return None
        weights = _backend.of(weights).convert(weights)
        _checks.check_sample_weight(owner, weights.shape)
        _checks.check_batch(owner, "sample_weight", weights.shape, (layout.batch,))
        return weights

    return _each_weight(check, sample_weight)


def _each_weight(function: Callable[[Any], Any], sample_weight: Any) -> Any:
    """Calls a function with each output's sample weights, which may be None."""
    if isinstance(sample_weight, Mapping):
        return {key: function(value) for key, value in sample_weight.items()}
    if isinstance(sample_weight, (tuple, list)) and any(
        value is None or hasattr(value, "shape") for value in sample_weight
    ):
        return tuple(function(value) for value in sample_weight)
    return function(sample_weight)


def mixed(labels: Any, sample_weight: Any, plan: plans.MixPlan, form: Form) -> Any:
    """Returns checked labels in the form that a plan gives them.

    Args:
        labels: Tensor, or a structure of tensors.
        sample_weight: Checked weights of the samples, or None.
        plan: The plan of the batch.
        form: What becomes of labels.
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
        return _backend.of(*given).fused(soft, *given)

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
        return labels
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
    if form.targets == "own":
        return sample_weight
    return _each_weight(
        lambda x: None if x is None else plans.mix_sample_weights(x, plan)[1],
        sample_weight,
    )
