"""Which tests a mutant meets: those that run its line, the quickest first.

Which test runs which line is found once, with the unchanged library. TensorFlow runs
the Python of a compiled function while it traces, so those lines count too.
"""

import collections
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest

from tests.mutate import children

ROOT = children.ROOT
#: As `make test-fast` and `make test` choose tests.
TEST = "not xla and not processes and not notebook"
FAST = f"{TEST} and not slow and not long"
#: Seconds of CPU time after which no more of a module's own tests are begun, of others,
#: and of slow ones. A line that all layers run would meet all tests there are: with
#: these limits fewer mutants are killed than could be, and far more are run in an hour.
OWN, OTHERS, SLOW = 60, 30, 45
#: What pytest returns if no test failed; without tests too.
FINE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
#: How many files of tests stand for a module that has none of its name.
FEW = 3


class Map(NamedTuple):
    """What the unchanged library's tests did."""

    seconds: dict[str, float]  # of each test that passed
    failed: list[str]
    #: For each file below the package and each of its lines, the tests that ran it.
    lines: dict[str, dict[str, list[int]]]

    def tests_of(self, path: str, lines: Iterable[int]) -> set[str]:
        """Returns the tests that run one of some lines, or any if none are given."""
        by_line, names = self.lines.get(path, {}), list(self.seconds)
        wanted = [str(line) for line in lines] or list(by_line)
        return {names[test] for line in wanted for test in by_line.get(line, ())}


def make_map() -> dict[str, Any]:
    """Runs the fast tests in this process and returns a `Map` as a dictionary."""
    watcher = coverage.Coverage(
        data_file=None, config_file=False, include=[str(ROOT / "keras_msda/*")]
    )
    watcher.start()
    _, recorder = children.run_tests(
        ["--most-cases", "1", "-m", FAST, "-p", "tests.mutate.contexts"],
        list,
        {},
    )
    watcher.stop()
    passed = {k: round(v, 3) for k, v in recorder.seconds.items()}
    for name in recorder.failed:
        passed.pop(name, None)
    lines = _read_lines(watcher.get_data(), {name: i for i, name in enumerate(passed)})
    return {"seconds": passed, "failed": recorder.failed, "lines": lines}


def _read_lines(
    data: coverage.CoverageData, numbers: dict[str, int]
) -> dict[str, dict[int, list[int]]]:
    found = {}
    for file in sorted(data.measured_files()):
        path = Path(file).relative_to(ROOT / "keras_msda").as_posix()
        found[path] = {
            line: sorted({numbers[name] for name in names if name in numbers})
            for line, names in sorted(data.contexts_by_lineno(file).items())
        }
    return found


def digest_sources() -> str:
    """Returns a number that changes with the library or its tests."""
    digest = hashlib.sha256()
    for folder in ("keras_msda", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "mutate" not in path.parts:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Stage(NamedTuple):
    """Tests that are run together, and how they are found."""

    files: list[str]
    names: list[str]  # in their order
    most: float  # seconds of CPU time
    thorough: bool = False  # slow tests and more cases of the files' tests, too


def list_stages(found: Map, path: str, lines: Iterable[int]) -> list[Stage]:
    """Returns the tests for a change of some lines: the module's own, others, more."""
    names = found.tests_of(path, lines) or found.tests_of(path, ())
    own = find_own_files(path, names)
    # A module whose lines are all run at import.
    names = names or {name for name in found.seconds if file_of(name) in own}
    order = sorted(names, key=lambda name: (found.seconds[name], name))
    near = [name for name in order if file_of(name) in own]
    far = [name for name in order if file_of(name) not in own]
    tests = [file for file in own if file.startswith("tests/")]
    stages = [
        Stage(sorted(set(map(file_of, near))), near, OWN),
        Stage(sorted(set(map(file_of, far))), far, OTHERS),
        Stage(tests, near, SLOW, thorough=True),
    ]
    return [stage for stage in stages if stage.files]


def file_of(name: str) -> str:
    """Returns the file of a test."""
    return name.partition("::")[0]


def find_own_files(path: str, names: Iterable[str]) -> list[str]:
    """Returns the files of tests that belong to a module, and itself for its examples.

    Without a file of its name these are the files with the most tests that run the
    lines in question, of its room's folder where there is one.
    """
    *rooms, stem = path.removesuffix(".py").split("/")
    stem = stem.strip("_")
    mirrors = [
        f"tests/{'/'.join([*rooms, f'test_{stem}'])}.py",
        f"tests/test_{stem}.py",
    ]
    own = [file for file in mirrors if (ROOT / file).exists()]
    if not own:
        counts = collections.Counter(file_of(name) for name in names)
        folder = "/".join(["tests", *rooms, ""])
        near = [x for x, _ in counts.most_common() if x.startswith(folder)]
        far = [x for x, _ in counts.most_common() if x.startswith("tests/")]
        own = (near or far)[:FEW]
    return [*dict.fromkeys(own), f"keras_msda/{path}"]


def choose(stage: Stage, items: list[Any], known: Iterable[str]) -> list[Any]:
    """Returns the items of a stage in its order, of all that were collected."""
    if not stage.thorough:
        by_name = {item.nodeid: item for item in items}
        return [by_name[name] for name in stage.names if name in by_name]
    known, functions = set(known), {name.partition("[")[0] for name in stage.names}
    fast = {name.partition("[")[0] for name in known}
    return [
        item
        for item in items
        if item.nodeid not in known
        and ((base := item.nodeid.partition("[")[0]) in functions or base not in fast)
    ]


def run_mutant(
    found: Map, path: str, text: str, lines: Iterable[int], *, patience: float = 1.0
) -> dict[str, Any]:
    """Runs the stages for a changed module, in this process, until a test fails.

    The seconds of each stage are multiplied by the patience.
    """
    name = "keras_msda." + path.removesuffix(".py").replace("/", ".")
    name = name.removesuffix(".__init__")
    children.change(name, ROOT / "keras_msda" / path, text)
    limits, count = children.make_limits(found.seconds), 0
    for stage in list_stages(found, path, lines):
        options = ["-x", *stage.files]
        if stage.thorough:
            options += ["-m", TEST, "--most-cases", "3"]
        pick = functools.partial(choose, stage, known=found.seconds)
        status, recorder = children.run_tests(
            options, pick, limits, patience * stage.most
        )
        count += len(recorder.seconds)
        if not children.is_changed(name):
            return {"outcome": "broken", "by": "not changed", "tests": count}
        if recorder.failed:
            return {"outcome": "killed", "by": recorder.failed[0], "tests": count}
        if status not in FINE and not recorder.stopped:
            return {"outcome": "broken", "by": f"pytest: {status}", "tests": count}
    return {"outcome": "survived", "by": "", "tests": count}


def load_map(path: Path) -> Map | None:
    """Reads a map, if it is that of today's sources."""
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    if found.pop("sources", "") != digest_sources():
        return None
    return Map(**found)
