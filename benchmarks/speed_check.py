"""Compares the cost of mixing with the ratios that are committed.

Times the layers beside a plain copy, and train steps with mixing beside one without, as
`benchmarks/speed.py` does, in fewer rounds. A ratio may be 1.3 times the committed one.
A table with a larger one is timed again, since other work on the machine can be the
reason; then the smallest counts.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import speed
from judging import print_summary

KINDS = ("map sample",)
#: What is timed, by the names that `speed.py` has for its tables.
TABLES: dict[str, Any] = {
    "large": lambda: speed.make_contenders(speed.LARGE, "float32", [], KINDS),
    "small": lambda: speed.make_contenders(speed.SMALL, "float32", [], KINDS),
    "small-bytes": lambda: speed.make_contenders(speed.SMALL, "uint8", [], KINDS),
    "small-step": lambda: speed.make_steps(speed.build_small_network, speed.STEP_SHAPE),
}


def read_ratios(path: Path) -> dict[str, dict[str, float]]:
    """Returns the committed ratios by title of the table and name of the row."""
    tables = json.loads(path.read_text())["tables"]
    return {
        table["title"]: {row["name"]: row["median"] for row in table["rows"]}
        for table in tables
    }


def choose_rows(
    name: str, ratios: dict[str, dict[str, float]], slack: float
) -> list[speed.Row]:
    """Returns the rows of a table that are timed again, with their limits."""
    rows = speed.step_rows() if name.endswith("step") else speed.copy_rows({}, KINDS)
    known = ratios.get(speed.TITLES[name], {})
    for row in rows:
        if row.name not in known:
            sys.exit(f"{name}: no ratio of {row.name!r} is committed: run `make bench`")
    return [row._replace(limit=slack * known[row.name]) for row in rows]


def check_table(
    name: str, rows: list[speed.Row], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Times a table until all rows pass, a few times at most, and returns its rows."""
    best: list[dict[str, Any]] = []
    for _ in range(options.tries):
        found = speed.run_table(speed.TITLES[name], TABLES[name], rows, options)["rows"]
        pairs = zip(best or found, found, strict=True)
        best = [min(pair, key=lambda row: row["median"]) for pair in pairs]
        if all(row["verdict"].startswith("PASS") for row in best):
            break
    return best


def main() -> int:
    """Returns 1 if a ratio is too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, default=speed.RESULTS / "speed.json")
    parser.add_argument("--slack", type=float, default=1.3, help="largest factor")
    parser.add_argument("--tries", type=int, default=4, help="at most, per table")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--table", choices=TABLES, action="append")
    options = parser.parse_args()
    ratios = read_ratios(options.against)
    found = []
    for name in options.table or TABLES:
        found += check_table(name, choose_rows(name, ratios, options.slack), options)
    return print_summary(found)


if __name__ == "__main__":
    sys.exit(main())
