"""The file of finished runs: one line of JSON each, of which none is ever lost.

A line is appended by one write and brought to the disk before the next run counts as
done. Whatever ends a process, lines before it stay whole.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from keras_msda import _errors
from keras_msda.experiments._config import GROUPS, Run

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nothing stops a second process.
    fcntl = None  # type: ignore[assignment]

Line = Mapping[str, Any]
#: What tells runs apart.
_KEYS = ("row", *GROUPS, "seed")


class Known(NamedTuple):
    """Lines of a file, in their order.

    Attributes:
        ours: Those of runs that the config has.
        others: How many belong to runs that are no longer in the config.
    """

    ours: tuple[Line, ...]
    others: int


def describe_run(run: Run) -> dict[str, Any]:
    """Returns what a line says of the run itself: what it is, and its settings."""
    return {
        "row": run.row,
        **run.group._asdict(),
        "seed": run.seed,
        "method": run.method,
        "settings": run.settings,
    }


class Store:
    """A file of lines, which one process at a time may hold open.

    Args:
        path: The file, made if there is none.

    Raises:
        OSError: If it cannot be opened, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            text = f"cannot open {path}: {error.strerror}"
            _errors.fail_file(text, OSError, cause=error)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            _errors.fail_file(
                f"another process writes to {path}. Wait for it, or give another "
                "--out.",
                OSError,
                cause=error,
            )

    def __enter__(self) -> Self:
        """Returns the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file, which lets another process open it."""
        os.close(self._file)

    def repair(self) -> str | None:
        """Moves the beginning of a line that was cut off to another file.

        Returns:
            What was done, or None if there was nothing to do.

        Raises:
            OSError: If a file cannot be written.
        """
        whole = self.path.read_bytes()
        start = whole.rfind(b"\n") + 1
        tail = whole[start:]
        if not tail:
            return None
        if _parses(tail):  # All but its end was written.
            self._append(b"\n")
            return None
        aside = self.path.with_name(f"{self.path.name}.cut")
        with aside.open("ab") as file:
            file.write(tail + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._file, start)
        os.fsync(self._file)
        return (
            f"the last line of {self.path} was cut off, by a kill or a full disk. It "
            f"is in {aside.name} now, and its run will be done again."
        )

    def append(self, line: Line) -> None:
        """Adds a line and brings it to the disk.

        Args:
            line: Of one run.

        Raises:
            OSError: If it cannot be written. The file is then as it was.
        """
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        self._append(text.encode() + b"\n")

    def _append(self, data: bytes) -> None:
        length = os.fstat(self._file).st_size
        reason: OSError | None = None
        try:
            written = os.write(self._file, data)
            os.fsync(self._file)
        except OSError as error:
            written, reason = -1, error
        if written == len(data):
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, length)
            os.fsync(self._file)
        words = (reason and reason.strerror) or "the disk is full"
        _errors.fail_file(
            f"cannot write to {self.path}: {words}. All finished lines are kept; run "
            "the same command again once there is space.",
            OSError,
            cause=reason,
        )


def read_lines(path: Path) -> list[Line]:
    """Reads all lines of a file; none if there is no file.

    Args:
        path: The file, whose last line may be cut off, which is then left out.

    Returns:
        The lines in their order.

    Raises:
        ValueError: If a line is damaged, or is there twice.
        OSError: If the file cannot be read.
    """
    if not path.exists():
        return []
    rows = path.read_bytes().split(b"\n")
    if not _parses(rows[-1]):
        rows.pop()
    found: list[Line] = []
    places: dict[Any, int] = {}
    for number, row in enumerate(rows, 1):
        if not _parses(row):
            _errors.fail_file(
                f"line {number} of {path} is damaged. Nothing was changed. Take the "
                "line out to have its run done again, or restore the file."
            )
        line = json.loads(row)
        first = places.setdefault(_key_of(line), number)
        if first != number:
            _errors.fail_file(
                f"lines {first} and {number} of {path} are of the same run. Take one "
                "of them out."
            )
        found.append(line)
    return found


def match_lines(path: Path, lines: Sequence[Line], runs: Sequence[Run]) -> Known:
    """Finds the lines of a config's runs, and checks that its settings are theirs.

    Args:
        path: The file, which errors name.
        lines: All lines.
        runs: All runs.

    Returns:
        Its lines.

    Raises:
        ValueError: If a run was done with other settings.
    """
    wanted = {_key_of(line): line for line in map(describe_run, runs)}
    ours = []
    for line in lines:
        now = wanted.get(_key_of(line))
        if now is not None:
            _check_same(path, line, _as_json(now))
            ours.append(line)
    return Known(tuple(ours), len(lines) - len(ours))


def list_missing(runs: Sequence[Run], lines: Sequence[Line]) -> list[Run]:
    """Returns the runs that have no line."""
    done = {_key_of(line) for line in lines}
    return [run for run in runs if _key_of(describe_run(run)) not in done]


def _check_same(path: Path, line: Line, now: Line) -> None:
    """Checks that a line has the settings of the config."""
    before = {"method": line["method"], **line["settings"]}
    after = {"method": now["method"], **now["settings"]}
    for name, old, new in _differences(before, after):
        where = ", ".join(f"{key} {line[key]}" for key in ("row", "seed"))
        _errors.fail_file(
            f"{path} was made with another config: {name} was {old!r} and is {new!r} "
            f"now ({where}). Give another --out, or restore the config."
        )


def _differences(before: Line, after: Line) -> Iterator[tuple[str, Any, Any]]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, old, new


def _key_of(line: Line) -> Any:
    return tuple(line[key] for key in _KEYS)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _parses(row: bytes) -> bool:
    """Returns whether a row is a whole line of a run."""
    try:
        line = json.loads(row)
        return isinstance(line, dict) and {*_KEYS, "method", "settings"} <= set(line)
    except ValueError:
        return False
