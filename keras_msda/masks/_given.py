"""The arguments of the public mask functions, checked, as tensors.

What layers draw needs no check: they use the functions beside these.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_msda import _backend, _checks, _errors

Tensor = Any


def lambdas(owner: str, lam: Any, like: Any) -> Tensor:
    """Returns lambda as a tensor, float32 `(draws,)`, or raises.

    Args:
        owner: Name that an error starts with.
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        like: What belongs to lambda; decides which library computes.
    """
    _checks.check_lam(owner, _backend.visible(lam), "It is a share, such as 0.5.")
    lam = _backend.of(lam, like).convert(lam, "float32")
    _check_draws_of(owner, "lam", lam.shape, [("draws", None)])
    return lam


def draws_at(
    owner: str, lam: Any, center: Any, size: Sequence[Any], *, border: str
) -> tuple[Tensor, Tensor]:
    """Returns lambda and centres as tensors, or raises.

    Args:
        owner: Name that an error starts with.
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        center: Integer centre pixels, shape `(draws, rank)`.
        size: Spatial lengths.
        border: "inside" moves boxes inside, wherever their centres are.
    """
    lam = lambdas(owner, lam, center)
    anywhere = border == "inside"
    _check_center(owner, _backend.visible(center), size, anywhere=anywhere)
    center = _backend.of(lam, center).convert(center, "int32")
    each = [("draws", lam.shape[0]), ("rank", len(size))]
    _check_draws_of(owner, "center", center.shape, each)
    return lam, center


def rounding_of(
    owner: str, rounding: Any, lam: Tensor, *rest: tuple[str, int]
) -> Tensor:
    """Returns rounding noise as a tensor, or raises.

    Args:
        owner: Name that an error starts with.
        rounding: In [0, 1), a number or for each draw.
        lam: float32 `(draws,)`.
        *rest: Name and length of further axes.
    """
    _check_rounding(owner, _backend.visible(rounding))
    rounding = _backend.of(lam, rounding).convert(rounding, "float32")
    if len(rounding.shape):
        each = [("draws", lam.shape[0]), *rest]
        _check_draws_of(owner, "rounding", rounding.shape, each)
    return rounding


def _check_rounding(owner: str, rounding: Any) -> None:
    """Checks what is added to sides or counts before they are rounded down.

    Args:
        owner: Name that the error starts with.
        rounding: What `_backend.visible` returns of it.
    """
    remedy = "Use 0.0 to round down, or uniform draws."
    _checks._check_within(owner, "rounding", rounding, remedy, below=True)


def _check_draws_of(owner: str, name: str, shape: Any, expected: Sequence[Any]) -> None:
    """Checks the shape of what is given for each draw, as far as it is known.

    Args:
        owner: Name that the error starts with.
        name: Of the argument.
        shape: Its static shape.
        expected: A pair an axis: its name and its length, where that is fixed. One
            draw serves for all.
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
        center: What `_backend.visible` returns of them; None is not checked.
        size: Spatial lengths; integers are checked against.
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
    elif whole:  # Its shape is another check's.
        return
    _errors.fail(
        owner,
        "`center` must be integer pixels inside the image.",
        f"center of dtype {center.dtype} from {_errors.extent(center)} for "
        f"size={size!r}",
        "Count pixels from 0, axis by axis.",
    )
