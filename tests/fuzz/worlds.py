"""Where a case is called: what each world does with a layer and its batches."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_msda as msda
from keras_msda.layers import METHODS
from tests.fuzz import contents as arrays
from tests.fuzz import ragged, rules
from tests.fuzz.drawn import (
    BACKEND,
    EPOCH,
    PIPELINES,
    compile_jax,
    make_seed,
    wrap_seed,
)

#: The worlds of Keras's backend, and of 100 cases how many each has.
SHARES = {
    "tensorflow": {
        "eager": 68,
        "fit": 2,
        "graph": 6,
        "graph, unknown shapes": 6,
        "map": 6,
        "map, unknown shapes": 6,
        "mixing": 3,
        "XLA": 3,
    },
    "jax": {
        "jit": 60,
        "eager": 4,
        "fit": 6,
        "map": 10,
        "map, unknown shapes": 10,
        "mixing": 10,
    },
    "torch": {
        "eager": 68,
        "fit": 2,
        "map": 10,
        "map, unknown shapes": 10,
        "mixing": 10,
    },
}[BACKEND]
#: What TensorFlow raises about shapes that are not known before a graph runs.
LATE = tf.errors.InvalidArgumentError


def make_layer(case: Any) -> Any:
    """Returns the layer of a case."""
    if not case.members:
        return METHODS[case.method].layer(**case.arguments)
    members = [METHODS[name].layer(**given) for name, given in case.members]
    return msda.RandomMixLayer(members, **case.arguments)


# Tensors and arrays.


def to_tensor(x: Any) -> Any:
    """Returns an array as a tensor of TensorFlow."""
    return ragged.to_tensor(x) if is_ragged(x) else tf.convert_to_tensor(x)


def is_ragged(x: Any) -> bool:
    """Returns whether a leaf of a nest is an entry of ragged rows."""
    return isinstance(x, arrays.Rows)


def map_leaves(function: Callable[[Any], Any], nest: Any) -> Any:
    """Returns a nest with a function's results instead of its leaves, None too."""
    if isinstance(nest, dict):
        return {key: map_leaves(function, value) for key, value in nest.items()}
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*(map_leaves(function, value) for value in nest))
    if isinstance(nest, (tuple, list)):
        return type(nest)(map_leaves(function, value) for value in nest)
    return function(nest)


def list_leaves(nest: Any) -> list[Any]:
    """Returns the leaves of a nest, None too."""
    found: list[Any] = []
    map_leaves(found.append, nest)
    return found


def _to_backend(x: Any) -> Any:
    """Returns an array as a tensor of Keras's backend, where it has the dtype."""
    if x is None or is_ragged(x) or isinstance(x, arrays.Listed):
        return x
    if x.dtype.kind in "SU" or (BACKEND == "jax" and x.dtype.itemsize > 4):
        return x
    return keras.ops.convert_to_tensor(x, dtype=x.dtype.name)


# Calls.


def call(case: Any, layer: Any, given: Any, training: Any, seed: Any) -> Any:
    """Calls a layer as a case says, with arguments and perhaps a partner."""
    arguments, partner = given
    more = {} if partner is None else {"partner": partner}
    if not case.plain:
        return layer.mix(arrays.wrap(case.form, arguments), seed=seed, **more)
    if case.form in ("tuple", "list"):
        return layer(arrays.wrap(case.form, arguments), training=training, **more)
    return layer(*arguments, training=training, **more)


def call_eagerly(case: Any, layer: Any, given: Any, index: int) -> Any:
    """Calls a layer with arrays or with tensors of Keras's backend."""
    training = case.calls[index][2]
    if training == "np":
        training = np.bool_(False)
    elif training == "tensor":
        training = keras.ops.convert_to_tensor(True)
    converted = [
        map_leaves(_to_backend, nest) if (case.seed + index) >> bit & 1 else nest
        for bit, nest in enumerate(given)
    ]
    given = [map_leaves(_as_given, nest) for nest in converted]
    return call(case, layer, given, training, make_seed(case, index))


def _as_given(x: Any) -> Any:
    """Returns what stands for a ragged tensor or a list as such a one."""
    if isinstance(x, arrays.Listed):
        return x.tolist()
    return ragged.to_tensor(x) if is_ragged(x) else x


def run(case: Any, layer: Any, batches: Sequence[arrays.Given]) -> list[Any]:
    """Returns what a layer returns for all batches in a world other than eager.

    Args:
        case: The layer, the form of its batches and the world.
        layer: The layer.
        batches: The parts of each batch and its partners.
    """
    nests = [
        (*batch.nests(case.form), _make_flag(training))
        for batch, (*_, training) in zip(batches, case.calls, strict=True)
    ]
    specs = _make_specs(case, batches[0], nests[0])
    run_world = _map if case.world in PIPELINES else _trace
    if case.world == "jit":
        run_world = _jit
    return run_world(case, layer, nests, specs)


