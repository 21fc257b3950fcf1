"""The arguments that all mixing layers share, and their checks."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypedDict

import keras
import numpy as np

from keras_msda import _checks, _errors
from keras_msda.parts import structures

PER = ("sample", "pair", "batch")
PAIRINGS = ("shuffle", "derangement", "reverse", "roll", "label_similarity")
TARGETS = ("soft", "pair", "own", "union")


class _WithoutPer(TypedDict, total=False):
    probability: float
    pairing: str
    bandwidth: float | None
    groups: int | None
    num_classes: Any
    label_smoothing: float
    targets: str
    target_threshold: float
    segmentation: str | int
    bounding_box_format: str | None
    min_box_share: float
    batch_keys: tuple[str, ...]
    mask_axes: tuple[int, ...] | None
    fold: bool
    data_format: str | None
    jit_compile: bool | str


class SharedArguments(_WithoutPer, total=False):
    """Shared arguments except for `alpha` and `seed`; `MixLayer` describes them."""

    per: str


class _OfKeras(TypedDict, total=False):
    name: str
    dtype: Any


class LayerArguments(SharedArguments, _OfKeras, total=False):
    """What `MixLayer` takes by keyword beside the seed."""


class LeafArguments(LayerArguments, total=False):
    """What a method takes by keyword beside its own arguments."""

    seed: int | None


class ChoiceArguments(_WithoutPer, _OfKeras, total=False):
    """What `RandomMixLayer` takes by keyword beside its own arguments."""

    seed: int | None


#: The defaults of the shared arguments.
DEFAULTS: SharedArguments = {
    "probability": 1.0,
    "per": "sample",
    "pairing": "shuffle",
    "bandwidth": None,
    "groups": None,
    "num_classes": None,
    "label_smoothing": 0.0,
    "targets": "soft",
    "target_threshold": 0.0,
    "segmentation": "auto",
    "bounding_box_format": None,
    "min_box_share": 0.0,
    "batch_keys": (),
    "mask_axes": None,
    "fold": False,
    "data_format": None,
    "jit_compile": "auto",
}


def split_arguments(
    given: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the shared arguments, with defaults, and those for Keras."""
    shared = {name: given.get(name, default) for name, default in DEFAULTS.items()}
    return shared, {name: value for name, value in given.items() if name not in shared}


