"""Prints the rows of the benchmarks, each with its spread and its verdict."""

import statistics
from typing import Any


def print_row(
    name: str, values: list[float], limit: float | None = None, *, least: bool = False
) -> dict[str, Any]:
    """Prints a row and its verdict.

    Args:
        name: What the values are.
        values: One value per run; their median counts.
        limit: The limit of the median, or None.
        least: Whether the limit is the least value allowed, and not the largest.

    Returns:
        The row, as results hold it.
    """
    middle, verdict = statistics.median(values), ""
    if limit is not None:
        kept = middle >= limit if least else middle <= limit
        verdict = f"{'PASS' if kept else 'FAIL'}  {'>=' if least else '<='} {limit:.3g}"
    spread = f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
    print(f"{name:52}{middle:8.3g}   {spread:20}{verdict}", flush=True)
    return {"name": name, "median": middle, "values": values, "verdict": verdict}


def print_summary(rows: list[dict[str, Any]]) -> int:
    """Prints how many rows passed, and returns 1 if one failed."""
    verdicts = [row["verdict"][:4] for row in rows]
    print(f"\n{verdicts.count('PASS')} PASS, {verdicts.count('FAIL')} FAIL")
    return int("FAIL" in verdicts)
