"""Results of mutants: a line of JSON each, and their table in `tests/MUTANTS.md`."""

import collections
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: 97.5 % of a normal distribution is below this.
Z = 1.959964
START, END = "<!-- table: start -->", "<!-- table: end -->"

Row = dict[str, Any]


def order(names: Mapping[str, Iterable[str]], seed: int) -> list[str]:
    """Returns all names in an order of which each start is a sample of all rooms.

    Within a room the order is that of a hash, as good as random. A room has a share of
    each start that grows with the root of its size: small ones are known about as well
    as large ones. More mutants go on where fewer stopped.
    """
    places = []
    for room, members in sorted(names.items()):
        shuffled = sorted(members, key=lambda name: _hash(f"{seed} {name}"))
        for place, name in enumerate(shuffled):
            places.append(((place + 0.5) / math.sqrt(len(shuffled)), room, name))
    return [name for _, _, name in sorted(places)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def interval(killed: int, count: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    share, extra = killed / count, Z**2 / count
    middle = (share + extra / 2) / (1 + extra)
    half = Z * math.sqrt(share * (1 - share) / count + extra / count / 4) / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)


def read(path: Path) -> tuple[Row, dict[str, Row]]:
    """Returns the line about the run, and that of each mutant, the last one counting.

    A last line that is cut off, as by a kill, is left out.
    """
    about, rows = {}, {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "name" in row:
            rows[row["name"]] = row
        else:
            about = row
    return about, rows


def append(path: Path, row: Row) -> None:
    """Adds a line to a file, which is there after a kill."""
    with path.open("a") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write(path: Path, about: Row, rows: Iterable[Row]) -> None:
    """Writes all lines anew."""
    lines = [json.dumps(row, ensure_ascii=False) for row in (about, *rows)]
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n")
    part.replace(path)


def count_rooms(rows: Iterable[Row]) -> dict[str, tuple[int, int]]:
    """Returns for each room how many mutants were killed, and how many were run."""
    killed, count = collections.Counter[str](), collections.Counter[str]()
    for row in rows:
        room = row["name"].partition(":")[0].split("/")[0].removesuffix(".py")
        count[room] += 1
        killed[room] += row["outcome"] == "killed"
    return {room: (killed[room], count[room]) for room in count}


def make_table(about: Row, rows: Iterable[Row]) -> str:
    """Returns the table by room, in Markdown."""
    counts, sizes = count_rooms(rows), about["mutants"]
    lines = ["| module | all mutants | run | killed | share | 95% interval |"]
    lines += ["|---|---:|---:|---:|---:|---|"]
    for room, size in sizes.items():
        killed, count = counts.get(room, (0, 0))
        lines.append(_make_line(f"`{room}`", size, killed, count))
    killed, count = (sum(x[i] for x in counts.values()) for i in range(2))
    lines.append(_make_line("together", sum(sizes.values()), killed, count))
    run = {room: counts[room] for room in sizes if room in counts}
    whole = sum(sizes[room] for room in run) or 1
    share = sum(sizes[room] * k / n for room, (k, n) in run.items()) / whole
    lines += ["", f"Each module counted by its number of mutants: {share:.1%}."]
    return "\n".join(lines).replace("%", " %")


def _make_line(name: str, size: int, killed: int, count: int) -> str:
    low, high = interval(killed, count)
    share = f"{killed / count:.1%}" if count else ""
    return (
        f"| {name} | {size} | {count} | {killed} | {share} | {low:.0%} to {high:.0%} |"
    )


def fill_page(page: str, table: str) -> str:
    """Returns a page with another table."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{table}\n{END}{rest.partition(END)[2]}"


def list_explained(page: str) -> list[str]:
    """Returns the mutants that a page names, in backquotes at the start of a line."""
    return re.findall(r"^- `([\w./]+:[\w.]+:[0-9a-f]{8})`", page, re.MULTILINE)
