"""What one library does otherwise and all others alike."""

import contextlib
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import keras

Tensor = Any


#: What the layer that is called says of compiling passes: True, False or "auto".
JIT_COMPILE: ContextVar[bool | str] = ContextVar(
    "keras_msda_jit_compile", default="auto"
)


class CommonOps:
    """The answers of a library that traces nothing and has one device."""

    #: Whether Python numbers in a function are those of its last run.
    immediate = False
    #: Whether a step is a function of its state, which it is passed and returns.
    functional = False
    #: Whether integers have 32 bits at most.
    narrow = False
    #: Whether `note` keeps anything.
    keeps_notes = False

    def is_compiling(self) -> bool:
        """Tells whether `torch.compile` reads this."""
        return False

    def devices(self) -> int:
        """Returns how many parts of a batch are on devices of their own."""
        return 1

    def given(self, values: Any) -> Any:
        """Returns a context in which weights have given values, as JAX needs it."""
        return contextlib.nullcontext()

    def outside(self) -> Any:
        """Returns a context in which variables are set at once, whatever is traced."""
        return contextlib.nullcontext()

    def is_passed(self, weight: keras.Variable) -> bool:
        """Tells whether a weight's value was passed to a stateless call of JAX."""
        return False

    def is_dataset(self) -> bool:
        """Returns whether `tf.data` traces this."""
        return False

    def for_cpus(self) -> bool:
        """Tells whether what is traced now will surely run on a CPU."""
        return False

    def by_draw(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function, or one that gives it one draw after another."""
        return function

    def shortcut(
        self, short: Callable[[], tuple[Tensor, Any]], whole: Callable[[], Any]
    ) -> Any:
        """Returns whole(), or what short() gives where that tells that it is right."""
        return whole()

    def traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors, compiled where the library does so."""
        return function

    def is_immediate(self) -> bool:
        """Returns whether Python runs in each step, with the step's numbers."""
        return self.immediate

    def copied(self, x: Tensor) -> Tensor:
        """Returns the values that a variable has now."""
        return x

    def note(self, name: str, value: Tensor, variable: keras.Variable) -> None:
        """Keeps a traced tensor for what the same trace computes later.

        Args:
            name: What it is known by.
            value: What was just assigned to the variable.
            variable: A weight; whatever else the trace does with it makes the note old.
        """

    def noted(self, name: str, variable: keras.Variable) -> Tensor | None:
        """Returns the last tensor that this very trace kept under a name, or None."""
        return None

    def is_foreign(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether a step that is traced has used others and not a variable.

        Args:
            variable: Memory of a layer.
            others: Memories of all other layers.
        """
        return False
