"""Reads `navigation.txt`: which pages the site has, in which order."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILE = HERE / "navigation.txt"
#: The page that the site opens with. The sidebar's lists of pages are appended to it.
HOME = "README.md"
#: Where `reference.py` writes its pages.
REFERENCE = "docs/reference"
#: Files that are pages.
PATTERNS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "notebooks/*.ipynb",
    "benchmarks/*.md",
    "benchmarks/experiments/**/*.md",
)


class Page(NamedTuple):
    """A line of the navigation.

    Attributes:
        path: From the root of the project; or a pattern, until it is resolved.
        title: What the sidebar says, or "" for the title of the page.
        depth: 0, or 1 for a page that is folded into the last one of depth 0.
    """

    path: str
    title: str
    depth: int


def pages_of_the_project() -> list[str]:
    """Returns the paths of all files that are pages."""
    found = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def read(text: str, pages: list[str], reference: list[Page]) -> dict[str, list[Page]]:
    """Returns the pages of each section.

    Args:
        text: What `navigation.txt` holds.
        pages: Files that "*" may stand for.
        reference: Pages that the line "@reference" stands for.
    """
    sections: dict[str, list[Page]] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    named = {line.partition("|")[0].strip() for line in lines}
    for line in filter(str.strip, lines):
        if not line.startswith(" "):
            section = sections.setdefault(line.strip(), [])
            continue
        path, _, title = (part.strip() for part in line.partition("|"))
        depth = int(line.startswith("    "))
        if path == "@reference":
            section += reference
        elif "*" in path:
            section += [
                Page(other, title, depth)
                for other in pages
                if Path(other).match(path) and other not in named
            ]
        else:
            section.append(Page(path, title, depth))
    return sections


def listed(sections: dict[str, list[Page]]) -> Iterator[str]:
    """Yields the path of each line."""
    for pages in sections.values():
        yield from (page.path for page in pages)


def problems(sections: dict[str, list[Page]], pages: list[str]) -> list[str]:
    """Returns what is wrong with a navigation, one sentence each.

    Args:
        sections: The navigation.
        pages: All files that are pages. Those of the reference are not among them.
    """
    counts = Counter(
        path for path in listed(sections) if not path.startswith(f"{REFERENCE}/")
    )
    said = [f"{path} is named {n} times." for path, n in counts.items() if n > 1]
    said += [f"{path} is in no section." for path in pages if path not in counts]
    said += [f"{path} does not exist." for path in counts if path not in pages]
    return said + [f"{name} has no page." for name, own in sections.items() if not own]


def toctrees(sections: dict[str, list[Page]]) -> dict[str, str]:
    """Returns what is appended to a page, so that Sphinx lists others below it.

    Args:
        sections: The navigation.

    Returns:
        Path of a page -> MyST, or reStructuredText for a page of the reference.
    """
    trees = {HOME: ""}
    for section, pages in sections.items():
        trees[HOME] += _toctree(HOME, section, [p for p in pages if not p.depth])
        for number, page in enumerate(pages):
            folded = [*itertools.takewhile(lambda p: p.depth, pages[number + 1 :])]
            if folded and not page.depth:
                trees[page.path] = _toctree(page.path, "", folded)
    return trees


def docname(path: str) -> str:
    """Returns Sphinx's name of a page: its path without the ending."""
    return path.rpartition(".")[0]


def _toctree(parent: str, caption: str, pages: list[Page]) -> str:
    """Returns a directive that lists pages, in the language of the parent page."""
    lines = []
    for page in pages:
        target = "self" if page.path == parent else f"/{docname(page.path)}"
        lines.append(f"{page.title} <{target}>" if page.title else target)
    if parent.endswith(".rst"):
        body = "\n   ".join([":hidden:", "", *lines])
        return f"\n\n.. toctree::\n   {body}\n"
    options = [":hidden:"] + ([f":caption: {caption}"] if caption else [])
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *lines, "```"]) + "\n"
