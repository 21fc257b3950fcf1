"""Each notebook runs from its first cell to its last, at small size."""

import importlib.metadata
import importlib.util
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {"SMALL = False": "SMALL = True"}
#: What else is replaced in the first code cell of a notebook that has variants.
VARIANTS = {
    "tpu_colab": {
        "jax": {},
        "tensorflow": {'BACKEND = "jax"': 'BACKEND = "tensorflow"'},
    },
}
CASES = [
    pytest.param(path, SMALL | replaced, id=f"{path.stem}-{name}".rstrip("-"))
    for path in PATHS
    for name, replaced in VARIANTS.get(path.stem, {"": {}}).items()
]
SECONDS = 300  # For one cell, on a busy machine.
#: A folder from the root or from home, or a drive; not what follows an address's host.
ABSOLUTE = re.compile(r"(?<![\w.:/])(?:/(?:\w[\w.-]*/)+\w|~/\w|[A-Z]:\\\w)")

ASSERTION = re.compile(r"^\s*assert |\btesting\.assert_", re.MULTILINE)
LARGEST = 300_000  # Bytes, of a file.

pytestmark = pytest.mark.notebook
every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def switch(notebook, replaced):
    """Replaces text in the first code cell, where each must stand exactly once."""
    cell = code_cells(notebook)[0]
    for old, new in replaced.items():
        found = cell.source.count(old)
        assert found == 1, f"the first code cell has {old!r} {found} times"
        cell.source = cell.source.replace(old, new)


def execute(notebook, folder):
    """Runs a notebook in a fresh kernel; an error in a cell is one here."""
    # As a user in a checkout: without the devices that the tests set up for themselves,
    # and without what the user has told IPython to do first.
    environment = {name: x for name, x in os.environ.items() if name != "XLA_FLAGS"}
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["IPYTHONDIR"] = str(folder / "ipython")
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=environment)


def texts(cell):
    """Returns what a cell holds for a reader, pictures left out."""
    outputs = cell.get("outputs", [])
    plain = [x.get("data", {}).get("text/plain", "") for x in outputs]
    return [cell.source, *(x.get("text", "") for x in outputs), *plain]


def test_there_are_notebooks_and_variants_only_of_these():
    assert PATHS
    assert set(VARIANTS) <= {path.stem for path in PATHS}


@pytest.mark.parametrize(("path", "replaced"), CASES)
def test_a_notebook_runs_at_small_size(path, replaced, tmp_path):
    notebook = read(path)
    switch(notebook, replaced)
    execute(notebook, tmp_path)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every_notebook
def test_a_notebook_is_of_the_format_whose_cells_have_ids(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)


@every_notebook
def test_a_notebook_has_no_execution_counts_and_no_large_outputs(path):
    assert path.stat().st_size <= LARGEST
    for cell in code_cells(read(path)):
        assert cell.execution_count is None, cell.id
        for output in cell.outputs:
            assert output.get("execution_count") is None, cell.id
            assert len(json.dumps(output)) <= 100_000, cell.id


@every_notebook
def test_a_notebook_has_no_absolute_paths(path):
    for cell in read(path).cells:
        found = [ABSOLUTE.findall(text) for text in texts(cell)]
        assert not any(found), f"{cell.id}: {found}"


@every_notebook
def test_a_notebook_asserts_in_a_hidden_cell_at_its_end(path):
    *others, last = read(path).cells
    for cell in others:
        assert not ASSERTION.search(cell.source), cell.id
        assert "test" not in cell.metadata.get("tags", []), cell.id
    assert ASSERTION.search(last.source)
    hidden = {"cellView": "form", "jupyter": {"source_hidden": True}}  # Colab, Jupyter.
    assert last.metadata == hidden | {"tags": ["test"]}
    assert last.source.startswith("# @title ")


@every_notebook
def test_a_notebook_asks_at_its_top_and_answers_at_its_end(path):
    cells = read(path).cells
    assert "**The question:**" in cells[0].source
    answer = cells[-2]
    assert answer.cell_type == "markdown"
    assert answer.source.startswith("## ")


def asked_of_pip(path, found, folder, monkeypatch):
    """Returns what a notebook installs where keras_msda is missing."""
    asked = []

    def installed(name):
        return (
            [SimpleNamespace(name=name, version=found[name])] if name in found else []
        )

    monkeypatch.chdir(folder)
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    # Some cells set them, which must end with the test.
    for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(importlib.metadata, "distributions", installed)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    # Without a history, which would be closed when its folder is gone.
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.register_magic_function(asked.append, magic_name="pip")
    shell.run_cell(code_cells(read(path))[0].source).raise_error()
    return asked[0].removeprefix("install --quiet ").strip()


@every_notebook
@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (
            {"tensorflow": "2.19.0", "keras": "3.8.0", "numpy": "2.0.2", "scipy": "1"},
            '"keras_msda[demo]" tensorflow==2.19.0 keras==3.8.0 numpy==2.0.2',
        ),
        ({"keras": "3.8.0"}, '"keras_msda[demo]" keras==3.8.0'),
        ({}, '"keras_msda[demo]"'),
    ],
    ids=["all", "keras", "none"],
)
def test_a_notebook_installs_no_other_tensorflow_keras_or_numpy(
    path, found, wanted, tmp_path, monkeypatch
):
    assert asked_of_pip(path, found, tmp_path, monkeypatch) == wanted


@every_notebook
def test_a_notebook_takes_the_wheel_beside_it(path, tmp_path, monkeypatch):
    (tmp_path / "keras_msda-0.1.0-py3-none-any.whl").touch()
    asked = asked_of_pip(path, {}, tmp_path, monkeypatch)
    assert asked == '"keras_msda-0.1.0-py3-none-any.whl[demo]"'


def test_a_notebook_without_the_switch_fails():
    cell = nbformat.v4.new_code_cell("small = False")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(AssertionError, match="'SMALL = False' 0 times"):
        switch(notebook, SMALL)


def test_an_error_in_a_cell_fails(tmp_path):
    cell = nbformat.v4.new_code_cell("1 / 0")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivision"):
        execute(notebook, tmp_path)


@pytest.mark.parametrize("text", ["/srv/me/x", "in '/srv/a'", "~/data", r"C:\data"])
def test_an_absolute_path_is_found(text):
    assert ABSOLUTE.search(text)


@pytest.mark.parametrize("text", ["https://host/a/b", "a/b/c", "1 / 255", "./a/b"])
def test_what_is_no_absolute_path_is_left_alone(text):
    assert not ABSOLUTE.search(text)
