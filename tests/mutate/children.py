"""Children of a process that has imported TensorFlow; each runs tests of one mutant."""

import importlib.machinery
import importlib.util
import json
import linecache
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
#: What children need and what takes long to import, nothing of this library.
HEAVY = ("tensorflow", "keras", "scipy.stats", "matplotlib.pyplot", "hypothesis")
HEAVY += ("tensorflow_probability", "torch.utils.data", "grain", "PIL.Image")
#: The least seconds after which a test has hung, and how many times its own time.
LONGEST, TIMES = 60, 5
Choice = Callable[[list[Any]], list[Any]]
#: Seconds of a test that was not timed before, and of the imports of all tests.
UNKNOWN = 600


class Child(NamedTuple):
    """A process that runs, and the file that it writes its results to."""

    pid: int
    path: Path
    begun: float


def import_heavy() -> None:
    """Imports what all tests need, so that children have it from their start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # As in tests/conftest.py, before anything reads it.
    os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    for name in HEAVY:
        importlib.import_module(name)
    from hypothesis import Phase, settings

    # What a mutant breaks is not kept, and need not be made small.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutate", database=None, phases=phases)
    settings.load_profile("mutate")
    if any(name.startswith("keras_msda") for name in sys.modules):
        raise RuntimeError("the library was imported before it is changed")


def start(work: Callable[[], dict[str, Any]], folder: Path) -> Child:
    """Forks a child that does some work and leaves what it returns as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        return Child(pid, folder / f"{pid}.json", begun)
    status = 1
    try:
        os.setpgid(0, 0)
        path = folder / f"{os.getpid()}.json"
        with path.with_suffix(".log").open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        path.write_text(json.dumps(work()))
        status = 0
    finally:
        os._exit(status)


def finish(child: Child, status: int) -> dict[str, Any]:
    """Returns the results of a child that has ended, and removes its files."""
    log = child.path.with_suffix(".log")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        found = {"outcome": "killed", "by": signal.Signals(number).name}
        if number == signal.SIGALRM:
            found["by"] = "time"
    elif child.path.exists():
        found = json.loads(child.path.read_text())
    else:
        found = {"outcome": "broken", "by": log.read_text(errors="replace")[-2000:]}
    for path in (child.path, log):
        path.unlink(missing_ok=True)
    stop_group(child)
    return found


def stop_group(child: Child) -> None:
    """Ends a child and the processes that it started, if any are left."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def change(module: str, path: Path, text: str) -> None:
    """Makes the import of a module give a changed text."""
    sys.meta_path.insert(0, _Changed(module, path, text))
    # `inspect` and TensorFlow's AutoGraph read sources from here; without a time the
    # file is not read again.
    lines = text.splitlines(keepends=True)
    linecache.cache[str(path)] = (len(text), None, lines, str(path))


def is_changed(module: str) -> bool:
    """Returns whether a module, if it was imported, is the changed one."""
    imported = sys.modules.get(module)
    return imported is None or isinstance(imported.__loader__, _Changed)


class _Changed(importlib.machinery.SourceFileLoader):
    """Finds and loads one module, with another text than its file's."""

    def __init__(self, module: str, path: Path, text: str) -> None:
        super().__init__(module, str(path))
        self._text = text

    def find_spec(self, name: str, *_: Any) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> Any:
        del fullname
        return compile(self._text, self.path, "exec", dont_inherit=True)


class Recorder:
    """A plugin of pytest that chooses tests, limits their time and notes what fails."""

    def __init__(self, choose: Choice, limits: dict[str, float], most: float) -> None:
        self.failed: list[str] = []
        self.seconds: dict[str, float] = {}
        self.stopped = False
        self._choose, self._limits = choose, limits
        self._until = time.process_time() + most

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Puts changes first: pytest itself reads files that it is given."""
        sys.meta_path.sort(key=lambda finder: not isinstance(finder, _Changed))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> Any:
        """Chooses, once other hooks have left out what they leave out."""
        result = yield
        items[:] = self._choose(items)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        """Ends the process where a test takes far longer than without a change."""
        if time.process_time() > self._until:
            self.stopped = True
            item.session.shouldstop = "That was long enough."
        signal.alarm(int(self._limits.get(item.nodeid, UNKNOWN)))
        try:
            return (yield)
        finally:
            signal.alarm(UNKNOWN)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Notes a test's time and failures."""
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.failed:
            self.failed.append(name)

    def pytest_collectreport(self, report: Any) -> None:
        """Notes a file of tests that cannot be imported."""
        if report.failed:
            self.failed.append(f"{report.nodeid} (import)")


def run_tests(
    options: Iterable[str],
    choose: Choice,
    limits: dict[str, float],
    most: float = math.inf,
) -> tuple[int, Recorder]:
    """Runs pytest in this process; returns its status and what was recorded."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(UNKNOWN)
    recorder = Recorder(choose, limits, most)
    # Hypothesis is imported already, which is not worth an error.
    common = ["-q", "-p", "no:cacheprovider"]
    common += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = pytest.main([*common, *options], plugins=[recorder])
    signal.alarm(0)
    return int(status), recorder


def make_limits(seconds: dict[str, float]) -> dict[str, float]:
    """Returns after how many seconds each test has hung."""
    return {name: max(LONGEST, TIMES * time) for name, time in seconds.items()}
