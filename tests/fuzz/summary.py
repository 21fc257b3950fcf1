"""Counts of what came of many calls."""

import collections
import importlib.metadata
import json
import platform
import threading
from pathlib import Path
from typing import Any

import keras

Row = dict[str, Any]


class Summary:
    """Counts of calls by world and by method, of errors, and a list of failures.

    Threads may share one.
    """

    def __init__(self, seed: int, wanted: int) -> None:
        self.seed, self.wanted = seed, wanted
        self.calls, self.failures = 0, list[dict[str, str]]()
        self._next, self._lock = 0, threading.Lock()
        self._finished: list[list[int]] = []
        self._counts: dict[str, dict[str, collections.Counter[str]]] = {
            name: collections.defaultdict(collections.Counter)
            for name in ("worlds", "methods")
        }
        self._errors: collections.Counter[str] = collections.Counter()

    def take(self, count: int) -> tuple[int, int] | None:
        """Returns the next cases to run, None if there are enough."""
        with self._lock:
            if self.calls >= self.wanted:
                return None
            while any(start <= self._next < stop for start, stop in self._finished):
                self._next += 1
            start, self._next = self._next, self._next + count
            return start, self._next

    def finish(self, chunk: tuple[int, int]) -> None:
        """Notes that cases are done."""
        with self._lock:
            self._finished.append(list(chunk))

    def add(self, result: dict[str, Any]) -> None:
        """Counts the outcomes of a case."""
        with self._lock:
            for world, method, kind, words in result["outcomes"]:
                self.calls += 1
                share = result["seconds"] / len(result["outcomes"])
                for name, key in (("worlds", world), ("methods", method)):
                    self._counts[name][key][kind] += 1
                    self._counts[name][key]["seconds"] += share  # type: ignore[assignment]
                if kind == "error":
                    self._errors[words[:80]] += 1
                elif kind == "failure":
                    self._note_failure(result["index"], world, method, words)

    def _note_failure(self, index: int, world: str, method: str, words: str) -> None:
        command = f"python -m tests.fuzz --only {self.seed}:{index}"
        if keras.config.backend() != "tensorflow":
            command = f"KERAS_BACKEND={keras.config.backend()} {command}"
        found = {"command": command, "world": world, "method": method, "words": words}
        self.failures.append(found)

    def report(self) -> dict[str, Any]:
        """Returns all counts, as JSON can hold them."""
        with self._lock:
            return {
                "calls": self.calls,
                "cases": sum(stop - start for start, stop in self._finished),
                "seed": self.seed,
                "backend": keras.config.backend(),
                "versions": _list_versions(),
                "worlds": _list_rows(self._counts["worlds"]),
                "methods": _list_rows(self._counts["methods"]),
                "errors": dict(self._errors.most_common()),
                "failures": self.failures,
            }

    def save(self, path: Path, *, final: bool = False) -> None:
        """Writes the counts, with what `load` needs unless they are final."""
        found = self.report()
        if not final:
            with self._lock:
                found["finished"] = self._finished
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(path)

    def load(self, path: Path) -> None:
        """Reads the counts of an earlier run that was interrupted."""
        found = json.loads(path.read_text())
        if found["seed"] != self.seed or "finished" not in found:
            return
        self.calls, self.failures = found["calls"], found["failures"]
        self._finished = found["finished"]
        self._errors.update(found["errors"])
        for name, counts in self._counts.items():
            for key, row in found[name].items():
                calls = sum(row[kind] for kind in ("equal", "error", "failure"))
                seconds = row.pop("milliseconds") * calls / 1000
                counts[key].update(row | {"seconds": seconds})


def _list_rows(counts: dict[str, collections.Counter[str]]) -> dict[str, Row]:
    found = {}
    for key, row in sorted(counts.items()):
        kinds = {kind: row[kind] for kind in ("equal", "error", "failure")}
        calls = max(sum(kinds.values()), 1)
        found[key] = kinds | {"milliseconds": round(1000 * row["seconds"] / calls, 1)}
    return found


def _list_versions() -> dict[str, str]:
    names = ("keras", "tensorflow", "jax", "torch", "numpy", "hypothesis")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version()} | found
