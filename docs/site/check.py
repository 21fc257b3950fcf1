"""Checks the built site: no network is needed, links lead somewhere, search is whole.

`python docs/site/check.py build/site` prints what is wrong, and fails if anything is.
"""

import json
import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches when it opens a page: element -> attributes.
FETCHED = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
}
#: Relations of `link` elements that make a browser fetch nothing.
NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "author"}
#: Pages that Sphinx makes besides those of the navigation.
EXTRA = {"search.html", "genindex.html", "py-modindex.html", "index.html"}
REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(
    r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import\s+['\"]([^'\"]+)"
)


class Page(HTMLParser):
    """What a page fetches, where it leads to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the attributes of an element name."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        relations = set(given.get("rel", "").split())
        if tag == "link" and relations and relations <= NOT_FETCHED:
            return
        self.fetched += [given[name] for name in FETCHED.get(tag, ()) if name in given]


def problems(folder: Path) -> list[str]:
    """Returns what is wrong with a built site, one sentence each.

    Args:
        folder: The site, which holds `index.html`.
    """
    pages = {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }
    said = []
    for name, page in pages.items():
        said += _of_page(folder, name, pages)
        said += [f"{name} fetches {x}" for x in page.fetched if REMOTE.match(x)]
    return said + _of_files(folder) + _of_search(folder, pages)


def _of_page(folder: Path, name: str, pages: dict[str, Page]) -> list[str]:
    """Returns the links of a page that lead nowhere."""
    said = []
    for link in pages[name].links + pages[name].fetched:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = posixpath.join(posixpath.dirname(name), unquote(parts.path))
        target = posixpath.normpath(target) if parts.path else name
        if not (folder / target).is_file():
            said.append(f"{name} leads to {link}, which does not exist")
        elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
            said.append(f"{name} leads to {link}, which has no such anchor")
    return said


def _of_files(folder: Path) -> list[str]:
    """Returns the addresses that styles fetch, those inside pages too."""
    said = []
    for path in sorted([*folder.rglob("*.css"), *folder.rglob("*.html")]):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            text = "".join(re.findall(r"<style.*?</style>", text, re.DOTALL))
        for found in IN_STYLES.findall(text):
            said.append(f"{path.relative_to(folder)} fetches {''.join(found)}")
    return said


def _of_search(folder: Path, pages: dict[str, Page]) -> list[str]:
    """Returns the pages that search cannot find."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").rstrip().rstrip(")"))
    known = {f"{name}.html" for name in index["docnames"]}
    return [f"search does not know {name}" for name in set(pages) - known - EXTRA]


def main() -> None:
    """Checks the folder named on the command line."""
    folder = Path(sys.argv[1])
    found = problems(folder)
    for sentence in found:
        print(sentence)
    count = sum(1 for _ in folder.rglob("*.html"))
    if found or not count:
        sys.exit(f"{folder}: {len(found)} problems in {count} pages")
    print(f"{folder}/index.html: {count} pages, which need no network")


if __name__ == "__main__":
    main()
