"""TensorFlow's graphs: control flow, compilation and traces."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from keras_msda._backend._defaults import DefaultOps

Tensor = Any

# So many numbers make a block of draws: few enough for the cache of a core, and enough
# to hide what it costs to start a loop.
_BLOCK = 2**14


class GraphOps(DefaultOps):
    """Operations that depend on how TensorFlow runs the code.

    Attributes:
        tf: The module `tensorflow`.
    """

    tf: Any
    has_trace_cache = True

    # How and where the code runs.

    def executes_eagerly(self) -> bool:
        """Returns whether Python code runs in this step, with values of the step."""
        return bool(self.tf.executing_eagerly())

    def is_traced_by_dataset(self) -> bool:
        """Returns whether `tf.data` is tracing this code."""
        graph = self.tf.compat.v1.get_default_graph()
        while graph is not None:
            # `tf.data` gives its graphs such names.
            if str(getattr(graph, "name", "")).startswith("Dataset_"):
                return True
            graph = getattr(graph, "outer_graph", None)
        return False

    def is_traced_for_cpu(self) -> bool:
        """Returns whether this code is being traced and will run on a CPU.

        It does if there is no other device, or in a `tf.data` pipeline.
        """
        if self.tf.executing_eagerly():
            return False
        kinds = {x.device_type for x in self.tf.config.list_logical_devices()}
        return kinds <= {"CPU"} or self.is_traced_by_dataset()

    # Control flow and compilation.

    def loop(self, steps: Any, body: Any, state: Any, until: Any = None) -> Any:
        """Returns body(steps - 1, ... body(1, body(0, state))), traced as a loop."""

        def proceed(step: Tensor, state: Any) -> Tensor:
            left = step < steps
            return left if until is None else left & ~until(state)

        _, state = self.tf.while_loop(
            proceed,
            lambda step, state: (step + 1, body(step, state)),
            (self.tf.constant(0), state),
        )
        return state

    def switch(self, index: Tensor, branches: Sequence[Callable[[], Any]]) -> Any:
        """Runs the branch with the given index and returns its result."""
        return self.tf.switch_case(index, list(branches))

    def switch_on(
        self, x: Tensor, index: Tensor, branches: Sequence[Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Runs the branch with the given index on a tensor and returns its result.

        For gradients the branch runs again. Otherwise its intermediate values would
        leave it, and where the length of the batch is not known when traced, as in
        Keras's `fit`, XLA (TensorFlow 2.21) writes beyond its memory for some of them.
        """
        tf = self.tf

        def pull(branch: Callable[[Tensor], Tensor], x: Tensor, upstream: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = branch(x)
            found = tape.gradient(y, x, upstream, unconnected_gradients="zero")
            return tf.convert_to_tensor(found)

        @tf.custom_gradient
        def run(x: Tensor) -> Any:
            def grad(upstream: Tensor) -> Tensor:
                pulls = [functools.partial(pull, f, x, upstream) for f in branches]
                return self.switch(index, pulls)

            return self.switch(index, [functools.partial(f, x) for f in branches]), grad

        return run(x)

    def compile_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function of tensors as a graph."""
        graph: Callable[..., Any] = self.tf.function(function, autograph=False)
        return graph

    def call_fused(
        self,
        function: Callable[..., Any],
        x: Tensor,
        *rest: Any,
        jit_compile: bool | str = "auto",
    ) -> Any:
        """Returns function(x, *rest), in a graph compiled by XLA if that pays off.

        In a graph the kernels that select with broadcasting take ten times as long as
        one compiled pass. But XLA compiles again for each new shape, so "auto" requires
        known lengths. The batch may be unknown, as `Dataset.batch` leaves it: it rarely
        has more than two values.
        """
        if jit_compile == "auto":
            jit_compile = None not in x.shape.as_list()[1:]
        if not jit_compile or self.tf.executing_eagerly():
            return function(x, *rest)
        compiled = self.tf.function(function, jit_compile=True, autograph=False)
        return compiled(x, *rest)

    def map_over_draws(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function; for CPUs one that calls it for a few draws at a time.

        A function that passes over its arguments many times then finds them in the
        CPU's cache.
        """
        if not self.is_traced_for_cpu():
            return function

        def call_for_blocks(*values: Tensor) -> Any:
            draws, *lengths = values[0].shape
            if draws == 0 or None in lengths:
                return function(*values)
            block = 1 + _BLOCK // math.prod(lengths)
            if draws is not None:
                block = -(-draws // -(-draws // block))
            found = self.tf.map_fn(
                lambda parts: function(*parts),
                tuple(self._split_draws(value, block) for value in values),
                fn_output_signature=self.tf.bool,
            )
            found = self.tf.reshape(found, [-1, *lengths])
            return found[: self.tf.shape(values[0])[0] if draws is None else draws]

        return call_for_blocks

    def _split_draws(self, value: Tensor, block: int) -> Tensor:
        """Returns blocks of draws, the last one filled up with zeros.

        There is at least one block: XLA compiles the body of a loop for an empty batch
        too, where it finds no draw.

        Returns:
            Shape `(blocks, block, pixels)`, since loops over one axis are faster, or
            `(blocks, block)` for one number per draw.
        """
        draws, *lengths = value.shape
        pixels = [math.prod(lengths)] if lengths else []
        if draws is None:
            draws = self.tf.shape(value)[0]
            missing = block * self.tf.maximum(-(-draws // block), 1) - draws
        else:
            missing = -draws % block
        if not isinstance(missing, int) or missing > 0:
            value = self.tf.pad(value, [[0, missing], *[[0, 0] for _ in lengths]])
        return self.tf.reshape(value, [-1, block, *pixels])

    def try_fast_path(
        self, fast: Callable[[], tuple[Tensor, Any]], exact: Callable[[], Any]
    ) -> Any:
        """Returns exact(); on a CPU the result of fast() if that succeeds.

        Not on other devices: compilers for TPUs take twice as long for the condition.
        """
        if not self.is_traced_for_cpu():
            return exact()
        succeeded, result = fast()
        return self.tf.cond(succeeded, lambda: result, exact)

    # Variables, replicas and traces.

    def init_scope(self) -> AbstractContextManager[Any]:
        """Returns a context that runs operations at once, outside of any trace."""
        scope: AbstractContextManager[Any] = self.tf.init_scope()
        return scope

    def _replica_id(self) -> Any:
        """Returns the number of this replica under `tf.distribute`, else 0."""
        context = self.tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group

    def _first_copy(self, value: Any) -> Any:
        """Returns the first replica's copy of a variable if no replica is running."""
        if self.tf.distribute.get_replica_context() is not None:
            return value
        strategy = self.tf.distribute.get_strategy()
        return strategy.experimental_local_results(value)[0]

    def cache_in_trace(
        self, name: str, value: Tensor, variable: keras.Variable
    ) -> None:
        """Keeps a traced tensor for what this graph and replica compute later."""
        if not self.tf.executing_eagerly():
            self._cached(name)[:] = [(value, self._count_uses(variable))]

    def read_trace_cache(self, name: str, variable: keras.Variable) -> Tensor | None:
        """Returns the last tensor that this graph cached by a name, if still valid.

        It is not if the graph has since called a function or a loop that uses the
        variable, as that may have assigned another value.
        """
        if self.tf.executing_eagerly():
            return None
        # A nested graph starts with a copy of what the outer one has cached.
        graph = self.tf.compat.v1.get_default_graph()
        own = [entry for entry in self._cached(name) if entry[0].graph is graph]
        if not own or own[0][1] != self._count_uses(variable):
            return None
        return own[0][0]

    def _cached(self, name: str) -> list[tuple[Tensor, int]]:
        """Returns the entry of this replica, which is gone as soon as its graph is."""
        # A constant if each replica is traced. TPUs have one trace for all: None.
        number = self.tf.get_static_value(self._replica_id())
        key = f"keras_msda/{name}/{number}"
        entries: list[tuple[Tensor, int]] = self.tf.compat.v1.get_collection_ref(key)
        return entries

    def _count_uses(self, variable: keras.Variable) -> int:
        """Returns how many operations of this graph use a variable, reads excluded."""
        captures = getattr(self.tf.compat.v1.get_default_graph(), "captures", ())
        if not captures:
            return 0
        handle = getattr(self._first_copy(variable.value), "handle", None)
        uses = [inner.consumers() for outer, inner in captures if outer is handle]
        return sum(use.type != "ReadVariableOp" for part in uses for use in part)

    def step_uses_only_others(
        self, variable: keras.Variable, others: Iterable[keras.Variable]
    ) -> bool:
        """Returns whether the step being traced uses others and not a variable."""
        if self.tf.executing_eagerly():
            return False
        graph = self.tf.compat.v1.get_default_graph()
        if not any(self._count_uses(other) for other in others):
            return False
        while graph is not None:
            with graph.as_default():
                if self._count_uses(variable):
                    return False
            graph = getattr(graph, "outer_graph", None)
        return True
