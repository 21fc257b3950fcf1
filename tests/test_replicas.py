"""Strategies that need processes of their own: four replicas, and two workers."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_equal

from tests.test_handoff import EXACT, assert_handed_off

pytestmark = pytest.mark.tensorflow


def start(kind, **environment):
    command = [sys.executable, "-m", "tests.replica_worker", kind]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def outputs(processes, seconds=240):
    """Returns what processes print, and ends those that take too long."""
    try:
        found = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for process, (_, errors) in zip(processes, found, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [json.loads(text.splitlines()[-1]) for text, _ in found]


def test_four_replicas_hand_off_exactly():
    (history,) = outputs([start("mirrored")])
    assert_handed_off(history)


def two_workers():
    """Returns what two workers on this machine drew."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in "ab"]
        for each in sockets:
            each.bind(("localhost", 0))
        ports = [each.getsockname()[1] for each in sockets]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return outputs(
        [
            start(
                "worker",
                TF_CONFIG=json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
            )
            for index in range(2)
        ]
    )


def test_replicas_in_two_processes_draw_their_own_numbers_from_one_seed():
    first, second = two_workers()
    assert max(first["losses"] + second["losses"]) < EXACT
    own, other = np.array(first["weights"]), np.array(second["weights"])
    assert np.all(own != other)
    # And the same after a restart.
    assert_equal([found["weights"] for found in two_workers()], [own, other])
