"""JAX: arrays and traces."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import jax
import keras
from jax import numpy as jnp

from keras_msda import _errors
from keras_msda._backend._keras import KerasOps

Tensor = Any


@jax.jit
def _synthesise(x: Tensor, y: Tensor) -> Tensor:
    exact = functools.partial(jnp.matmul, precision="highest")
    return jax.lax.platform_dependent(x, y, tpu=jnp.matmul, default=exact)


class JaxOps(KerasOps):
    """The operations that Keras lacks on JAX."""

    functional = True

    @property
    def narrow(self) -> bool:  # type: ignore[override]
        """Whether integers have 32 bits at most."""
        return bool(jax.dtypes.canonicalize_dtype("int64") != "int64")

    def _dtype(self, dtype: str) -> str:
        """Returns int32 for int64 unless JAX is told to have it."""
        return str(jax.dtypes.canonicalize_dtype(super()._dtype(dtype)))

    def is_eager(self, x: Tensor) -> bool:
        """Tells whether the values can be looked at now."""
        return not isinstance(x, jax.core.Tracer)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return jnp.take(x, index, axis=0, mode="clip")

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, by places `(groups, length)` in its parts."""
        parts = x.reshape(*index.shape, *x.shape[1:])
        return jax.vmap(self.take)(parts, index).reshape(x.shape)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes, in float32 on a TPU too."""
        return jnp.matmul(x, y, precision="highest")

    def synthesise(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices in float32, on a TPU in bfloat16 with float32 sums.

        Before a threshold, its compiler takes 20 s for the six products of float32.
        """
        return _synthesise(x, y)

    def _float_bits(self, x: Tensor) -> Tensor:
        return jax.lax.bitcast_convert_type(x, jnp.int32)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse transform over the last `len(size)` axes."""
        real, imaginary = spectrum
        axes = tuple(range(-len(size), 0))
        return jnp.fft.irfftn(jax.lax.complex(real, imaginary), tuple(size), axes)

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one for each value."""
        places = tuple(range(len(values)))
        return jax.grad(lambda *x: jnp.sum(function(*x)), places)(*values)

    def traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors, compiled."""
        return jax.jit(function)

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))), traced as a loop."""
        if self.is_eager(state) and self.is_eager(steps):
            # JAX would compile a loop anew at each call outside of a trace.
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
        """Returns the result of the branch with the given number; one is run."""
        if self.is_eager(index):
            return branches[int(index)]()
        return jax.lax.switch(index, list(branches))

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer; see `KerasOps.next_seed`."""
        before = self._own(state)
        seed = super().next_seed(state)
        if not self.is_eager(self._own(state)):
            state.assign(before)
            _fail_leak(state.path)
        return seed

    def _own(self, weight: keras.Variable) -> Tensor:
        """Returns the value that a weight has outside of stateless calls.

        None in training by Keras, which takes the values away to save memory.
        """
        with keras.StatelessScope():
            try:
                return weight.value
            except TypeError:
                return None

    def devices(self) -> int:
        """Returns how many parts of a batch are on devices of their own."""
        distribution = keras.distribution.distribution()
        mesh = getattr(distribution, "device_mesh", None)
        if mesh is None or distribution.batch_dim_name not in mesh.axis_names:
            return 1
        return int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])

    def given(self, values: Any) -> Any:
        """Returns a context in which weights have given values."""
        return keras.StatelessScope(state_mapping=list(values))

    def is_passed(self, weight: keras.Variable) -> bool:
        """Returns whether a weight's value was passed to a stateless call of JAX."""
        try:
            return self._own(weight) is not weight.value
        except TypeError:  # Of a model that Keras's trainer trains elsewhere.
            return False

    def is_foreign(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether a step that is traced has used others and not a variable."""
        return not self.is_passed(variable) and any(map(self.is_passed, others))

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform bits as int32, a function of the int32 seed pair alone."""
        words = jax.lax.bitcast_convert_type(jnp.asarray(seed), jnp.uint32)
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        bits = jax.random.bits(key, tuple(shape), "uint32")
        return jax.lax.bitcast_convert_type(bits, jnp.int32)


def _fail_leak(weight: str) -> NoReturn:
    """Says that a call inside `jax.jit` would lose the state of its draws."""
    _errors.fail(
        weight,
        "inside `jax.jit` a mixing layer must be given its state, or it would draw the "
        "same numbers at each step.",
        "a call of the layer itself",
        "Call `layer.stateless_call(trainable, non_trainable, images, training=True)`, "
        "and pass on the non-trainable values that it returns.",
    )
