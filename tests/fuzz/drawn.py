"""Plans and seeds that a layer draws: all that the reference takes from the library."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_msda import _backend, _checks, plans
from keras_msda.layers import _content, _planning
from keras_msda.masks import _factored
from tests.fuzz import contents as arrays
from tests.fuzz.reference import Plan, beside

BACKEND = keras.config.backend()
#: Pipelines, which TensorFlow computes on every backend.
PIPELINES = ("map", "map, unknown shapes", "mixing")
EPOCH = 3


def make_seed(case: Any, index: int) -> tuple[int, int]:
    """Returns the seed that a call of `mix` gets."""
    return case.seed, index - 1


def wrap_seed(seed: tuple[int, int]) -> list[int]:
    """Returns a seed pair as integers of 32 bits."""
    return [int(np.int64(x).astype(np.int32)) for x in seed]


def to_array(x: Any) -> np.ndarray:
    """Returns a tensor of any library as an array of its dtype."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":
            return x.float().numpy().astype(arrays.as_dtype("bfloat16"))  # type: ignore[no-any-return]
    return np.asarray(x)


def compile_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that JAX compiles fast: run time does not count here."""
    import jax

    options = {
        "xla_backend_optimization_level": 0,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    return jax.jit(function, compiler_options=options)  # type: ignore[no-any-return]


# Plans.

#: How a layer draws its plans, traced once: by the layer and the batch.
_DRAWN: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def draw_plan(case: Any, layer: Any, contents: Any, index: int, seed: Any) -> Plan:
    """Returns the plan that a layer draws for a batch by a seed.

    Args:
        case: The layer and its calls.
        layer: The layer.
        contents: The parts of the batch, followed by those of a second one if that
            holds the partners: the plan then is one for both, as if they were one.
        index: Number of the call.
        seed: Seed pair.
    """
    batch, size, _ = case.calls[index]
    kind = case.partner and case.partner["kind"]
    given = _list_given(layer, contents)
    if kind == "indices":
        given["partner"] = arrays.make_indices(case, index)

    def draw(seed: Any, *values: Any) -> dict[str, Any]:
        more = dict(zip(given, values, strict=True))
        if kind:
            return _flat(_draw_given(layer, batch, size or (1,), seed, **more))
        return _flat(layer.sample(batch, size or (1,), seed=seed, **more))

    known, key = _DRAWN.setdefault(layer, {}), (batch, size, *given)
    if BACKEND == "tensorflow":
        if "labels" in given and case.world != "eager":
            # Wrong class ids are refused eagerly alone.
            draw = known.setdefault(key, tf.function(draw, autograph=False))
            seed = tf.constant(wrap_seed(seed)) if type(seed) is tuple else seed
        found = draw(seed, *given.values())
    elif case.world in PIPELINES:
        seed = tf.constant(wrap_seed(seed), tf.int32) if type(seed) is tuple else seed
        data = tf.data.Dataset.from_tensors((seed, *map(tf.constant, given.values())))
        found = next(iter(data.map(draw)))
    else:
        if BACKEND == "jax":
            draw = known.setdefault(key, compile_jax(draw))
            seed = np.asarray(seed).astype(np.int32)
        found = draw(seed, *given.values())
    plan = Plan(**{name: to_array(value) for name, value in found.items()})
    plan = plan if size else plan._replace(mask=plan.mask[:, 0])
    return beside(plan) if kind == "batch" else plan


def _draw_given(
    layer: Any, batch: int, size: Any, seed: Any, *, partner: Any = None, **given: Any
) -> Any:
    """Returns a plan with partners at some indices, or in a second batch."""
    seed = _checks.check_seed_pair(type(layer).__name__, seed)
    ops = _backend.get_ops(seed)
    if _backend.in_foreign_pipeline(seed):
        seed = ops.convert(seed, "int64")
    count = batch if partner is not None else 2 * batch
    layout = plans.Layout(count, size, layer.data_format)
    plan = _planning.draw_plan(
        layer,
        batch,
        layer._masked(size),
        seed=seed,
        partner=_planning.SECOND if partner is None else ops.convert(partner),
        content=_content.convert_content(layer, layout, given),
    )
    plan = layer._expand_plan(plan, size)
    return plan._replace(mask=_factored.to_dense(plan.mask, size))


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


# Seeds, and what else a layer keeps.


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


def read_state(layer: Any) -> list[list[int]]:
    """Returns where the sequences of draws are, and what the layer remembers."""
    state = [layer._seed_state.value, layer._memory.variable.value]
    state += [layer._memory.recall()]
    if layer._pipeline_state is not None:
        state.append(layer._pipeline_state)
    return [to_array(x).tolist() for x in state]
