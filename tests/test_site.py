"""The parts of the site that need no Sphinx; `make site` does the rest."""

import inspect
import json
import re
import sys
import types
from importlib import import_module
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document

import keras_msda as msda
from keras_msda import analysis, datasets, layers, masks, plot, testing
from keras_msda.layers import settings

SITE = Path(__file__).parent.parent / "docs" / "site"
NAMES = ("check", "conf", "docstrings", "formulas", "navigation", "pages", "reference")


@pytest.fixture(scope="module")
def site():
    """Imports the files of the site, as Sphinx does, and forgets them."""
    before = list(sys.path)
    sys.path.insert(0, str(SITE))
    yield types.SimpleNamespace(**{name: import_module(name) for name in NAMES})
    sys.path[:] = before
    for name in NAMES:
        sys.modules.pop(name)


# The navigation.


def test_every_page_is_in_the_navigation_once(site):
    assert site.navigation.problems(site.conf.SECTIONS, site.conf.PAGES) == []
    assert {"README.md", "docs/five-mistakes.md"} <= set(site.conf.PAGES)
    assert "notebooks/02_masks.ipynb" in site.conf.PAGES


def test_lines_of_the_navigation_are_read(site):
    text = """# A comment.
Start
  README.md | Home
  # docs/later.md

Methods
  docs/methods/mixup.md
  docs/methods/*.md
    docs/methods/folded.md
Reference
  @reference
"""
    page = site.navigation.Page
    files = [f"docs/methods/{name}.md" for name in ("a", "folded", "mixup", "z")]
    found = site.navigation.read(text, files, [page("docs/reference/x.rst", "X", 0)])
    assert found == {
        "Start": [page("README.md", "Home", 0)],
        "Methods": [
            page("docs/methods/mixup.md", "", 0),
            page("docs/methods/a.md", "", 0),
            page("docs/methods/z.md", "", 0),
            page("docs/methods/folded.md", "", 1),
        ],
        "Reference": [page("docs/reference/x.rst", "X", 0)],
    }


def test_what_is_wrong_with_a_navigation_is_said(site):
    pages = [site.navigation.Page(f"{name}.md", "", 0) for name in "aabc"]
    found = site.navigation.problems(
        {"One": pages, "Two": []}, ["a.md", "b.md", "d.md"]
    )
    assert found == [
        "a.md is named 2 times.",
        "d.md is in no section.",
        "c.md does not exist.",
        "Two has no page.",
    ]


def test_sections_and_folded_pages_become_lists_of_sphinx(site):
    page = site.navigation.Page
    top, inner = page("docs/x.rst", "", 0), page("docs/y.rst", "Why", 1)
    found = site.navigation.toctrees(
        {"One": [page("README.md", "Home", 0), top, inner]}
    )
    fence = "```"
    assert found == {
        "README.md": f"\n\n{fence}{{toctree}}\n:hidden:\n:caption: One\n\n"
        f"Home <self>\n/docs/x\n{fence}\n",
        "docs/x.rst": "\n\n.. toctree::\n   :hidden:\n   \n   Why </docs/y>\n",
    }


# The reference.


class Base:
    """Base.

    Args:
        alpha: Of lambda.
        speed: How fast,
            in two lines.
        **kwargs: `name` and `dtype` as in Keras.
    """

    def __init__(self, alpha=1.0, **kwargs):
        pass


class Leaf(Base):
    """Leaf, of |x| and dominant_.

    Args:
        width: Its own.
        **kwargs: Shared arguments, see `MixLayer`, except for `alpha`.

    Example:
        >>> 1 | 2
        3
    """

    def __init__(self, *, width=2, **kwargs):
        pass


def test_a_layer_gets_the_shared_arguments_that_it_does_not_describe(site):
    shared = site.docstrings.shared_arguments(Leaf, Base, {"speed": 3})
    assert shared == {
        "speed": ["    speed: How fast,", "        in two lines. Default: `3`."],
        "**kwargs": ["    name, dtype: As in Keras."],
    }
    assert site.docstrings.convert(inspect.getdoc(Leaf), shared) == (
        "Leaf, of \\|x\\| and dominant\\_.\n\n"
        "Arguments:\n    width: Its own.\n"
        "    **kwargs: The shared arguments below, except for `alpha`.\n\n"
        "Shared arguments:\n    speed: How fast,\n        in two lines. Default: `3`.\n"
        "    name, dtype: As in Keras.\n\n"
        "Example:\n    >>> 1 | 2\n    3"
    )
    signature = site.docstrings.full_signature(Leaf, {"speed": 3})
    assert str(signature) == "(*, width=2, speed=3, seed=None, name=None, dtype=None)"


@pytest.mark.whole
@pytest.mark.parametrize("name", [n for n in layers.__all__ if n.endswith("Layer")])
def test_the_page_of_a_layer_has_all_arguments_of_its_signature(site, name):
    kind = getattr(layers, name)
    own = site.docstrings.arguments_of(kind)
    shared = site.docstrings.shared_arguments(kind, layers.MixLayer, settings.DEFAULTS)
    described = {*own, *shared} - {"**kwargs"}
    signature = site.docstrings.full_signature(kind, settings.DEFAULTS)
    assert set(settings.DEFAULTS) <= described
    assert described == {*signature.parameters} - {"name", "dtype"}


def test_every_public_name_is_on_one_page_of_the_reference(site):
    listed = [("keras_msda", name) for name in site.reference.layer_names()]
    for group in site.reference.GROUPS:
        listed += site.reference.names_of(group)
    assert len(listed) == len(set(listed))
    wanted = {("keras_msda", name) for name in msda.__all__ if name != "masks"}
    for module in (analysis, datasets, masks, plot, testing):
        wanted |= {(module.__name__, name) for name in module.__all__}
    wanted |= {("keras_msda.layers", "METHODS"), ("keras_msda.layers", "Method")}
    assert wanted <= set(listed)


