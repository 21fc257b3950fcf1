"""The buttons that open a notebook in Colab."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COLAB = runpy.run_path(str(ROOT / "notebooks/colab.py"))
SETUP = "[metadata]\nproject_urls =\n    A (paper) = https://arxiv.org/abs/1710.09412\n"
#: Made up, so that the tests hold with any address or none.
SOURCE = "    Source = https://github.com/some-one/mixing"
BUTTON = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/some-one/mixing/blob/main/notebooks/{})\n"
)


@pytest.fixture
def checkout(tmp_path):
    """Two notebooks, and a setup.cfg without an address."""
    (tmp_path / "setup.cfg").write_text(SETUP)
    (tmp_path / "notebooks").mkdir()
    for name in ("02_masks.ipynb", "tpu_colab.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / "notebooks")
    COLAB["main"]([], root=tmp_path)
    return tmp_path


def give_source(checkout, ending=""):
    (checkout / "setup.cfg").write_text(f"{SETUP}{SOURCE}{ending}\n")


def contents(checkout):
    paths = sorted((checkout / "notebooks").glob("*.ipynb"))
    return {path.name: path.read_bytes() for path in paths}


def first_cells(checkout):
    found = {name: json.loads(x) for name, x in contents(checkout).items()}
    return {name: "".join(x["cells"][0]["source"]) for name, x in found.items()}


def test_the_notebooks_are_as_setup_cfg_says(capsys):
    assert COLAB["main"](["--check"]) == 0, capsys.readouterr().out


def test_without_source_the_notebooks_stay(checkout):
    before = contents(checkout)
    assert COLAB["main"]([], root=checkout) == 0
    assert contents(checkout) == before
    for text in first_cells(checkout).values():
        assert text.startswith("# ")
        assert text.endswith(COLAB["BY_HAND"])


@pytest.mark.parametrize("ending", ["", "/", ".git"])
def test_with_source_each_notebook_begins_with_its_button(checkout, ending):
    give_source(checkout, ending)
    COLAB["main"]([], root=checkout)
    for name, text in first_cells(checkout).items():
        assert text.startswith(f"{BUTTON.format(name)}\n# ")
        assert COLAB["BY_HAND"].strip() not in text


def test_writing_twice_changes_nothing_more(checkout):
    give_source(checkout)
    COLAB["main"]([], root=checkout)
    once = contents(checkout)
    assert COLAB["main"](["--check"], root=checkout) == 0
    COLAB["main"]([], root=checkout)
    assert contents(checkout) == once


def test_a_source_that_goes_takes_the_buttons_with_it(checkout):
    before = contents(checkout)
    give_source(checkout)
    COLAB["main"]([], root=checkout)
    assert contents(checkout) != before
    (checkout / "setup.cfg").write_text(SETUP)
    COLAB["main"]([], root=checkout)
    assert contents(checkout) == before


def test_a_check_fails_and_writes_nothing(checkout, capsys):
    give_source(checkout)
    before = contents(checkout)
    assert COLAB["main"](["--check"], root=checkout) == 1
    assert contents(checkout) == before
    assert "02_masks.ipynb, tpu_colab.ipynb need" in capsys.readouterr().out


def test_another_host_is_an_error():
    setup = "[metadata]\nproject_urls =\n    Source = https://example.org/a/b\n"
    with pytest.raises(SystemExit, match=r"not https://example\.org/a/b"):
        COLAB["repository"](setup)
