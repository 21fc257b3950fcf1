"""What a call should return, and how it is compared with what it does return."""

from typing import Any, NamedTuple

import numpy as np

from tests.fuzz.contents import as_dtype

#: What rounding a float32 can change, relative to the numbers of a sum.
STEP = 2.0**-23


class Expected(NamedTuple):
    """An array that should come out.

    Attributes:
        values: The numbers, in float64 or exactly.
        dtype: Name of the dtype.
        slack: How far numbers may be off, before the last rounding to the dtype.
        free: Where nothing is promised.
        also: Other numbers that are as good.
    """

    values: np.ndarray
    dtype: str
    slack: Any = 0.0
    free: Any = False
    also: Any = None


class Same(NamedTuple):
    """Something that should come out as it went in, with its dtype."""

    values: Any


def round_to(values: np.ndarray, dtype: str) -> np.ndarray:
    """Returns numbers rounded to a dtype as the documents say."""
    found = as_dtype(dtype)
    with np.errstate(all="ignore"):
        if found.kind in "iu":
            limits = np.iinfo(found)
            return np.clip(np.rint(values), limits.min, limits.max).astype(found)
        return values.astype(found)


def first(nest: Any, count: int) -> Any:
    """Returns what is expected of the first samples."""
    if isinstance(nest, dict):
        return {key: first(value, count) for key, value in nest.items()}
    if isinstance(nest, str) or nest is None:
        return nest
    if isinstance(nest, tuple):
        parts = [first(value, count) for value in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
    return nest[:count] if np.ndim(nest) else nest


def narrowed(nest: Any) -> Any:
    """Returns what is expected of a library without dtypes of 64 bits."""
    if isinstance(nest, Expected):
        name = nest.dtype.replace("64", "32")
        slack = nest.slack
        if nest.dtype == "float64":
            slack = slack + STEP * np.abs(nest.values) * (slack > 0)
        return nest._replace(dtype=name, slack=slack)
    if isinstance(nest, Same):
        return nest
    if isinstance(nest, dict):
        return {key: narrowed(value) for key, value in nest.items()}
    return tuple(map(narrowed, nest)) if isinstance(nest, tuple) else nest


def compare(found: np.ndarray, name: str, expected: Expected) -> str | None:
    """Returns what is wrong with an array, None if nothing is."""
    if name != expected.dtype:
        return f"dtype {name} instead of {expected.dtype}"
    if found.shape != expected.values.shape:
        return f"shape {found.shape} instead of {expected.values.shape}"
    good = np.broadcast_to(expected.free, found.shape).copy()
    for values in (expected.values, expected.also):
        if values is not None:
            good |= _agree(found, values, expected)
    if good.all():
        return None
    first = tuple(int(x) for x in np.argwhere(~good)[0])
    want = expected.values[first]
    wrong = int((~good).sum())
    return f"{wrong} of {good.size} wrong, at {first} {found[first]} for {want}"


def _agree(found: np.ndarray, values: np.ndarray, expected: Expected) -> np.ndarray:
    rounded = round_to(values, expected.dtype)
    kind = as_dtype(expected.dtype).kind
    if kind not in "iufV" and expected.dtype != "bfloat16":
        return np.asarray(found == rounded)
    slack = np.broadcast_to(expected.slack, found.shape)
    with np.errstate(all="ignore"):
        number, wanted = found.astype("float64"), rounded.astype("float64")
        same = (number == wanted) | (np.isnan(number) & np.isnan(wanted))
        if kind in "iu":
            if found.dtype.itemsize > 4 and np.abs(wanted).max(initial=0) > 2**31:
                return np.asarray(found == rounded)
            limits = np.iinfo(found.dtype)
            real = np.clip(np.asarray(values, "float64"), limits.min, limits.max)
            near = (np.abs(number - real) <= 0.5 + slack) & (slack > 0)
        else:
            last = np.abs(wanted) * _epsilon(expected.dtype) * (slack > 0)
            near = (np.abs(number - wanted) <= slack + last) & (slack > 0)
        # Infinities of both images give no number or an infinity.
        odd = ~np.isfinite(values.astype("float64")) & ~np.isfinite(number)
        return np.asarray(same | near | (odd & (slack > 0)))


def _epsilon(dtype: str) -> float:
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}.get(
        dtype, STEP
    )
