"""The pages of the methods: in the terminal, in a wheel, and with their numbers."""

import ast
import importlib.util
import io
import re
import runpy
import sys
from pathlib import Path

import pytest
from setuptools import Distribution

from keras_msda import cli
from keras_msda.cli import _card
from keras_msda.layers import METHODS

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
NAMES = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")


def test_the_list_has_every_page_and_every_method(capsys):
    assert cli.main(["card"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == NAMES
    assert set(METHODS) | {"random", "manifold"} == set(NAMES)
    assert "hmix         pastes a box and adds the rest" in lines


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_printed_without_what_only_a_browser_shows(name, capsys):
    assert cli.main(["card", name.upper()]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# ")
    assert "## How it fails" in text
    assert "<!--" not in text
    assert "![" not in text
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets
    assert [x for x in targets if not x.startswith("https://")] == []


def test_a_terminal_gets_it_laid_out(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["card", "gmix"]) == 0
    text = terminal.getvalue()
    assert "## How it fails" not in text
    assert "How it fails" in text


def test_an_unknown_name_is_told_with_those_that_are_known(capsys):
    assert cli.main(["card", "hmx"]) == 2
    assert capsys.readouterr().err == (
        "keras-msda: error: card: METHOD must be one of the methods with a page. "
        f"Received: 'hmx'. Choose among {', '.join(_card.list_methods(PAGES))}.\n"
    )


def test_pages_that_are_not_there_are_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(_card, "FOLDERS", (tmp_path,))
    assert cli.main(["card"]) == 2
    assert f"Received: no README.md in {tmp_path}." in capsys.readouterr().err


def test_a_build_has_the_pages_and_the_command_finds_them(
    capsys, monkeypatch, tmp_path
):
    build = runpy.run_path(str(ROOT / "setup.py"))["BuildWithPages"](Distribution())
    build.build_lib = str(tmp_path)
    cards = tmp_path / "keras_msda" / "cards"
    cards.mkdir(parents=True)
    (cards / "gone.md").touch()
    build.copy_pages()
    found = {path.name: path.read_bytes() for path in cards.iterdir()}
    assert found == {path.name: path.read_bytes() for path in PAGES.glob("*.md")}
    monkeypatch.setattr(_card, "FOLDERS", (cards, tmp_path / "docs"))
    assert cli.main(["card", "fmix"]) == 0
    assert capsys.readouterr().out.startswith("# FMix\n")


def test_a_checkout_that_is_edited_needs_no_copy(tmp_path, monkeypatch):
    build = runpy.run_path(str(ROOT / "setup.py"))["BuildWithPages"](Distribution())
    monkeypatch.setattr(type(build).__mro__[1], "run", lambda _: None)
    build.build_lib, build.editable_mode = str(tmp_path), True
    build.run()
    assert list(tmp_path.iterdir()) == []
    build.editable_mode = False
    build.run()
    assert (tmp_path / "keras_msda" / "cards" / "README.md").is_file()


def test_the_command_needs_neither_keras_nor_numpy():
    tree = ast.parse(Path(_card.__file__).read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    assert found <= {"argparse", "re", "sys", "pathlib", "keras_msda", "rich"}


# The numbers and pictures on the pages.


@pytest.fixture(scope="module")
def cards():
    """The program that writes the numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        spec = importlib.util.spec_from_file_location(
            "cards", ROOT / "benchmarks" / "cards.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def test_numbers_are_those_of_the_results(cards):
    assert [page.stem for page in cards.PAGES] == NAMES
    for page in cards.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- cost -->") == text.count("<!-- gains -->") == 1
        filled = cards.evidence.fill(text, cards.list_sections(page))
        assert filled == text, f"run benchmarks/cards.py: {page.name}"


def test_a_number_is_that_of_its_file(cards):
    (table,) = (
        x
        for x in cards.read_json("speed")["tables"]
        if x["title"] == "float32, 128 of 224x224x3"
    )
    (row,) = (x for x in table["rows"] if x["name"] == "FMix, map sample / copy")
    line = next(
        line
        for line in cards.make_cost("fmix").splitlines()
        if line.startswith("| time / that of a copy, float32, 128 of 224x224x3 ")
    )
    assert line.split("|")[2].strip() == f"{row['median']:.2f}"


def test_new_data_get_a_row_and_new_choices_a_table(cards, monkeypatch):
    def lines(accuracy):
        return {
            seed: {"scores": {"accuracy": accuracy + seed / 100, "nll": 1.0}}
            for seed in range(3)
        }

    rows = {"none": lines(0.5), "cutmix": lines(0.625)}
    choices = {"cutmix, clip": lines(0.75), "cutmix, wrap": lines(0.5)}
    given = {id(cards.evidence.GAINS): rows, id(cards.evidence.ABLATIONS): choices}

    def list_groups(names):
        if id(names) in given:
            yield "New", given[id(names)]

    monkeypatch.setattr(cards.evidence, "list_groups", list_groups)
    text = cards.make_gains("cutmix")
    cells = [[x.strip() for x in line.split("|")] for line in text.splitlines()]
    # No ECE in these lines, and so no number.
    assert cells[2][1:6] == ["New", "51.0", "**+12.5 ± 0.0**", "+0.00 ± 0.00", ""]
    assert cells[-1][1:4] == ["cutmix, clip", "cutmix, wrap", "**+25.0 ± 0.0**"]
    assert cards.make_gains("gmix") == "It is not in our experiments so far."


def test_pictures_are_there_and_small():
    found = [*PAGES.glob("*.jpg"), *PAGES.parent.glob("gallery-*")]
    assert {path.stem for path in PAGES.glob("*.jpg")} == set(NAMES)
    assert max(path.stat().st_size for path in found) <= 120 * 1024
    assert sum(path.stat().st_size for path in found) <= 2 * 1024**2
