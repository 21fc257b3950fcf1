"""What a method's `mask` returned, checked, as a `Mask`."""

from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _errors
from keras_msda.masks._factored import Mask

Tensor = Any


def as_mask(
    value: Any, size: Sequence[Any], *, owner: str, draws: Any = None, like: Any = None
) -> Mask:
    """Returns what a layer's `mask` returned as a `Mask`, after a check of its shape.

    Args:
        value: A `Mask`, or a dense tensor `(draws, *size)`.
        size: Spatial lengths that the mask was asked for, integers or traced scalars.
        owner: Name that an error starts with, that of the layer's class.
        draws: Number of masks that were asked for; None or a traced scalar for any.
        like: A tensor of the library that computes, for values of NumPy.

    Returns:
        The mask, as tensors.

    Raises:
        TypeError: If the value is neither.
        ValueError: If a shape that is known when traced does not fit.
    """
    if isinstance(value, Mask):
        ops = _backend.get_ops(*value[:2], *value.factors, like)
        offset, scale = (ops.convert(part, "float32") for part in value[:2])
        mask = Mask(offset, scale, tuple(map(ops.convert, value.factors)))
        _check_parts(mask, size, owner=owner, draws=draws)
        return mask
    if isinstance(value, (tuple, list, dict)) or not hasattr(value, "shape"):
        _errors.fail(
            owner,
            "`mask` must return a `keras_msda.masks.Mask` or a tensor.",
            f"a {type(value).__name__}",
            "Functions such as `keras_msda.masks.box_mask` return a mask and its "
            "weight: use the first of the two.",
            TypeError,
        )
    ops = _backend.get_ops(value, like)
    values = ops.convert(value)
    _check_shape(owner, "`mask`", values.shape, (draws, *size))
    zeros = ops.zeros(ops.shape(values)[:1], "float32")
    return Mask(zeros, zeros + 1.0, (values,))


def _check_parts(mask: Mask, size: Sequence[Any], *, owner: str, draws: Any) -> None:
    """Checks the static shapes of offset, scale and factors."""
    _check_shape(owner, "`mask.offset`", mask.offset.shape, (draws,))
    known = draws if isinstance(draws, int) else mask.offset.shape[0]
    _check_shape(owner, "`mask.scale`", mask.scale.shape, (known,))
    for number, factor in enumerate(mask.factors):
        name = f"`mask.factors[{number}]`"
        _check_shape(owner, name, factor.shape, (known, *size), broadcast=True)


def _check_shape(
    owner: str,
    name: str,
    shape: Any,
    expected: Sequence[Any],
    *,
    broadcast: bool = False,
) -> None:
    """Checks a static shape of a mask or of a part of it.

    Args:
        owner: Name that the error starts with.
        name: What the user calls the tensor.
        shape: Its static shape.
        expected: Lengths of the draws and the spatial axes; what is not an integer is
            not compared.
        broadcast: Whether spatial axes may have length 1.
    """
    fits = getattr(shape, "rank", 0) is not None and len(shape) == len(expected)
    pairs = list(enumerate(zip(shape, expected, strict=True))) if fits else []
    differ = [
        axis
        for axis, (n, length) in pairs
        if _errors.differ(n, length) and not (broadcast and axis > 0 and n == 1)
    ]
    if fits and not differ:
        return
    lengths = [str(n) if isinstance(n, int) else "any" for n in expected[1:]]
    draws = f"draws={expected[0]}" if isinstance(expected[0], int) else "draws"
    words = ", ".join([draws, *lengths]) + ("," if len(expected) == 1 else "")
    or_one = ", or length 1 along a spatial axis" if broadcast else ""
    _errors.fail(
        owner,
        f"{name} must have the shape ({words}){or_one}.",
        f"shape {_errors.show(shape)}",
        "Return one mask per draw, of the size that `mask` is given.",
    )
