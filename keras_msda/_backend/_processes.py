"""What a process of its own sets up before its first computation."""

from typing import Any

import keras


def set_up_process(tf: Any, threads: int) -> None:
    """Has operations use some threads, and give the same result each time.

    Args:
        tf: TensorFlow.
        threads: Within one operation; operations run one after another.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    devices = tf.config.list_physical_devices("GPU")
    if keras.config.backend() != "tensorflow":
        # Pipelines alone run on TensorFlow, which must not take another's memory.
        tf.config.set_visible_devices([], "GPU")
        return
    tf.config.experimental.enable_op_determinism()
    for device in devices:  # Several processes share one.
        tf.config.experimental.set_memory_growth(device, True)
