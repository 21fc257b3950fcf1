"""The operations that every backend has, as one protocol.

The mathematics of the package is written with these alone. Each operation is described
here. The classes that implement them add what is special to a library.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import keras
import numpy as np

Tensor = Any


class Ops(Protocol):
    """Operations on the tensors of one library, under NumPy's names if it has one.

    Attributes:
        always_eager: Whether Python code runs in every step, with values of that step.
        functional: Whether a step is a pure function that is passed its state and
            returns the new one.
        has_trace_cache: Whether `cache_in_trace` keeps anything.
    """

    always_eager: bool
    functional: bool
    has_trace_cache: bool

    @property
    def int32_only(self) -> bool:
        """Whether integers have at most 32 bits."""

    # How and where the code runs.

    def executes_eagerly(self) -> bool:
        """Returns whether Python code runs in this step, with values of the step."""

    def in_torch_compile(self) -> bool:
        """Returns whether `torch.compile` is tracing this code."""

    def is_traced_by_dataset(self) -> bool:
        """Returns whether `tf.data` is tracing this code."""

    def is_traced_for_cpu(self) -> bool:
        """Returns whether this code is being traced and will run on a CPU."""

    def count_batch_shards(self) -> int:
        """Returns the number of parts of a batch that are on devices of their own."""

    # Create and read tensors.

    def convert(self, x: Any, dtype: str | None = None) -> Tensor:
        """Returns x as a tensor, cast to dtype if one is given."""

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Casts. A cast to an integer dtype rounds half to even and saturates."""

    def truncate(self, x: Tensor) -> Tensor:
        """Returns non-negative floats rounded down, as int32."""

    def to_uint8(self, x: Tensor) -> Tensor:
        """Returns floats from 0 to 255 as uint8, rounded half to even."""

    def to_bool(self, value: Any) -> Any:
        """Returns a bool, or a tensor of one if the value is traced."""

    def is_eager(self, x: Tensor) -> bool:
        """Returns whether the values of a tensor can be read now."""

    def is_ragged(self, x: Any) -> bool:
        """Returns whether x is a ragged tensor, which only TensorFlow has."""

    def read_integers(self, x: Tensor) -> list[int]:
        """Returns the values of an integer vector, which are read all at once."""

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Returns the shape: integers, or tensors for lengths unknown in a trace."""

    def zeros(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns zeros."""

    def ones(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns ones."""

    def arange(self, stop: Any, dtype: str = "int32") -> Tensor:
        """Returns 0, 1, ..., stop - 1."""

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        """Returns a tensor of the shape and dtype of x, filled with one value."""

    def one_hot(self, ids: Tensor, classes: int, axis: int = -1) -> Tensor:
        """Returns float32 indicators on a new axis, zeros for ids out of range."""

    def copy(self, x: Tensor) -> Tensor:
        """Returns a copy that later changes of a variable do not reach."""

    # Shapes.

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Reshapes; one length may be -1."""

    def broadcast_to(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Broadcasts to a shape."""

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Returns a tensor with its axes in another order."""

    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""

    def concat(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenates along an axis."""

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, separately in each of its groups.

        Args:
            x: Shape `(groups * length, ...)`.
            index: Places in the own group, shape `(groups, length)`.
        """

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k, ...)` from `(batch, n, ...)` by `(batch, k)` indices."""

    def scatter_min(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        """Returns x with entries of each row lowered to values at their places.

        Args:
            x: Shape `(batch, n)`.
            index: Places in each row, shape `(batch, k)`.
            values: Shape `(batch, k)`.
        """

    def reverse(self, x: Tensor, axis: int) -> Tensor:
        """Reverses an axis."""

    def negate_index(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Moves the value at index k to -k modulo the length, on each of the axes."""

    # Arithmetic.

    def where(self, condition: Tensor, x: Any, y: Any) -> Tensor:
        """Returns x where the condition holds and y elsewhere."""

    def multiply_no_nan(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns x * weight, and 0 where the weight is 0, even if x is NaN there."""

    def minimum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise minimum."""

    def maximum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise maximum."""

    def floor(self, x: Tensor) -> Tensor:
        """Rounds down."""

    def exp(self, x: Tensor) -> Tensor:
        """Returns e to the power of x."""

    def log(self, x: Tensor) -> Tensor:
        """Returns the natural logarithm."""

    def sqrt(self, x: Tensor) -> Tensor:
        """Returns the square root."""

    def sum(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the sum."""

    def mean(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the mean."""

    def prod(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the product."""

    def count(self, hits: Tensor) -> Tensor:
        """Returns the number of values that are True, int32 `(draws,)`.

        Args:
            hits: bool, `(draws, ...)`.
        """

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the maximum."""

    def all(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether all values are true."""

    def any(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether any value is true."""

    def argmax(self, x: Tensor) -> Tensor:
        """Returns the index of the maximum on the last axis, int32."""

    def top_values(self, x: Tensor, count: int) -> Tensor:
        """Returns the largest values of the last axis, in descending order."""

    def cumsum(self, x: Tensor) -> Tensor:
        """Returns cumulative sums along the last axis."""

    def argsort(self, x: Tensor) -> Tensor:
        """Returns int32 indices that sort the last axis, stable."""

    def to_sort_keys(self, x: Tensor) -> Tensor:
        """Returns int32 keys that sort as the float32 values do; -0 equals 0."""

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes, in float32."""

    def fast_matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices, less accurately if that is faster on the device."""

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse Fourier transform over the last axes.

        Args:
            spectrum: Real and imaginary part of the half spectrum, float32.
            size: Lengths of the axes of the result, one to three of them.
        """

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one per value.

        They are zeros for a value that the sum does not depend on. The function may
        itself compute gradients.
        """

    def value_and_gradients(
        self, function: Callable[..., Tensor], *values: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Returns function(*values), a scalar, and its gradients, one per value.

        A gradient is None if the scalar is known not to depend on the value; JAX does
        not know and returns zeros. The values count as constants elsewhere.
        """

    def attach_gradients(
        self, value: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> Tensor:
        """Returns a scalar whose gradients by some tensors are given ones.

        Args:
            value: The scalar, which counts as a constant.
            tensors: Tensors that are differentiated by.
            gradients: One for each of them, of its shape and dtype.
        """

    # Control flow and compilation.

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))).

        Args:
            steps: Number of steps, perhaps a tensor.
            body: Function of the step and the state, returns the new state.
            state: Tensor, or a tuple of tensors.
            until: Function of the state that returns whether to stop early, or None.
        """

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Runs the branch with the given index and returns its result."""

    def switch_on(
        self, x: Tensor, index: Tensor, branches: Sequence[Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Runs the branch with the given index on a tensor and returns its result.

        Gradients are those by the tensor alone.
        """

    def compile_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors, compiled if the library compiles functions."""

    def call_fused(
        self,
        function: Callable[..., Any],
        x: Tensor,
        *rest: Any,
        jit_compile: bool | str = "auto",
    ) -> Any:
        """Returns function(x, *rest), compiled into one pass over x.

        Only TensorFlow does so here. On other backends whoever compiles a step compiles
        this with it.

        Args:
            function: Function of tensors.
            x: Its first argument, the largest.
            *rest: Its other arguments: tensors, nests of tensors or None.
            jit_compile: In a graph: True compiles, False does not, and "auto" compiles
                if all lengths of x but the first are known.
        """

    def map_over_draws(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, or one that calls it for a few draws at a time.

        Args:
            function: Of tensors `(draws, ...)`; returns booleans of the first's shape.
        """

    def try_fast_path(
        self, fast: Callable[[], tuple[Tensor, Any]], exact: Callable[[], Any]
    ) -> Any:
        """Returns exact(), or the same from a function that is faster if it succeeds.

        Args:
            fast: Returns whether it succeeded, a tensor, and its result.
            exact: Returns the result in every case.
        """

    # Variables and traces.

    def substitute_values(
        self, pairs: Iterable[tuple[keras.Variable, Tensor]]
    ) -> AbstractContextManager[Any]:
        """Returns a context in which variables have other values, as JAX needs it."""

    def init_scope(self) -> AbstractContextManager[Any]:
        """Returns a context that runs operations at once, outside of any trace."""

    def has_passed_value(self, variable: keras.Variable) -> bool:
        """Returns whether a stateless call of JAX was passed a value of a variable."""

    def cache_in_trace(
        self, name: str, value: Tensor, variable: keras.Variable
    ) -> None:
        """Keeps a traced tensor for what the same trace computes later.

        Args:
            name: Name to find it by.
            value: Tensor that was just assigned to the variable.
            variable: Any later change to it in the trace makes the entry invalid.
        """

    def read_trace_cache(self, name: str, variable: keras.Variable) -> Tensor | None:
        """Returns the last tensor that this trace cached by a name, if still valid."""

    def step_uses_only_others(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether the step being traced uses others and not a variable.

        Args:
            variable: Memory of a layer.
            others: Memories of all other layers.
        """

    # Random numbers. A seed is a pair of integers. All draws are functions of it.

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniformly random bits as int32."""

    def random_integers(self, shape: Sequence[Any], bits: int, seed: Tensor) -> Tensor:
        """Returns uniform integers below 2 to the power of `bits`, int32."""

    def random_halves(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform integers below 2^16, two of each 32 bits drawn.

        Returns:
            int32 `(*shape, 2)`.
        """

    def fold_in(self, seed: Tensor, number: Any) -> Tensor:
        """Returns a seed pair that differs for each int32 number."""

    def split_seed(self, seed: Any, count: int) -> list[Tensor]:
        """Returns independent seed pairs made from one."""

    def make_seed_state(self, seed: int) -> np.ndarray:
        """Returns the first state of a layer's sequence of draws."""

    def export_seed_state(self, state: np.ndarray) -> np.ndarray:
        """Returns a state in the form of files, which is the same on all backends."""

    def import_seed_state(self, stored: np.ndarray) -> np.ndarray:
        """Returns the state that a file holds."""

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer, and advances its state.

        Args:
            state: Non-trainable integer variable that began as `make_seed_state`.
        """
