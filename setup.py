"""Makes what PyPI shows of the README; all else stands in setup.cfg."""

import re
from pathlib import Path

from setuptools import setup

_ENDING = """
The pages, notebooks and pictures that are named here are in the source distribution.
"""


def long_description(text: str) -> str:
    """Returns the README without what leads nowhere on PyPI.

    PyPI shows this one file, and there is no public address of the others. Relative
    links become their words, pictures their descriptions.

    Args:
        text: The README.
    """
    text = re.sub(r"!\[([^\]]*)\]\((?!https?:)[^)]*\)", r"*(Picture: \1.)*", text)
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return text + _ENDING


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=long_description(readme))
