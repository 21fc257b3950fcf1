"""Two threads and two logical devices, before TensorFlow makes any."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Eight devices of JAX, where it computes, stand for accelerators.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import keras
import pytest
import tensorflow as tf

from tests.support.thinning import thinned

tf.config.threading.set_inter_op_parallelism_threads(2)
tf.config.threading.set_intra_op_parallelism_threads(2)
# MirroredStrategy over two CPUs stands for two accelerators.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
# Beside another backend TensorFlow runs pipelines, and must not take a GPU's memory.
if keras.config.backend() != "tensorflow":
    tf.config.set_visible_devices([], "GPU")


def pytest_addoption(parser):
    """Adds what most targets of the Makefile are thinned by."""
    words = "run at most this many cases of each test, those that show most"
    parser.addoption("--most-cases", type=int, metavar="N", help=words)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out what is for another backend, and cases beyond `--most-cases`."""
    # Left out and not skipped: on this backend they are no tests at all.
    absent = "others" if keras.config.backend() == "tensorflow" else "tensorflow"
    items[:] = [x for x in items if not x.get_closest_marker(absent)]
    result = yield  # To what leaves tests out by their marks.
    if most := config.getoption("--most-cases"):
        # JAX compiles each operation anew for each shape, which takes its time.
        whole = keras.config.backend() == "tensorflow"
        items[:] = thinned(items, most, whole=whole)
    return result


# What imports another backend's library belongs to a process of that backend.
collect_ignore = [
    f"test_{name}.py" for name in ("jax", "torch") if name != keras.config.backend()
]
# A program, and what needs a library that `make mutate` installs.
collect_ignore += ["support/replica_worker.py", "mutate/mutants.py"]


if keras.config.backend() == "jax":
    import jax

    # Linux gives a process 65,530 memory maps, of which each compiled function takes
    # some; without any left LLVM crashes.
    MAPS, MOST_MAPS = Path("/proc/self/maps"), 40_000

    @pytest.fixture(autouse=True)
    def spare_maps():
        """Forgets compiled functions before there are too many."""
        yield
        if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
            jax.clear_caches()


@pytest.fixture(scope="session")
def two_replicas():
    """The one MirroredStrategy of the process.

    A second one counts its collective operations from the start again, and TensorFlow
    2.21 takes them for those of the first: "Shape mismatch in the collective instance".
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
