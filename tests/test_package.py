"""The package as it is installed: what importing it loads, and its metadata."""

import configparser
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import keras_msda as msda

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")

#: Run beside Keras's NumPy backend, which itself needs the least; what Keras has loaded
#: is made to fail if it is asked for, too.
IMPORTING = """
import json, sys
import keras
held = {name: sys.modules.pop(name, None) for name in HEAVY}
before = set(sys.modules)
sys.modules.update(dict.fromkeys(HEAVY))
import keras_msda
for name in HEAVY:
    del sys.modules[name]
found = {"loaded": sorted(set(sys.modules) - before), "listed": dir(keras_msda)}
sys.modules["matplotlib"] = None
try:
    keras_msda.plot
except ImportError as error:
    found["error"] = str(error)
del sys.modules["matplotlib"]
sys.modules.update({name: module for name, module in held.items() if module})
found["analysis"] = keras_msda.analysis.recommend.__module__
found["plot"] = keras_msda.plot.mixes.__module__
print(json.dumps(found))
"""
HEAVY = ["scipy", "matplotlib", "tensorflow", "tensorflow_probability", "jax", "torch"]


def requirements(text):
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {found.name: found for found in map(Requirement, filter(None, lines))}


def bounds(operator, wanted):
    """Returns the version of each requirement's only specifier with an operator."""
    found = {}
    for name, requirement in wanted.items():
        versions = [x.version for x in requirement.specifier if x.operator == operator]
        (found[name],) = map(Version, versions)
    return found


CORE = requirements(SETUP["options"]["install_requires"])
EXTRAS = {
    name: requirements(text) for name, text in SETUP["options.extras_require"].items()
}
OLDEST = requirements((ROOT / "tests/oldest-requirements.txt").read_text())


@pytest.fixture(scope="module")
def imported():
    """What a process of its own says that imports keras_msda after Keras."""
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {HEAVY!r}\n{IMPORTING}"],
        env=os.environ | {"KERAS_BACKEND": "numpy"},
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_loads_none_but_its_own_modules(imported):
    roots = {name.partition(".")[0] for name in imported["loaded"]}
    assert roots <= {"keras_msda", *sys.stdlib_module_names}


def test_importing_the_package_leaves_theory_and_figures_for_later(imported):
    lazy = ("keras_msda.analysis", "keras_msda.plot")
    assert not [name for name in imported["loaded"] if name.startswith(lazy)]


def test_theory_and_figures_are_reached_from_the_package_alone(imported):
    assert imported["analysis"] == "keras_msda.analysis.recommendation"
    assert imported["plot"] == "keras_msda.plot._mixes"
    assert {"analysis", "plot", "MixUpLayer"} <= set(imported["listed"])


def test_figures_without_matplotlib_say_what_to_install(imported):
    assert imported["error"] == (
        "keras_msda.plot: figures are drawn by Matplotlib. Received: a Python without "
        "Matplotlib. Install it by `pip install 'keras_msda[demo]'`."
    )


def test_another_name_is_still_an_attribute_error():
    with pytest.raises(AttributeError, match="'keras_msda' has no attribute 'plots'"):
        _ = msda.plots


def test_scipy_belongs_to_the_core_and_the_extra_of_old_is_empty():
    assert "scipy" in CORE
    assert EXTRAS["analysis"] == {}


@pytest.mark.parametrize("wanted", [CORE, EXTRAS["demo"]], ids=["core", "demo"])
def test_what_users_install_has_a_lower_bound_and_no_other(wanted):
    for requirement in wanted.values():
        assert [x.operator for x in requirement.specifier] == [">="], requirement


def test_the_oldest_environment_has_the_lower_bounds():
    lowest = bounds(">=", CORE | EXTRAS["demo"])
    pinned = bounds("==", OLDEST)
    assert {name: pinned[name] for name in lowest} == lowest


def test_the_oldest_environment_tests_with_the_tools_of_the_newest():
    newest = bounds("==", EXTRAS["dev"])
    pinned = bounds("==", OLDEST)
    tools = set(pinned) - set(CORE) - set(EXTRAS["demo"])
    tools -= {"pytest-timeout", "pyparsing"}  # Of this environment alone.
    assert tools == {"pytest", "pytest-xdist", "hypothesis"}
    assert {name: newest[name] for name in tools} == {x: pinned[x] for x in tools}


def test_developers_install_what_has_hashes():
    # One entry per requirement: "name==version ; marker \\", then its hashes.
    text = (ROOT / "tests/dev-requirements.txt").read_text().replace("\\\n", " ")
    locked = {}
    for line in text.splitlines():
        wanted, _, hashes = line.partition("--hash=sha256:")
        if wanted.strip() and not wanted.startswith("#"):
            assert len(hashes) >= 64, wanted
            requirement = Requirement(wanted)
            locked.setdefault(requirement.name, []).append(requirement)
    wanted = CORE | EXTRAS["demo"] | EXTRAS["dev"]
    # Its builds differ between indexes.
    assert set(wanted) - set(locked) == {"torch"}
    for name, entries in locked.items():
        for entry in entries:
            (version,) = (x.version for x in entry.specifier if x.operator == "==")
            assert name not in wanted or wanted[name].specifier.contains(version)


def test_the_oldest_python_is_the_first_of_the_classifiers():
    oldest = SETUP["options"]["python_requires"].removeprefix(">=")
    found = re.findall(r":: Python :: (3\.\d+)", SETUP["metadata"]["classifiers"])
    assert found[0] == oldest


@pytest.fixture(scope="module")
def shown():
    """What PyPI shows."""
    return runpy.run_path(str(ROOT / "setup.py"))["long_description"](README)


def test_pypi_gets_no_link_and_no_picture_that_leads_nowhere(shown):
    targets = re.findall(r"\]\(([^)]*)\)", shown)
    assert targets
    assert [x for x in targets if not x.startswith("https://")] == []
    assert "![" not in shown


def test_pypi_gets_all_else_of_the_readme(shown):
    headings = re.findall(r"^#+ .*$", README, re.MULTILINE)
    assert re.findall(r"^#+ .*$", shown, re.MULTILINE) == headings
    code = re.findall(r"^```.*?^```", README, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^```.*?^```", shown, re.MULTILINE | re.DOTALL) == code


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a [page](docs/a.md) b", "a page b"),
        ("[two\nlines](docs/a.md#x)", "two\nlines"),
        ("[below](#fast)", "below"),
        ("[paper](https://arxiv.org/abs/1)", "[paper](https://arxiv.org/abs/1)"),
        ("![What it\nshows](docs/a.png)", "*(Picture: What it\nshows.)*"),
    ],
)
def test_links_become_their_words_and_pictures_their_descriptions(text, wanted):
    made = runpy.run_path(str(ROOT / "setup.py"))["long_description"]
    assert made(text).startswith(wanted + "\n")
