"""Experiments as the command line runs them: stops, resuming, exit codes."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from keras_msda import cli
from keras_msda.experiments import _running, _trainer, _workers
from tests.support import listening, odd_workers

ROOT = Path(_running.__file__).parents[2]


@pytest.fixture
def fake_runs(monkeypatch):
    """Has runs give made-up values at once; a function may fail some."""

    def do_runs(runs, job, *, workers):
        assert (job.threads, workers) == (_workers.count_threads(workers), workers)
        for run in runs:
            fake.check(run)
            fake.done.append(str(run))
            yield _workers.Result(run, odd_workers.values_of(run), None)

    class Fake:
        @staticmethod
        def check(run):
            """Does nothing."""

    fake = Fake()
    fake.done = []
    monkeypatch.setattr(_workers, "do_runs", do_runs)
    return fake


def run(path, *options):
    return cli.main(["experiment", str(path), *options])


def results(path, suffix=".jsonl"):
    return path.parent / "results" / f"{path.stem}{suffix}"


def test_lines_tables_and_picture_are_beside_the_config(
    write_config, fake_runs, capsys
):
    path = write_config()
    assert run(path) == 0
    assert len(results(path).read_text().splitlines()) == len(fake_runs.done) == 4
    assert results(path, ".md").read_text().startswith("# A test\n")
    assert results(path, ".png").read_bytes()[1:4] == b"PNG"
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("[1/4] none, seed 0 (mnist-5k, resnet8, 64 training")
    assert "50.00%, 1 s, " in shown[0]
    assert "The results are in" in shown[-1]


@pytest.mark.long
def test_finished_runs_are_not_done_again(write_config, fake_runs, capsys):
    path = write_config()
    run(path)
    before = results(path).read_bytes()
    assert run(path) == 0
    assert len(fake_runs.done) == 4
    assert run(write_config(seeds="[0, 1, 2]")) == 0
    assert len(fake_runs.done) == 6
    assert results(path).read_bytes().startswith(before)
    assert "[5/6] none, seed 2" in capsys.readouterr().out


def test_runs_of_one_row_are_done_alone(write_config, fake_runs, capsys):
    path = write_config()
    assert run(path, "--row", "mixup") == 0
    assert len(fake_runs.done) == 2
    assert "[2/2] mixup, seed 1" in capsys.readouterr().out
    assert run(path) == 0
    assert len(fake_runs.done) == 4
    assert "[4/4] none, seed 1" in capsys.readouterr().out


def test_an_unknown_row_is_one_line(write_config, fake_runs, capsys):
    path = write_config()
    assert run(path, "--row", "mixupp") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--row: unknown row. Received: 'mixupp'. Did you mean mixup?" in error
    assert not fake_runs.done


def test_runs_that_the_config_has_no_more_are_kept_and_noted(
    write_config, fake_runs, capsys
):
    run(write_config())
    path = write_config(seeds="[1]")
    assert run(path) == 0
    assert "2 lines of" in capsys.readouterr().err
    assert len(results(path).read_text().splitlines()) == len(fake_runs.done)
    assert "1 seed, 2 of 2 runs" in results(path, ".md").read_text()


def test_an_interrupt_keeps_what_is_finished(write_config, fake_runs):
    def check(run):
        if run.seed == 1:
            raise KeyboardInterrupt

    fake_runs.check = check
    path = write_config()
    assert run(path) == 130
    assert len(results(path).read_text().splitlines()) == 2
    assert "2 of 4 runs" in results(path, ".md").read_text()


def test_a_full_disk_is_an_error_with_nothing_lost(
    write_config, fake_runs, monkeypatch, capsys
):
    path = write_config()
    real = os.write

    def write(file, data):
        if len(fake_runs.done) < 3:
            return real(file, data)
        return real(file, data[:10])

    monkeypatch.setattr(os, "write", write)
    assert run(path) == 2
    error = capsys.readouterr().err
    assert "cannot write to" in error
    assert "the disk is full" in error
    monkeypatch.undo()
    rows = results(path).read_text().splitlines()
    assert [json.loads(row)["seed"] for row in rows] == [0, 0]


def test_errors_come_before_any_work(write_config, fake_runs, capsys):
    assert run(write_config(train_images=4001)) == 2
    assert "mnist-5k has 4000 pictures" in capsys.readouterr().err
    assert run(write_config(data="birds")) == 2
    assert "--data birds=PATH" in capsys.readouterr().err
    assert run(write_config(epochs="many")) == 2
    assert run(write_config().with_name("absent.yaml")) == 2
    assert fake_runs.done == []


def test_a_changed_config_changes_nothing(write_config, fake_runs, capsys):
    path = write_config()
    run(path)
    before = results(path).read_bytes()
    assert run(write_config(epochs=2)) == 2
    assert "epochs was 1 and is 2" in capsys.readouterr().err
    assert results(path).read_bytes() == before
    assert len(fake_runs.done) == 4


def test_tables_are_written_from_the_lines_alone(write_config, fake_runs):
    path = write_config()
    run(path)
    table = results(path, ".md").read_text()
    results(path, ".md").unlink()
    assert run(path, "--tables") == 0
    assert results(path, ".md").read_text() == table
    assert len(fake_runs.done) == 4


def test_a_check_keeps_nothing(write_config, fake_runs, capsys):
    path = write_config(data="[birds, mnist-5k]", seeds="[3, 4]", image_size=9)
    assert run(path, "--check") == 0
    assert len(fake_runs.done) == 4
    assert not results(path).parent.exists()
    shown = capsys.readouterr()
    assert "birds is not at hand: digits of 9x9 pixels stand for it" in shown.err
    assert "all 4 runs of the check have worked" in shown.out


@pytest.mark.parametrize(
    "options", [("--workers", "0"), ("--data", "birds"), ("--check", "--tables")]
)
def test_wrong_arguments_are_told(write_config, options):
    with pytest.raises(SystemExit) as caught:
        run(write_config(), *options)
    assert caught.value.code == 2


# Real processes.


@pytest.mark.slow
@pytest.mark.processes
def test_a_worker_that_dies_names_its_run_and_the_others_end(small, monkeypatch):
    monkeypatch.setattr(_workers, "serve", odd_workers.serve)
    job = _workers.Job(1, {}, False)
    runs = small.list_runs()[:3]
    results = _workers.do_runs(runs, job, workers=2)
    done = [str(next(results).run)]
    with pytest.raises(OSError, match=r"run mixup, seed 0 .* ended by signal 9.*kept"):
        done += [str(result.run) for result in results]
    # The first is slow enough that the second has died before.
    assert done == [str(runs[0])]


@pytest.mark.processes
def test_a_worker_is_replaced_after_some_runs(small, monkeypatch):
    monkeypatch.setattr(_workers, "serve", odd_workers.serve_process_ids)
    monkeypatch.setattr(_workers, "RUNS_PER_PROCESS", 2)
    runs = (3 * small.list_runs())[:5]
    results = list(_workers.do_runs(runs, _workers.Job(1, {}, False), workers=1))
    assert [result.run for result in results] == runs
    first, second, third, fourth, fifth = (x.values["process"] for x in results)
    assert first == second
    assert third == fourth
    assert len({first, third, fifth}) == 3


@contextlib.contextmanager
def running(path, out):
    """Runs the command line in a process of its own, and yields it."""
    command = listening.python("-m", "keras_msda", "experiment", str(path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        path.with_suffix(".log").open("ab") as log,
        subprocess.Popen(
            [*command, "--out", str(out)], env=environment, stdout=log, stderr=log
        ) as process,
    ):
        yield process
        process.wait()


def wait_for_lines(path, count, process):
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None
        time.sleep(0.05)


def read_without_seconds(path):
    lines = [json.loads(row) for row in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.slow
@pytest.mark.processes
def test_stopped_runs_go_on_to_the_lines_of_one_that_was_not(write_config, tmp_path):
    path = write_config("  cutmix:", seeds="[0]")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(path, "--out", str(whole)) == 0
    expected = read_without_seconds(whole / "small.jsonl")
    assert len(expected) == 3

    lines = parts / "small.jsonl"
    with running(path, parts) as process:
        wait_for_lines(lines, 1, process)
        process.kill()
    first = lines.read_bytes()
    with running(path, parts) as process:
        wait_for_lines(lines, first.count(b"\n") + 1, process)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert run(path, "--out", str(parts)) == 0
    assert lines.read_bytes().startswith(first)
    assert read_without_seconds(lines) == expected


@pytest.mark.slow
def test_methods_share_weights_order_and_pictures(small):
    """Two rows of the same kind of training give the same, to the last bit."""
    from keras_msda.experiments import _data

    source = _data.load_source("mnist-5k", places={})
    runs = {run.row: run for run in small.list_runs() if run.seed == 0}
    none = _trainer.do_run(runs["none"], source)
    # Mixing with probability 0 is no mixing.
    method = {"method": "mixup", "probability": 0.0}
    other = _trainer.do_run(runs["mixup"]._replace(method=method), source)
    assert none["curve"]["accuracy"] == other["curve"]["accuracy"]
    assert none["scores"]["nll"] == pytest.approx(other["scores"]["nll"], rel=1e-3)
