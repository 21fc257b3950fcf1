"""Strategies that need processes of their own: four replicas, and two workers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_equal

from tests.support.handing_off import EXACT, assert_handed_off

pytestmark = pytest.mark.tensorflow


def start(*arguments, **environment):
    command = [sys.executable, "-m", "tests.support.replica_worker", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def finish(processes, seconds=240):
    """Waits for processes; returns exit statuses, last lines and errors."""
    try:
        found = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    pairs = zip(processes, found, strict=True)
    return [(x.returncode, out.splitlines()[-1:], err) for x, (out, err) in pairs]


def outputs(processes):
    """Returns what processes print, which must all end well."""
    found = finish(processes)
    for status, _, errors in found:
        assert status == 0, errors[-2000:]
    return [json.loads(line) for _, (line,), _ in found]


@pytest.mark.xla
def test_four_replicas_hand_off_exactly():
    (history,) = outputs([start("mirrored")])
    assert_handed_off(history)


def two_workers(folder, killed=-1):
    """Starts two workers on this machine, the second to be killed in some step."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in "ab"]
        for each in sockets:
            each.bind(("localhost", 0))
        ports = [each.getsockname()[1] for each in sockets]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        death = str(killed if index else -1)
        worker = start("worker", str(folder), death, TF_CONFIG=json.dumps(task))
        processes.append(worker)
    return processes


@pytest.mark.xla
def test_replicas_in_two_processes_draw_their_own_numbers_and_go_on(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    first, second = outputs(two_workers(whole))
    assert max(loss for _, loss, _ in first + second) < EXACT
    own, other = (np.array([drawn for *_, drawn in steps]) for steps in (first, second))
    assert np.all(own != other)
    # One of two is killed in step 2: the other ends with an error and does not wait.
    alone, killed = finish(two_workers(parts, killed=2))
    assert_equal(killed[0], -signal.SIGKILL)
    assert alone[0] > 0
    assert "unhealthy" in alone[2] or "task:1" in alone[2], alone[2][-2000:]
    # Both are started again, and go on as if nothing had happened.
    before = [json.loads(line) for _, (line,), _ in (alone, killed)]
    after = outputs(two_workers(parts))
    assert_equal([len(steps) for steps in before + after], [2, 2, 2, 2])
    assert_equal([x + y for x, y in zip(before, after, strict=True)], [first, second])
