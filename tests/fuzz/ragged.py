"""Boxes and keypoints of which each sample has its own number, as ragged tensors."""

from typing import Any, NamedTuple

import numpy as np

from tests.fuzz.contents import Rows
from tests.fuzz.expected import Expected, compare


class ExpectedRows(NamedTuple):
    """Ragged rows that should come out.

    Attributes:
        dense: All rows, those that are dropped too.
        kept: Truth values `(batch, n)`, which ones are kept.
        unsure: Whether one may be kept or not.
    """

    dense: Expected
    kept: np.ndarray
    unsure: np.ndarray


def to_tensor(rows: Rows) -> Any:
    """Returns rows as a ragged tensor."""
    import tensorflow as tf

    return tf.RaggedTensor.from_tensor(rows.values, lengths=rows.lengths)


def describe(rows: Rows, *, known: bool) -> Any:
    """Returns the spec of a ragged tensor, with lengths or without."""
    import tensorflow as tf

    batch, _, *rest = rows.values.shape
    shape = [batch, None, *rest] if known else [None] * rows.values.ndim
    return tf.RaggedTensorSpec(shape, rows.dtype.name, ragged_rank=1)


def compare_rows(found: Any, expected: ExpectedRows) -> str | None:
    """Returns what is wrong with a ragged tensor, None if nothing is."""
    dense, kept, unsure = expected
    if not hasattr(found, "row_lengths"):
        return f"{type(found).__name__} instead of a ragged tensor"
    if found.shape[0] != len(kept):
        return f"{found.shape[0]} samples instead of {len(kept)}"
    for sample in np.flatnonzero(~unsure.any(1)):
        rows = np.flatnonzero(kept[sample])
        wanted = Expected(
            dense.values[sample][rows], dense.dtype, _take(dense.slack, sample, rows)
        )
        values = found[sample].numpy()
        if words := compare(values, values.dtype.name, wanted):
            return f"sample {sample}: {words}"
    return None


def _take(slack: Any, sample: Any, rows: Any) -> Any:
    return slack[sample][rows] if np.ndim(slack) else slack
