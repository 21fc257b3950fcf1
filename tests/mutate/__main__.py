"""`python -m tests.mutate`: changes the library in many places; the tests must fail.

Results are lines of JSON, one a mutant. A run that was stopped goes on where it was,
and one with a larger number goes on where a smaller one ended.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from tests.mutate import children, mutants, results, selection

ROOT = children.ROOT
PAGE = ROOT / "tests/MUTANTS.md"
SCRATCH = ROOT / "build/mutate"
Work = Callable[[], dict[str, Any]]


def main() -> int:
    """Runs what the command line says; returns the exit status."""
    arguments = _parse()
    if arguments.page:
        about, rows = results.read(arguments.out)
        table = results.make_table(about, rows.values())
        PAGE.write_text(results.fill_page(PAGE.read_text(), table))
        return 0
    console = Console()
    console.print("looks for all mutants, half a minute")
    every = {
        x.name: x for file in mutants.list_files() for x in mutants.list_mutants(file)
    }
    if arguments.show:
        print(every[arguments.show].before, every[arguments.show].after, sep="\n")
        return 0
    # As an interruption by the keyboard: ends the children too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    about, rows = results.read(arguments.out)
    about |= {"seed": arguments.seed, "mutants": _count(every.values())}
    names = _list_names(arguments, every)
    if not (arguments.again or arguments.only):
        names = [name for name in names if name not in rows]
    if names:
        children.import_heavy()
        found = _find_map(console)
        about |= {"tests": len(found.seconds), "failed without a change": found.failed}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        _run(console, [every[name] for name in names], found, arguments)
    return _finish(console, about, every, arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.mutate", description=__doc__)
    out = ROOT / "benchmarks/results/mutants.jsonl"
    parser.add_argument("--count", default="400", metavar="N", help="how many, or all")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="of the time that a mutant may take"
    )
    parser.add_argument("--out", type=Path, default=out, help="file of the results")
    parser.add_argument("--minutes", type=float, help="ends after so many")
    parser.add_argument(
        "--again", action="store_true", help="runs those once more that survived"
    )
    parser.add_argument("--only", metavar="NAME", action="append", help="one mutant")
    parser.add_argument("--show", metavar="NAME", help="prints the change of a mutant")
    parser.add_argument(
        "--page", action="store_true", help="writes the table of the page"
    )
    return parser.parse_args()


def _count(every: Iterable[mutants.Mutant]) -> dict[str, int]:
    counts = dict.fromkeys(mutants.ROOMS, 0)
    for mutant in every:
        counts[mutant.room] += 1
    return counts


def _list_names(
    arguments: argparse.Namespace, every: dict[str, mutants.Mutant]
) -> list[str]:
    """Returns the names of the mutants that are asked for, in their order."""
    if arguments.only:
        return arguments.only
    rooms: dict[str, list[str]] = {}
    for mutant in every.values():
        rooms.setdefault(mutant.room, []).append(mutant.name)
    names = results.order(rooms, arguments.seed)
    if arguments.again:
        _, rows = results.read(arguments.out)
        return [x for x in names if x in rows and rows[x]["outcome"] != "killed"]
    return names if arguments.count == "all" else names[: int(arguments.count)]


def _find_map(console: Console) -> selection.Map:
    """Reads which test runs which lines, or finds it out."""
    path = SCRATCH / "map.json"
    if found := selection.load_map(path):
        return found
    console.print("runs the fast tests to see which lines each runs, some minutes")
    sources = selection.digest_sources()
    child = children.start(selection.make_map, SCRATCH)
    made = children.finish(child, os.waitpid(child.pid, 0)[1])
    if "lines" not in made:
        raise RuntimeError(f"The tests did not run: {made}")
    path.write_text(json.dumps(made | {"sources": sources}))
    return selection.Map(**made)


def _run(
    console: Console,
    chosen: list[mutants.Mutant],
    found: selection.Map,
    arguments: argparse.Namespace,
) -> None:
    """Runs mutants, some at a time, and adds a line for each."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    words = "{task.fields[survived]} survived"
    until = time.monotonic() + 60 * (arguments.minutes or 1e9)
    # A thread that draws the bar would hold locks while the process forks.
    with Progress(*columns, words, console=console, auto_refresh=False) as progress:
        task, survived = progress.add_task("", total=len(chosen), survived=0), 0
        works = (
            (x, _make_work(x, found, arguments.patience))
            for x in chosen
            if time.monotonic() < until
        )
        for mutant, result in _run_children(works, arguments.workers):
            results.append(arguments.out, _make_row(mutant, result))
            if result["outcome"] != "killed":
                survived += 1
                progress.print(result["outcome"], mutant.name, markup=False)
            progress.update(task, advance=1, survived=survived)
            progress.refresh()


def _make_work(mutant: mutants.Mutant, found: selection.Map, patience: float) -> Work:
    place = mutant.path, mutant.source, mutant.lines
    return lambda: selection.run_mutant(found, *place, patience=patience)


def _run_children(
    works: Iterator[tuple[mutants.Mutant, Work]], most: int
) -> Iterator[tuple[mutants.Mutant, dict[str, Any]]]:
    """Yields mutants with their results as children end, so many running at a time."""
    running: dict[int, tuple[mutants.Mutant, children.Child]] = {}
    try:
        while True:
            while len(running) < most and (pair := next(works, None)):
                child = children.start(pair[1], SCRATCH)
                running[child.pid] = (pair[0], child)
            if not running:
                return
            pid, status = os.waitpid(-1, 0)
            if pid in running:
                mutant, child = running.pop(pid)
                took = round(time.monotonic() - child.begun, 1)
                yield mutant, children.finish(child, status) | {"took": took}
    finally:
        for _, child in running.values():
            children.stop_group(child)


def _make_row(mutant: mutants.Mutant, result: dict[str, Any]) -> results.Row:
    return {
        "name": mutant.name,
        "operator": mutant.operator,
        "before": mutant.before,
        "after": mutant.after,
        **result,
    }


def _finish(
    console: Console,
    about: results.Row,
    every: dict[str, mutants.Mutant],
    arguments: argparse.Namespace,
) -> int:
    """Writes the results in their order, and prints the table and what survived."""
    _, rows = results.read(arguments.out)
    # Lines of mutants that later sources no longer have are left out.
    kept = [rows[name] for name in sorted(rows) if name in every]
    results.write(arguments.out, about, kept)
    for row in kept:
        if row["outcome"] != "killed":
            console.print(row["outcome"], row["name"], markup=False)
            console.print(f"  {row['before']}\n  {row['after']}", markup=False)
    console.print(results.make_table(about, kept), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
