"""The arguments of the public mask functions, checked, as tensors.

What layers draw needs no check: they use the functions beside these.
"""

from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _checks

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
    _checks.check_draws_of(owner, "lam", lam.shape, [("draws", None)])
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
    _checks.check_center(owner, _backend.visible(center), size, anywhere=anywhere)
    center = _backend.of(lam, center).convert(center, "int32")
    each = [("draws", lam.shape[0]), ("rank", len(size))]
    _checks.check_draws_of(owner, "center", center.shape, each)
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
    _checks.check_rounding(owner, _backend.visible(rounding))
    rounding = _backend.of(lam, rounding).convert(rounding, "float32")
    if len(rounding.shape):
        each = [("draws", lam.shape[0]), *rest]
        _checks.check_draws_of(owner, "rounding", rounding.shape, each)
    return rounding
