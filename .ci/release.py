"""Checks what a release needs besides tests, and prints what to type to publish it.

Called by `make release-check`, after the wheel was tried.
"""

import re
import subprocess
import sys
from pathlib import Path

import keras_msda

ROOT = Path(__file__).resolve().parent.parent
VERSION = keras_msda.__version__
TAG = f"v{VERSION}"
NO_SOURCE = """\
release-check: `project_urls` in setup.cfg has no `Source`. Once the project has a
public address, put it there, and run `python notebooks/colab.py` for the buttons."""


def git(*words):
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def find_problems():
    """Yields what must be mended before this version can be published."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)
    if not versions or versions[0] != VERSION:
        yield f"CHANGELOG.md begins with {versions[:1]}, the package is {VERSION}"
    files = sorted(path.name for path in (ROOT / "dist").iterdir())
    if not all(VERSION in name for name in files) or len(files) != 2:
        yield f"dist/ must hold the wheel and the sdist of {VERSION} alone, not {files}"
    if git("status", "--porcelain"):
        yield "the working tree has changes that are not committed"
    if TAG in git("tag").split():
        yield f"the tag {TAG} exists; raise keras_msda.__version__"


def main():
    problems = list(find_problems())
    for problem in problems:
        print(f"release-check: {problem}")
    if problems:
        return 1
    urls = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    if not re.search(r"^ +Source = ", urls, re.MULTILINE):
        print(NO_SOURCE)
    print(
        f"keras_msda {VERSION} is ready. To publish it:\n"
        f"  git tag -a {TAG} -m 'keras_msda {VERSION}'\n"
        f"  git push origin main {TAG}\n"
        f"  .venv/bin/python -m twine upload dist/*"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
