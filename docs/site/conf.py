"""Settings of the documentation site, for Sphinx; `make site` builds it.

Its pages are the Markdown files and notebooks of the project, where they are: the root
of the project is Sphinx's source folder. `navigation.txt` says which pages there are.
"""

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent.parent):
    sys.path.insert(0, str(folder))

import docstrings
import formulas
import navigation
import pages
import reference

import keras_msda
from keras_msda.layers import MixLayer, settings

PAGES = navigation.pages_of_the_project()
SECTIONS = navigation.read(
    navigation.FILE.read_text(encoding="utf-8"), PAGES, reference.pages()
)
TOCTREES = {
    navigation.docname(path): text
    for path, text in navigation.toctrees(SECTIONS).items()
}
#: Methods that Keras asks for and no user calls.
HIDDEN = {"get_config", "from_config", "build", "metrics"}

project = "keras_msda"
author = "The authors of keras_msda"
copyright = author
version = release = keras_msda.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
root_doc = "README"
include_patterns = [*PAGES, f"{navigation.REFERENCE}/*.rst"]
exclude_patterns = [".*", "build", "dist", "*.egg-info", "keras_msda", "tests"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

# Anchors of headings as on the host of the repository.
myst_heading_anchors = 6
# Formulas in notebooks.
myst_enable_extensions = ["dollarmath"]
# Notebooks are shown with the outputs that are committed.
nb_execution_mode = "off"
nb_merge_streams = True
# These would come from the network.
nb_ipywidgets_js: dict[str, Any] = {}
myst_update_mathjax = False
html_math_renderer = "mathml"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
default_role = "literal"
maximum_signature_line_length = 72
add_module_names = False
toc_object_entries = False
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    (title, "params_style")
    for title in (docstrings.OWN, docstrings.SHARED, docstrings.ATTRIBUTES)
]
# Only dashes: quotes around the values of arguments stay as they are typed.
smartquotes_action = "D"

# A copy of an example has neither prompts nor outputs.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_selector = "div.highlight:not(.output div.highlight) > pre"

html_theme = "furo"
html_title = f"keras_msda {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
# After Sphinx's own scripts, whose settings it changes.
html_js_files = [("site.js", {"priority": 900})]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "native"


def change_source(app: Any, docname: str, source: list[str]) -> None:
    """Appends the lists of the sidebar, and leaves out what notebooks check."""
    source[0] += TOCTREES.get(docname, "")
    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        source[0] = pages.without_tests(source[0])


def convert_docstring(*event: Any) -> None:
    """Makes a docstring readable for Sphinx; layers also get their shared arguments."""
    _app, what, _name, value, _options, lines = event
    shared = {}
    if what == "class" and issubclass(value, MixLayer) and value is not MixLayer:
        shared = docstrings.shared_arguments(value, MixLayer, settings.DEFAULTS)
    lines[:] = docstrings.convert("\n".join(lines), shared).splitlines()


def extend_signature(*event: Any) -> tuple[str, str] | None:
    """Gives the signature of a mixing layer its shared arguments."""
    what, value = event[1], event[3]
    if what == "class" and issubclass(value, MixLayer):
        return str(docstrings.full_signature(value, settings.DEFAULTS)), ""
    return None


def skip_member(*event: Any) -> bool | None:
    """Leaves out what Keras alone calls, and fields that the class describes."""
    name, value = event[2], event[3]
    field = (inspect.getdoc(value) or "").startswith("Alias for field")
    return True if name in HIDDEN or field else None


def mend_page(app: Any, document: Any, docname: str) -> None:
    """Makes links of names, and leaves out what would come from the network."""
    pages.drop_remote_pictures(document)
    pages.mark_cells(document)
    found = pages.targets(app.env.domaindata["py"]["objects"])
    places = {
        name: f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        for name, (page, anchor) in found.items()
        if page != docname
    }
    pages.link_names(document, places)


def copy_home(app: Any, error: Exception | None) -> None:
    """Copies the home page to where browsers and hosts look for it."""
    if error is None:
        home = Path(app.outdir) / f"{root_doc}.html"
        shutil.copyfile(home, home.with_name("index.html"))


def setup(app: Any) -> dict[str, bool]:
    """Connects the functions above; Sphinx calls it."""
    wrong = navigation.problems(SECTIONS, PAGES)
    if wrong:
        raise SystemExit("\n".join(["navigation.txt:", *wrong]))
    reference.write()
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(formulas.visit_inline, None),
        block_renderers=(formulas.visit_block, None),
    )
    app.connect("source-read", change_source)
    # Before napoleon, which has 500.
    app.connect("autodoc-process-docstring", convert_docstring, priority=400)
    app.connect("autodoc-process-signature", extend_signature)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-resolved", mend_page)
    app.connect("build-finished", copy_home)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
