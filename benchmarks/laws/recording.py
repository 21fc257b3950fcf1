"""Records what layers draw in many steps: lambda, partners, centres, coins.

A step is one call of a layer with one batch. The layer's own code draws the plan of
each step from the step's seed pair; what its parts return on the way is kept.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_msda as msda
from keras_msda import _backend, sampling
from keras_msda.layers import _planning
from keras_msda.masks import box

#: Steps in one call of a compiled function.
BLOCK = 1_000
#: Continuous numbers in [0, 1) are noted as whole multiples of 1 / LEVELS.
LEVELS = 2**16
#: Weights are noted as whole multiples of 1 / WEIGHTS.
WEIGHTS = 2**24
BATCH, SIZE = 128, (32, 32)

Draws = dict[str, np.ndarray]


def compile_map(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a compiled function of seed pairs `(steps, 2)`, one step at a time.

    Args:
        function: From a seed pair to an int32 tensor.
    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True, autograph=False)
        def run(seeds: Any) -> Any:
            return tf.map_fn(function, seeds, fn_output_signature=tf.int32)

    else:
        import jax

        @jax.jit
        def run(seeds: Any) -> Any:
            return jax.lax.map(function, seeds)

    def run_all(seeds: np.ndarray) -> np.ndarray:
        steps = len(seeds)
        block = min(BLOCK, 2 ** (steps - 1).bit_length())
        # Of whole blocks, since each new shape would be compiled anew.
        seeds = np.resize(seeds, (-(-steps // block) * block, 2)).astype("int32")
        parts = [
            np.asarray(run(keras.ops.convert_to_tensor(seeds[start : start + block])))
            for start in range(0, len(seeds), block)
        ]
        return np.concatenate(parts)[:steps]

    return run_all


@contextmanager
def note_draws(noted: dict[str, Any]) -> Iterator[None]:
    """Keeps what the parts of a layer draw while it draws a plan.

    Args:
        noted: Filled with lambda, partners, the box, and a list of all uniforms, of
            which the last is the coin.
    """

    def spy(module: Any, name: str, keep: Callable[[Any], None]) -> Any:
        original = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            keep(result)
            return result

        return mock.patch.object(module, name, call)

    noted["uniforms"] = []
    with (
        spy(sampling, "sample_lam", lambda x: noted.update(lam=x)),
        spy(sampling, "sample_partners", lambda x: noted.update(partner=x.partner)),
        spy(sampling, "sample_uniform", noted["uniforms"].append),
        spy(box, "box_center", lambda x: noted.update(center=x)),
        spy(box, "pick_sides", lambda x: noted.update(side=x)),
    ):
        yield


class Recorder:
    """Records the draws of a layer, step by step.

    Args:
        layer: The layer; its lambda is uniform, or there is none.
        batch: Number of samples.
        size: Spatial lengths of the images.
    """

    def __init__(
        self, layer: Any, batch: int = BATCH, size: tuple[int, ...] = SIZE
    ) -> None:
        self._layer, self._batch, self._size = layer, batch, size
        self._names: list[str] = []
        self._run = compile_map(self._draw)

    def __call__(self, seeds: np.ndarray) -> Draws:
        """Returns what the steps of some seed pairs draw, by name `(steps, batch)`.

        - "lam" and "coin", in units of 1 / LEVELS
        - "partner", before the coin decides, and "mixed", what it decided
        - "center 0", "side 0", ... of boxes and bumps, in pixels
        - "weight", in units of 1 / WEIGHTS
        """
        found = self._run(seeds)
        kinds = {"weight": "int32"}
        return {
            name: found[:, number].astype(kinds.get(name, "uint16"))
            for number, name in enumerate(self._names)
        }

    def _draw(self, seed: Any) -> Any:
        noted: dict[str, Any] = {}
        layer, batch = self._layer, self._batch
        with note_draws(noted):
            plan = _planning.draw_plan(
                layer, batch, self._size, seed=seed, masked=False
            )
        ops = _backend.get_ops(seed)
        rows = {"partner": noted["partner"]}
        rows["mixed"] = ops.cast(plan.partner != ops.arange(batch), "int32")
        rows["weight"] = ops.truncate(plan.weight * float(WEIGHTS))
        rows["coin"] = ops.truncate(noted["uniforms"][-1] * float(LEVELS))
        if "lam" in noted:
            rows["lam"] = ops.truncate(noted["lam"] * float(LEVELS))
        for name in {"center", "side"} & noted.keys():
            for axis in range(len(self._size)):
                rows[f"{name} {axis}"] = noted[name][:, axis]
        # What a pair or a batch shares is not that of one sample.
        rows = {k: x for k, x in sorted(rows.items()) if tuple(x.shape) == (batch,)}
        self._names = list(rows)
        return ops.stack([ops.cast(x, "int32") for x in rows.values()])


@functools.cache
def _start_sequence() -> tuple[Any, Callable[[int], np.ndarray]]:
    """Returns a layer, and the function that draws its next seed pairs."""
    layer = msda.MixUpLayer(seed=0)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def run(steps: Any) -> Any:
            return tf.map_fn(layer._next_seed, tf.range(steps))

        return layer, lambda steps: run(tf.constant(steps)).numpy()
    import jax

    state = layer._seed_state

    def step(value: Any, _: Any) -> tuple[Any, Any]:
        with keras.StatelessScope([(state, value)]) as scope:
            seed = layer._next_seed(value)
            return scope.get_current_value(state), seed

    scan = jax.jit(lambda x, n: jax.lax.scan(step, x, None, n), static_argnums=1)
    return layer, lambda steps: np.asarray(scan(state.value, steps)[1])


def draw_sequence(seed: int, steps: int) -> np.ndarray:
    """Returns the seed pairs of a layer's first steps, int32 `(steps, 2)`.

    Args:
        seed: The layer's.
        steps: How many.
    """
    layer, run = _start_sequence()
    layer._seed_state.assign(_backend.get_backend_ops().make_seed_state(seed))
    return run(steps)


@functools.cache
def _start_replicas() -> tuple[Any, Callable[[int], np.ndarray]]:
    """Returns a layer on two replicas, and what draws their next seed pairs."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = msda.MixUpLayer(seed=0)

    @tf.function(autograph=False)
    def run(steps: Any) -> Any:
        def replica() -> Any:
            return tf.map_fn(layer._next_seed, tf.range(steps))

        return strategy.experimental_local_results(strategy.run(replica))

    return layer, lambda steps: np.stack([x.numpy() for x in run(tf.constant(steps))])


def draw_replicas(seed: int, steps: int) -> np.ndarray:
    """Returns the seed pairs of two replicas' first steps, int32 `(2, steps, 2)`."""
    layer, run = _start_replicas()
    layer._seed_state.assign(_backend.get_backend_ops().make_seed_state(seed))
    return run(steps)


def draw_epochs(seed: int, epoch: int, steps: int) -> np.ndarray:
    """Returns the seed pairs that `mixing` gives to the batches of an epoch."""
    return _start_epochs()(seed, epoch, steps)


@functools.cache
def _start_epochs() -> Callable[[int, int, int], np.ndarray]:
    import tensorflow as tf

    ops = _backend.get_pipeline_ops()

    @tf.function(autograph=False)
    def run(seed: Any, epoch: Any, steps: Any) -> Any:
        return tf.map_fn(
            lambda number: ops.make_batch_seed(seed, epoch, number),
            tf.range(steps, dtype=tf.int64),
            fn_output_signature=tf.int32,
        )

    return lambda seed, epoch, steps: run(
        *(tf.constant(x, tf.int64) for x in (seed, epoch, steps))
    ).numpy()
