"""Marks that several files of tests share."""

import keras
import pytest

#: What tables of cases call a way of calling that XLA compiles.
COMPILED = {"compiled", "xla", "jit", "jitted"}

#: Keras reads no layers of its own that a newer release has written.
written_by_newer = pytest.mark.skipif(
    tuple(map(int, keras.version().split(".")[:2])) < (3, 15),
    reason="Keras 3.15 wrote the files",
)


def parametrize(names, rows, **options):
    """Returns `pytest.mark.parametrize` with what XLA compiles marked so.

    These are rows that hold one of the words in `COMPILED`, and True for `jit`.
    """
    arguments = names.split(",") if isinstance(names, str) else names
    marked = []
    for row in rows:
        values = (row,) if len(arguments) == 1 else row
        named = dict(zip(arguments, values, strict=True))
        words = {value for value in values if isinstance(value, str)}
        slow = named.get("jit") is True or words & COMPILED
        marked.append(pytest.param(*values, marks=pytest.mark.xla) if slow else row)
    return pytest.mark.parametrize(names, marked, **options)
