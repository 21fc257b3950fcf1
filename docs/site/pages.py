"""Changes to pages: links of names, pictures, tables, and the tests in notebooks."""

import json
import re
from typing import Any

from docutils import nodes

NAME = re.compile(r"(?:keras_msda\.|msda\.)?([A-Za-z_][\w.]*)(?:\(.*\))?", re.DOTALL)

#: Characters in a cell of a table: at most, at least.
SHORT, LONG = 16, 40


def targets(objects: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Returns where names lead that mean one object only.

    A name counts below `keras_msda`, as in `masks.box_mask`. The last part alone counts
    if no other object has it and it does not look like an ordinary word.

    Args:
        objects: What Sphinx knows about Python: full name -> entry with `docname`,
            `node_id` and `objtype`.

    Returns:
        Name -> (page, anchor).
    """
    found, last = {}, {}
    for name, entry in objects.items():
        place = entry.docname, entry.node_id
        short = name.removeprefix("keras_msda.")
        found[short] = place
        if entry.objtype in ("class", "function", "data", "exception"):
            last.setdefault(short.rpartition(".")[2], set()).add(place)
    for name, places in last.items():
        if len(places) == 1 and re.search(r"[A-Z_]", name):
            found.setdefault(name, places.pop())
    return found


def link_names(document: nodes.document, places: dict[str, str]) -> None:
    """Makes links of a page's names.

    Args:
        document: The page.
        places: Name -> address, relative to this page.
    """
    for literal in list(document.findall(nodes.literal)):
        name = NAME.fullmatch(literal.astext())
        address = places.get(name[1]) if name else None
        if address is None or _is_inside(literal, (nodes.reference, nodes.title)):
            continue
        link = nodes.reference("", "", refuri=address, internal=True)
        literal.replace_self(link)
        link += literal


def drop_remote_pictures(document: nodes.document) -> None:
    """Replaces pictures from the network, such as badges, by their words."""
    for picture in list(document.findall(nodes.image)):
        if "://" in picture["uri"]:
            picture.replace_self(nodes.Text(picture.get("alt", "")))


def mark_cells(document: nodes.document) -> None:
    """Marks cells by their length: short ones are not broken, long ones not narrow."""
    for cell in document.findall(nodes.entry):
        length = len(cell.astext())
        if length <= SHORT or length >= LONG:
            cell["classes"].append("short" if length <= SHORT else "long")


def without_tests(notebook: str) -> str:
    """Returns a notebook, JSON, without the cells that are tagged as tests."""
    content = json.loads(notebook)
    content["cells"] = [
        cell
        for cell in content["cells"]
        if "test" not in cell["metadata"].get("tags", ())
    ]
    return json.dumps(content)


def _is_inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    """Returns whether a node is inside one of some kinds."""
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False
