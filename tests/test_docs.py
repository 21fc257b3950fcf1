"""The pages of docs/ run as they stand there, and lead to one another."""

import doctest
import re
import tempfile
from pathlib import Path

import pytest

import keras_msda as msda
from tests.support import examples

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = examples.page_paths(ROOT)
TEXTS = {path: path.read_text(encoding="utf-8") for path in (INDEX, *PAGES)}
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]
#: Of the index that lists the kinds of targets.
KINDS = re.search(r"Kinds of targets:\n\n(.*?)\n\n", TEXTS[INDEX], re.DOTALL)

# A page that nothing reads is not checked at all.
pytestmark = pytest.mark.whole
every_page = pytest.mark.parametrize("path", PAGES, ids=NAMES)


def links(text):
    """Returns where a page leads to, files of the project only."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    return [link for link in found if not link.startswith(("http:", "https:"))]


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def listed(text):
    return {link.partition("#")[0] for link in links(text)}


def test_there_are_pages_and_kinds_of_targets():
    assert len(PAGES) > 50
    assert len(listed(KINDS[1])) == 12


@every_page
def test_a_page_is_listed_in_the_index(path):
    assert path.relative_to(DOCS).as_posix() in listed(TEXTS[INDEX])


@pytest.mark.parametrize("kind", sorted(listed(KINDS[1])))
def test_a_kind_of_targets_has_an_example_with_its_output(kind):
    test = examples.page_test(DOCS / kind)
    assert any(example.want for example in test.examples)


@pytest.mark.slow
@every_page
def test_the_examples_of_a_page_give_what_it_shows(path, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = examples.failures(examples.page_test(path))
    assert not found, found


@pytest.mark.parametrize("path", TEXTS, ids=["README.md", *NAMES])
def test_the_links_of_a_page_resolve(path):
    for link in links(TEXTS[path]):
        target = path.parent / link.partition("#")[0]
        assert target.is_file(), f"{path.name} leads to {link}"


@pytest.mark.parametrize("path", TEXTS, ids=["README.md", *NAMES])
def test_a_page_is_at_most_88_columns_wide_but_for_tables(path):
    lines = [x for x in TEXTS[path].split("\n") if not x.startswith("|")]
    assert not [x for x in lines if len(x) > 88]


@pytest.mark.parametrize("name", msda.__all__)
def test_a_public_name_is_in_the_readme_or_a_page(name):
    texts = [(ROOT / "README.md").read_text(encoding="utf-8"), *TEXTS.values()]
    assert any(re.search(rf"\b{name}\b", text) for text in texts)


def test_a_wrong_example_is_shown():
    text = ">>> 1 + 1\n3\n"
    test = doctest.DocTestParser().get_doctest(text, {}, "page.md", "page.md", 0)
    found = examples.failures(test)
    assert "1 + 1" in found
    assert "Expected:\n    3\nGot:\n    2" in found
