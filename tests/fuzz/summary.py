"""Counts of what came of many calls."""

import collections
import hashlib
import importlib.metadata
import json
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

Row = dict[str, Any]
#: What can come of a call.
KINDS = ("equal", "error", "failure")


class Summary:
    """Counts of calls by world and by method, of errors, and a list of failures.

    Threads may share one.

    Args:
        seed: Of all cases.
        wanted: Number of calls.
        cases: What tells the cases of this seed from those of other strategies.
    """

    def __init__(self, seed: int, wanted: int, cases: str) -> None:
        self.seed, self.wanted, self.cases = seed, wanted, cases
        self.calls, self.failures = 0, list[Row]()
        self._taken: list[list[int]] = []
        self._finished: list[list[int]] = []
        self._lock = threading.RLock()
        self._counts: dict[str, dict[str, collections.Counter[str]]] = {
            name: collections.defaultdict(collections.Counter)
            for name in ("worlds", "methods")
        }
        self._errors: collections.Counter[str] = collections.Counter()

    def take(self, count: int) -> tuple[int, int] | None:
        """Returns the next cases to run, at most so many; None if there are enough."""
        with self._lock:
            if self.calls >= self.wanted:
                return None
            start = self._taken[0][1] if self._taken and not self._taken[0][0] else 0
            stop = min([start + count, *(x for x, _ in self._taken if x > start)])
            _unite(self._taken, start, stop)
            return start, stop

    def add(self, result: Row) -> None:
        """Counts the outcomes of a case."""
        with self._lock:
            self._count(result, 1)
            _unite(self._finished, result["index"], result["index"] + 1)
            if any(kind == "failure" for _, _, kind, _ in result["outcomes"]):
                self.failures.append({"command": self._command(result), **result})

    def _count(self, result: Row, sign: int) -> None:
        share = sign * result["seconds"] / len(result["outcomes"])
        for world, method, kind, words in result["outcomes"]:
            self.calls += sign
            for name, key in (("worlds", world), ("methods", method)):
                self._counts[name][key][kind] += sign
                self._counts[name][key]["seconds"] += share  # type: ignore[assignment]
            if kind == "error":
                self._errors[words[:80]] += sign

    def _command(self, result: Row) -> str:
        backend = keras.config.backend()
        prefix = "" if backend == "tensorflow" else f"KERAS_BACKEND={backend} "
        return f"{prefix}python -m tests.fuzz --only {self.seed}:{result['index']}"

    def report(self) -> Row:
        """Returns all counts, as JSON can hold them."""
        with self._lock:
            counts = {name: _list_rows(rows) for name, rows in self._counts.items()}
            seconds = sum(row["seconds"] for row in self._counts["worlds"].values())
            return {
                "backend": keras.config.backend(),
                "calls": self.calls,
                "seconds": round(seconds, 1),
                "seed": self.seed,
                "cases": self.cases,
                "finished": self._finished,
                "versions": _list_versions(),
                **counts,
                "errors": dict(sorted((+self._errors).items(), key=lambda x: -x[1])),
                "failures": self.failures,
            }

    def save(self, path: Path) -> None:
        """Writes the counts, from which `load` goes on."""
        with self._lock:
            part = path.with_suffix(".part")
            part.write_text(_to_json(self.report()))
            part.replace(path)

    def load(self, path: Path) -> None:
        """Reads the counts of an earlier run; what failed in it is to run again.

        Raises:
            ValueError: If that had other cases.
        """
        found = json.loads(path.read_text())
        names = ("backend", "seed", "cases")
        if [found[x] for x in names] != [self.report()[x] for x in names]:
            raise ValueError(f"{path} has counts of other cases: remove it.")
        self.calls = found["calls"]
        self._errors.update(found["errors"])
        for name, counts in self._counts.items():
            for key, row in found[name].items():
                seconds = row.pop("milliseconds") * sum(row.values()) / 1000
                counts[key].update(row | {"seconds": seconds})
        failed = {failure["index"] for failure in found["failures"]}
        for failure in found["failures"]:
            self._count(failure, -1)
        for start, stop in found["finished"]:
            for index in set(range(start, stop)) - failed:
                _unite(self._finished, index, index + 1)
        self._taken = [list(interval) for interval in self._finished]


def name_cases(make: Callable[[int, int], Any], seed: int) -> str:
    """Returns what changes if a seed makes other cases."""
    first = repr([make(seed, index) for index in range(20)])
    return hashlib.sha256(first.encode()).hexdigest()[:12]


def _unite(intervals: list[list[int]], start: int, stop: int) -> None:
    """Adds an interval to sorted ones that do not touch."""
    intervals.append([start, stop])
    intervals.sort()
    united = intervals[:1]
    for low, high in intervals[1:]:
        if low <= united[-1][1]:
            united[-1][1] = max(united[-1][1], high)
        else:
            united.append([low, high])
    intervals[:] = united


def _to_json(report: Row) -> str:
    """Returns JSON with a line for each entry of the first two levels."""
    lines = []
    for name, value in report.items():
        words = json.dumps(value)
        if isinstance(value, dict):
            rows = (f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            words = "{\n" + ",\n".join(rows) + "\n }"
        lines.append(f" {json.dumps(name)}: {words}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _list_rows(counts: dict[str, collections.Counter[str]]) -> dict[str, Row]:
    found = {}
    for key, row in sorted(counts.items()):
        kinds = {kind: row[kind] for kind in KINDS}
        if calls := sum(kinds.values()):
            milliseconds = round(1000 * row["seconds"] / calls, 1)
            found[key] = kinds | {"milliseconds": milliseconds}
    return found


def _list_versions() -> dict[str, str]:
    names = ("keras", "tensorflow", "jax", "torch", "numpy", "hypothesis")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | found
