"""Makes the long description for PyPI; setup.cfg has everything else."""

import re
from pathlib import Path

from setuptools import setup

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


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=long_description(readme))
