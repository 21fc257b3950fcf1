"""Checks of what masks are made from, and conversions of it to tensors.

The public mask functions check all their arguments by these functions, layers their
settings and sizes. What a layer draws needs no check.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_msda import _backend, _checks, _errors

Tensor = Any

#: Four times the length of an axis must be an int32.
LONGEST_AXIS = 2**29 - 1
_MOST_PIXELS = 2**31 - 1


def check_size(owner: str, size: Any) -> tuple[Any, ...]:
    """Returns the spatial lengths of images, integers or traced scalars."""
    lengths = tuple(size) if isinstance(size, (tuple, list)) else ()
    fits = 1 <= len(lengths) <= 3 and all(
        _checks.is_length(n)
        or (not _checks.is_whole(n) and _checks.is_integer_scalar(n))
        for n in lengths
    )
    if not fits:
        _errors.fail(
            owner,
            "`size` must hold one to three spatial lengths, positive integers, without "
            "channels.",
            f"size={size!r}",
            "Use for example `size=(32, 32)`.",
        )
    lengths = tuple(int(n) if _checks.is_whole(n) else n for n in lengths)
    check_countable(owner, lengths, _MOST_PIXELS)
    return lengths


def check_countable(owner: str, size: Sequence[Any], most: int | None = None) -> None:
    """Checks that the pixels of an image can be counted, if lengths are integers.

    Args:
        owner: Name that the error starts with.
        size: Spatial lengths.
        most: Largest number of pixels; None for any.
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


def check_lam(
    owner: str, lam: Any, remedy: str = "Leave `lam` out to draw it."
) -> None:
    """Checks one or several values of lambda.

    Args:
        owner: Name that the error starts with.
        lam: What `_backend.get_concrete_value` returns for it; None is not checked.
        remedy: What the error ends with.
    """
    _check_within(owner, "lam", lam, remedy)


def _check_within(
    owner: str, name: str, values: Any, remedy: str, *, below: bool = False
) -> None:
    """Checks for numbers in [0, 1], or in [0, 1), unless they are traced."""
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


def check_decay_power(owner: str, value: Any) -> float:
    """Returns a finite number that is not negative."""
    if not (_checks.is_number(value) and math.isfinite(value) and value >= 0):
        _errors.fail(
            owner,
            "`decay_power` must be a finite number, not negative.",
            f"decay_power={value!r}",
            "The paper uses 3.0; 0.0 is white noise.",
        )
    return float(value)


def check_max_soft(owner: str, value: Any) -> float:
    """Returns a number in [0, 0.5]."""
    if not (_checks.is_number(value) and 0 <= value <= 0.5):
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
    return _checks.check_choice(owner, "spectrum", value, ("isotropic", "official"))


def convert_lam(owner: str, lam: Any, like: Any, *, name: str = "lam") -> Tensor:
    """Returns lambda as a tensor, float32 `(draws,)`, or raises.

    Args:
        owner: Name that an error starts with.
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        like: Another argument, which also decides which library computes.
        name: What the user calls it, if it is another share than lambda.
    """
    remedy = "It is a share, such as 0.5."
    _check_within(owner, name, _backend.get_concrete_value(lam), remedy)
    lam = _backend.get_ops(lam, like).convert(lam, "float32")
    _check_draws_of(owner, name, lam.shape, [("draws", None)])
    return lam


def convert_draws(
    owner: str, lam: Any, center: Any, size: Sequence[Any], *, border: str
) -> tuple[Tensor, Tensor]:
    """Returns lambda and centres as tensors, or raises.

    Args:
        owner: Name that an error starts with.
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths.
        border: "inside" moves boxes inside, so that centres may be anywhere.
    """
    lam = convert_lam(owner, lam, center)
    anywhere = border == "inside"
    return lam, convert_center(owner, center, size, lam, anywhere=anywhere)


def convert_center(
    owner: str,
    center: Any,
    size: Sequence[Any],
    like: Tensor,
    *,
    anywhere: bool = False,
) -> Tensor:
    """Returns centres as a tensor, int32 `(draws, rank)`, or raises.

    Args:
        owner: Name that an error starts with.
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths.
        like: Another argument with one entry per draw.
        anywhere: Whether centres may lie outside.
    """
    _check_center(owner, _backend.get_concrete_value(center), size, anywhere=anywhere)
    center = _backend.get_ops(like, center).convert(center, "int32")
    each = [("draws", like.shape[0]), ("rank", len(size))]
    _check_draws_of(owner, "center", center.shape, each)
    return center


