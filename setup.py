"""Makes the long description for PyPI, and copies the pages of the methods.

setup.cfg has everything else.
"""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_ENDING = """
The source distribution contains the pages, notebooks and pictures mentioned here.
"""


def long_description(text: str) -> str:
    """Returns the README without links that do not work on PyPI.

    PyPI only shows this file, and the others have no public address. Relative links are
    replaced by their text, pictures by their descriptions.

    Args:
        text: The README.
    """
    text = re.sub(r"!\[([^\]]*)\]\((?!https?:)[^)]*\)", r"*(Picture: \1.)*", text)
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return text + _ENDING


class BuildWithPages(build_py):
    """Puts docs/methods/ into the package, where `keras-msda card` finds it."""

    def run(self) -> None:
        """Builds as usual, then copies; a checkout has the pages already."""
        super().run()
        if not self.editable_mode:
            self.copy_pages()

    def copy_pages(self) -> None:
        """Copies the pages, without their pictures."""
        folder = Path(self.build_lib, "keras_msda", "cards")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for page in (Path(__file__).parent / "docs" / "methods").glob("*.md"):
            shutil.copyfile(page, folder / page.name)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(
        long_description=long_description(readme),
        cmdclass={"build_py": BuildWithPages},
    )
