"""Choices of a case: by NumPy, so that a number makes it again, or by hypothesis."""

from typing import Any

import numpy as np
from hypothesis import strategies


class Numbers:
    """Choices from NumPy's generator."""

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Returns one of low, ..., high."""
        return int(self._rng.integers(low, high + 1))

    def choice(self, options: Any) -> Any:
        """Returns one of some options."""
        options = list(options)
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Returns whether something rare happens."""
        return self.integer(0, 99) >= 100 - percent


class Examples(Numbers):
    """Choices from hypothesis, which shrinks them to the first of the options."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self._data = data

    def integer(self, low: int, high: int) -> int:
        """Returns one of low, ..., high."""
        return self._data.draw(strategies.integers(low, high))  # type: ignore[no-any-return]
