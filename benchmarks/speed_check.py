"""Compares the cost of mixing with the ratios that are committed.

Times the layers beside a plain copy, and train steps with mixing beside one without, as
`benchmarks/speed.py` does, in fewer rounds. A ratio may be 1.3 times the committed one
of a machine with the same processor; if there is none, of the largest committed one,
since machines differ in how fast they copy. A table with a larger ratio is timed again,
as other work on the machine can be the reason; then the smallest counts.
"""

import argparse
import json
import sys
from collections.abc import Iterable
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


Ratios = dict[str, dict[str, float]]


def read_ratios(paths: Iterable[Path], cpu: str) -> Ratios:
    """Returns the committed ratios by title of the table and name of the row.

    Args:
        paths: Results of `speed.py`, of one or several machines.
        cpu: Model of the processor of this machine.
    """
    every = [json.loads(path.read_text()) for path in paths]
    alike = [results for results in every if results.get("cpu") == cpu]
    found: Ratios = {}
    for table in (x for results in alike or every for x in results["tables"]):
        known = found.setdefault(table["title"], {})
        for row in table["rows"]:
            known[row["name"]] = max(row["median"], known.get(row["name"], 0.0))
    return found


def choose_rows(name: str, ratios: Ratios, slack: float) -> list[speed.Row]:
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
    # Calls are short, and who goes first in a round matters.
    more = 5 if name.startswith("small") else 1
    options = argparse.Namespace(**vars(options) | {"rounds": more * options.rounds})
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
    known = sorted(speed.RESULTS.glob("speed*.json"))
    parser.add_argument("--against", type=Path, nargs="+", default=known)
    parser.add_argument("--slack", type=float, default=1.3, help="largest factor")
    parser.add_argument("--tries", type=int, default=6, help="at most, per table")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--rounds", type=int, default=8, help="5 times as many of small images"
    )
    parser.add_argument("--table", choices=TABLES, action="append")
    options = parser.parse_args()
    ratios = read_ratios(options.against, speed.read_cpu())
    found = []
    for name in options.table or TABLES:
        found += check_table(name, choose_rows(name, ratios, options.slack), options)
    return print_summary(found)


if __name__ == "__main__":
    sys.exit(main())
