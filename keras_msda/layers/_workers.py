"""Which process a layer's sequence of draws belongs to.

A worker process gets a copy of a layer and of the state of its draws, so that all
workers, and each epoch that starts them again, would draw the same. A layer therefore
remembers its process, and starts a sequence of its own in another one.
"""

import os
import sys
from collections.abc import Callable
from multiprocessing import context
from typing import Any

import numpy as np

from keras_msda import _backend


class _Process:
    """What tells this process from others: a number, which forks draw anew.

    Containers may have processes of the same id.
    """

    number = 0

    @classmethod
    def renew(cls) -> None:
        """Draws another number."""
        cls.number = int.from_bytes(os.urandom(7), "little")


_Process.renew()
if hasattr(os, "register_at_fork"):  # Windows has no forks.
    os.register_at_fork(after_in_child=_Process.renew)


def unpickled(make: Callable[..., Any], arguments: Any, owner: int) -> Any:
    """Returns a layer that was pickled by a process, perhaps another one."""
    layer = make(*arguments)
    layer._owner = owner
    return layer


def current() -> int:
    """Returns what tells this process from others."""
    return _Process.number


def mark(store: Any) -> None:
    """Notes this process in a file that is a pickle for a worker that starts.

    A model is pickled as a file, and what it holds with it. Other files are no copies:
    who loads one goes on with the sequence.
    """
    if context.get_spawning_popen() is not None:
        store["process"] = np.int64(current())


def marked(store: Any) -> int:
    """Returns the process that a file was pickled by, else this one."""
    if "process" not in store.keys():
        return current()
    return int(np.asarray(store["process"]))


def settle(layer: Any) -> None:
    """Has a copy in another process begin a sequence of its own."""
    ops = _backend.get_backend_ops()
    if ops.in_torch_compile() or layer._owner == current():
        return
    # Whoever passes a state knows whose it is.
    if ops.has_passed_value(layer._seed_state):
        return
    layer._start = _new_seed(layer.seed)
    with ops.init_scope():
        layer._seed_state.assign(ops.make_seed_state(layer._start))
    layer._pipeline_state = None
    layer._owner = current()


def start(layer: Any) -> int:
    """Returns the seed that a layer's draws in this process begin with."""
    return int(layer.seed if layer._start is None else layer._start)


def _new_seed(seed: int) -> int:
    """Returns a seed of this process: of PyTorch's for a worker, else any.

    PyTorch gives each worker and epoch another one, which `torch.manual_seed` fixes.
    """
    torch = sys.modules.get("torch.utils.data")
    worker = torch and torch.get_worker_info()
    own = worker.seed if worker else int.from_bytes(os.urandom(8), "little")
    words = np.random.SeedSequence([own % 2**64, seed % 2**64]).generate_state(1, "u8")
    return int(words.view("int64")[0])
