"""Writes the table of docs/trust.md from the results of fuzzing, mutants and the rest.

python -m benchmarks.trust              writes it
python -m benchmarks.trust --check      fails if the page is not that of the results
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import evidence
from benchmarks.laws import page as laws
from benchmarks.laws import pvalues
from keras_msda.experiments import _tables
from tests.mutate import results as mutants

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "trust.md"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def read(name: str) -> Any:
    """Returns the committed results of a name."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def make_fuzzing() -> str:
    """Returns the calls of each backend that were compared with the reference."""
    rows = [["", "calls", "equal", "documented errors", "failures"]]
    for name, label in BACKENDS.items():
        worlds = read(f"fuzz_{name}")["worlds"].values()
        counts = [sum(x[key] for x in worlds) for key in ("equal", "error", "failure")]
        rows.append([label, *(f"{x:,}" for x in (sum(counts), *counts))])
    return _tables.align(rows)


def summarize_soak(soaked: dict[str, Any]) -> tuple[str, int]:
    """Returns the largest growth of memory and of a step, and the later traces."""
    medians = {row["name"]: row["median"] for row in soaked["verdicts"]}

    def find(words: str) -> list[float]:
        return [median for name, median in medians.items() if f": {words}" in name]

    memory, step = (max(find(words)) - 1 for words in ("memory", "step"))
    return f"memory {memory:+.1%}, step {step:+.1%}", int(sum(find("traces")))


def make_figures() -> str:
    """Returns a row for each kind of test with what it found."""
    calls = sum(read(f"fuzz_{name}")["calls"] for name in BACKENDS)
    failures = sum(len(read(f"fuzz_{name}")["failures"]) for name in BACKENDS)
    about, rows = mutants.read(RESULTS / "mutants.jsonl")
    rooms = mutants.count_rooms(rows.values()).values()
    killed, count = (sum(x) for x in zip(*rooms, strict=True))
    drawn = laws.read_results()
    found = [law["p"] for law in drawn["laws"]]
    trainings = [x for place in read("kills")["trainings"].values() for x in place]
    kills = sum(x["kills"] for x in trainings)
    wrong = sum(
        len(x["steps with other mixes"]) + (not x["weights equal"]) for x in trainings
    )
    soaked = read("soak")
    growth, traces = summarize_soak(soaked)
    table = [
        ["random calls against a reference in NumPy", f"{calls:,} calls"],
        ["", f"{failures} failures"],
        ["small changes of the library that a test notices", f"{killed} of {count}"],
        ["", f"drawn from {sum(about['mutants'].values()):,}"],
        [f"tests of {drawn['draws']:,} draws", f"{len(found)} tests"],
        ["", f"smallest p, corrected (Holm): {pvalues.holm(found):.2f}"],
        ["trainings killed by SIGKILL and resumed", f"{kills} kills"],
        ["", f"{wrong} steps or networks that differ"],
        [f"{soaked['minutes']:.0f} minutes of training in both places", growth],
        ["", f"{traces} traces after the warm-up"],
    ]
    commands = ["make fuzz", "make mutate", "make laws", "make kills", "make soak"]
    cells = [f"`{commands[i // 2]}`" if i % 2 == 0 else "" for i in range(len(table))]
    rows_of_table = [[*row, cell] for row, cell in zip(table, cells, strict=True)]
    return _tables.align([["what", "figure", "command"], *rows_of_table])


SECTIONS = {"figures": make_figures, "fuzzing": make_fuzzing}


def main() -> int:
    """Returns 1 if the page differs from the results and may not be written."""
    options = evidence.read_options(__doc__)
    return evidence.fill_pages({PAGE: SECTIONS}, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