def check_shared(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the shared arguments, checked, in the form in which a layer keeps them.

    Args:
        owner: Name that an error starts with.
        given: All shared arguments.
    """
    checked = {name: check(owner, given[name]) for name, check in _CHECKS.items()}
    check_pairs(owner, checked["per"], checked["pairing"])
    check_bandwidth_use(owner, checked["pairing"], checked["bandwidth"])
    check_targets(
        owner, checked["targets"], checked["label_smoothing"], checked["num_classes"]
    )
    check_fold_of_own(owner, checked["fold"], checked["targets"])
    return checked


def _check_choice(name: str, choices: Sequence[str]) -> Callable[[str, Any], str]:
    """Returns the check of an argument that is one of some words."""
    return lambda owner, value: _checks.check_choice(owner, name, value, choices)


def _check_share(name: str, remedy: str) -> Callable[[str, Any], float]:
    """Returns the check of an argument in [0, 1]."""
    return lambda owner, value: _checks.check_share(owner, name, value, remedy)


def check_probability(owner: str, value: Any) -> float:
    """Returns a probability."""
    remedy = "Use 1.0 to mix always, 0.0 to mix never."
    return _checks.check_share(owner, "probability", value, remedy)


def check_jit_compile(owner: str, value: Any) -> bool | str:
    """Returns whether passes over images are compiled: a truth value or "auto"."""
    if value != "auto" and not isinstance(value, bool):
        _errors.fail(
            owner,
            '`jit_compile` must be "auto", True or False.',
            f"jit_compile={value!r}",
            'The default, "auto", compiles where image sizes are known.',
        )
    return value  # type: ignore[no-any-return]


def check_pairs(owner: str, per: str, pairing: str) -> None:
    """Checks that `per="pair"` is given pairs."""
    if per == "pair" and pairing in ("derangement", "roll", "label_similarity"):
        _errors.fail(
            owner,
            '`per="pair"` needs partners in pairs, which are "shuffle" or "reverse".',
            f"pairing={pairing!r}",
            'Use `pairing="shuffle"` or `per="sample"`.',
        )


def check_bandwidth(owner: str, value: Any) -> float | None:
    """Returns a distance of labels, or None."""
    if value is None:
        return None
    if not (_checks.is_number(value) and math.isfinite(value) and value > 0):
        _errors.fail(
            owner,
            "`bandwidth` must be a positive number, a distance of labels.",
            f"bandwidth={value!r}",
            "Use for example a tenth of the standard deviation of the labels.",
        )
    return float(value)


def check_bandwidth_use(owner: str, pairing: str, bandwidth: float | None) -> None:
    """Checks that a bandwidth is given only where partners are chosen by labels."""
    if (pairing == "label_similarity") != (bandwidth is not None):
        _errors.fail(
            owner,
            '`bandwidth` is the distance of labels of `pairing="label_similarity"`, '
            "which needs it.",
            f"pairing={pairing!r}, bandwidth={bandwidth!r}",
            "Give both, for example a tenth of the standard deviation of the labels, "
            "or leave both out.",
        )


def check_targets(
    owner: str, targets: str, label_smoothing: float, num_classes: Any
) -> None:
    """Checks that the label arguments hold together."""
    if label_smoothing and targets == "pair":
        _errors.fail(
            owner,
            '`label_smoothing` cannot be combined with `targets="pair"`, whose labels '
            "stay as they are.",
            f"label_smoothing={label_smoothing!r}",
            "Give the smoothing to the loss: "
            "`MixedLoss(keras.losses.CategoricalCrossentropy(label_smoothing=...))`.",
        )
    if label_smoothing and targets == "union":
        _errors.fail(
            owner,
            '`label_smoothing` cannot be combined with `targets="union"`, whose labels '
            "are 0 or 1.",
            f"label_smoothing={label_smoothing!r}",
            "Give the smoothing to the loss: "
            "`keras.losses.BinaryCrossentropy(label_smoothing=...)`.",
        )
    if label_smoothing and num_classes is None:
        _errors.fail(
            owner,
            "`label_smoothing` smooths integer labels and needs `num_classes`.",
            f"label_smoothing={label_smoothing!r}, num_classes=None",
            "Give `num_classes`, or smooth soft labels before this layer.",
        )
    for count in keras.tree.flatten(num_classes):
        if targets == "pair" and count is not None and count > _checks.LARGEST_ID:
            _checks.fail_ids(owner, f"num_classes={num_classes}")


def check_num_classes(owner: str, value: Any) -> Any:
    """Returns a number of classes, or a dictionary or tuple of them, one an output."""

    def check(count: Any) -> int | None:
        if count == 1 and not isinstance(count, bool):
            fail_one_class(owner, value)
        return _checks.check_optional_count(owner, "num_classes", count)

    if isinstance(value, Mapping):
        return {key: check(count) for key, count in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(check(count) for count in value)
    return check(value)


def fail_one_class(owner: str, received: Any) -> NoReturn:
    """Raises the error for one class, which is one output of a model and not of ids."""
    _errors.fail(
        owner,
        "`num_classes` must be 2 or more: one class leaves nothing to tell apart.",
        f"num_classes={received!r}",
        "For a model with one sigmoid output leave `num_classes` out, and give labels "
        "0 and 1 as a float32 column of shape (batch, 1); see docs/binary.md.",
    )


def check_batch_keys(owner: str, value: Any) -> tuple[str, ...]:
    """Returns the keys of other tensors to mix."""
    valid = isinstance(value, (tuple, list)) and all(
        isinstance(key, str) and key not in structures.KEYS for key in value
    )
    if not valid:
        _errors.fail(
            owner,
            "`batch_keys` must hold names of other entries of a dictionary.",
            f"batch_keys={value!r}",
            'Use for example `batch_keys=("second_view",)`; "images", "labels" and the '
            "other keys of Keras are mixed anyway.",
        )
    return tuple(value)


def check_optional_format(owner: str, value: Any) -> str | None:
    """Returns a format of bounding boxes or None."""
    return None if value is None else _checks.check_box_format(owner, value)


def check_mask_axes(owner: str, value: Any) -> tuple[int, ...] | None:
    """Returns the axes that a mask depends on, or None for all spatial ones."""
    if value is None:
        return None
    valid = isinstance(value, (tuple, list)) and 1 <= len(value) <= 3
    if not valid or not all(isinstance(x, numbers.Integral) and x for x in value):
        _errors.fail(
            owner,
            "`mask_axes` must hold one to three axes of the images, without the batch.",
            f"mask_axes={value!r}",
            "Use for example `mask_axes=(2, 3)` for height and width of videos "
            "(batch, frames, height, width, channels).",
        )
    return tuple(int(axis) for axis in value)


def check_places_of_axes(
    owner: str, axes: Sequence[int], rank: int, first: int
) -> tuple[int, ...]:
    """Returns which of the spatial axes some axes of the images are, in order.

    Args:
        owner: Name that an error starts with.
        axes: Axes of the images, perhaps negative.
        rank: Number of spatial axes.
        first: The first spatial axis.
    """
    total = rank + 2
    places = sorted(axis % total - first for axis in axes if -total <= axis < total)
    fits = len(set(places)) == len(axes)
    if not fits or not all(0 <= place < rank for place in places):
        _errors.fail(
            owner,
            "`mask_axes` must be different spatial axes of the images.",
            f"mask_axes={tuple(axes)} for images with {rank} spatial axes",
            f"Use some of the axes {', '.join(str(first + n) for n in range(rank))}.",
        )
    return tuple(places)


def check_fold(owner: str, value: Any) -> bool:
    """Returns whether lambda is folded to one half or more."""
    if not isinstance(value, (bool, np.bool_)):
        _errors.fail(
            owner,
            "`fold` must be True or False.",
            f"fold={value!r}",
            "True makes lambda max(lambda, 1 - lambda).",
        )
    return bool(value)


def check_fold_of_own(owner: str, fold: bool, targets: str) -> None:
    """Checks that lambda is not folded where it is drawn for the own label alone."""
    if fold and targets == "own":
        _errors.fail(
            owner,
            '`fold` cannot be combined with `targets="own"`, which draws lambda so '
            "that the own label alone suffices.",
            f"fold={fold!r}, targets={targets!r}",
            'Use `targets="soft"`.',
        )


def check_without_lam(owner: str, alpha: Any, shared: Mapping[str, Any]) -> None:
    """Checks the arguments of a layer whose masks do not depend on lambda."""
    received = [] if alpha == 1.0 else [f"alpha={alpha!r}"]
    received += ["fold=True"] if shared["fold"] else []
    received += ["targets='own'"] if shared["targets"] == "own" else []
    if received:
        _errors.fail(
            owner,
            "the masks of this layer do not depend on lambda (`has_lam` is False).",
            ", ".join(received),
            "Leave this argument out.",
        )


def check_lam_is_used(owner: str, has_lam: bool, lam: Any) -> None:
    """Checks that lambda is given to a layer whose masks depend on it alone."""
    if lam is not None and not has_lam:
        _errors.fail(
            owner,
            "the masks of this layer do not depend on lambda (`has_lam` is False).",
            f"lam={lam!r}",
            "Leave `lam` out.",
        )


def check_weight(owner: str, shape: Any) -> None:
    """Checks the shape of what a method's `mask_weight` returns."""
    if len(shape) != 1:
        _errors.fail(
            owner,
            "`mask_weight` must return one weight per draw, of shape (num_draws,).",
            f"shape {_errors.show(shape)}",
            "Take the mean of the mask over all axes but the first, or leave the "
            "method out, which does that.",
        )


def check_draw_count(owner: str, name: str, value: Any) -> Any:
    """Returns a number of samples or draws, 0 or more, or a traced one.

    Args:
        owner: Name that the error starts with.
        name: Of the argument.
        value: An integer, also one of NumPy, or a traced scalar.
    """
    if _checks.is_length(value) or (_checks.is_whole(value) and value == 0):
        return int(value)
    if not _checks.is_whole(value) and _checks.is_integer_scalar(value):
        return value
    _errors.fail(
        owner,
        f"`{name}` must be an integer, not negative.",
        f"{name}={value!r}",
        f"Use for example `{name}=8`.",
    )


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "probability": check_probability,
    "per": _check_choice("per", PER),
    "pairing": _check_choice("pairing", PAIRINGS),
    "bandwidth": check_bandwidth,
    "groups": lambda owner, x: _checks.check_optional_count(owner, "groups", x),
    "num_classes": check_num_classes,
    "label_smoothing": _check_share("label_smoothing", "Use 0.1."),
    "targets": _check_choice("targets", TARGETS),
    "target_threshold": _check_share("target_threshold", "0.0 is the union."),
    "segmentation": _checks.check_segmentation,
    "bounding_box_format": check_optional_format,
    "min_box_share": _check_share("min_box_share", "Use 0.0 to keep all boxes."),
    "batch_keys": check_batch_keys,
    "mask_axes": check_mask_axes,
    "fold": check_fold,
    "data_format": _checks.check_data_format,
    "jit_compile": check_jit_compile,
}
