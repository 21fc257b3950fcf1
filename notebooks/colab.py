"""Puts "Open in Colab" buttons into the notebooks, once setup.cfg has an address.

`python notebooks/colab.py` reads `Source` from `project_urls` in setup.cfg. With it,
each notebook begins with a button; without it, there is none, and a line says how to
open the notebook in Colab by hand. `--check` changes nothing, and fails if a notebook
is not as it should be.
"""

import argparse
import configparser
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BY_HAND = "\n\nTo run this in Colab, choose *File > Upload notebook* there."
BUTTON = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name})"
    "\n\n"
)
ANY_BUTTON = re.compile(r"\A\[!\[Open in Colab\][^\n]*\n\n")


def repository(setup: str) -> str | None:
    """Returns OWNER/REPO from the text of setup.cfg, or None without `Source`."""
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    lines = parser.get("metadata", "project_urls", fallback="").splitlines()
    urls = dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines if line)
    if "Source" not in urls:
        return None
    found = re.fullmatch(
        r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", urls["Source"]
    )
    if not found:
        sys.exit(f"colab.py: Colab opens notebooks from GitHub, not {urls['Source']}")
    return found[1]


def with_button(notebook: str, name: str, owner_repo: str | None) -> str:
    """Returns a notebook's text with the button, or with how to open it by hand."""
    content = json.loads(notebook)
    first = content["cells"][0]
    text = ANY_BUTTON.sub("", "".join(first["source"])).removesuffix(BY_HAND)
    if owner_repo:
        text = BUTTON.format(repository=owner_repo, name=name) + text
    else:
        text += BY_HAND
    first["source"] = text.splitlines(keepends=True)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Writes the notebooks, or checks them, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    owner_repo = repository((root / "setup.cfg").read_text(encoding="utf-8"))
    changed = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        old = path.read_text(encoding="utf-8")
        new = with_button(old, path.name, owner_repo)
        if new == old:
            continue
        changed.append(path.name)
        if not check:
            path.write_text(new, encoding="utf-8")
    if changed:
        verb = "need `python notebooks/colab.py`" if check else "were changed"
        print(f"{', '.join(changed)} {verb}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
