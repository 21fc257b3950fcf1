"""The examples of the README and of the pages, as a reader runs them.

Also a script of its own, for an environment that has the wheel and no checkout:

    python examples.py CHECKOUT

It needs the standard library, NumPy and Pillow, and what the examples import.
"""

import contextlib
import doctest
import multiprocessing
import re
import sys
import tempfile
import time
from pathlib import Path

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
#: What the script of the README trains on, and how many pictures of each.
CLASSES, PICTURES = ("cat", "dog", "owl"), 8


def readme_blocks(root):
    """Returns the README's blocks of Python, in their order."""
    text = (Path(root) / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def page_paths(root):
    """Returns the pages of the documentation: no index, nothing that a build made."""
    docs = Path(root) / "docs"
    made = {docs / "README.md", *(docs / "reference").rglob("*.md")}
    return sorted(set(docs.rglob("*.md")) - made)


def page_test(path):
    """Returns the examples of a page as one test, with the page's own line numbers."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside = line == "```pycon"
            lines[number] = ""
        elif not inside:
            lines[number] = ""
    text, name = "\n".join(lines), Path(path).name
    # AutoGraph asks a function for the name of its module.
    names = {"__name__": "__main__"}
    return doctest.DocTestParser().get_doctest(text, names, name, str(path), 0)


def failures(test):
    """Returns what the runner says about examples that fail; nothing if none does."""
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    said = []
    runner.run(test, out=said.append)
    return "".join(said)


def write_photos(folder):
    """Writes the pictures that the README's script reads: class by mean colour."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        target = Path(folder) / "photos" / name
        target.mkdir(parents=True)
        for picture in range(PICTURES):
            pixels = random.integers(0, 120, (96, 96, 3), dtype=np.uint8)
            pixels[..., number] += 120
            Image.fromarray(pixels).save(target / f"{picture}.png")


def run_readme(root):
    """Runs the README's blocks one after the other, as a reader pastes them."""
    names = {"__name__": "__main__"}
    for block in readme_blocks(root):
        exec(compile(block, "README.md", "exec"), names)


def run_page(path):
    """Returns a page, its seconds, and what is said about examples that fail."""
    start = time.perf_counter()
    said = failures(page_test(path))
    return path, time.perf_counter() - start, said


def main(root):
    """Runs everything in an empty folder; returns the number of failures."""
    root, failed = Path(root).resolve(), 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_photos(folder)
        run_readme(root)
        # Processes of their own, as TensorFlow must not be forked.
        with multiprocessing.get_context("spawn").Pool() as pool:
            for path, seconds, said in pool.imap_unordered(run_page, page_paths(root)):
                failed += bool(said)
                print(f"{path.relative_to(root)}: {seconds:.0f} s {said}", flush=True)
    print(f"{len(page_paths(root))} pages, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
