"""What a layer remembers of its last call, so that a loss can draw the same plan again.

A few integers in a variable, and not a tensor on the layer: that would leak out of a
trace, and be another replica's under `tf.distribute`.
"""

import itertools
import threading
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np

from keras_msda import _backend, _errors

Tensor = Any

#: What a call did.
NEVER, UNMIXED, MIXED = 0, 1, 2

# Numbers of calls, from 1, that an int32 holds together with what they did.
_ORDERS = itertools.cycle(range(1, 2**28))
# The order of every traced call where the library keeps no notes of its traces.
_TRACED = -1


class Step(NamedTuple):
    """The last call with images alone.

    Attributes:
        state: `NEVER`, `UNMIXED` or `MIXED`.
        order: When it was: the number of an eager call, from 1; the number of its
            trace, from -1 down; 0 if it comes from a file.
        seed: The seed pair, `(2,)`.
        batch: Number of samples.
        size: Lengths that the mask depended on, three of them; 1 where there are fewer.
    """

    state: Any
    order: Any
    seed: Any
    batch: Any
    size: Any


def pack(step: Step, ops: Any) -> Tensor:
    """Returns a step as integers, `(7,)`."""
    lengths = [*step.size, *[1] * (3 - len(step.size))]
    first = ops.cast(step.state, "int64") + ops.cast(4 * step.order, "int64")
    values = (first, step.seed[0], step.seed[1], step.batch, *lengths)
    return ops.stack([ops.cast(value, "int64") for value in values])


