"""TensorFlow: all pipelines, and models if it is Keras's backend."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras_msda._backend._tensorflow_seeds import SeedOps

Tensor = Any


class TensorFlowOps(SeedOps):
    """The operations of TensorFlow; `Ops` describes them."""

    def __init__(self) -> None:
        """Imports TensorFlow, which the import of keras_msda must not do."""
        import tensorflow

        self.tf = tensorflow

    # Create and read tensors.

    def convert(self, x: Any, dtype: str | None = None) -> Tensor:
        """Returns x as a tensor, cast to dtype if one is given."""
        if self.tf.is_tensor(x):
            return x if dtype is None else self.tf.cast(x, dtype)
        return self.tf.convert_to_tensor(x, dtype=dtype)

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Casts. A cast to an integer dtype rounds half to even and saturates."""
        x = self.tf.convert_to_tensor(x)
        target = self.tf.as_dtype(dtype)
        if target.is_integer and x.dtype.is_floating:
            return self.tf.saturate_cast(self.tf.round(x), target)
        if target.is_integer and x.dtype.is_integer:
            # Not by `saturate_cast`, which lacks kernels for uint32 and uint64 (2.21).
            if x.dtype.max > target.max:
                x = self.tf.minimum(x, self.tf.constant(target.max, x.dtype))
            if x.dtype.min < target.min:
                x = self.tf.maximum(x, self.tf.constant(target.min, x.dtype))
        return self.tf.cast(x, target)

    def read_integers(self, x: Tensor) -> list[int]:
        """Returns the values of an integer vector, which are read all at once."""
        return [int(value) for value in x.numpy()]

    def truncate(self, x: Tensor) -> Tensor:
        """Returns non-negative floats rounded down, as int32."""
        return self.tf.cast(x, self.tf.int32)

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Returns the shape: integers, or tensors for lengths unknown in a trace."""
        lengths = x.shape.as_list()
        if None not in lengths:
            return tuple(lengths)
        traced = self.tf.shape(x)
        return tuple(traced[axis] if n is None else n for axis, n in enumerate(lengths))

    def is_eager(self, x: Tensor) -> bool:
        """Returns whether the values of a tensor can be read now."""
        return self.tf.executing_eagerly() and hasattr(x, "numpy")

    def to_bool(self, value: Any) -> Any:
        """Returns a bool, or a tensor of one if the value is traced."""
        if not self.tf.is_tensor(value) or self.tf.executing_eagerly():
            return bool(value)
        static = self.tf.get_static_value(value)
        return self.tf.cast(value, "bool") if static is None else bool(static)

    def is_ragged(self, x: Any) -> bool:
        """Returns whether x is a ragged tensor, which only TensorFlow has."""
        return isinstance(x, self.tf.RaggedTensor)

    def zeros(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns zeros."""
        return self.tf.zeros(shape, dtype)

    def ones(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns ones."""
        return self.tf.ones(shape, dtype)

    def arange(self, stop: Any, dtype: str = "int32") -> Tensor:
        """Returns 0, 1, ..., stop - 1."""
        return self.tf.cast(self.tf.range(stop), dtype)

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        """Returns a tensor of the shape and dtype of x, filled with one value."""
        if x.dtype == self.tf.string:
            return self.tf.zeros_like(x)
        return self.tf.fill(self.tf.shape(x), self.tf.cast(value, x.dtype))

    def one_hot(self, ids: Tensor, classes: int, axis: int = -1) -> Tensor:
        """Returns float32 indicators on a new axis, zeros for ids out of range."""
        ids = self.tf.cast(ids, self.tf.int64)
        return self.tf.one_hot(ids, classes, axis=axis, dtype="float32")

    # Shapes.

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Reshapes; one length may be -1."""
        return self.tf.reshape(x, shape)

    def broadcast_to(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Broadcasts to a shape."""
        return self.tf.broadcast_to(x, shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Returns a tensor with its axes in another order."""
        return self.tf.transpose(x, axes)

    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""
        return self.tf.stack(values, axis)

    def concat(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenates along an axis."""
        return self.tf.concat(values, axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return self.tf.gather(x, index, axis=0)

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, separately in each of its groups."""
        lengths = self.tf.shape(x)
        split = self.tf.concat([self.tf.shape(index), lengths[1:]], 0)
        parts = self.tf.reshape(x, split)
        return self.tf.reshape(self.tf.gather(parts, index, batch_dims=1), lengths)

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k, ...)` from `(batch, n, ...)` by `(batch, k)` indices."""
        tf = self.tf
        if not x.dtype.is_floating:
            return tf.gather(x, index, batch_dims=1)

        # TensorFlow's own gradient (2.21) hands lengths from a compiled function to its
        # gradient, where XLA needs constants.
        @tf.custom_gradient
        def gather(x: Tensor) -> Any:
            def grad(upstream: Tensor) -> Tensor:
                batch, taken, *rest = self.shape(upstream)
                length = self.shape(x)[1]
                places = index + length * tf.range(batch)[:, None]
                rows = tf.reshape(upstream, [batch * taken, *rest])
                places = tf.reshape(places, [batch * taken])
                sums = tf.math.unsorted_segment_sum(rows, places, batch * length)
                return tf.reshape(sums, [batch, length, *rest])

            return tf.gather(x, index, batch_dims=1), grad

        return gather(x)

    def scatter_min(self, x: Tensor, index: Tensor, values: Tensor) -> Tensor:
        """Returns x with entries of each row lowered to values at their places."""
        lengths = self.tf.shape(x)
        places = index + lengths[1] * self.tf.range(lengths[0])[:, None]
        # Ten times as fast on a CPU as `tensor_scatter_nd_min` (2.21).
        least = self.tf.math.unsorted_segment_min(
            self.tf.reshape(values, [-1]),
            self.tf.reshape(places, [-1]),
            lengths[0] * lengths[1],
        )
        return self.tf.minimum(x, self.tf.reshape(least, lengths))

    def reverse(self, x: Tensor, axis: int) -> Tensor:
        """Reverses an axis."""
        return self.tf.reverse(x, [axis])

    def negate_index(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Moves the value at index k to -k modulo the length, on each of the axes."""
        if not axes:
            return x
        return self.tf.roll(self.tf.reverse(x, axes), [1] * len(axes), axes)

    # Arithmetic.

    def where(self, condition: Tensor, x: Any, y: Any) -> Tensor:
        """Returns x where the condition holds and y elsewhere."""
        return self.tf.where(condition, x, y)

    def multiply_no_nan(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns x * weight, and 0 where the weight is 0, even if x is NaN there.

        `tf.where` would take four times as long if it has to broadcast. If neighbours
        share a weight, XLA does not vectorise a selection for CPUs. In that case a bit
        mask, made from the weight rounded up, selects.
        """
        shared = weight.shape.rank > 2 and weight.shape[-1] == 1 != weight.shape[-2]
        if not shared or x.dtype != self.tf.float32 or not self.is_traced_for_cpu():
            return self.tf.math.multiply_no_nan(x, weight)

        @self.tf.custom_gradient
        def select(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            shown = -self.tf.cast(self.tf.math.ceil(weight), self.tf.int32)
            bits = self.tf.bitwise.bitwise_and(self.tf.bitcast(x, shown.dtype), shown)
            return self.tf.bitcast(bits, x.dtype) * weight, lambda up: up * weight

        return select(x)

    def to_uint8(self, x: Tensor) -> Tensor:
        """Returns floats from 0 to 255 as uint8, rounded half to even.

        Adds 2^23, so that the last bit of the sum is worth 1. This takes half the time
        of rounding and casting.
        """
        # `abs` changes nothing, but keeps TensorFlow 2.21's Grappler from reordering:
        # where x is a sum, it adds 2^23 to the first term, which rounds each term.
        bits = self.tf.bitcast(self.tf.abs(x) + 2.0**23, self.tf.int32)
        return self.tf.cast(bits, self.tf.uint8)

    def minimum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise minimum."""
        return self.tf.minimum(x, y)

    def maximum(self, x: Any, y: Any) -> Tensor:
        """Returns the elementwise maximum."""
        return self.tf.maximum(x, y)

    def floor(self, x: Tensor) -> Tensor:
        """Rounds down."""
        return self.tf.floor(x)

    def exp(self, x: Tensor) -> Tensor:
        """Returns e to the power of x."""
        return self.tf.exp(x)

    def log(self, x: Tensor) -> Tensor:
        """Returns the natural logarithm."""
        return self.tf.math.log(x)

    def sqrt(self, x: Tensor) -> Tensor:
        """Returns the square root."""
        return self.tf.sqrt(x)

    def sum(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the sum."""
        return self.tf.reduce_sum(x, axis)

    def mean(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the mean."""
        return self.tf.reduce_mean(x, axis)

    def all(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether all values are true."""
        return self.tf.reduce_all(x, axis)

    def any(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether any value is true."""
        return self.tf.reduce_any(x, axis)

    def copy(self, x: Tensor) -> Tensor:
        """Returns a copy that later changes of a variable do not reach."""
        return self.tf.identity(x)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes, in float32."""
        return self.tf.matmul(x, y)

    def fast_matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices, less accurately if that is faster on the device."""
        return self.tf.matmul(x, y)

    def prod(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the product."""
        return self.tf.reduce_prod(x, axis)

    def count(self, hits: Tensor) -> Tensor:
        """Returns the number of values that are True, int32 `(draws,)`.

        If there are a few draws of a few values each, by a matrix product, which takes
        half the time on a CPU. It is exact for 2^24 values, the last float32 integer.
        """
        draws, *lengths = hits.shape
        few = draws != 1 and None not in lengths and math.prod(lengths) <= 2**24
        if not few or not self.is_traced_for_cpu():
            axes = list(range(1, len(hits.shape)))
            return self.tf.reduce_sum(self.tf.cast(hits, self.tf.int32), axes)
        rows = self.tf.reshape(hits, [-1, math.prod(lengths)])
        rows = self.tf.cast(rows, self.tf.float32)
        ones = self.tf.ones([math.prod(lengths)])
        return self.tf.cast(self.tf.linalg.matvec(rows, ones), self.tf.int32)

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the maximum."""
        return self.tf.reduce_max(x, axis)

    def argmax(self, x: Tensor) -> Tensor:
        """Returns the index of the maximum on the last axis, int32."""
        return self.tf.argmax(x, -1, output_type=self.tf.int32)

    def top_values(self, x: Tensor, count: int) -> Tensor:
        """Returns the largest values of the last axis, in descending order."""
        return self.tf.math.top_k(x, count).values

    def cumsum(self, x: Tensor) -> Tensor:
        """Returns cumulative sums along the last axis."""
        return self.tf.cumsum(x, axis=-1)

    def argsort(self, x: Tensor) -> Tensor:
        """Returns int32 indices that sort the last axis, stable."""
        return self.tf.argsort(x, axis=-1, stable=True)

    def to_sort_keys(self, x: Tensor) -> Tensor:
        """Returns int32 keys that sort as the float32 values do; -0 equals 0."""
        x = self.tf.where(x == 0, self.tf.zeros_like(x), x)
        bits = self.tf.bitcast(x, self.tf.int32)
        flipped = self.tf.bitwise.bitwise_xor(bits, 0x7FFFFFFF)
        return self.tf.where(bits < 0, flipped, bits)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse Fourier transform over the last axes."""
        transform = {
            1: self.tf.signal.irfft,
            2: self.tf.signal.irfft2d,
            3: self.tf.signal.irfft3d,
        }[len(size)]
        return transform(self.tf.complex(*spectrum), self.tf.stack(size))

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one per value."""
        # Copies, so that other uses of the same tensors count as constants.
        copies = [self.tf.identity(value) for value in values]
        with self.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(copies)
            total = self.tf.reduce_sum(function(*copies))
        found = tape.gradient(total, copies, unconnected_gradients="zero")
        # The gradient of a gather is `IndexedSlices`.
        return [self.tf.convert_to_tensor(gradient) for gradient in found]

    def value_and_gradients(
        self, function: Callable[..., Tensor], *values: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Returns function(*values), a scalar, and its gradients, one per value."""
        copies = [self.tf.identity(value) for value in values]
        with self.tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(copies)
            value = function(*copies)
        found = tape.gradient(value, copies)
        return self.tf.stop_gradient(value), [
            None if gradient is None else self.tf.convert_to_tensor(gradient)
            for gradient in found
        ]

    # Ragged tensors, which only TensorFlow has.

    def pad_ragged(self, x: Tensor, value: Any, width: int | None = None) -> Tensor:
        """Returns a dense tensor, its rows padded with a value.

        Args:
            x: Ragged `(batch, None, ...)`.
            value: Value to pad with; strings are padded with empty ones.
            width: Length of the last axis if it is known but x does not tell it.
        """
        fill = None if x.dtype == self.tf.string else self.tf.cast(value, x.dtype)
        shape = None if width is None else [None, None, width]
        return x.to_tensor(fill, shape=shape)

    def keep_rows(self, x: Tensor, kept: Tensor) -> Tensor:
        """Returns ragged rows of the entries of `(batch, n, ...)` that are kept."""
        return self.tf.ragged.boolean_mask(x, kept)
