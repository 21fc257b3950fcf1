"""Masks that layers draw, and means over them with standard errors."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_msda import _checks, sampling
from keras_msda.analysis._types import Array, Shape

Chunks = Iterator[tuple[Array, Array]]

# Numbers in the transforms of what is drawn at once: 64 MiB.
_NUMBERS = 2**23


def draw_masks(
    layer: Any, shape: Shape, *, draws: int, seed: int, lam: Any = None
) -> Chunks:
    """Yields masks `(some, *shape)` and weights `(some,)`, in all `draws`.

    Args:
        layer: A mixing layer.
        shape: Spatial lengths.
        draws: How many, 2 or more.
        seed: The same seed yields the same masks.
        lam: A number, one for each draw, or None to draw it.
    """
    most = max(1, _NUMBERS // (math.prod(shape) * 2 ** len(shape)))
    for number, start in enumerate(range(0, draws, most)):
        stop = min(start + most, draws)
        part = lam[start:stop] if isinstance(lam, np.ndarray) else lam
        drawn = layer.sample_masks(stop - start, shape, seed=(seed, number), lam=part)
        mask, weight = map(keras.ops.convert_to_numpy, drawn)
        yield mask.astype("float64"), weight.astype("float64")


def draw_weighted_lam(layer: Any, draws: int, seed: int) -> Array:
    """Draws lambdas weighted by themselves, D~ of the paper, `(draws,)`."""
    a, b = _checks.check_alpha(type(layer).__name__, layer.alpha)
    table = sampling.beta_table(a, b, reformulated=True)
    return np.random.default_rng(seed).choice(table, draws)


def mean_and_error(
    chunks: Chunks, function: Callable[[Array, Array], Array]
) -> tuple[Array, Array]:
    """Returns mean and standard error of a function of masks and weights.

    Args:
        chunks: From `draw_masks`.
        function: Its result has one entry per draw in front.

    Returns:
        Two arrays of the shape of one entry.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for mask, weight in chunks:
        values = function(mask, weight)
        count += len(values)
        total = total + values.sum(0)
        squares = squares + (values**2).sum(0)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) * count / (count - 1)
    return mean, np.sqrt(variance / count)
