"""Where a case is called: what each world does with a layer and its batches."""

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_msda as msda
from keras_msda import _backend
from keras_msda.layers import METHODS
from tests.fuzz import contents as arrays
from tests.fuzz import rules
from tests.fuzz.reference import Plan

BACKEND = keras.config.backend()
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
#: Pipelines, which TensorFlow computes on every backend.
PIPELINES = ("map", "map, unknown shapes", "mixing")
EPOCH = 3
#: What TensorFlow raises about shapes that are not known before a graph runs.
LATE = tf.errors.InvalidArgumentError


def make_layer(case: Any) -> Any:
    """Returns the layer of a case."""
    if not case.members:
        return METHODS[case.method].layer(**case.arguments)
    members = [METHODS[name].layer(**given) for name, given in case.members]
    return msda.RandomMixLayer(members, **case.arguments)


def make_seed(case: Any, index: int) -> tuple[int, int]:
    """Returns the seed that a call of `mix` gets."""
    return case.seed, index - 1


# Tensors and arrays.


def to_tensors(nest: Any, convert: Callable[[Any], Any] | None = None) -> Any:
    """Returns a nest of arrays as a nest of tensors; None stays."""
    make = convert or tf.convert_to_tensor
    return map_leaves(lambda x: None if x is None else make(x), nest)


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


def to_array(x: Any) -> np.ndarray:
    """Returns a tensor of any library as an array of its dtype."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":
            return x.float().numpy().astype(arrays.as_dtype("bfloat16"))  # type: ignore[no-any-return]
    return np.asarray(x)


def _to_backend(x: Any) -> Any:
    """Returns an array as a tensor of Keras's backend, where it has the dtype."""
    if x.dtype.kind in "SU" or (BACKEND == "jax" and x.dtype.itemsize > 4):
        return x
    return keras.ops.convert_to_tensor(x, dtype=x.dtype.name)


# Plans.


def draw_plan(case: Any, layer: Any, contents: Any, index: int, seed: Any) -> Plan:
    """Returns the plan that a layer draws for a batch by a seed."""
    batch, size, _ = case.calls[index]
    given = _list_given(layer, contents)

    def draw(seed: Any, *values: Any) -> dict[str, Any]:
        more = dict(zip(given, values, strict=True))
        return _flat(layer.sample(batch, size or (1,), seed=seed, **more))

    if BACKEND == "tensorflow":
        found = draw(seed, *given.values())
    elif case.world in PIPELINES:
        seed = tf.constant(_wrap_seed(seed), tf.int32) if type(seed) is tuple else seed
        data = tf.data.Dataset.from_tensors((seed, *map(tf.constant, given.values())))
        found = next(iter(data.map(draw)))
    else:
        if BACKEND == "jax":
            known = _DRAWN.setdefault(layer, {})
            draw = known.setdefault((batch, size, *given), _compile(draw))
            seed = np.asarray(seed).astype(np.int32)
        found = draw(seed, *given.values())
    plan = Plan(**{name: to_array(value) for name, value in found.items()})
    return plan if size else plan._replace(mask=plan.mask[:, 0])


def _list_given(layer: Any, contents: Any) -> dict[str, Any]:
    """Returns what the plans of a layer depend on besides a seed."""
    given: dict[str, Any] = {}
    if layer.uses_saliency:
        if "saliency" in contents:
            given["saliency"] = contents["saliency"]
        if layer.uses_images or not given:
            given["images"] = contents["images"]
    if layer.pairing == "label_similarity":
        labels = contents["labels"]
        if labels.ndim > 2:  # The same distances, whatever the size of the images is.
            labels = labels.reshape(len(labels), math.prod(labels.shape[1:]))
        given["labels"] = labels
    return given


def _flat(plan: Any) -> dict[str, Any]:
    """Returns what a plan holds by the names of the reference."""
    found = {"partner": plan.partner, "mask": plan.mask, "weight": plan.weight}
    move, own = getattr(plan, "move", None), getattr(plan, "own_move", None)
    if move is not None:
        found["index"] = move.index
        if move.start is not None:
            found |= {"start": move.start, "scale": move.scale}
    if own is not None:
        found["own_index"] = own.index
    return found


def next_seeds(case: Any, layer: Any, count: int) -> list[Any]:
    """Returns the seeds of the layer's next draws, without drawing."""
    copy = type(layer).from_config(layer.get_config())
    copy._seed_state.assign(layer._seed_state.value)
    ops, state = _backend.get_backend_ops(), copy._seed_state
    if case.world in PIPELINES and BACKEND != "tensorflow":
        ops = _backend.get_tensorflow_ops()
        state = ops.make_variable(ops.make_seed_state(layer.seed))
        if layer._pipeline_state is not None:
            state.assign(layer._pipeline_state)
    return [ops.next_seed(state) for _ in range(count)]


def list_seeds(case: Any, layer: Any) -> list[Any]:
    """Returns the seed of each call of a world that draws one after another."""
    calls = range(len(case.calls))
    if case.world == "mixing":
        ops = _backend.get_tensorflow_ops()
        make = _backend.get_pipeline_ops().make_batch_seed
        return [
            tuple(ops.read_integers(make(case.seed, EPOCH, ops.convert(i))))
            for i in calls
        ]
    if case.plain:
        return next_seeds(case, layer, len(calls))
    return [make_seed(case, i) for i in calls]


# Calls.


def call(case: Any, layer: Any, arguments: Any, training: Any, seed: Any) -> Any:
    """Calls a layer as a case says."""
    if not case.plain:
        return layer.mix(arrays.wrap(case.form, arguments), seed=seed)
    if case.form in ("tuple", "list"):
        return layer(arrays.wrap(case.form, arguments), training=training)
    return layer(*arguments, training=training)


