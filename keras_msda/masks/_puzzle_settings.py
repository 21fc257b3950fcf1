"""The settings of PuzzleMix, and their checks."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks, _errors


class PuzzleSettings(NamedTuple):
    """The settings of PuzzleMix: the weights of its costs and how they are solved.

    Attributes:
        labels: Number of shares of the partner that a block can show: 2 is all or
            nothing, 3 adds one half. 2 or more.
        smoothness: What it costs that neighbouring blocks differ. Not negative.
        data_smoothness: How far that depends on the colours at the border of the two
            blocks. Not negative; 0 ignores the images.
        prior: What shares cost that are far from lambda. Not negative.
        iterations: Number of iterations of the solver, 1 or more.

    Example:
        >>> from keras_msda import masks
        >>> print(masks.PuzzleSettings(labels=2).prior)
        0.2
    """

    labels: int = 3
    smoothness: float = 1.2
    data_smoothness: float = 0.5
    prior: float = 0.2
    iterations: int = 100


def check_settings(owner: str, settings: PuzzleSettings) -> PuzzleSettings:
    """Returns settings, checked."""
    defaults = PuzzleSettings()
    labels = settings.labels
    if not _checks.is_length(labels) or labels < 2:
        _errors.fail(
            owner,
            "`labels` must be an integer, 2 or more.",
            f"labels={labels!r}",
            "2 shows one of the images in each block; 3 also mixes them half and half.",
        )
    weights = {
        name: check_cost(owner, name, getattr(settings, name), getattr(defaults, name))
        for name in ("smoothness", "data_smoothness", "prior")
    }
    iterations = _checks.check_count(owner, "iterations", settings.iterations)
    return PuzzleSettings(labels=int(labels), iterations=iterations, **weights)


def check_cost(owner: str, name: str, value: Any, default: float) -> float:
    """Returns a finite number that is not negative."""
    if not (_checks.is_number(value) and math.isfinite(value) and value >= 0):
        _errors.fail(
            owner,
            f"`{name}` must be a finite number, not negative.",
            f"{name}={value!r}",
            f"The paper uses {default}.",
        )
    return float(value)


def check_blocks(owner: str, value: Any) -> int | tuple[int, ...]:
    """Returns a number of blocks per axis, or several to choose from."""
    several = isinstance(value, (tuple, list, np.ndarray)) and len(value)
    choices: Sequence[Any] = value if several else (value,)
    if not all(map(_checks.is_length, choices)):
        _errors.fail(
            owner,
            "`blocks` must be a positive integer, or several of them.",
            f"blocks={value!r}",
            "Use for example `blocks=4`, or `blocks=(2, 4, 8, 16)` as published.",
        )
    return tuple(map(int, choices)) if several else int(value)