def test_pages_of_the_reference_name_what_exists(site):
    texts = site.reference.texts()
    assert [page.path for page in site.reference.pages()] == list(texts)
    assert ".. autoclass:: HMixLayer" in texts["docs/reference/HMixLayer.rst"]
    assert ".. autofunction:: box_mask" in texts["docs/reference/masks.rst"]
    methods = texts["docs/reference/methods.rst"]
    assert ".. py:data:: METHODS\n\n   Every method by its name, in" in methods


# Changes to pages.


def paragraph(*children):
    document = new_document("page")
    document += nodes.paragraph("", "", *children)
    return document


def test_names_become_links_where_they_mean_one_thing(site):
    def entry(page, anchor, kind):
        return types.SimpleNamespace(docname=page, node_id=anchor, objtype=kind)

    objects = {
        "keras_msda.HMixLayer": entry("h", "H", "class"),
        "keras_msda.plot.mixes": entry("p", "m", "function"),
        "keras_msda.masks.box_mask": entry("k", "b", "function"),
    }
    targets = site.pages.targets(objects)
    assert targets["HMixLayer"] == ("h", "H")
    assert targets["box_mask"] == targets["masks.box_mask"] == ("k", "b")
    assert "plot.mixes" in targets
    assert "mixes" not in targets
    words = ["msda.HMixLayer(alpha=1.0)", "mixes", "other"]
    document = paragraph(*(nodes.literal("", word) for word in words))
    site.pages.link_names(document, {"HMixLayer": "h.html#H"})
    links = list(document.findall(nodes.reference))
    assert [(x["refuri"], x.astext()) for x in links] == [("h.html#H", words[0])]


def test_pictures_from_the_network_become_words(site):
    badge = nodes.image("", uri="https://x.example/badge.svg", alt="Open")
    document = paragraph(badge, nodes.image("", uri="docs/mixes.jpg"))
    site.pages.drop_remote_pictures(document)
    assert [x["uri"] for x in document.findall(nodes.image)] == ["docs/mixes.jpg"]
    assert document.astext().startswith("Open")


def test_cells_are_marked_by_their_length(site):
    lengths = [16, 17, 39, 40]
    cells = [nodes.entry("", nodes.paragraph("", "x" * n)) for n in lengths]
    document = paragraph(*cells)
    site.pages.mark_cells(document)
    assert [cell["classes"] for cell in cells] == [["short"], [], [], ["long"]]


def test_cells_that_test_a_notebook_are_left_out(site):
    cells = [{"metadata": {}, "n": 1}, {"metadata": {"tags": ["test"]}, "n": 2}]
    left = json.loads(site.pages.without_tests(json.dumps({"cells": cells})))
    assert left == {"cells": cells[:1]}


def test_formulas_need_no_script(site):
    pytest.importorskip("latex2mathml")
    translator = types.SimpleNamespace(body=[])
    with pytest.raises(nodes.SkipNode):
        site.formulas.visit_block(translator, nodes.math_block("", r"\lambda = 1"))
    assert translator.body[0].startswith('<div class="formula"><math')
    assert "&#x003BB;" in translator.body[0]


# The settings, and the check of what was built.


def test_settings_and_styles_fetch_nothing(site):
    conf = site.conf
    assert conf.nb_execution_mode == "off"
    assert conf.nb_ipywidgets_js == {}
    assert conf.html_math_renderer == "mathml"
    files = [path for path in (SITE / "static").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        assert not re.search("https?://|@import", path.read_text(encoding="utf-8"))


GOOD = '<h1 id="top-of-a">A</h1><a href="b.html#b">b</a><script src="s.js"></script>'


def build(folder, first):
    """Writes a site of two pages, the first of which is given."""
    (folder / "a.html").write_text(first, encoding="utf-8")
    (folder / "b.html").write_text('<p id="b"><a href="a.html">a</a>', encoding="utf-8")
    (folder / "s.js").write_text("1", encoding="utf-8")
    (folder / "searchindex.js").write_text(
        'Search.setIndex({"docnames": ["a", "b"]})', encoding="utf-8"
    )


def test_a_good_site_passes(site, tmp_path):
    build(tmp_path, GOOD)
    assert site.check.problems(tmp_path) == []


@pytest.mark.whole
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('<a href="c.html">', "a.html leads to c.html, which does not exist"),
        ('<a href="b.html#c">', "a.html leads to b.html#c, which has no such anchor"),
        ('<a href="#c">', "a.html leads to #c, which has no such anchor"),
        ('<script src="https://x.example/s.js">', "fetches https://x.example/s.js"),
        ('<link rel="stylesheet" href="//x.example/s.css">', "fetches //x.example"),
        ('<img src="http://x.example/i.png">', "a.html fetches http://x.example/i.png"),
        ("<style>p {src: url('https://x.example/f')}</style>", "https://x.example/f"),
    ],
)
def test_what_is_wrong_with_a_built_page_is_said(site, tmp_path, line, said):
    build(tmp_path, GOOD + line)
    found = site.check.problems(tmp_path)
    assert len(found) == 1
    assert said in found[0]


def test_a_page_that_search_does_not_know_is_said(site, tmp_path):
    build(tmp_path, GOOD)
    (tmp_path / "c.html").write_text("<p>", encoding="utf-8")
    assert site.check.problems(tmp_path) == ["search does not know c.html"]