def unpack(packed: Tensor, ops: Any) -> Step:
    """Returns the step of integers, as int32."""
    # A seed has 32 bits; all else is smaller.
    packed = ops.convert(packed, "int32")
    return Step(packed[0] % 4, packed[0] // 4, packed[1:3], packed[3], packed[4:])


class _Record(NamedTuple):
    """An eager call of one thread."""

    order: int
    packed: Tensor
    size: tuple[Any, ...]


class Memory:
    """The memory of one layer.

    Args:
        variable: Integer variable `(7,)` of the layer, which compiled steps write.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self.variable = variable
        # Of each thread: its last eager call, and the traces that it made. It goes with
        # the thread, so that no other one with the same number finds it.
        self._local = threading.local()
        self._threads = 0
        self._traces = itertools.count(1)
        #: The last compiled call that an eager one of another thread wrote over.
        self._displaced: tuple[Tensor, Any] | None = None
        # Whether the last call was passed the variable's value, as on JAX.
        self._passed = False
        # Of PyTorch, where numbers in Python are those of the last run.
        self._size: tuple[Any, ...] = ()
        self._size_is_compiled = False

    @staticmethod
    def empty(dtype: Any) -> np.ndarray:
        """Returns what the variable holds before any call."""
        return np.array([NEVER, 0, 0, 0, 1, 1, 1], dtype)

    @staticmethod
    def stored(packed: np.ndarray) -> np.ndarray:
        """Returns the integers as files hold them: the order is of this process."""
        packed = packed.astype("int64")
        packed[0] %= 4
        return packed

    def remember(self, state: Any, seed: Tensor, batch: Any, size: Any) -> None:
        """Keeps what a call with images alone did.

        Args:
            state: `UNMIXED` or `MIXED`, an integer or a tensor.
            seed: Its seed pair.
            batch: Number of samples.
            size: Lengths that the mask depended on.
        """
        ops = _backend.get_ops(seed)
        if ops.always_eager:
            self._size, self._size_is_compiled = tuple(size), ops.in_torch_compile()
        else:
            self._local.size = tuple(size)
        if ops.is_eager(seed):
            order = next(_ORDERS)
            packed = pack(Step(state, order, seed, batch, size), ops)
            self._keep(_Record(order, packed, tuple(size)), ops)
        else:
            order = -next(self._traces) if ops.has_trace_cache else _TRACED
            packed = pack(Step(state, order, seed, batch, size), ops)
            if ops.has_trace_cache:
                self._own_traces().append(order)
        self.variable.assign(packed)
        ops.cache_in_trace(f"{id(self)}", packed, self.variable)
        self._passed = ops.has_passed_value(self.variable)

    def forget(self, like: Tensor) -> None:
        """Makes losses that ask for the last call NaN."""
        ops = _backend.get_ops(like)
        if not _backend.in_foreign_pipeline(like):
            self.remember(NEVER, ops.zeros([2], "int32"), 0, ())

    def _keep(self, record: _Record, ops: Any) -> None:
        """Keeps an eager call of this thread, and what it will write over."""
        if not hasattr(self._local, "record"):
            self._threads += 1
        if self._threads > 1 and not self._passed:
            before = ops.copy(self.variable.value)
            order = ops.cast(record.order, "int64")
            if self._displaced is not None:
                traced = before[0] < 0
                packed, at = self._displaced
                before = ops.where(traced, before, packed)
                order = ops.where(traced, order, at)
            self._displaced = before, order
        self._local.record = record

    def _own_traces(self) -> list[int]:
        """Returns the orders of the traces that this thread has made."""
        if not hasattr(self._local, "traces"):
            self._local.traces = []
        traces: list[int] = self._local.traces
        return traces

    def recall(self) -> Tensor:
        """Returns the integers of the last call, as a loss in this place sees it.

        A traced step takes what it has traced itself. In eager code the last call
        counts, eager or compiled, and of several threads each takes its own.

        What a call of JAX writes goes to whoever passed it the state: a step that
        computes its loss without that has nothing to go by.
        """
        ops = _backend.get_backend_ops()
        value = self.read()
        traced = ops.read_trace_cache(f"{id(self)}", self.variable)
        if traced is not None:
            return traced
        if self._passed and not ops.has_passed_value(self.variable):
            return ops.zeros(self.variable.shape, "int32")
        return self._latest(value, ops) if ops.is_eager(value) else value

    def read(self) -> Tensor:
        """Returns the variable's value, or says that it is not there."""
        try:
            return self.variable.value
        except TypeError:  # Keras's trainer on JAX takes values away from variables.
            _fail_no_state(self.variable.path)

    def _latest(self, value: Tensor, ops: Any) -> Tensor:
        """Returns the last call of this thread, given what the variable holds."""
        record: _Record | None = getattr(self._local, "record", None)
        latest = value if record is None else record.packed
        traces = self._own_traces() if ops.has_trace_cache else [_TRACED]
        if not traces:
            return latest

        def own(packed: Tensor) -> Tensor:
            orders = ops.convert(traces, "int64")
            return ops.any(ops.cast(packed[0] // 4, "int64") == orders)

        if self._displaced is not None:
            packed, order = self._displaced
            later = order > (0 if record is None else record.order)
            latest = ops.where(later & own(packed), packed, latest)
        return ops.where(own(value), value, latest)

    def size(self) -> tuple[Any, ...]:
        """Returns the last call's lengths where they need no wait for a device."""
        record: _Record | None = getattr(self._local, "record", None)
        if self._size_is_compiled or record is None:
            return self._size
        return record.size

    def static_size(self, packed: Tensor) -> list[int]:
        """Returns the last call's lengths as Python knows them, or an empty list.

        Of several traces those of the last one count, so compare them with the
        remembered ones, which `packed` holds.
        """
        ops = _backend.get_backend_ops()
        if ops.is_eager(packed) and not ops.in_torch_compile():
            return [int(length) for length in unpack(packed, ops).size]
        size = self._size if ops.always_eager else getattr(self._local, "size", ())
        return list(size) if all(isinstance(length, int) for length in size) else []


def _fail_no_state(variable: str) -> NoReturn:
    """Says that a loss has no state to go by, as Keras's trainer on JAX has it."""
    _errors.fail(
        variable,
        "in a `train_step` of JAX the loss must be given the layer's state.",
        "a loss outside of a stateless call",
        "Compute it by `self.stateless_compute_loss(trainable_variables, "
        "non_trainable_variables, metrics_variables, x=x, y=y, y_pred=y_pred)`, with "
        "the values that `stateless_call` returns.",
    )
