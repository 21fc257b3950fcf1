"""JAX: operations that `keras.ops` lacks, traces and stateless calls."""

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import jax
import keras
from jax import numpy as jnp

from keras_msda import _errors
from keras_msda._backend._keras import KerasOps

Tensor = Any


@jax.jit
def _fast_matmul(x: Tensor, y: Tensor) -> Tensor:
    exact = functools.partial(jnp.matmul, precision="highest")
    return jax.lax.platform_dependent(x, y, tpu=jnp.matmul, default=exact)


class JaxOps(KerasOps):
    """The operations of JAX; `Ops` describes them."""

    functional = True

    @property
    def int32_only(self) -> bool:
        """Whether integers have at most 32 bits."""
        return bool(jax.dtypes.canonicalize_dtype("int64") != "int64")

    def _dtype(self, dtype: str) -> str:
        """Returns the dtype, int32 for int64 unless JAX is set to have 64 bits."""
        return str(jax.dtypes.canonicalize_dtype(super()._dtype(dtype)))

    def is_eager(self, x: Tensor) -> bool:
        """Returns whether the values of a tensor can be read now."""
        return not isinstance(x, jax.core.Tracer)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return jnp.take(x, index, axis=0, mode="clip")

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k, ...)` from `(batch, n, ...)` by `(batch, k)` indices."""
        # Whole rows: an index for each number would take many times the memory.
        return jax.vmap(self.take)(x, index)

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, separately in each of its groups."""
        parts = x.reshape(*index.shape, *x.shape[1:])
        return jax.vmap(self.take)(parts, index).reshape(x.shape)

    def scatter_min(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        """Returns x with entries of each row lowered to values at their places."""
        return x.at[jnp.arange(x.shape[0])[:, None], index].min(values)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes, in float32 even on a TPU."""
        return jnp.matmul(x, y, precision="highest")

    def fast_matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices in float32, on a TPU in bfloat16 with float32 sums.

        On a TPU one float32 product is six products, and with a threshold after it they
        take 20 s to compile.
        """
        return _fast_matmul(x, y)

    def _float_bits(self, x: Tensor) -> Tensor:
        return jax.lax.bitcast_convert_type(x, jnp.int32)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse Fourier transform over the last axes."""
        real, imaginary = spectrum
        axes = tuple(range(-len(size), 0))
        return jnp.fft.irfftn(jax.lax.complex(real, imaginary), tuple(size), axes)

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one per value."""
        places = tuple(range(len(values)))
        return jax.grad(lambda *x: jnp.sum(function(*x)), places)(*values)

    def value_and_gradients(
        self, function: Callable[..., Tensor], *values: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Returns function(*values), a scalar, and its gradients, one per value."""
        places = tuple(range(len(values)))
        value, gradients = jax.value_and_grad(function, places)(*values)
        return value, list(gradients)

    def compile_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors, compiled."""
        return jax.jit(function)

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))), traced as a loop."""
        if all(map(self.is_eager, jax.tree.leaves((steps, state)))):
            # Outside of a trace JAX would compile the loop again at each call.
            for step in range(int(steps)):
                if until is not None and until(state):
                    break
                state = body(step, state)
            return state
        if until is None:
            return jax.lax.fori_loop(0, steps, body, state)
        _, state = jax.lax.while_loop(
            lambda x: (x[0] < steps) & ~until(x[1]),
            lambda x: (x[0] + 1, body(*x)),
            (0, state),
        )
        return state

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Runs the branch with the given index and returns its result."""
        if self.is_eager(index):
            return branches[int(index)]()
        return jax.lax.switch(index, list(branches))

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer, and advances its state."""
        before = self._stored_value(state)
        seed = super().next_seed(state)
        if not self.is_eager(self._stored_value(state)):
            state.assign(before)
            _fail_leak(state.path)
        return seed

    def _stored_value(self, variable: keras.Variable) -> Tensor:
        """Returns the value that a variable has outside of stateless calls.

        None while Keras trains a model, as its trainer removes the values to save
        memory.
        """
        with keras.StatelessScope():
            try:
                return variable.value
            except TypeError:
                return None

    def count_batch_shards(self) -> int:
        """Returns the number of parts of a batch that are on devices of their own."""
        distribution = keras.distribution.distribution()
        mesh = getattr(distribution, "device_mesh", None)
        if mesh is None or distribution.batch_dim_name not in mesh.axis_names:
            return 1
        return int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])

    def substitute_values(
        self, pairs: Iterable[tuple[keras.Variable, Tensor]]
    ) -> AbstractContextManager[Any]:
        """Returns a context in which variables have other values."""
        scope: AbstractContextManager[Any] = keras.StatelessScope(
            state_mapping=list(pairs)
        )
        return scope

    def has_passed_value(self, variable: keras.Variable) -> bool:
        """Returns whether a stateless call was passed a value of a variable."""
        try:
            return self._stored_value(variable) is not variable.value
        except TypeError:  # In a model that Keras's trainer is training elsewhere.
            return False

    def step_uses_only_others(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether the step being traced uses others and not a variable."""
        if self.has_passed_value(variable):
            return False
        return any(map(self.has_passed_value, others))

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniformly random bits as int32."""
        words = jax.lax.bitcast_convert_type(jnp.asarray(seed), jnp.uint32)
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        bits = jax.random.bits(key, tuple(shape), "uint32")
        return jax.lax.bitcast_convert_type(bits, jnp.int32)


def _fail_leak(variable: str) -> NoReturn:
    """Raises, as a call inside `jax.jit` would lose the state of its draws."""
    _errors.fail(
        variable,
        "inside `jax.jit` a mixing layer must be given its state, or it would draw the "
        "same numbers at each step.",
        "a call of the layer itself",
        "Call `layer.stateless_call(trainable, non_trainable, images, training=True)`, "
        "and pass on the non-trainable values that it returns.",
    )
