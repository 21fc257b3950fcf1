"""What JAX and PyTorch share: the operations of Keras, where it has one."""

import abc
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_msda._backend._common import CommonOps

Tensor = Any

_LOW = 0xFFFFFFFF
# Two threads that read a state before either has moved it on would draw the same.
_MOVING_ON = threading.Lock()


def _words(value: int) -> tuple[int, int]:
    """Returns the low and the high 32 bits of an integer, as int32."""

    def signed(word: int) -> int:
        return word - (1 << 32) if word >> 31 else word

    return signed(value & _LOW), signed((value >> 32) & _LOW)


class KerasOps(CommonOps, abc.ABC):
    """The methods of `TensorFlowOps` by Keras's operations."""

    # Making and reading tensors.

    def convert(self, x: Any, dtype: str | None = None) -> Tensor:
        """Returns x as a tensor, cast to dtype where one is given."""
        return ops.convert_to_tensor(x, dtype and self._dtype(dtype))

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Casts; what becomes an integer is rounded half to even and saturates."""
        x = ops.convert_to_tensor(x)
        dtype = self._dtype(dtype)
        given = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_int_dtype(dtype):
            return ops.cast(x, dtype)
        bounds = np.iinfo(dtype)
        if keras.backend.is_float_dtype(given):
            # Compared and not clipped: float32 has no 2^31 - 1.
            whole = ops.cast(ops.round(x), dtype)
            # And JAX takes Python's integers for int32.
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
        """Returns the dtype that the library has for one."""
        return str(keras.backend.standardize_dtype(dtype))

    def integers(self, x: Tensor) -> list[int]:
        """Reads integers, all at once."""
        return [int(value) for value in ops.convert_to_numpy(x)]

    def truncate(self, x: Tensor) -> Tensor:
        """Returns int32 of non-negative floats, rounded down."""
        return ops.cast(x, "int32")

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Returns the lengths, which are integers."""
        return tuple(x.shape)

    @abc.abstractmethod
    def is_eager(self, x: Tensor) -> bool:
        """Tells whether the values can be looked at now."""

    def truth(self, value: Any) -> Any:
        """Returns a truth value, or a tensor of one where it is traced."""
        traced = keras.ops.is_tensor(value) and not self.is_eager(value)
        return ops.cast(value, "bool") if traced else bool(value)

    def is_ragged(self, x: Any) -> bool:
        """Tells a ragged tensor, which TensorFlow alone has."""
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
        """Returns a tensor of the shape and dtype of x that holds one value."""
        return ops.full_like(x, value)

    def one_hot(self, ids: Tensor, classes: int, axis: int = -1) -> Tensor:
        """Returns float32 indicators on a new axis, zeros for other ids."""
        shape = [1] * (len(ids.shape) + 1)
        shape[axis] = classes
        known = ops.reshape(ops.arange(classes, dtype=ids.dtype), shape)
        return ops.cast(ops.expand_dims(ids, axis) == known, "float32")

    # Shapes.

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Reshapes; one length may be -1."""
        return ops.reshape(x, tuple(shape))

    def broadcast_to(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Repeats along axes of length 1."""
        return ops.broadcast_to(x, tuple(shape))

    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""
        if all(isinstance(value, int) for value in values):
            return ops.convert_to_tensor(list(values), "int32")
        return ops.stack([ops.convert_to_tensor(value) for value in values], axis)

    def concat(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Joins along an axis."""
        return ops.concatenate(list(values), axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return x[index]

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, by places `(groups, length)` in its parts."""
        groups, length = index.shape
        places = index + self.arange(groups)[:, None] * length
        return self.take(x, self.reshape(places, [-1]))

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k)` from `(batch, n)` by indices into each row."""
        return ops.take_along_axis(x, index, axis=1)

    def reverse(self, x: Tensor, axis: int) -> Tensor:
        """Turns an axis round."""
        return ops.flip(x, axis)

    def negate_index(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Moves the value at index k to -k modulo the length, on every given axis."""
        for axis in axes:
            x = ops.roll(ops.flip(x, axis), 1, axis)
        return x

    # Arithmetic.

    def where(self, condition: Tensor, x: Any, y: Any) -> Tensor:
        """Chooses elementwise."""
        return ops.where(condition, x, y)

    def weighted(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns x * weight, 0 where the weight is 0, whatever x is."""
        return ops.where(weight == 0.0, 0.0, x * weight)

    def to_bytes(self, x: Tensor) -> Tensor:
        """Returns uint8 of floats from 0 to 255, rounded half to even."""
        return self.cast(x, "uint8")

    def minimum(self, x: Any, y: Any) -> Tensor:
        """Returns the smaller, elementwise."""
        return ops.minimum(x, y)

    def maximum(self, x: Any, y: Any) -> Tensor:
        """Returns the larger, elementwise."""
        return ops.maximum(x, y)

    def floor(self, x: Tensor) -> Tensor:
        """Rounds down."""
        return ops.floor(x)

    def exp(self, x: Tensor) -> Tensor:
        """Returns e to the x."""
        return ops.exp(x)

    def log(self, x: Tensor) -> Tensor:
        """Returns the natural logarithm."""
        return ops.log(x)

    def sqrt(self, x: Tensor) -> Tensor:
        """Returns the square root."""
        return ops.sqrt(x)

    def cos_sin(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns cosine and sine."""
        return ops.cos(x), ops.sin(x)

    def sum(self, x: Tensor, axis: Any = None) -> Tensor:
        """Sums."""
        return ops.sum(x, axis)

    def mean(self, x: Tensor, axis: Any = None) -> Tensor:
        """Averages."""
        return ops.mean(x, axis)

    def all(self, x: Tensor, axis: Any = None) -> Tensor:
        """Tells whether all hold."""
        return ops.all(x, axis)

    def any(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether any holds."""
        return ops.any(x, axis)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes."""
        return ops.matmul(x, y)

    def synthesise(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices as accurately as is quick on the device."""
        return ops.matmul(x, y)

    def prod(self, x: Tensor, axis: Any = None) -> Tensor:
        """Multiplies along axes."""
        return ops.prod(x, axis)

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the largest."""
        return ops.max(x, axis)

    def argmax(self, x: Tensor) -> Tensor:
        """Returns int32 indices of the largest on the last axis."""
        return ops.cast(ops.argmax(x, -1), "int32")

    def top_values(self, x: Tensor, count: int) -> Tensor:
        """Returns the largest of the last axis, in descending order."""
        return ops.top_k(x, count)[0]

    def cumsum(self, x: Tensor) -> Tensor:
        """Returns running sums along the last axis."""
        return ops.cumsum(x, axis=-1)

    def argsort(self, x: Tensor) -> Tensor:
        """Returns int32 indices in ascending order, ties in their given order."""
        return ops.cast(ops.argsort(x, axis=-1), "int32")

    def float_order(self, x: Tensor) -> Tensor:
        """Returns int32 keys in the order of float32 values, with -0 equal to 0."""
        bits = self._float_bits(ops.where(x == 0, 0.0, x))
        return ops.where(bits < 0, bits ^ 0x7FFFFFFF, bits)

    @abc.abstractmethod
    def _float_bits(self, x: Tensor) -> Tensor:
        """Returns the bits of float32 values as int32."""

    @abc.abstractmethod
    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse transform over the last `len(size)` axes.

        Args:
            spectrum: Real and imaginary part of the half spectrum, float32.
            size: Lengths of the result's axes.
        """

    @abc.abstractmethod
    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one for each value.

        Zeros where the sum does not depend on a value. The function may itself take
        gradients.
        """

    # Control flow.

    @abc.abstractmethod
    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))).

        It ends as soon as `until` holds of the state.
        """

    def fused(self, function: Callable[..., Any], x: Tensor, *rest: Any) -> Any:
        """Returns function(x, *rest): whoever compiles a step compiles this with it."""
        return function(x, *rest)

    @abc.abstractmethod
    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Returns the result of the branch with the given number."""

    # Randomness: 32 bits of Threefry for each element's index, keyed by the seed pair.

    @abc.abstractmethod
    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform bits as int32, a function of the int32 seed pair alone."""

    def random_integers(self, shape: Sequence[Any], bits: int, seed: Tensor) -> Tensor:
        """Returns uniform int32 numbers of the given count of bits, at most 31."""
        drawn = self.random_bits(shape, seed)
        return (drawn >> (32 - bits)) & ((1 << bits) - 1)

    def fold_in(self, seed: Tensor, number: Any) -> Tensor:
        """Returns a seed pair that differs for every int32 number."""
        pair = self.random_bits([2], seed)
        return pair + self.stack([0, number])

    def seeds(self, seed: Any, count: int) -> list[Tensor]:
        """Returns independent seed pairs made from one."""
        bits = self.random_bits([count, 2], self._seed_pair(seed))
        return [bits[number] for number in range(count)]

    def _seed_pair(self, seed: Any) -> Tensor:
        """Returns a seed pair of int32, made from all bits of the numbers given."""
        if hasattr(seed, "dtype") and not isinstance(seed, np.ndarray):
            return ops.cast(seed, "int32")
        (low, low_other), (high, high_other) = zip(
            *(_words(int(number)) for number in seed), strict=True
        )
        pair = ops.convert_to_tensor([low, low_other], "int32")
        if (high, high_other) in ((0, 0), (low >> 31, low_other >> 31)):
            return pair
        return self.random_bits([2], pair) + ops.convert_to_tensor(
            [high, high_other], "int32"
        )

    def first_seed(self, seed: int) -> np.ndarray:
        """Returns what the state of a layer's draws begins with: count and seed."""
        return np.array([0, *_words(seed)], "int32")

    def stored_seed(self, state: np.ndarray) -> np.ndarray:
        """Returns a state as files hold it, which is TensorFlow's form."""
        count, low, high = (int(word) for word in state)
        seed = (high << 32) | (low & _LOW)
        return np.array([256 * (count & _LOW), 0, seed], "int64")

    def loaded_seed(self, stored: np.ndarray) -> np.ndarray:
        """Returns the state that a file holds."""
        count, _, seed = (int(number) for number in stored)
        return np.array([_words(count // 256)[0], *_words(seed)], "int32")

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer.

        Args:
            state: Non-trainable int32 weight of the values of `first_seed`; it moves on
                by one.
        """
        with contextlib.nullcontext() if self.is_compiling() else _MOVING_ON:
            # A copy: PyTorch's variables are changed where they are.
            value = ops.convert_to_tensor(state.value) + 0
            state.assign(value + ops.convert_to_tensor([1, 0, 0], "int32"))
        return self.fold_in(value[1:], value[0])
