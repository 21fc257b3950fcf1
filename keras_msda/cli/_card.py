"""Shows the page of a method in the terminal.

The pages are those of docs/methods/, which a wheel has in keras_msda/cards/. Nothing
here imports Keras or NumPy, so that the command answers at once.
"""

import argparse
import re
import sys
from pathlib import Path

from keras_msda import _errors

HELP = "show what a method is, its arguments, cost, gains and failures"
DESCRIPTION = (
    "Prints the page of a method: the idea, formula, an example, suggested values, "
    "cost, gains and how it fails. Without a name, lists the methods."
)
_PACKAGE = Path(__file__).parent.parent
#: Where the pages are: in a wheel, or else in a checkout.
FOLDERS = (_PACKAGE / "cards", _PACKAGE.parent / "docs" / "methods")
#: The page that lists the others.
INDEX = "README.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the name of the method.

    Args:
        parser: That of the command.
    """
    parser.add_argument(
        "name",
        nargs="?",
        metavar="METHOD",
        help="its name; without one, all methods are listed",
    )


def run(name: str | None) -> None:
    """Prints a page, or the list of pages.

    Args:
        name: Name of a method, in any case; None for the list.

    Raises:
        ValueError: If there is no such method.
        OSError: If the pages are not there.
    """
    folder = find_folder()
    known = list_methods(folder)
    if name is None:
        width = max(map(len, known))
        for key, words in known.items():
            print(f"{key:<{width}}  {words}")
        return
    if name.lower() not in known:
        _errors.fail(
            "card",
            "METHOD must be one of the methods with a page.",
            repr(name),
            f"Choose among {', '.join(known)}.",
        )
    page = (folder / f"{name.lower()}.md").read_text(encoding="utf-8")
    show(clean(page))


def find_folder() -> Path:
    """Returns the folder of the pages.

    Raises:
        OSError: If there is none.
    """
    for folder in FOLDERS:
        if (folder / INDEX).is_file():
            return folder
    _errors.fail(
        "card",
        "the pages of the methods must be beside the package.",
        f"no {INDEX} in {FOLDERS[0]}",
        "Install keras_msda again.",
        OSError,
    )


def list_methods(folder: Path) -> dict[str, str]:
    """Returns what each method does in a few words, by its name.

    Args:
        folder: Of the pages. The table of its index has a row for each.
    """
    index = (folder / INDEX).read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^]]*\]\((\w+)\.md\) \| ([^|]*) \|", index, re.MULTILINE)
    return dict(rows)


def clean(page: str) -> str:
    """Returns a page without what only a browser shows.

    Args:
        page: Markdown. Comments and pictures go, and links to other files become their
            words.
    """
    page = re.sub(r"^(<!--.*-->|!\[[^]]*\]\([^)]*\))\n", "", page, flags=re.MULTILINE)
    page = re.sub(r"(?<!!)\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", page)
    return re.sub(r"\n{3,}", "\n\n", page)


def show(page: str) -> None:
    """Prints a page: laid out on a terminal, else as it is.

    Args:
        page: Markdown.
    """
    if not sys.stdout.isatty():
        print(page, end="")
        return
    # Keras depends on it.
    from rich import console, markdown

    console.Console().print(markdown.Markdown(page))
