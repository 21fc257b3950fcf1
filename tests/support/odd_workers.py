"""Workers that train nothing: values of runs at once, and a process that is killed."""

import os
import signal
import time

from keras_msda.experiments import _workers


def values_of(run):
    """Returns what a run might give."""
    levels = run.settings["scores"]
    robust = {name: {f"{x:g}": 0.25 for x in each} for name, each in levels.items()}
    clean = {"accuracy": 0.5 + 0.01 * run.seed, "nll": 1.0, "ece": 0.1}
    return {
        "curve": {"loss": [1.0], "accuracy": [0.5]},
        "scores": {**clean, "unchanged": {"0": 0.5}, **robust},
        "seconds": 1.0,
        "versions": {
            "python": "3",
            "keras": "3",
            "tensorflow": "2",
            "numpy": "2",
            "keras_msda": "0",
            "backend": "tensorflow",
            "device": "cpu:0",
            "threads": 1,
        },
    }


def serve(pipe, job):
    """Does runs as a worker would, and dies of the first that mixes."""
    assert job.threads == 1
    for run in iter(pipe.recv, None):
        if run.row != "none":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3)
        pipe.send(_workers.Result(run, values_of(run), None))


def serve_process_ids(pipe, job):
    """Gives the number of the process as the values of each run."""
    assert job.threads == 1
    for run in iter(pipe.recv, None):
        pipe.send(_workers.Result(run, {"process": os.getpid()}, None))