def call_eagerly(case: Any, layer: Any, nest: Any, index: int) -> Any:
    """Calls a layer with arrays or with tensors of Keras's backend."""
    training = case.calls[index][2]
    if training == "np":
        training = np.bool_(False)
    elif training == "tensor":
        training = keras.ops.convert_to_tensor(True)
    if (case.seed + index) % 2:
        nest = to_tensors(nest, _to_backend)
    return call(case, layer, nest, training, make_seed(case, index))


def run(case: Any, layer: Any, batches: Sequence[Any]) -> list[Any]:
    """Returns what a layer returns for all batches in a world other than eager.

    Args:
        case: The layer, the form of its batches and the world.
        layer: The layer.
        batches: The parts of each batch.
    """
    nests = [arrays.assemble(case.form, x) for x in batches]
    specs = list_leaves(arrays.assemble(case.form, _make_specs(case, batches[0])))
    run_world = _map if case.world in PIPELINES else _trace
    if case.world == "jit":
        run_world = _jit
    return run_world(case, layer, nests, [x for x in specs if x is not None])


def _trace(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    training = case.calls[0][2]
    structure: list[Any] = []

    def function(seed: Any, *leaves: Any) -> Any:
        nest = pack(nests[0], leaves)
        mixed = call(case, layer, nest, training, seed)
        structure[:] = [mixed]
        return [x for x in list_leaves(mixed) if x is not None]

    options: dict[str, Any] = {"jit_compile": True} if case.world == "XLA" else {}
    flat = [flatten(nest) for nest in nests]
    if case.world in rules.UNKNOWN:
        options["input_signature"] = [tf.TensorSpec((2,), tf.int32), *specs]
    traced = tf.function(function, **options)
    found = []
    for i, leaves in enumerate(flat):
        seed = tf.constant(_wrap_seed(make_seed(case, i)), tf.int32)
        found.append(pack(structure, traced(seed, *leaves)))
    return [nest[0] for nest in found]


def _jit(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    """Calls `mix` in a function that JAX compiles once."""
    del specs
    structure: list[Any] = []

    def function(seed: Any, leaves: Any) -> Any:
        nest = arrays.wrap(case.form, pack(nests[0], leaves))
        mixed = layer.mix(nest, seed=seed)
        structure[:] = [mixed]
        return [x for x in list_leaves(mixed) if x is not None]

    compiled = _compile(function)
    found = []
    for i, nest in enumerate(nests):
        leaves = [x for x in list_leaves(nest) if x is not None]
        seed = np.array(_wrap_seed(make_seed(case, i)), np.int32)
        found.append(pack(structure, compiled(seed, leaves))[0])
    return found


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that JAX compiles fast: run time does not count here."""
    import jax

    options = {
        "xla_backend_optimization_level": 0,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    return jax.jit(function, compiler_options=options)  # type: ignore[no-any-return]


#: How a layer draws its plans on JAX, compiled: by the layer and the batch.
_DRAWN: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def _wrap_seed(seed: tuple[int, int]) -> list[int]:
    return [int(np.int64(x).astype(np.int32)) for x in seed]


def flatten(nest: Any) -> list[Any]:
    """Returns the tensors of a nest, without None."""
    return [tf.convert_to_tensor(x) for x in list_leaves(nest) if x is not None]


def pack(nest: Any, leaves: Any) -> Any:
    """Returns a nest like another one with other leaves where that has any."""
    rest = iter(leaves)
    return map_leaves(lambda x: None if x is None else next(rest), nest)


def _make_specs(case: Any, contents: Any) -> Any:
    """Returns the shapes of the parts of a batch, as a world knows them."""

    def describe(key: str, x: Any) -> Any:
        if x is None:
            return None
        shape = list(x.shape)
        dtype = tf.string if x.dtype.kind in "SU" else x.dtype.name
        if case.world in rules.UNKNOWN:
            # A single column of ids or weights, or channel of a mask, is known.
            one = _find_single(case, key)
            shape = [n if i == one and n == 1 else None for i, n in enumerate(shape)]
        return tf.TensorSpec(shape, dtype)

    return {
        key: map_leaves(lambda x, key=key: describe(key, x), value)
        for key, value in contents.items()
    }


def _find_single(case: Any, key: str) -> int | None:
    """Returns the axis of a part that has one entry, which is known."""
    if key in ("labels", "sample_weight"):
        return 1
    if key == "segmentation_masks":
        return 1 if arrays.channels_first(case) else len(case.calls[0][1]) + 1
    return None


def _map(case: Any, layer: Any, nests: Sequence[Any], specs: Any) -> list[Any]:
    flat = [flatten(nest) for nest in nests]
    seeds = [_wrap_seed(make_seed(case, i)) for i in range(len(nests))]
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
    training = case.calls[0][2]

    def function(seed: Any, *leaves: Any) -> Any:
        mixed = call(case, layer, pack(nests[0], leaves), training, seed)
        structure[:] = [mixed]
        return tuple(x for x in list_leaves(mixed) if x is not None)

    return [pack(structure, leaves)[0] for leaves in data.map(function)]


def _mix(case: Any, layer: Any, data: Any, nest: Any) -> list[Any]:
    """Returns the batches of a dataset that `mixing` is applied to."""
    data = data.map(lambda _, *leaves: arrays.wrap(case.form, pack(nest, leaves)))
    return list(data.apply(msda.mixing(layer, seed=case.seed, epoch=EPOCH)))
