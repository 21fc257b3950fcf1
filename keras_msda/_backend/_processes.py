"""What a process of its own sets up before its first computation."""

from typing import Any

import keras


def set_up_process(tf: Any, threads: int, *, deterministic: bool) -> None:
    """Has operations use some threads, and give the same result each time.

    Args:
        tf: TensorFlow.
        threads: Within one operation; operations run one after another.
        deterministic: Whether operations that would not do so are replaced. Keras 3.15
            then compiles nothing by XLA, with a warning.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # It warns of a function that is traced several times: each new model is.
    tf.get_logger().setLevel("ERROR")
    devices = tf.config.list_physical_devices("GPU")
    if keras.config.backend() != "tensorflow":
        # Pipelines alone run on TensorFlow, which must not take another's memory.
        tf.config.set_visible_devices([], "GPU")
        return
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    for device in devices:  # Several processes share one.
        tf.config.experimental.set_memory_growth(device, True)
