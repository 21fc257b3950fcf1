"""Runs the tests of all draws; see `python -m benchmarks.laws --help`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

import benchmarks.laws
from benchmarks.laws import (
    fields,
    independent,
    lambdas,
    page,
    partners,
    places,
    pvalues,
)
from benchmarks.laws.pvalues import Law

#: What yields tests, of draws and a seed.
PARTS: dict[str, Callable[..., Iterator[Law]]] = {
    "lambda and numbers": lambdas.run_all,
    "partners": partners.run_all,
    "places, coins and choices": places.run_all,
    "independence": independent.run_all,
    "FMix": fields.run_all,
}
#: Between the seeds of two runs, and those of two parts of a run.
SEEDS, SEEDS_OF_PART = 100_000, 1_000
DRAWS, SMALL, MANY, STEPS = 10**7, 10**5, 100, 10**6
#: A corrected p-value below this one is a failure.
FAILURE = 1e-3


def read_arguments() -> argparse.Namespace:
    """Returns the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.laws",
        description=benchmarks.laws.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--draws", type=float, default=DRAWS, help="draws of each test, 1e5 or more"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=MANY,
        help=f"seeds whose p-values, of {SMALL:,} draws each, must be uniform; 0: none",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draws")
    parser.add_argument("--out", type=Path, help="writes the results to this file")
    parser.add_argument(
        "--quick", action="store_true", help=f"{SMALL:,} draws, and two seeds"
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="writes docs/laws.md and its picture from the committed results alone",
    )
    options = parser.parse_args()
    options.draws = int(options.draws)
    if options.quick:
        options.draws, options.seeds = SMALL, 2
    if options.draws < SMALL:
        parser.error(f"--draws must be {SMALL:,} or more. Received: {options.draws:,}")
    return options


def run_once(draws: int, seed: int, note: Callable[[str, Law], None]) -> list[Law]:
    """Returns all tests of one seed.

    Args:
        draws: Of each test.
        seed: The run's.
        note: Called with each part's name and each test.
    """
    found = []
    for number, (name, test) in enumerate(PARTS.items()):
        for law in test(draws, SEEDS * seed + SEEDS_OF_PART * number):
            note(name, law)
            found.append(law)
    return found


def run_many(seeds: int, seed: int) -> dict[str, Any]:
    """Returns what the p-values of many seeds say, from smaller numbers of draws."""
    rows: dict[tuple[str, ...], list[float]] = {}
    for number in range(seeds):
        for law in run_once(SMALL, seed + 1 + number, lambda *_: None):
            rows.setdefault(law[:3], []).append(law.p)
        show_progress(f"seed {number + 1} of {seeds}", step=(number + 1) % 10 == 0)
    values = np.concatenate(list(rows.values()))
    counts, _ = np.histogram(values, page.BINS, (0, 1))
    names = Law._fields[:3]
    return {
        "seeds": seeds,
        "draws": SMALL,
        "smallest": float(values.min()),
        "histogram": counts.tolist(),
        "tests": [
            dict(zip(names, key, strict=True))
            | {"p": round_p(pvalues.uniform(found)), "mean": round_p(np.mean(found))}
            for key, found in rows.items()
        ],
    }


def show_progress(text: str, *, step: bool = False) -> None:
    """Writes a line over the last one; elsewhere than on a terminal only some lines.

    Args:
        text: The line.
        step: Whether it is one of those.
    """
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif step:
        print(text, file=sys.stderr, flush=True)


def round_p(p: float) -> float:
    """Returns a p-value to four digits, which is what files hold."""
    return float(f"{p:.4g}")


def divide_cpu() -> None:
    """Makes two devices of the CPU, which the replicas need."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # Each layer has a function of its own.
        (cpu,) = tf.config.list_physical_devices("CPU")
        each = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, each)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs everything and returns the results."""
    start, seen = time.monotonic(), set()

    def note(part: str, law: Law) -> None:
        if part not in seen:
            seen.add(part)
            show_progress("")
            print(f"{time.monotonic() - start:5.0f} s  {part}", flush=True)
        show_progress(f"{part}: {law.subject}, {law.test}: p = {law.p:.3f}")

    slopes: dict[str, list[float]] = {}
    original = PARTS["FMix"]
    PARTS["FMix"] = lambda draws, seed: fields.run_all(draws, seed, slopes)
    laws = run_once(options.draws, options.seed, note)
    PARTS["FMix"] = original
    print(f"{time.monotonic() - start:5.0f} s  repeats", flush=True)
    steps = min(STEPS, options.draws)
    repeats = independent.count_repeats(steps, 100, SEEDS * options.seed)
    results = {
        "backend": keras.config.backend(),
        "seed": options.seed,
        "draws": options.draws,
        "laws": [x._asdict() | {"p": round_p(x.p)} for x in laws],
        "tables": lambdas.describe_tables(),
        "slopes": slopes,
        "repeats": repeats,
    }
    if options.seeds:
        print(f"{time.monotonic() - start:5.0f} s  {options.seeds} seeds", flush=True)
        results["many seeds"] = run_many(options.seeds, options.seed)
    show_progress("")
    print(f"{time.monotonic() - start:5.0f} s  done")
    return results


def judge(results: dict[str, Any]) -> bool:
    """Prints what the results say, and returns whether they are as they should be."""
    laws = results["laws"]
    least = min(laws, key=lambda x: x["p"])
    corrected = pvalues.holm(x["p"] for x in laws)
    print(
        f"{len(laws)} tests, the smallest p {page.show(least['p'])} "
        f"({least['subject']}, {least['test']}), times {len(laws)}: {corrected:.2g}"
    )
    repeats = results["repeats"]["repeats"] + results["repeats"]["repeats of seeds"]
    print(f"{repeats} repeated seed pairs")
    many = results.get("many seeds", {"tests": []})["tests"]
    if many:
        uniform = pvalues.holm(x["p"] for x in many)
        print(f"p-values over seeds, the least uniform, corrected: {uniform:.2g}")
        corrected = min(corrected, uniform)
    return corrected >= FAILURE and repeats == 0


def main() -> int:
    """Runs the tests, or writes the page."""
    options = read_arguments()
    if options.page:
        page.write()
        return 0
    divide_cpu()
    results = measure(options)
    if options.out:
        text = json.dumps(results, indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    passed = judge(results)
    print("as it should be" if passed else "NOT as it should be")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
