"""The devices of a machine, and how a run is spread over them."""

import contextlib
import functools
from typing import Any

import keras

from keras_msda import _backend, _errors


def use_devices(devices: str | None) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which models are built, compiled and trained.

    With several devices each trains on an equal part of every batch, and normalises it
    by the statistics of that part under TensorFlow, of the whole batch under JAX.

    Args:
        devices: "all" for all that Keras uses by default, or None for one.

    Returns:
        That of `keras.distribution.DataParallel` on JAX, of `TPUStrategy` or
        `MirroredStrategy` on TensorFlow, and one that does nothing with one device.

    Raises:
        ValueError: If Keras cannot spread batches on its backend.
    """
    spread = None if devices is None else _find_spread()
    return contextlib.nullcontext() if spread is None else spread.scope()


@functools.cache
def _find_spread() -> Any:
    """Returns what spreads batches over all devices; None with one device.

    There is one for a process: a second MirroredStrategy counts its collective
    operations from the start again, and TensorFlow takes them for those of the first.
    """
    backend = keras.config.backend()
    if backend == "jax":
        several = len(keras.distribution.list_devices()) > 1
        return keras.distribution.DataParallel() if several else None
    if backend == "tensorflow":
        return _find_strategy(_backend.get_tensorflow_ops().tf)
    _errors.fail(
        "experiment",
        "`devices: all` needs JAX or TensorFlow as Keras's backend.",
        f"KERAS_BACKEND={backend}",
        "Leave `devices` out, or set KERAS_BACKEND=jax.",
    )


def _find_strategy(tf: Any) -> Any:
    """Returns TensorFlow's strategy for all TPUs, or for all GPUs or else CPUs."""
    if tf.config.list_physical_devices("TPU"):
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    names = keras.distribution.list_devices()
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None
