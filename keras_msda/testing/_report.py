"""What is checked and how a broken law is told: where, at which draw, by how much."""

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from keras_msda import _errors


class Report:
    """The laws that held so far, and the form in which one that broke is told.

    Args:
        owner: Name of the layer's class.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        #: Pairs of a law and a world.
        self.checked: list[tuple[str, str]] = []
        self._place = ""

    @contextlib.contextmanager
    def checking(self, law: str, world: str, size: Any = None) -> Iterator[None]:
        """Returns a context in which a law is checked; errors of the layer break it.

        Args:
            law: Name of the law.
            world: Name of the world.
            size: Spatial lengths, or None where they do not matter.
        """
        place = "" if size is None else f", for size {tuple(size)}"
        self._place = f'the law "{law}" broke in the world "{world}"{place}'
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:  # Of the layer's hooks: anything.
            _errors.fail(
                self.owner,
                f"{self._place}: the layer must compute without an error.",
                f"{type(error).__name__}: {error}".rstrip("."),
                "The error above shows the line. Hooks get tensors, traced ones too: "
                "use `keras.ops`, `keras_msda.masks` or Python's operators, not NumPy.",
                AssertionError,
            )
        if (law, world) not in self.checked:
            self.checked.append((law, world))

    def fail(
        self, rule: str, received: str, remedy: str, *, draw: int | None = None
    ) -> NoReturn:
        """Raises the error for the law that is being checked."""
        at = "" if draw is None else f", at draw {draw}"
        text = f"{self._place}{at}: {rule}"
        _errors.fail(self.owner, text, received, remedy, AssertionError)

    def require(self, holds: bool, rule: str, received: Any, remedy: str) -> None:
        """Raises the error unless something holds of all draws together."""
        if not holds:
            self.fail(rule, str(received), remedy)

    def require_each(
        self, holds: Any, rule: str, received: np.ndarray, remedy: str
    ) -> None:
        """Raises the error for the first draw of which something does not hold.

        Args:
            holds: Truth values `(num_draws,)` or `(num_draws, ...)`.
            rule: What must hold.
            received: The values, shaped as `holds`.
            remedy: What to do.
        """
        holds = np.asarray(holds)
        if holds.all():
            return
        place = tuple(int(axis[0]) for axis in np.nonzero(~holds))
        at = f" at pixel {place[1:]}" if place[1:] else ""
        self.fail(rule, f"{received[place]}{at}", remedy, draw=place[0])

    def require_close(
        self,
        received: Any,
        expected: Any,
        rule: str,
        remedy: str,
        *,
        atol: Any = 0.0,
    ) -> None:
        """Raises the error where values differ by more than a tolerance.

        Args:
            received: Values, `(num_draws, ...)`.
            expected: Values of the same shape. NaN equals NaN alone.
            rule: What must hold.
            remedy: What to do.
            atol: A number, or one for each value.
        """
        received, expected = (np.asarray(x, "float64") for x in (received, expected))
        shapes = f"shape {received.shape} instead of {expected.shape}"
        self.require(received.shape == expected.shape, rule, shapes, remedy)
        if not received.size:
            return
        same = (received == expected) | (np.isnan(received) & np.isnan(expected))
        with np.errstate(invalid="ignore"):
            excess = np.where(same, 0.0, np.abs(received - expected) - atol)
        excess = np.where(np.isnan(excess), np.inf, excess)
        if excess.max() <= 0:
            return
        place = tuple(int(n) for n in np.unravel_index(excess.argmax(), excess.shape))
        at = f" at index {place[1:]}" if place[1:] else ""
        text = f"{received[place]} instead of {expected[place]}{at}"
        self.fail(rule, text, remedy, draw=place[0] if place else None)
