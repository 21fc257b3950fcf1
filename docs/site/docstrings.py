"""Docstrings for the reference: the shared arguments of layers, and what Sphinx reads.

Nothing here needs Sphinx.
"""

import inspect
import re
from typing import Any

#: Titles of sections on the site that napoleon does not have, or has under other names.
OWN = "Arguments"
SHARED = "Shared arguments"
ATTRIBUTES = "Attributes"
#: How the docstring of a layer says that it takes the shared arguments.
MENTION = "Shared arguments, see `MixLayer`"


def split_sections(doc: str) -> list[tuple[str, list[str]]]:
    """Returns the sections of a docstring in Google's style, with their lines.

    Args:
        doc: A docstring without indentation.

    Returns:
        Pairs (title, lines), the first with the title "".
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in doc.splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            sections.append((line[:-1], []))
        else:
            sections[-1][1].append(line)
    return sections


def split_arguments(lines: list[str]) -> dict[str, list[str]]:
    """Returns the lines of each argument of an `Args` section, by its name."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, lines):
        name = re.match(r" {4}(\*{0,2}\w+):", line)
        if name:
            found[name[1]] = []
            own = found[name[1]]
        own.append(line)
    return found


def arguments_of(kind: type) -> dict[str, list[str]]:
    """Returns the lines of the arguments that a class describes."""
    return split_arguments(dict(split_sections(inspect.getdoc(kind) or ""))["Args"])


def shared_arguments(
    kind: type, base: type, defaults: dict[str, Any]
) -> dict[str, list[str]]:
    """Returns the lines of the arguments that a layer takes without describing them.

    Args:
        kind: Class of the layer.
        base: Class that describes the shared arguments.
        defaults: Their defaults, by name.
    """
    described = arguments_of(base)
    own = arguments_of(kind)
    signature = inspect.signature(kind).parameters
    found = {}
    for name, lines in described.items():
        # Without a lambda there is no alpha; a choice of layers has theirs.
        if name in own or (name == "alpha" and name not in signature):
            continue
        found[name] = list(lines)
        if name in defaults:
            found[name][-1] += f" Default: `{defaults[name]!r}`."
    # What the base class passes on to Keras.
    rest = described.get("**kwargs")
    if rest:
        first = rest[0].replace("**kwargs: `name` and `dtype` as", "name, dtype: As")
        found["**kwargs"] = [first, *rest[1:]]
    return found


def convert(doc: str, shared: dict[str, list[str]]) -> str:
    """Returns a docstring as napoleon and docutils read it.

    Args:
        doc: The docstring, without indentation.
        shared: Lines of the arguments for the section that follows the own ones; empty
            for all but layers.
    """
    parts = []
    for title, lines in split_sections(doc):
        body = "\n".join(lines)
        if title not in ("Example", "Examples"):
            body = escape(body)
        if title == "Args":
            title = OWN
        if shared:
            body = body.replace(MENTION, "The shared arguments below")
        parts.append(f"{title}:\n{body}" if title else body)
        if title == OWN and shared:
            rows = escape("\n".join(line for own in shared.values() for line in own))
            parts.append(f"{SHARED}:\n{rows}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Returns text in which only backticks and lists are markup."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):  # Outside of backticks.
        plain = pieces[place].replace("|", r"\|")
        pieces[place] = re.sub(r"(?<=\w)_(?!\w)", r"\_", plain)
    return "`".join(pieces)


def full_signature(kind: type, defaults: dict[str, Any]) -> inspect.Signature:
    """Returns the signature of a layer with all arguments that it takes by keyword.

    Args:
        kind: Class of the layer.
        defaults: Defaults of the shared arguments, by name.
    """
    own = inspect.signature(kind).parameters.values()
    given = [p.replace(annotation=p.empty) for p in own if p.kind is not p.VAR_KEYWORD]
    names = {parameter.name for parameter in given}
    more = {**defaults, "seed": None, "name": None, "dtype": None}
    keyword = inspect.Parameter.KEYWORD_ONLY
    given += [
        inspect.Parameter(name, keyword, default=value)
        for name, value in more.items()
        if name not in names
    ]
    return inspect.Signature(given)
