"""The rules of the house, checked on the source itself."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import keras_msda

PACKAGE = Path(keras_msda.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in FILES
}
LIBRARIES = {"tensorflow", "jax", "torch"}
EXPORTING = ["keras_msda", "keras_msda.layers", "keras_msda.masks"]
EXPORTING += ["keras_msda.analysis", "keras_msda.plot"]


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def body_lines(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def imported(tree):
    """Names of all modules that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def public(tree):
    """Public functions and classes of a file, and public methods of those classes."""
    for node in tree.body:
        named = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if named and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                members = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                yield from (n for n in members if not hidden(n))


def hidden(function):
    """Tells private functions, and setters, whose property says what they do."""
    setter = any(ast.unparse(d).endswith(".setter") for d in function.decorator_list)
    return setter or function.name.startswith("_")


def every_file():
    return pytest.mark.parametrize("name", sorted(TREES))


@pytest.mark.parametrize("module", EXPORTING)
def test_exports_are_sorted_there_and_all_that_is_imported(module):
    loaded = importlib.import_module(module)
    tree = ast.parse(inspect.getsource(loaded))
    names = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_msda")
        for alias in node.names
    }
    assert set(loaded.__all__) == {name for name in names if not name.startswith("_")}
    # Constants first, then classes, then functions, as Ruff sorts them.
    order = sorted(loaded.__all__, key=lambda name: (not name.isupper(), name))
    assert list(loaded.__all__) == order
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


@every_file()
def test_no_function_is_longer_than_fifty_lines(name):
    long = {f.name: body_lines(f) for f in functions(TREES[name]) if body_lines(f) > 50}
    assert long == {}


@every_file()
def test_only_the_seam_names_a_tensor_library(name):
    roots = {module.partition(".")[0] for module in imported(TREES[name])}
    assert not roots & LIBRARIES or name.startswith("_backend/")


@every_file()
def test_every_public_name_has_a_docstring(name):
    assert ast.get_docstring(TREES[name])
    assert [n.name for n in public(TREES[name]) if not ast.get_docstring(n)] == []


@every_file()
def test_the_package_asserts_nothing(name):
    assert not [n for n in ast.walk(TREES[name]) if isinstance(n, ast.Assert)]


@every_file()
def test_errors_are_of_pythons_own_kinds(name):
    known = {"TypeError", "ValueError", "OSError", "ImportError", "NotImplementedError"}
    known |= {"argparse.ArgumentTypeError"}
    if name == "__init__.py":
        known |= {"AttributeError"}  # Python's word for a name that a module lacks.
    raised = {
        ast.unparse(node.exc.func)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    # `_errors` picks between TypeError and ValueError by a variable.
    assert raised - {"kind"} <= known


@every_file()
def test_files_begin_with_what_they_hold(name):
    first = (PACKAGE / name).read_text().splitlines()[0]
    assert re.match(r'^r?"""[A-Z`].*[.,:;\w]("""|)$', first)


@every_file()
def test_arguments_are_annotated(name):
    missing = [
        f"{function.name}({argument.arg})"
        for function in functions(TREES[name])
        for argument in [*function.args.args, *function.args.kwonlyargs]
        if argument.annotation is None and argument.arg not in ("self", "cls")
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["masks/box.py", "masks/gaussian.py", "plans.py"])
def test_what_applies_a_draw_sees_no_seed(name):
    named = {
        argument.arg
        for function in functions(TREES[name])
        for argument in [*function.args.args, *function.args.kwonlyargs]
    }
    assert not named & {"seed", "key", "generator"}


def test_every_function_that_samples_asks_for_its_seed_by_name():
    for function in functions(TREES["sampling.py"]):
        if function.name.startswith("sample_"):
            names = [argument.arg for argument in function.args.kwonlyargs]
            assert "seed" in names, function.name
            default = function.args.kw_defaults[names.index("seed")]
            assert default is None, f"{function.name} has a default seed"


def test_every_message_of_a_check_says_what_was_received():
    silent = [
        f"_errors.py:{node.lineno}"
        for node in ast.walk(TREES["_errors.py"])
        if isinstance(node, ast.Raise)
        and not any(isinstance(n, ast.FormattedValue) for n in ast.walk(node))
    ]
    assert silent == []


def test_no_line_names_a_place_of_one_machine():
    pattern = re.compile(r"(^|[\s'\"=(])/(work|root|home|tmp)/")
    found = [
        f"{path.name}:{number}"
        for path in [*FILES, *Path(__file__).parent.rglob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and path != Path(__file__)
    ]
    assert found == []
