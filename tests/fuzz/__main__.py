"""`python -m tests.fuzz`: many random calls, compared with the reference.

Cases run in processes of their own, some hundred each, so that a crash of a library is
one failure among others and memory does not grow.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from tests.fuzz.summary import KINDS, Summary, name_cases

#: Cases of one process: JAX keeps whatever it has compiled, up to gigabytes.
CHUNK = 200 if keras.config.backend() == "jax" else 800
#: Seconds after which one case has hung.
LONGEST = 900
#: Seconds after which the counts are saved again.
SAVE = 20


def main() -> int:
    """Runs what the command line says; returns the exit status."""
    arguments = _parse()
    if arguments.only:
        return _run_one(*map(int, arguments.only.split(":")))
    if arguments.chunk:
        return _run_chunk(*map(int, arguments.chunk.split(":")))
    return _run_many(arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="how many, about")
    parser.add_argument("--seed", type=int, default=0, help="of all cases")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument("--out", type=Path, help="file for the summary, JSON")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="goes on with that file, and runs again what failed",
    )
    parser.add_argument("--only", metavar="SEED:INDEX", help="one case, with details")
    parser.add_argument("--chunk", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_one(seed: int, index: int) -> int:
    """Runs one case and prints what came of it."""
    from tests.fuzz import runs

    case = runs.make_case(seed, index)
    print(case)
    outcomes = runs.check_case(case)
    for outcome in outcomes:
        print(f"{outcome.kind}: {outcome.words}" if outcome.words else outcome.kind)
    return int(any(x.kind == "failure" for x in outcomes))


def _run_chunk(seed: int, start: int, stop: int) -> int:
    """Runs cases and prints a line of JSON before and after each."""
    from tests.fuzz import runs

    for index in range(start, stop):
        print(json.dumps({"begun": index}), flush=True)
        begun = time.process_time()
        try:
            outcomes = runs.check_case(runs.make_case(seed, index))
        except Exception as error:
            outcomes = [runs.Outcome("?", "?", "failure", f"the fuzzer: {error!r}")]
        spent = time.process_time() - begun
        print(
            json.dumps({"index": index, "seconds": spent, "outcomes": outcomes}),
            flush=True,
        )
    return 0


def _run_many(arguments: argparse.Namespace) -> int:
    from tests.fuzz import runs

    name = name_cases(runs.make_case, arguments.seed)
    summary = Summary(arguments.seed, arguments.calls, name)
    if arguments.resume and arguments.out and arguments.out.exists():
        summary.load(arguments.out)
    words = "{task.fields[failures]} failures"
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), words)
    console = Console()
    with Progress("calls", *columns, console=console, refresh_per_second=1) as progress:
        task = progress.add_task("", total=arguments.calls, failures=0)

        def note() -> None:
            found = len(summary.failures)
            progress.update(task, completed=summary.calls, failures=found)

        _start(arguments, summary, note)
    if arguments.out:
        summary.save(arguments.out)
    _print(console, summary)
    return int(bool(summary.failures))


def _start(arguments: argparse.Namespace, summary: Summary, note: Any) -> None:
    """Runs chunks, as many at a time as asked for, until there are enough calls."""
    saved = time.monotonic()
    # A process for each worker where few calls are wanted.
    size = min(CHUNK, max(1, arguments.calls // (4 * arguments.workers)))

    def work() -> None:
        nonlocal saved
        while (chunk := summary.take(size)) is not None:
            for result in _read_chunk(arguments.seed, *chunk):
                summary.add(result)
                note()
                if arguments.out and time.monotonic() > saved + SAVE:
                    saved = time.monotonic()
                    summary.save(arguments.out)
                if summary.calls >= arguments.calls:
                    return

    threads = [threading.Thread(target=work) for _ in range(arguments.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _read_chunk(seed: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Yields the results of cases; one that ends its process twice is a failure."""
    again = -1
    while start < stop:
        begun = start
        for found in _read_process(f"{seed}:{start}:{stop}"):
            if "begun" in found:
                begun = found["begun"]
            else:
                start = found["index"] + 1
                yield found
        if start < stop and begun == again:
            start = begun + 1
            failure = ["?", "?", "failure", "the process ends"]
            yield {"index": begun, "seconds": 0.0, "outcomes": [failure]}
        again = begun


def _read_process(cases: str) -> Iterator[dict[str, Any]]:
    """Yields what a process prints, and ends it where that takes too long."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz", "--chunk", cases],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    timer = threading.Timer(LONGEST, process.kill)
    timer.start()
    try:
        for line in process.stdout or ():
            timer.cancel()
            timer = threading.Timer(LONGEST, process.kill)
            timer.start()
            yield json.loads(line)
    finally:  # Also if there are enough calls.
        timer.cancel()
        process.kill()
        process.wait()


def _print(console: Console, summary: Summary) -> None:
    """Prints the summary."""
    found = summary.report()
    for name in ("worlds", "methods"):
        table = Table(name, "equal", "errors", "failures", "CPU ms a call")
        for key, row in found[name].items():
            each = [str(row[kind]) for kind in KINDS]
            table.add_row(key, *each, f"{row['milliseconds']:.0f}")
        console.print(table)
    table = Table("documented errors", "calls")
    for words, count in found["errors"].items():
        table.add_row(words, str(count))
    console.print(table)
    for failure in found["failures"]:
        for world, method, kind, words in failure["outcomes"]:
            if kind == "failure":
                line = f"{failure['command']}: {world}, {method}: {words}"
                console.print(line, markup=False, highlight=False)
    console.print(f"{found['calls']} calls, {len(found['failures'])} failures")


if __name__ == "__main__":
    sys.exit(main())
