"""Rows of numbers that benchmarks print, each with its spread and its verdict."""

import statistics
from typing import Any


def judged(
    name: str, values: list[float], limit: float | None = None, *, least: bool = False
) -> dict[str, Any]:
    """Prints a row, and returns what is written down of it.

    Args:
        name: What the values are.
        values: One of each run; their median counts.
        limit: What it must keep, or None.
        least: Whether the limit is the least that will do, and not the most.
    """
    middle, verdict = statistics.median(values), ""
    if limit is not None:
        kept = middle >= limit if least else middle <= limit
        verdict = f"{'PASS' if kept else 'FAIL'}  {'>=' if least else '<='} {limit:.3g}"
    spread = f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
    print(f"{name:52}{middle:8.3g}   {spread:18}{verdict}", flush=True)
    return {"name": name, "median": middle, "values": values, "verdict": verdict}


def summary(rows: list[dict[str, Any]]) -> int:
    """Prints how many rows passed, and returns 1 if one failed."""
    verdicts = [row["verdict"][:4] for row in rows]
    print(f"\n{verdicts.count('PASS')} PASS, {verdicts.count('FAIL')} FAIL")
    return int("FAIL" in verdicts)
