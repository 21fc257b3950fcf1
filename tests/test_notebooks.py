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


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("2.19.0", ['"keras_msda[demo]" tensorflow==2.19.0']),
        ("2.17.1", ['"keras_msda[demo]" tensorflow==2.17.1', '"keras_msda[demo]"']),
        (None, ['"keras_msda[demo]"']),
    ],
)
def test_the_notebook_for_colab_replaces_no_tensorflow_that_will_do(
    version, wanted, tmp_path, monkeypatch, capsys
):
    found = [SimpleNamespace(version=version)] if version else []
    asked = []
    too_old = version == "2.17.1"

    def present(_):
        return len(asked) > too_old or None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    # The cell sets it, which must end with the test.
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", ""))
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: found)
    monkeypatch.setattr(importlib.util, "find_spec", present)
    shell = InteractiveShell()
    shell.register_magic_function(lambda line: asked.append(line), magic_name="pip")
    shell.run_cell(code_cells(read(ROOT / "notebooks/tpu_colab.ipynb"))[0].source)
    assert [line.removeprefix("install --quiet ").strip() for line in asked] == wanted
    assert ("2.17.1 must be replaced" in capsys.readouterr().out) == too_old


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
