"""The file of finished runs: what it survives, and what it refuses."""

import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from keras_msda.experiments import _config, _lines


@pytest.fixture
def store(tmp_path):
    with _lines.Store(tmp_path / "small.jsonl") as opened:
        yield opened


@pytest.fixture
def filled(store, small, make_lines):
    lines = make_lines(small)
    for line in lines:
        store.append(line)
    return lines


def as_json(lines):
    return json.loads(json.dumps(lines))


def test_lines_come_back_as_they_were(store, filled):
    assert _lines.read_lines(store.path) == as_json(filled)
    assert store.path.read_bytes().count(b"\n") == len(filled)
    assert store.repair() is None


def test_finished_runs_are_skipped(store, filled, small):
    runs = small.list_runs()
    done = _lines.match_lines(store.path, as_json(filled[:3]), runs)
    assert _lines.list_missing(runs, done.ours) == runs[3:]
    assert done.others == 0


def test_a_line_that_was_cut_off_is_put_aside(store, filled):
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-20])
    kept = as_json(filled[:-1])
    assert _lines.read_lines(store.path) == kept
    note = store.repair()
    assert "was cut off" in note
    last = whole.splitlines()[-1]
    assert store.path.with_name("small.jsonl.cut").read_bytes() == last[:-19] + b"\n"
    assert store.path.read_bytes() == b"".join(whole.splitlines(True)[:-1])
    store.append(filled[-1])
    assert _lines.read_lines(store.path) == as_json(filled)


@pytest.mark.parametrize("cut", range(1, 400, 37))
def test_a_line_may_be_cut_anywhere(store, filled, cut):
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-cut])
    store.repair()
    done = _lines.read_lines(store.path)
    assert len(done) == len(filled) - (cut > 1)
    for line in filled[len(done) :]:
        store.append(line)
    assert store.path.read_bytes() == whole


def test_a_damaged_line_elsewhere_is_told_and_nothing_changed(store, filled):
    rows = store.path.read_bytes().splitlines(True)
    rows[1] = rows[1][:-30] + b"\n"
    store.path.write_bytes(b"".join(rows))
    with pytest.raises(ValueError, match=r"line 2 of .*small\.jsonl is damaged"):
        _lines.read_lines(store.path)
    assert store.path.read_bytes() == b"".join(rows)
    assert len(filled) == 4


def test_a_run_that_is_there_twice_is_told(store, filled):
    store.append(filled[1])
    with pytest.raises(ValueError, match=r"lines 2 and 5 of .* the same run"):
        _lines.read_lines(store.path)


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"epochs": 2}, r"epochs was 1 and is 2 now \(row none, seed 0\).*--out"),
        ({"scores": "{fgsm: [3], noise: [0.1]}"}, r"scores was .*4.* and is .*3"),
    ],
)
def test_lines_of_another_config_are_told(
    store, filled, write_config, changes, pattern
):
    runs = _config.read_config(write_config(**changes)).list_runs()
    with pytest.raises(ValueError, match=pattern):
        _lines.match_lines(store.path, as_json(filled), runs)


def test_a_changed_option_of_a_method_is_told(store, filled, write_config):
    path = write_config()
    path.write_text(path.read_text().replace("  mixup:", "  mixup: {alpha: 0.2}"))
    runs = _config.read_config(path).list_runs()
    with pytest.raises(ValueError, match=r"method was .* and is .*0\.2.*row mixup"):
        _lines.match_lines(store.path, as_json(filled), runs)


def test_a_config_may_grow(store, filled, write_config):
    path = write_config(seeds="[0, 1, 2]", data="[mnist-5k, mnist]", title="Another")
    path.write_text(path.read_text() + "  cutmix:\n")
    runs = _config.read_config(path).list_runs()
    known = _lines.match_lines(store.path, as_json(filled), runs)
    assert (len(known.ours), known.others) == (4, 0)
    assert len(_lines.list_missing(runs, known.ours)) == 2 * 3 * 3 - 4


def test_lines_that_a_config_has_no_more_are_counted(store, filled, write_config):
    runs = _config.read_config(write_config(seeds="[1]")).list_runs()
    known = _lines.match_lines(store.path, as_json(filled), runs)
    assert (len(known.ours), known.others) == (2, 2)


# Full disks.


@pytest.mark.parametrize("kind", ["short", "error after a part", "error"])
def test_a_full_disk_loses_nothing(store, filled, monkeypatch, kind):
    before = store.path.read_bytes()
    real = os.write

    def write(file, data):
        if kind != "error":
            real(file, data[:25])
        if kind == "short":
            return 25
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_lines.os, "write", write)
    with pytest.raises(OSError, match=r"cannot write to .*are kept"):
        store.append(filled[0])
    assert store.path.read_bytes() == before
    monkeypatch.undo()
    store.append({**filled[0], "seed": 7})
    assert len(_lines.read_lines(store.path)) == len(filled) + 1


def test_a_real_limit_of_the_file_loses_nothing(store, filled):
    before = store.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="cannot write to"):
            store.append({**filled[0], "seed": 7})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.path.read_bytes() == before


def test_each_line_is_one_write_that_is_brought_to_the_disk(store, filled, monkeypatch):
    calls = []
    real = os.write, os.fsync
    monkeypatch.setattr(
        _lines.os, "write", lambda *x: calls.append("write") or real[0](*x)
    )
    monkeypatch.setattr(
        _lines.os, "fsync", lambda *x: calls.append("fsync") or real[1](*x)
    )
    store.append({**filled[0], "seed": 7})
    assert calls == ["write", "fsync"]


def test_a_number_that_json_lacks_is_refused(store, filled):
    with pytest.raises(ValueError, match="JSON compliant"):
        store.append({**filled[0], "seconds": float("nan")})


# Two processes.

SECOND = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from keras_msda.experiments import _lines
try:
    _lines.Store(Path(sys.argv[1]))
except OSError as error:
    print(error)
"""


def test_a_second_store_is_refused_until_the_first_is_closed(tmp_path):
    path = tmp_path / "a.jsonl"
    with _lines.Store(path):
        with pytest.raises(OSError, match="another process writes to"):
            _lines.Store(path)
    with _lines.Store(path):
        pass


@pytest.mark.slow
@pytest.mark.processes
def test_a_second_process_is_refused(store):
    root = os.fspath(_lines.Path(_lines.__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", SECOND, store.path, root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "another process writes to" in found.stdout
