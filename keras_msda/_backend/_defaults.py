"""Defaults shared by all backends: no tracing, and one device."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

Tensor = Any


class DefaultOps:
    """The answers of a library that traces nothing and uses one device."""

    always_eager = False
    functional = False
    has_trace_cache = False

    @property
    def int32_only(self) -> bool:
        """Whether integers have at most 32 bits."""
        return False

    def executes_eagerly(self) -> bool:
        """Returns whether Python code runs in this step, with values of the step."""
        return self.always_eager

    def in_torch_compile(self) -> bool:
        """Returns whether `torch.compile` is tracing this code."""
        return False

    def is_traced_by_dataset(self) -> bool:
        """Returns whether `tf.data` is tracing this code."""
        return False

    def is_traced_for_cpu(self) -> bool:
        """Returns whether this code is being traced and will run on a CPU."""
        return False

    def count_batch_shards(self) -> int:
        """Returns the number of parts of a batch that are on devices of their own."""
        return 1

    def copy(self, x: Tensor) -> Tensor:
        """Returns a copy that later changes of a variable do not reach."""
        return x

    def compile_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors, compiled if the library compiles functions."""
        return function

    def call_fused(
        self,
        function: Callable[..., Any],
        x: Tensor,
        *rest: Any,
        jit_compile: bool | str = "auto",
    ) -> Any:
        """Returns function(x, *rest); whoever compiles a step compiles this with it."""
        return function(x, *rest)

    def map_over_draws(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, or one that calls it for a few draws at a time."""
        return function

    def try_fast_path(
        self, fast: Callable[[], tuple[Tensor, Any]], exact: Callable[[], Any]
    ) -> Any:
        """Returns exact()."""
        return exact()

    def attach_gradients(
        self, value: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> Tensor:
        """Returns a scalar whose gradients by some tensors are given ones."""
        if not gradients:
            return value

        @keras.ops.custom_gradient
        def hold(*_: Tensor) -> tuple[Tensor, Callable[..., Any]]:
            def scale(*received: Tensor, upstream: Tensor = None) -> Any:
                # PyTorch gives it by name, after the tensors; others give it alone.
                factor = received[-1] if upstream is None else upstream
                scaled = tuple(factor * gradient for gradient in gradients)
                return scaled if len(scaled) > 1 else scaled[0]

            return value, scale

        return hold(*tensors)

    def substitute_values(
        self, pairs: Iterable[tuple[keras.Variable, Tensor]]
    ) -> AbstractContextManager[Any]:
        """Returns a context that changes nothing."""
        return contextlib.nullcontext()

    def init_scope(self) -> AbstractContextManager[Any]:
        """Returns a context that changes nothing."""
        return contextlib.nullcontext()

    def has_passed_value(self, variable: keras.Variable) -> bool:
        """Returns whether a stateless call of JAX was passed a value of a variable."""
        return False

    def cache_in_trace(
        self, name: str, value: Tensor, variable: keras.Variable
    ) -> None:
        """Keeps nothing, as there is no trace."""

    def read_trace_cache(self, name: str, variable: keras.Variable) -> Tensor | None:
        """Returns None, as there is no trace."""
        return None

    def step_uses_only_others(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether the step being traced uses others and not a variable."""
        return False
