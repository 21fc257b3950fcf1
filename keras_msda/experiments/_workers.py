"""Processes that do runs, one after another, and what they need to know.

A process imports TensorFlow once, and loads a data set when a run first needs it. After
some runs another one takes its place, since TensorFlow keeps some memory of each. The
parent alone writes lines, so that a worker can die at any moment.
"""

import contextlib
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import connection
from typing import Any, NamedTuple

from keras_msda import _errors, _start
from keras_msda.experiments._config import Run

#: A worker grows by some 30 MB per run of a small network; starting one takes seconds.
RUNS_PER_PROCESS = 20


class Job(NamedTuple):
    """What all runs of a worker have in common.

    Attributes:
        threads: Within one operation.
        places: Folders or zip files of data sets by name.
        stand_in: Whether digits stand for data sets that are not at hand.
        jit: Whether XLA compiles steps, which Keras refuses with deterministic ops.
    """

    threads: int
    places: Mapping[str, str]
    stand_in: bool
    jit: bool = False


class Result(NamedTuple):
    """What a worker returns for a run: values, or an error in words."""

    run: Run
    values: Mapping[str, Any] | None
    error: str | None


class _Worker(NamedTuple):
    process: Any
    pipe: Any
    left: int


def count_threads(workers: int) -> int:
    """Returns how many threads each of some workers has."""
    return max(1, (os.cpu_count() or 1) // workers)


def do_runs(runs: Sequence[Run], job: Job, *, workers: int) -> Iterator[Result]:
    """Does runs in processes, and yields each as it ends.

    Args:
        runs: The runs, begun in this order.
        job: What they have in common.
        workers: Number of processes.

    Yields:
        What each run gave.

    Raises:
        OSError: If a worker died, or a run failed.
    """
    waiting = list(reversed(runs))
    busy: dict[Any, tuple[_Worker, Run]] = {}
    context = multiprocessing.get_context("spawn")
    failure = None
    try:
        for _ in range(min(workers, len(runs))):
            _hand_on(_start_worker(context, job), waiting, busy)
        while busy:
            for pipe in connection.wait(list(busy)):
                worker, run = busy.pop(pipe)
                result = _receive(worker, run)
                if result.error is None:
                    yield result
                else:  # What the others have begun they may end.
                    failure = failure or result.error
                    waiting.clear()
                if waiting and worker.left == 1:
                    _hand_on(worker, [], busy)
                    worker = _start_worker(context, job)
                else:
                    worker = worker._replace(left=worker.left - 1)
                _hand_on(worker, waiting, busy)
    finally:
        for worker, _ in busy.values():
            worker.process.terminate()
    if failure is not None:
        _errors.fail_file(f"{failure} Finished runs are kept.", OSError)


def _start_worker(context: Any, job: Job) -> _Worker:
    """Starts a process that ignores the keyboard, as the parent ends it."""
    # TensorFlow would tell each time which devices it does not find.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, job), daemon=True)
    with _ignoring_interrupts():
        process.start()
    theirs.close()
    return _Worker(process, ours, RUNS_PER_PROCESS)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Has processes begin without the handler that would print a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _hand_on(
    worker: _Worker, waiting: list[Run], busy: dict[Any, tuple[_Worker, Run]]
) -> None:
    """Gives a worker the next run, or nothing to do any more."""
    run = waiting.pop() if waiting else None
    with contextlib.suppress(OSError):  # Of a dead worker; `_receive` tells.
        worker.pipe.send(run)
    if run is not None:
        busy[worker.pipe] = (worker, run)


def _receive(worker: _Worker, run: Run) -> Result:
    """Returns what a worker has found, or that it died."""
    try:
        result: Result = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        words = f"the worker of the run {run} ended by {reason}."
        hint = "Mostly memory is lacking then: use fewer --workers."
        return Result(run, None, f"{words} {hint}")
    if result.error is not None:
        return result._replace(error=f"the run {run} failed: {result.error}")
    return result


def serve(pipe: Any, job: Job) -> None:
    """Does the runs that come through a pipe, until there are no more.

    Args:
        pipe: Brings runs and takes results.
        job: What the runs have in common.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from keras_msda import _backend
    from keras_msda.experiments import _data, _trainer

    _backend.set_up_process(job.threads, deterministic=not job.jit)
    _start.IMPORTING.close()
    sources: dict[str, Any] = {}
    load = _data.load_stand_in if job.stand_in else _data.load_source
    for run in iter(pipe.recv, None):
        name = run.group.data
        try:
            if name not in sources:
                size = run.settings["image_size"]
                sources = {name: load(name, places=job.places, image_size=size)}
            values = _trainer.do_run(run, sources[name])
            pipe.send(Result(run, {**values, "versions": describe_machine(job)}, None))
        except Exception as error:  # Whatever it is, the parent words and reports it.
            words = " ".join(f"{type(error).__name__}: {error}".split())
            pipe.send(Result(run, None, words[:2000]))


def _end_with_parent() -> None:
    """Ends the process once the parent has died, in the middle of a run, too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def describe_machine(job: Job) -> dict[str, Any]:
    """Returns versions and what else of a machine changes the last digits."""
    import keras
    import numpy as np

    from keras_msda import __version__, _backend

    backend = keras.config.backend()
    # Keras has no list for PyTorch.
    devices = [] if backend == "torch" else keras.distribution.list_devices()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": _backend.get_tensorflow_ops().tf.__version__,
        "numpy": np.__version__,
        "keras_msda": __version__,
        "backend": backend,
        "device": str(devices[0]) if devices else "cpu",
        "threads": job.threads,
    }