def _make_flag(training: Any) -> Any:
    """Returns a value of `training` that a world traces, or None."""
    return np.bool_(training == rules.TRACED[1]) if training in rules.TRACED else None


def _call_traced(case: Any, layer: Any, nest: Any, seed: Any) -> Any:
    """Calls a layer with a nest of `run`, which perhaps holds `training`."""
    *given, flag = nest
    training = case.calls[0][2] if flag is None else flag
    return call(case, layer, given, training, seed)


def _trace(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    structure: list[Any] = []

    def function(seed: Any, *leaves: Any) -> Any:
        mixed = _call_traced(case, layer, pack(nests[0], leaves), seed)
        structure[:] = [mixed]
        return [x for x in list_leaves(mixed) if x is not None]

    options: dict[str, Any] = {"jit_compile": True} if case.world == "XLA" else {}
    flat = [flatten(nest) for nest in nests]
    if case.world in rules.UNKNOWN:
        options["input_signature"] = [tf.TensorSpec((2,), tf.int32), *specs]
    traced = tf.function(function, **options)
    found = []
    for i, leaves in enumerate(flat):
        seed = tf.constant(wrap_seed(make_seed(case, i)), tf.int32)
        found.append(pack(structure, traced(seed, *leaves)))
    return [nest[0] for nest in found]


def _jit(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    """Calls `mix` in a function that JAX compiles once."""
    del specs
    structure: list[Any] = []

    def function(seed: Any, leaves: Any) -> Any:
        mixed = _call_traced(case, layer, pack(nests[0], leaves), seed)
        structure[:] = [mixed]
        return [x for x in list_leaves(mixed) if x is not None]

    compiled = compile_jax(function)
    found = []
    for i, nest in enumerate(nests):
        leaves = [x for x in list_leaves(nest) if x is not None]
        seed = np.array(wrap_seed(make_seed(case, i)), np.int32)
        found.append(pack(structure, compiled(seed, leaves))[0])
    return found


def flatten(nest: Any) -> list[Any]:
    """Returns the tensors of a nest, without None."""
    return [to_tensor(x) for x in list_leaves(nest) if x is not None]


def pack(nest: Any, leaves: Any) -> Any:
    """Returns a nest like another one with other leaves where that has any."""
    rest = iter(leaves)
    return map_leaves(lambda x: None if x is None else next(rest), nest)


def _make_specs(case: Any, batch: arrays.Given, nest: Any) -> list[Any]:
    """Returns the shapes of the leaves of a nest of `run`, as a world knows them."""

    def describe(key: str, x: Any) -> Any:
        known = case.world not in rules.UNKNOWN
        if x is None:
            return None
        if is_ragged(x):
            return ragged.describe(x, known=known)
        shape = list(np.shape(x))
        dtype = tf.string if x.dtype.kind in "SU" else x.dtype.name
        if not known:
            # A single column of ids or weights, or channel of a mask, is known.
            one = _find_single(case, key)
            shape = [n if i == one and n == 1 else None for i, n in enumerate(shape)]
        return tf.TensorSpec(shape, dtype)

    def describe_all(contents: Any) -> Any:
        return contents and {
            key: map_leaves(lambda x, key=key: describe(key, x), value)
            for key, value in contents.items()
        }

    parts, second = map(describe_all, (batch.contents, batch.second))
    indices, flag = (describe("", x) for x in (batch.indices, nest[-1]))
    found = (*arrays.Given(parts, second, indices).nests(case.form), flag)
    return [x for x in list_leaves(found) if x is not None]


def _find_single(case: Any, key: str) -> int | None:
    """Returns the axis of a part that has one entry, which is known."""
    if key in ("labels", "sample_weight"):
        return 1
    if key == "segmentation_masks":
        return 1 if arrays.channels_first(case) else len(case.calls[0][1]) + 1
    return None


def _map(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    flat = [flatten(nest) for nest in nests]
    seeds = [wrap_seed(make_seed(case, i)) for i in range(len(nests))]
    elements = [
        (tf.constant(s, tf.int32), *x) for s, x in zip(seeds, flat, strict=True)
    ]
    data = tf.data.Dataset.from_generator(
        lambda: iter(elements),
        output_signature=(tf.TensorSpec((2,), tf.int32), *specs),
    )
    if case.world == "mixing":
        return _mix(case, layer, data, nests[0])
    structure: list[Any] = []

    def function(seed: Any, *leaves: Any) -> Any:
        mixed = _call_traced(case, layer, pack(nests[0], leaves), seed)
        structure[:] = [mixed]
        return tuple(x for x in list_leaves(mixed) if x is not None)

    return [pack(structure, leaves)[0] for leaves in data.map(function)]


def _mix(case: Any, layer: Any, data: Any, nest: Any) -> list[Any]:
    """Returns the batches of a dataset that `mixing` is applied to."""
    data = data.map(lambda _, *leaves: arrays.wrap(case.form, pack(nest, leaves)[0]))
    return list(data.apply(msda.mixing(layer, seed=case.seed, epoch=EPOCH)))
