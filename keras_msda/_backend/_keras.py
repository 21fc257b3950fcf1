"""What JAX and PyTorch share: operations written with `keras.ops`."""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_msda._backend._keras_seeds import KerasSeedOps

Tensor = Any


class KerasOps(KerasSeedOps, abc.ABC):
    """The operations of Keras; `Ops` describes them."""

    # Create and read tensors.

    def convert(self, x: Any, dtype: str | None = None) -> Tensor:
        """Returns x as a tensor, cast to dtype if one is given."""
        return ops.convert_to_tensor(x, dtype and self._dtype(dtype))

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Casts. A cast to an integer dtype rounds half to even and saturates."""
        x = ops.convert_to_tensor(x)
        dtype = self._dtype(dtype)
        given = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_int_dtype(dtype):
            return ops.cast(x, dtype)
        bounds = np.iinfo(dtype)
        if keras.backend.is_float_dtype(given):
            # Comparisons instead of a clip, as float32 cannot represent 2^31 - 1.
            whole = ops.cast(ops.round(x), dtype)
            # JAX converts Python integers to int32.
            most = bounds.max if bounds.max < 2**31 else np.array(bounds.max, dtype)
            whole = ops.where(x >= float(bounds.max), most, whole)
            return ops.cast(ops.where(x <= float(bounds.min), bounds.min, whole), dtype)
        if keras.backend.is_int_dtype(given):
            held = np.iinfo(given)
            if bounds.max < held.max:
                x = ops.where(x > bounds.max, ops.cast(bounds.max, given), x)
            if bounds.min > held.min:
                x = ops.where(x < bounds.min, ops.cast(bounds.min, given), x)
        return ops.cast(x, dtype)

    def _dtype(self, dtype: str) -> str:
        """Returns the name of the dtype that the library uses for one."""
        return str(keras.backend.standardize_dtype(dtype))

    def read_integers(self, x: Tensor) -> list[int]:
        """Returns the values of an integer vector, which are read all at once."""
        return [int(value) for value in ops.convert_to_numpy(x)]

    def truncate(self, x: Tensor) -> Tensor:
        """Returns non-negative floats rounded down, as int32."""
        return ops.cast(x, "int32")

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Returns the shape, which is always known."""
        return tuple(x.shape)

    @abc.abstractmethod
    def is_eager(self, x: Tensor) -> bool:
        """Returns whether the values of a tensor can be read now."""

    def to_bool(self, value: Any) -> Any:
        """Returns a bool, or a tensor of one if the value is traced."""
        traced = keras.ops.is_tensor(value) and not self.is_eager(value)
        return ops.cast(value, "bool") if traced else bool(value)

    def is_ragged(self, x: Any) -> bool:
        """Returns whether x is a ragged tensor, which only TensorFlow has."""
        return False

    def zeros(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns zeros."""
        return ops.zeros(tuple(shape), self._dtype(dtype))

    def ones(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns ones."""
        return ops.ones(tuple(shape), self._dtype(dtype))

    def arange(self, stop: Any, dtype: str = "int32") -> Tensor:
        """Returns 0, 1, ..., stop - 1."""
        return ops.arange(stop, dtype=self._dtype(dtype))

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        """Returns a tensor of the shape and dtype of x, filled with one value."""
        return ops.full_like(x, value)

    def one_hot(self, ids: Tensor, classes: int, axis: int = -1) -> Tensor:
        """Returns float32 indicators on a new axis, zeros for ids out of range."""
        shape = [1] * (len(ids.shape) + 1)
        shape[axis] = classes
        known = ops.reshape(ops.arange(classes, dtype=ids.dtype), shape)
        return ops.cast(ops.expand_dims(ids, axis) == known, "float32")

    # Shapes.

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Reshapes; one length may be -1."""
        return ops.reshape(x, tuple(shape))

    def broadcast_to(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Broadcasts to a shape."""
        return ops.broadcast_to(x, tuple(shape))

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Returns a tensor with its axes in another order."""
        return ops.transpose(x, axes)

    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""
        if all(isinstance(value, int) for value in values):
            return ops.convert_to_tensor(list(values), "int32")
        return ops.stack([ops.convert_to_tensor(value) for value in values], axis)

    def concat(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenates along an axis."""
        return ops.concatenate(list(values), axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return x[index]

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, separately in each of its groups."""
        groups, length = index.shape
        places = index + self.arange(groups)[:, None] * length
        return self.take(x, self.reshape(places, [-1]))

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k, ...)` from `(batch, n, ...)` by `(batch, k)` indices."""
        index = ops.reshape(index, (*index.shape, *[1] * (len(x.shape) - 2)))
        return ops.take_along_axis(
            x, ops.broadcast_to(index, (*index.shape[:2], *x.shape[2:])), axis=1
        )

    @abc.abstractmethod
    def scatter_min(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        """Returns x with entries of each row lowered to values at their places."""

    def reverse(self, x: Tensor, axis: int) -> Tensor:
        """Reverses an axis."""
        return ops.flip(x, axis)

    def negate_index(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Moves the value at index k to -k modulo the length, on each of the axes."""
        for axis in axes:
            x = ops.roll(ops.flip(x, axis), 1, axis)
        return x

    # Arithmetic.

    def where(self, condition: Tensor, x: Any, y: Any) -> Tensor:
        """Returns x where the condition holds and y elsewhere."""
        return ops.where(condition, x, y)

    def multiply_no_nan(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns x * weight, and 0 where the weight is 0, even if x is NaN there."""
        return ops.where(weight == 0.0, 0.0, x * weight)

    def to_uint8(self, x: Tensor) -> Tensor:
        """Returns floats from 0 to 255 as uint8, rounded half to even."""
        return self.cast(x, "uint8")

    def minimum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise minimum."""
        return ops.minimum(x, y)

    def maximum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise maximum."""
        return ops.maximum(x, y)

    def floor(self, x: Tensor) -> Tensor:
        """Rounds down."""
        return ops.floor(x)

    def exp(self, x: Tensor) -> Tensor:
        """Returns e to the power of x."""
        return ops.exp(x)

    def log(self, x: Tensor) -> Tensor:
        """Returns the natural logarithm."""
        return ops.log(x)

    def sqrt(self, x: Tensor) -> Tensor:
        """Returns the square root."""
        return ops.sqrt(x)

    def sum(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the sum."""
        return ops.sum(x, axis)

    def mean(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the mean."""
        return ops.mean(x, axis)

    def all(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether all values are true."""
        return ops.all(x, axis)

    def any(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether any value is true."""
        return ops.any(x, axis)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes, in float32."""
        return ops.matmul(x, y)

    def fast_matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices, less accurately if that is faster on the device."""
        return ops.matmul(x, y)

    def prod(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the product."""
        return ops.prod(x, axis)

    def count(self, hits: Tensor) -> Tensor:
        """Returns the number of values that are True, int32 `(draws,)`."""
        return self.sum(self.cast(hits, "int32"), list(range(1, len(hits.shape))))

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the maximum."""
        return ops.max(x, axis)

    def argmax(self, x: Tensor) -> Tensor:
        """Returns the index of the maximum on the last axis, int32."""
        return ops.cast(ops.argmax(x, -1), "int32")

    def top_values(self, x: Tensor, count: int) -> Tensor:
        """Returns the largest values of the last axis, in descending order."""
        return ops.top_k(x, count)[0]

    def cumsum(self, x: Tensor) -> Tensor:
        """Returns cumulative sums along the last axis."""
        return ops.cumsum(x, axis=-1)

    def argsort(self, x: Tensor) -> Tensor:
        """Returns int32 indices that sort the last axis, stable."""
        return ops.cast(ops.argsort(x, axis=-1), "int32")

    def to_sort_keys(self, x: Tensor) -> Tensor:
        """Returns int32 keys that sort as the float32 values do; -0 equals 0."""
        bits = self._float_bits(ops.where(x == 0, 0.0, x))
        return ops.where(bits < 0, bits ^ 0x7FFFFFFF, bits)

    @abc.abstractmethod
    def _float_bits(self, x: Tensor) -> Tensor:
        """Returns the bits of float32 values as int32."""

    @abc.abstractmethod
    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse Fourier transform over the last axes."""

    @abc.abstractmethod
    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one per value."""

    @abc.abstractmethod
    def value_and_gradients(
        self, function: Callable[..., Tensor], *values: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Returns function(*values), a scalar, and its gradients, one per value."""

    # Control flow.

    @abc.abstractmethod
    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state)))."""

    @abc.abstractmethod
    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Runs the branch with the given index and returns its result."""

    def switch_on(
        self, x: Tensor, index: Tensor, branches: Sequence[Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Runs the branch with the given index on a tensor and returns its result."""
        return self.switch(index, [functools.partial(f, x) for f in branches])