def convert_rounding(
    owner: str, rounding: Any, lam: Tensor, *rest: tuple[str, int]
) -> Tensor:
    """Returns rounding noise as a tensor, or raises.

    Args:
        owner: Name that an error starts with.
        rounding: In [0, 1), a number or one per draw.
        lam: float32 `(draws,)`.
        *rest: Name and length of each further axis.
    """
    remedy = "Use 0.0 to round down, or uniform draws."
    _check_within(
        owner, "rounding", _backend.get_concrete_value(rounding), remedy, below=True
    )
    rounding = _backend.get_ops(lam, rounding).convert(rounding, "float32")
    if len(rounding.shape):
        each = [("draws", lam.shape[0]), *rest]
        _check_draws_of(owner, "rounding", rounding.shape, each)
    return rounding


def convert_noise(
    owner: str, name: str, noise: Any, like: Tensor, *rest: tuple[str, int | None]
) -> Tensor:
    """Returns noise as a tensor, float32 with one row per draw, or raises.

    Args:
        owner: Name that an error starts with.
        name: What the user calls it.
        noise: In [0, 1).
        like: Another argument with one entry per draw.
        *rest: Name and length of each further axis; None for any length.
    """
    remedy = "Use uniform draws."
    _check_within(owner, name, _backend.get_concrete_value(noise), remedy, below=True)
    noise = _backend.get_ops(like, noise).convert(noise, "float32")
    _check_draws_of(owner, name, noise.shape, [("draws", like.shape[0]), *rest])
    return noise


def convert_positive(owner: str, name: str, values: Any, like: Any) -> Tensor:
    """Returns positive finite numbers as a tensor, float32 `(draws,)`, or raises.

    Args:
        owner: Name that an error starts with.
        name: What the user calls them.
        values: Shape `(draws,)`.
        like: Another argument, which also decides which library computes.
    """
    known = _backend.get_concrete_value(values)
    if known is not None and not (
        known.dtype.kind in "iuf" and np.all(np.isfinite(known) & (known > 0))
    ):
        received = f"{name}={values!r}" if known.size <= 8 else f"{name} of {known!r}"
        rule = f"`{name}` must be positive and finite."
        _errors.fail(owner, rule, received, f"Use for example `{name}=[0.5]`.")
    tensor = _backend.get_ops(values, like).convert(values, "float32")
    _check_draws_of(owner, name, tensor.shape, [("draws", None)])
    return tensor


def check_range(
    owner: str, name: str, value: Any, example: tuple[float, float]
) -> tuple[float, float]:
    """Returns the two ends of a range of relative lengths.

    Args:
        owner: Name that an error starts with.
        name: Of the argument.
        value: The pair (low, high).
        example: A range for the remedy.
    """
    valid = (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(_checks.is_number(v) for v in value)
        and 0 <= value[0] <= value[1] <= 1
    )
    if not valid:
        _errors.fail(
            owner,
            f"`{name}` must be a pair (low, high) with 0 <= low <= high <= 1.",
            f"{name}={value!r}",
            f"Use for example `{name}={example}`.",
        )
    return float(value[0]), float(value[1])


def _check_draws_of(owner: str, name: str, shape: Any, expected: Sequence[Any]) -> None:
    """Checks the static shape of an argument with one entry per draw.

    Args:
        owner: Name that the error starts with.
        name: Name of the argument.
        shape: Its static shape.
        expected: For each axis its name and its length, or None for any length. A
            single draw may serve for all.
    """
    known = getattr(shape, "rank", 0) is not None
    fits = known and len(shape) == len(expected)
    if known and not (
        fits
        and all(
            n is None or length is None or n == length or (n == 1 and axis == 0)
            for axis, (n, (_, length)) in enumerate(zip(shape, expected, strict=True))
        )
    ):
        words = [axis if n is None else f"{axis}={n}" for axis, n in expected]
        comma = "," if len(words) == 1 else ""
        _errors.fail(
            owner,
            f"`{name}` must have the shape ({', '.join(words)}{comma}).",
            f"shape {_errors.show(shape)}",
            "Give one entry for each draw, such as `[0.5]` for one lambda.",
        )


def _check_center(
    owner: str, center: Any, size: Sequence[Any], *, anywhere: bool = False
) -> None:
    """Checks centre pixels.

    Args:
        owner: Name that the error starts with.
        center: From `_backend.get_concrete_value`; None is not checked.
        size: Spatial lengths; those that are not integers are not compared.
        anywhere: Whether centres may lie outside.
    """
    if center is None:
        return
    whole = center.dtype.kind in "iu"
    if whole and anywhere:
        return
    if whole and center.ndim == 2 and center.shape[1] == len(size):
        lengths = [n if isinstance(n, int) else np.inf for n in size]
        if np.all((center >= 0) & (center < lengths)):
            return
    elif whole:  # Another check reports the shape.
        return
    _errors.fail(
        owner,
        "`center` must be integer pixels inside the image.",
        f"center of dtype {center.dtype} from {_errors.extent(center)} for "
        f"size={size!r}",
        "Count pixels from 0, axis by axis.",
    )
