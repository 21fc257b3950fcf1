"""TensorFlow: every pipeline, and whatever Keras computes with it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import keras
import numpy as np

from keras_msda._backend._common import JIT_COMPILE, CommonOps

Tensor = Any

# What TensorFlow computes a seed with where no global one is set.
_GRAPH_SEED = 87654321


class TensorFlowOps(CommonOps):
    """The operations of TensorFlow, under NumPy's names where NumPy has one."""

    keeps_notes = True

    def __init__(self) -> None:
        """Imports TensorFlow, which importing keras_msda alone must not do."""
        import tensorflow

        self._tf = tensorflow

    def outside(self) -> Any:
        """Returns a context in which variables are set at once, whatever is traced."""
        return self._tf.init_scope()

    # Making and reading tensors.

    def convert(self, x: Any, dtype: str | None = None) -> Tensor:
        """Returns x as a tensor, cast to dtype where one is given."""
        if self._tf.is_tensor(x):
            return x if dtype is None else self._tf.cast(x, dtype)
        return self._tf.convert_to_tensor(x, dtype=dtype)

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Casts; what becomes an integer is rounded half to even and saturates."""
        x = self._tf.convert_to_tensor(x)
        target = self._tf.as_dtype(dtype)
        if target.is_integer and x.dtype.is_floating:
            return self._tf.saturate_cast(self._tf.round(x), target)
        if target.is_integer and x.dtype.is_integer:
            # Not by `saturate_cast`, which lacks kernels for uint32 and uint64 (2.21).
            if x.dtype.max > target.max:
                x = self._tf.minimum(x, self._tf.constant(target.max, x.dtype))
            if x.dtype.min < target.min:
                x = self._tf.maximum(x, self._tf.constant(target.min, x.dtype))
        return self._tf.cast(x, target)

    def integers(self, x: Tensor) -> list[int]:
        """Reads integers, all at once."""
        return [int(value) for value in x.numpy()]

    def truncate(self, x: Tensor) -> Tensor:
        """Returns int32 of non-negative floats, rounded down."""
        return self._tf.cast(x, self._tf.int32)

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Returns the lengths: integers where known when traced, tensors elsewhere."""
        lengths = x.shape.as_list()
        if None not in lengths:
            return tuple(lengths)
        traced = self._tf.shape(x)
        return tuple(traced[axis] if n is None else n for axis, n in enumerate(lengths))

    def is_eager(self, x: Tensor) -> bool:
        """Tells whether the values can be looked at now."""
        return self._tf.executing_eagerly() and hasattr(x, "numpy")

    def is_immediate(self) -> bool:
        """Returns whether Python runs in each step, with the step's numbers."""
        return bool(self._tf.executing_eagerly())

    def truth(self, value: Any) -> Any:
        """Returns a truth value, or a tensor of one where it is traced."""
        if not self._tf.is_tensor(value) or self._tf.executing_eagerly():
            return bool(value)
        static = self._tf.get_static_value(value)
        return self._tf.cast(value, "bool") if static is None else bool(static)

    def is_ragged(self, x: Any) -> bool:
        """Tells a ragged tensor."""
        return isinstance(x, self._tf.RaggedTensor)

    def zeros(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns zeros."""
        return self._tf.zeros(shape, dtype)

    def ones(self, shape: Sequence[Any], dtype: str) -> Tensor:
        """Returns ones."""
        return self._tf.ones(shape, dtype)

    def arange(self, stop: Any, dtype: str = "int32") -> Tensor:
        """Returns 0, 1, ..., stop - 1; stop may be a traced scalar."""
        return self._tf.cast(self._tf.range(stop), dtype)

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        """Returns a tensor of the shape and dtype of x that holds one value."""
        if x.dtype == self._tf.string:
            return self._tf.zeros_like(x)
        return self._tf.fill(self._tf.shape(x), self._tf.cast(value, x.dtype))

    def one_hot(self, ids: Tensor, classes: int, axis: int = -1) -> Tensor:
        """Returns float32 indicators on a new axis, zeros for other ids."""
        ids = self._tf.cast(ids, self._tf.int64)
        return self._tf.one_hot(ids, classes, axis=axis, dtype="float32")

    # Shapes.

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Reshapes; one length may be -1."""
        return self._tf.reshape(x, shape)

    def broadcast_to(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Repeats along axes of length 1."""
        return self._tf.broadcast_to(x, shape)

    def stack(self, values: Sequence[Any], axis: int = 0) -> Tensor:
        """Stacks on a new axis."""
        return self._tf.stack(values, axis)

    def concat(self, values: Sequence[Tensor], axis: int) -> Tensor:
        """Joins along an axis."""
        return self._tf.concat(values, axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis."""
        return self._tf.gather(x, index, axis=0)

    def take_in_groups(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers along the first axis, by places `(groups, length)` in its parts."""
        lengths = self._tf.shape(x)
        split = self._tf.concat([self._tf.shape(index), lengths[1:]], 0)
        parts = self._tf.reshape(x, split)
        return self._tf.reshape(self._tf.gather(parts, index, batch_dims=1), lengths)

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """Gathers `(batch, k)` from `(batch, n)` by indices into each row."""
        return self._tf.gather(x, index, batch_dims=1)

    def reverse(self, x: Tensor, axis: int) -> Tensor:
        """Turns an axis round."""
        return self._tf.reverse(x, [axis])

    def negate_index(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Moves the value at index k to -k modulo the length, on every given axis."""
        if not axes:
            return x
        return self._tf.roll(self._tf.reverse(x, axes), [1] * len(axes), axes)

    # Arithmetic.

    def where(self, condition: Tensor, x: Any, y: Any) -> Tensor:
        """Chooses elementwise."""
        return self._tf.where(condition, x, y)

    def weighted(self, x: Tensor, weight: Tensor) -> Tensor:
        """Returns x * weight, 0 where the weight is 0, whatever x is.

        Not by choosing: TensorFlow's kernel takes four times as long where it has to
        broadcast. And where neighbours share a weight, a compiler for CPUs makes no
        vectors of a choice: there the weight, rounded up, selects bits.
        """
        shared = weight.shape.rank > 2 and weight.shape[-1] == 1 != weight.shape[-2]
        if not shared or x.dtype != self._tf.float32 or not self.for_cpus():
            return self._tf.math.multiply_no_nan(x, weight)

        @self._tf.custom_gradient
        def chosen(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
            shown = -self._tf.cast(self._tf.math.ceil(weight), self._tf.int32)
            bits = self._tf.bitwise.bitwise_and(self._tf.bitcast(x, shown.dtype), shown)
            return self._tf.bitcast(bits, x.dtype) * weight, lambda up: up * weight

        return chosen(x)

    def to_bytes(self, x: Tensor) -> Tensor:
        """Returns uint8 of floats from 0 to 255, rounded half to even.

        By a sum whose last bit is 1, in half the time that rounding and casting take.
        """
        bits = self._tf.bitcast(x + 2.0**23, self._tf.int32)
        return self._tf.cast(bits, self._tf.uint8)

    def minimum(self, x: Any, y: Any) -> Tensor:
        """Returns the smaller, elementwise."""
        return self._tf.minimum(x, y)

    def maximum(self, x: Any, y: Any) -> Tensor:
        """Returns the larger, elementwise."""
        return self._tf.maximum(x, y)

    def floor(self, x: Tensor) -> Tensor:
        """Rounds down."""
        return self._tf.floor(x)

    def exp(self, x: Tensor) -> Tensor:
        """Returns e to the x."""
        return self._tf.exp(x)

    def log(self, x: Tensor) -> Tensor:
        """Returns the natural logarithm."""
        return self._tf.math.log(x)

    def sqrt(self, x: Tensor) -> Tensor:
        """Returns the square root."""
        return self._tf.sqrt(x)

    def cos_sin(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns cosine and sine."""
        return self._tf.cos(x), self._tf.sin(x)

    def sum(self, x: Tensor, axis: Any = None) -> Tensor:
        """Sums."""
        return self._tf.reduce_sum(x, axis)

    def mean(self, x: Tensor, axis: Any = None) -> Tensor:
        """Averages."""
        return self._tf.reduce_mean(x, axis)

    def all(self, x: Tensor, axis: Any = None) -> Tensor:
        """Tells whether all hold."""
        return self._tf.reduce_all(x, axis)

    def any(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns whether any holds."""
        return self._tf.reduce_any(x, axis)

    def copied(self, x: Tensor) -> Tensor:
        """Returns the values that a variable has now."""
        return self._tf.identity(x)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices on the last two axes."""
        return self._tf.matmul(x, y)

    def synthesise(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplies matrices as accurately as is quick on the device."""
        return self._tf.matmul(x, y)

    def prod(self, x: Tensor, axis: Any = None) -> Tensor:
        """Multiplies along axes."""
        return self._tf.reduce_prod(x, axis)

    def max(self, x: Tensor, axis: Any = None) -> Tensor:
        """Returns the largest."""
        return self._tf.reduce_max(x, axis)

    def argmax(self, x: Tensor) -> Tensor:
        """Returns int32 indices of the largest on the last axis."""
        return self._tf.argmax(x, -1, output_type=self._tf.int32)

    def top_values(self, x: Tensor, count: int) -> Tensor:
        """Returns the largest of the last axis, in descending order."""
        return self._tf.math.top_k(x, count).values

    def cumsum(self, x: Tensor) -> Tensor:
        """Returns running sums along the last axis."""
        return self._tf.cumsum(x, axis=-1)

    def argsort(self, x: Tensor) -> Tensor:
        """Returns int32 indices in ascending order, ties in their given order."""
        return self._tf.argsort(x, axis=-1, stable=True)

    def float_order(self, x: Tensor) -> Tensor:
        """Returns int32 keys in the order of float32 values, with -0 equal to 0."""
        x = self._tf.where(x == 0, self._tf.zeros_like(x), x)
        bits = self._tf.bitcast(x, self._tf.int32)
        flipped = self._tf.bitwise.bitwise_xor(bits, 0x7FFFFFFF)
        return self._tf.where(bits < 0, flipped, bits)

    def irfftn(self, spectrum: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
        """Returns the real inverse transform over the last `len(size)` axes.

        Args:
            spectrum: Real and imaginary part of the half spectrum, float32.
            size: Lengths of the result's axes.
        """
        transform = {
            1: self._tf.signal.irfft,
            2: self._tf.signal.irfft2d,
            3: self._tf.signal.irfft3d,
        }[len(size)]
        return transform(self._tf.complex(*spectrum), self._tf.stack(size))

    # Ragged tensors, which TensorFlow alone has.

    def pad_ragged(self, x: Tensor, value: Any, width: int | None = None) -> Tensor:
        """Returns a dense tensor, its rows filled up with a value.

        Args:
            x: Ragged `(batch, None, ...)`.
            value: What to fill up with; nothing for strings.
            width: Length of the last axis where it is known and the tensor hides it.
        """
        fill = None if x.dtype == self._tf.string else self._tf.cast(value, x.dtype)
        shape = None if width is None else [None, None, width]
        return x.to_tensor(fill, shape=shape)

    def keep_rows(self, x: Tensor, kept: Tensor) -> Tensor:
        """Returns ragged rows: those entries of `(batch, n, ...)` that are kept."""
        return self._tf.ragged.boolean_mask(x, kept)

    # Input pipelines.

    def dataset(self, *arrays: Any) -> Any:
        """Returns a `tf.data.Dataset` of the entries of some arrays."""
        return self._tf.data.Dataset.from_tensor_slices(arrays)

    def variable(self, value: Any) -> Any:
        """Returns a variable of TensorFlow's own, for pipelines of other backends."""
        with self._tf.init_scope():
            return self._tf.Variable(value, trainable=False)

    def moments(self, seed: int) -> Any:
        """Returns a dataset of int64 that are others in each iteration over it.

        A function of the seed and of the number of iterations that were begun before,
        which is saved with an iterator. `Dataset.random` would mix the global seed in:
        these are its numbers where none is set.
        """
        numbers = self._tf.raw_ops.RandomDatasetV2(
            seed=self._tf.constant(_GRAPH_SEED, "int64"),
            seed2=self._tf.constant(seed % (2**31 - 1), "int64"),
            seed_generator=self._tf.raw_ops.DummySeedGenerator(),
            output_types=[self._tf.int64],
            output_shapes=[[]],
            rerandomize_each_iteration=True,
        )
        spec = self._tf.TensorSpec([], "int64")
        return self._tf.data.experimental.from_variant(numbers, spec)

    def read_once(self, variable: Any) -> Any:
        """Returns a dataset that repeats what a variable is when an iteration begins.

        That is when its first element is asked for. The value is saved with an
        iterator.
        """
        data = self._tf.data.Dataset

        def read(_: Tensor) -> Tensor:
            return self._tf.cast(self._tf.convert_to_tensor(variable), "int64")

        first = data.from_tensors(0).map(read)
        return first.flat_map(lambda value: data.from_tensors(value).repeat())

    def numbered(self, dataset: Any, moments: Any) -> Any:
        """Returns a dataset of `((index, moment), element)`, elements as they were."""
        data = self._tf.data.Dataset
        return data.zip(data.zip(data.counter(), moments), dataset)

    def keeping(self, dataset: Any, moments: Any) -> Any:
        """Returns a dataset whose iterators keep the number of their iteration.

        `numbered` forgets its iterators when the last element was read, and a parallel
        map reads ahead: what is saved while that still has batches to give would lack
        the number. This holds on to it until the last of them is given. No map drops
        what was zipped: TensorFlow would make that a parallel one.
        """
        zipped = self._tf.data.Dataset.zip(dataset, moments)
        return zipped.scan(0, lambda state, pair: (state, pair[0]))

    def whole(self, parts: tuple[Any, ...], spec: Any) -> Any:
        """Returns an element of a dataset from the arguments that `map` makes of it."""
        return parts if type(spec) is tuple else parts[0]

    def restorable(self, dataset: Any) -> Any:
        """Returns a dataset that reads variables and whose iterators can be saved.

        The variables are not saved with it, of which TensorFlow warns.
        """
        options = self._tf.data.Options()
        policy = self._tf.data.experimental.ExternalStatePolicy.WARN
        options.experimental_external_state_policy = policy
        return dataset.with_options(options)

    def nested_seed(self, seed: int, epoch: Any, index: Tensor) -> Tensor:
        """Returns the seed pair of an element of an epoch."""
        epoch = self._tf.cast(self._tf.convert_to_tensor(epoch), self._tf.int64)
        bits = self.random_bits([2], self._tf.stack([seed, epoch]))
        key = self._tf.bitcast(bits, self._tf.int64)
        number = self._tf.cast(index, self._tf.int64)
        return self.random_bits([2], self._tf.stack([key, number]))

    # Control flow.

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))), compiled as a loop.

        It ends as soon as `until` holds of the state.
        """

        def goes_on(step: Tensor, state: Any) -> Tensor:
            left = step < steps
            return left if until is None else left & ~until(state)

        _, state = self._tf.while_loop(
            goes_on,
            lambda step, state: (step + 1, body(step, state)),
            (self._tf.constant(0), state),
        )
        return state

    def gradients(self, function: Callable[..., Tensor], *values: Tensor) -> Any:
        """Returns the gradients of the sum of function(*values), one for each value.

        Zeros where the sum does not depend on a value. The function may itself take
        gradients.
        """
        # Copies, so that what the function gets otherwise counts as constant.
        copies = [self._tf.identity(value) for value in values]
        with self._tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(copies)
            total = self._tf.reduce_sum(function(*copies))
        found = tape.gradient(total, copies, unconnected_gradients="zero")
        # Of a gather TensorFlow returns slices.
        return [self._tf.convert_to_tensor(gradient) for gradient in found]

    def traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors as a graph."""
        return cast(Callable[..., Any], self._tf.function(function, autograph=False))

    def fused(self, function: Callable[..., Any], x: Tensor, *rest: Any) -> Any:
        """Returns function(x, *rest), in a graph compiled by XLA where it is worth it.

        In a graph the kernels for choosing with broadcasting are ten times slower than
        a compiled pass. Every new shape compiles anew, so "auto" asks for known
        lengths; an unknown batch, as `Dataset.batch` leaves it, has two values as a
        rule.
        """
        choice = JIT_COMPILE.get()
        if choice == "auto":
            choice = None not in x.shape.as_list()[1:]
        if not choice or self._tf.executing_eagerly():
            return function(x, *rest)
        compiled = self._tf.function(function, jit_compile=True, autograph=False)
        return compiled(x, *rest)

    def by_draw(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function, for CPUs one that gives it one draw after another.

        What passes over its arguments many times then has them in the cache.

        Args:
            function: Of `(draws, ...)`; returns truth values of the first's shape.
        """
        if not self.for_cpus():
            return function

        def one(draw: tuple[Tensor, ...]) -> Tensor:
            # In a row: loops of one axis are the faster ones.
            rows = [
                self._tf.reshape(part, [1, -1][: part.shape.rank + 1]) for part in draw
            ]
            return self._tf.reshape(function(*rows), draw[0].shape)

        def mapped(*values: Tensor) -> Any:
            draws, *lengths = values[0].shape
            if draws == 0 or None in lengths:
                return function(*values)
            return self._tf.map_fn(one, values, fn_output_signature=self._tf.bool)

        return mapped

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Returns the result of the branch with the given number; one is run."""
        return self._tf.switch_case(index, list(branches))

    def shortcut(
        self, short: Callable[[], tuple[Tensor, Any]], whole: Callable[[], Any]
    ) -> Any:
        """Returns whole(), or what short() gives where that tells that it is right.

        On a CPU alone: compilers for TPUs take twice as long for the choice.
        """
        if not self.for_cpus():
            return whole()
        right, result = short()
        return self._tf.cond(right, lambda: result, whole)

    def for_cpus(self) -> bool:
        """Tells whether what is traced now will run on a CPU, as far as can be told."""
        if self._tf.executing_eagerly():
            return False
        others = {x.device_type for x in self._tf.config.list_logical_devices()}
        return others <= {"CPU"} or self.is_dataset()

    def is_dataset(self) -> bool:
        """Returns whether `tf.data` traces this."""
        graph = self._tf.compat.v1.get_default_graph()
        while graph is not None:
            # What `tf.data` traces has such names.
            if str(getattr(graph, "name", "")).startswith("Dataset_"):
                return True
            graph = getattr(graph, "outer_graph", None)
        return False

    # Randomness: integer Philox bits are the same in eager, graph and XLA; TensorFlow's
    # own uniform floats are not (2.21).

    def random_bits(self, shape: Sequence[Any], seed: Tensor) -> Tensor:
        """Returns uniform bits as int32, a function of the integer seed pair alone.

        The first number is the key and the second the upper half of the counter: each
        pair has a stream of its own. `stateless_uniform` would first make others of
        them, by a dozen operations that cost more than the draw.
        """
        words = self._tf.cast(seed, self._tf.uint64)
        return self._tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=self._tf.convert_to_tensor(shape, self._tf.int32),
            key=words[:1],
            counter=words * self._tf.constant([0, 1], self._tf.uint64),
            alg=self._tf.constant(1),  # Philox.
            dtype=self._tf.int32,
        )

    def random_integers(self, shape: Sequence[Any], bits: int, seed: Tensor) -> Tensor:
        """Returns uniform int32 numbers of the given count of bits, at most 31."""
        drawn = self.random_bits(shape, seed)
        return self._tf.bitwise.bitwise_and(drawn, (1 << bits) - 1)

    def fold_in(self, seed: Tensor, number: Any) -> Tensor:
        """Returns a seed pair that differs for every int32 number."""
        pair = self.random_bits([2], seed)
        return pair + self._tf.stack([0, self._tf.cast(number, self._tf.int32)])

    def seeds(self, seed: Any, count: int) -> list[Tensor]:
        """Returns independent seed pairs made from one."""
        bits = self.random_bits([count, 2], self.convert(seed, "int64"))
        return list(self._tf.unstack(bits))

    def first_seed(self, seed: int) -> np.ndarray:
        """Returns what the state of a layer's draws begins with: (count, 0, seed)."""
        return np.array([0, 0, seed], "int64")

    def stored_seed(self, state: np.ndarray) -> np.ndarray:
        """Returns a state as files hold it, which is TensorFlow's form."""
        return state

    def loaded_seed(self, stored: np.ndarray) -> np.ndarray:
        """Returns the state that a file holds."""
        return stored

    def next_seed(self, state: Any) -> Tensor:
        """Returns the next seed pair of a layer, another one in each replica.

        Args:
            state: Non-trainable int64 weight, or a `variable`, of the values of
                `first_seed`; it moves on by one.
        """
        value = self._local(state.value) if hasattr(state, "path") else state
        if hasattr(value, "handle"):
            # Atomic. Read and then assign, as in `keras.random.SeedGenerator`, gives
            # parallel calls of a `Dataset.map` the same seed (3 % of 20,000 did).
            drawn = self._tf.raw_ops.RngReadAndSkip(
                resource=value.handle,
                alg=self._tf.constant(1),
                delta=self._tf.constant(1, "uint64"),
            )
        else:  # A stateless call of Keras: the weight's value is a plain tensor.
            drawn = self._tf.convert_to_tensor(value)
            state.assign(drawn + self._tf.constant([256, 0, 0], "int64"))
        return self.fold_in(drawn[::-2], self.replica())

    def _local(self, value: Any) -> Any:
        """Returns the first copy of a weight of replicas, outside of any replica."""
        if self._tf.distribute.get_replica_context() is not None:
            return value
        strategy = self._tf.distribute.get_strategy()
        return strategy.experimental_local_results(value)[0]

    def replica(self) -> Any:
        """Returns the number of this replica under `tf.distribute`, 0 elsewhere."""
        context = self._tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group

    # Traces. A collection belongs to one graph: nothing is kept once that is gone.

    def note(self, name: str, value: Tensor, variable: keras.Variable) -> None:
        """Keeps a traced tensor for what the same graph and replica compute later."""
        if not self._tf.executing_eagerly():
            self._notes(name)[:] = [(value, self._uses(variable))]

    def noted(self, name: str, variable: keras.Variable) -> Tensor | None:
        """Returns the last tensor that this very graph kept under a name, or None.

        None too if the graph has since called a function, or a loop, that was given the
        variable: what that has written counts.
        """
        if self._tf.executing_eagerly():
            return None
        # A graph inside another starts with the notes of that.
        graph = self._tf.compat.v1.get_default_graph()
        own = [note for note in self._notes(name) if note[0].graph is graph]
        if not own or own[0][1] != self._uses(variable):
            return None
        return own[0][0]

    def _notes(self, name: str) -> list[tuple[Tensor, int]]:
        # A constant where each replica is traced. TPUs have one trace for all: None.
        number = self._tf.get_static_value(self.replica())
        collection = self._tf.compat.v1.get_collection_ref
        return collection(f"keras_msda/{name}/{number}")  # type: ignore[no-any-return]

    def _uses(self, variable: keras.Variable) -> int:
        """Returns how many operations of this graph, reads apart, use a variable."""
        graph = self._tf.compat.v1.get_default_graph()
        found = 0
        for outer, inner in getattr(graph, "captures", ()):
            if outer is self._handle(variable):
                uses = [op.type for op in inner.consumers()]
                found += sum(kind != "ReadVariableOp" for kind in uses)
        return found

    def _handle(self, variable: keras.Variable) -> Any:
        """Returns what a graph captures of a weight, that of this replica."""
        return getattr(self._local(variable.value), "handle", None)

    def is_foreign(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether a step that is traced has used others and not a variable."""
        if self._tf.executing_eagerly():
            return False
        graph = self._tf.compat.v1.get_default_graph()
        if not any(self._uses(other) for other in others):
            return False
        while graph is not None:
            with graph.as_default():
                if self._uses(variable):
                    return False
            graph = getattr(graph, "outer_graph", None)
        return True

    # Files.

    def event_writer(self, folder: str) -> "EventWriter":
        """Returns what writes pictures for TensorBoard into a folder."""
        return EventWriter(self._tf, folder)


class EventWriter:
    """Writes pictures for TensorBoard.

    `tf.summary.image` needs TensorBoard itself, which TensorFlow 2.21 does not bring.
    """

    def __init__(self, tf: Any, folder: str) -> None:
        self._tf = tf
        self._writer = tf.summary.create_file_writer(folder)
        # By which TensorBoard knows pictures among tensors of strings.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data={"plugin_name": "images"}
        )

    def write(self, tag: str, step: int, picture: bytes, *size: int) -> None:
        """Writes a picture, and sees that it is in the file.

        Args:
            tag: Its name.
            step: Its place in the sequence of that name.
            picture: A file of PNG.
            *size: Its width and height.
        """
        lengths = [str(length).encode() for length in size]
        tensor = self._tf.constant([*lengths, picture])
        with self._writer.as_default():
            self._tf.summary.write(tag, tensor, step=step, metadata=self._metadata)
        self._writer.flush()
