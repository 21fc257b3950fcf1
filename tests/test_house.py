"""The rules of the house, checked on the source itself.

Lists of what breaks a rule today stand at the top. They may only become shorter: a test
fails where an entry is no longer needed.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import keras
import pytest

import keras_msda

PACKAGE = Path(keras_msda.__file__).parent
HERE = Path(__file__).parent

#: Modules and folders at the top of the package. Lower it with each that goes.
MOST_ENTRIES = 26
#: Public functions that take more than two arguments by position. Callers of the first
#: releases may do so; no new ones.
POSITIONAL = {
    "MixPreview",
    "PuzzleMixLayer.place",
    "RandomMixLayer",
    "SaliencyMixLayer.place",
    "box_mask",
    "floor_box_mask",
    "fourier_field",
    "fourier_mask",
    "gaussian_mask",
    "grid_mask",
    "input_gradient_map",
    "loss_terms",
    "mix_bounding_boxes",
    "mix_from_timm",
    "mix_images",
    "mix_segmentation_masks",
    "recommend",
    "resize_mask",
    "saliency_box_mask",
    "smooth_mask",
}

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in FILES
}
TESTS = {
    path.relative_to(HERE).as_posix(): ast.parse(path.read_text())
    for path in sorted(HERE.rglob("*.py"))
}
LIBRARIES = {"tensorflow", "jax", "torch"}
EXPORTING = ["keras_msda", "keras_msda.layers", "keras_msda.masks"]
EXPORTING += ["keras_msda.analysis", "keras_msda.plot"]
#: The files that word errors.
WORDING = {"_errors.py"}
#: What a seed is called.
SEEDS = {"seed", "seeds", "generator", "rng"}
#: Rooms that draw: what is handed a seed there is nobody else's business.
DRAWING = {"sampling", "layers", "_backend"}
#: Rooms whose functions take a user's seed by its name, to hand it on or to check it.
HANDING_ON = {"_checks", "pipeline", "analysis", "plot", "datasets"}
HANDING_ON |= {"cli", "experiments", "_preview", "_inspect", "_report", "testing"}


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def body_lines(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def imported(tree):
    """Returns the names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public(tree):
    """Returns public functions and classes of a file, and their public methods."""
    for node in tree.body:
        named = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if named and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                members = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                yield from (n for n in members if not is_hidden(n))


def is_hidden(function):
    """Returns whether a method is private, or a setter, whose property is described."""
    setter = any(ast.unparse(d).endswith(".setter") for d in function.decorator_list)
    return setter or function.name.startswith("_")


def by_file(find):
    """Returns what a function finds in each file's tree, where it finds anything."""
    found = {name: list(find(tree)) for name, tree in TREES.items()}
    return {name: values for name, values in found.items() if values}


def module_names():
    """Returns the names of all modules that can be imported on any machine."""
    names = [m.name for m in pkgutil.walk_packages(keras_msda.__path__, "keras_msda.")]
    return [n for n in names if not re.search(r"\.(__main__|_backend\..*)$", n)]


def room_of(module):
    """Returns the first name below the package, as `layers` of its `layers.fmix`."""
    return module.split(".")[1] if "." in module else ""


def exported():
    """Returns the public functions and classes, by name."""
    found = {}
    for name in EXPORTING:
        module = importlib.import_module(name)
        for key in module.__all__:
            value = getattr(module, key)
            if inspect.isfunction(value) or inspect.isclass(value):
                other = found.setdefault(key, value) is not value
                found[f"{room_of(name)}.{key}" if other else key] = value
    return found


def is_keras_s(kind, name):
    """Returns whether a method is one of Keras's, which says what it takes."""
    return any(
        base.__module__.startswith("keras.") and hasattr(base, name)
        for base in kind.__mro__
    )


def callables():
    """Returns exported functions, constructors and methods of our own, by name."""
    for name, value in exported().items():
        if inspect.isfunction(value):
            yield name, value
        elif not issubclass(value, (tuple, Exception)):
            yield name, value.__init__
            for key, member in vars(value).items():
                own = inspect.isfunction(member) and not key.startswith("_")
                if own and not is_keras_s(value, key):
                    yield f"{name}.{key}", member


def arguments(function):
    """Returns the parameters of a function, except for the object itself."""
    values = inspect.signature(function).parameters.values()
    return [p for p in values if p.name not in ("self", "cls")]


# Names and files.


@pytest.mark.parametrize("module", EXPORTING)
def test_exports_are_sorted_there_and_all_that_is_imported(module):
    loaded = importlib.import_module(module)
    tree = ast.parse(inspect.getsource(loaded))
    nodes = list(tree.body)
    for node in tree.body:
        # Not for the command line, which imports them later.
        if isinstance(node, ast.If) and "COMMAND_LINE" in ast.unparse(node.test):
            nodes += node.body
    names = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_msda")
        for alias in node.names
    }
    assert set(loaded.__all__) == {name for name in names if not name.startswith("_")}
    # Constants first, then classes, then functions, as Ruff sorts them.
    order = sorted(loaded.__all__, key=lambda name: (not name.isupper(), name))
    assert list(loaded.__all__) == order
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


def test_no_function_is_longer_than_forty_lines():
    long = {
        f"{name}: {f.name}"
        for name, tree in TREES.items()
        for f in functions(tree)
        if body_lines(f) > 40
    }
    assert long == set()


def test_no_file_is_longer_than_four_hundred_lines():
    lines = {name: (PACKAGE / name).read_text().count("\n") for name in TREES}
    assert {name for name, count in lines.items() if count > 400} == set()


def test_few_modules_stand_at_the_top():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    # Not less either: whoever takes one away lowers the number.
    assert len(entries) == MOST_ENTRIES, sorted(entries)


def test_files_begin_with_what_they_hold():
    pattern = re.compile(r'^r?"""[A-Z`].*[.,:;\w]("""|)$')
    first = {name: (PACKAGE / name).read_text().splitlines()[0] for name in TREES}
    assert {n: line for n, line in first.items() if not pattern.match(line)} == {}


def test_only_the_seam_names_a_tensor_library():
    naming = by_file(lambda t: {m.partition(".")[0] for m in imported(t)} & LIBRARIES)
    assert [name for name in naming if not name.startswith("_backend/")] == []


def test_no_line_names_a_place_of_one_machine():
    pattern = re.compile(r"(^|[\s'\"=(])/(work|root|home|tmp)/")
    found = [
        f"{path.name}:{number}"
        for path in [*FILES, *HERE.rglob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and path != Path(__file__)
    ]
    assert found == []


# Arguments and docstrings.


def test_every_public_name_has_a_docstring():
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []
    bare = by_file(lambda t: [n.name for n in public(t) if not ast.get_docstring(n)])
    assert bare == {}


def test_arguments_are_annotated():
    def missing(tree):
        for function in functions(tree):
            for argument in [*function.args.args, *function.args.kwonlyargs]:
                if argument.annotation is None and argument.arg not in ("self", "cls"):
                    yield f"{function.name}({argument.arg})"

    assert by_file(missing) == {}


def test_arguments_beyond_the_second_are_given_by_name():
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    long = {
        name
        for name, function in callables()
        if sum(argument.kind in kinds for argument in arguments(function)) > 2
    }
    assert long == POSITIONAL


def sections_needed(name, function):
    """Returns the sections that a docstring must have."""
    if any(p.kind != inspect.Parameter.VAR_KEYWORD for p in arguments(function)):
        yield "Args"
    if name == "__init__":
        return
    returned = inspect.signature(function).return_annotation
    if returned not in (None, "None", inspect.Signature.empty):
        yield "Returns"
    if re.search(r"^\s+raise |\bfail\w*\(|\bcheck_\w+\(", inspect.getsource(function)):
        yield "Raises"


def described(kinds, name):
    """Returns the docstrings of the methods that a method overrides."""
    kind, _, method = name.partition(".")
    bases = kinds[kind].__mro__[1:] if method and kind in kinds else ()
    found = (vars(base)[method] for base in bases if method in vars(base))
    return [inspect.getdoc(member) or "" for member in found]


def test_docstrings_of_public_functions_have_their_sections():
    kinds = exported()
    missing = set()
    for name, function in callables():
        owner = kinds.get(name, function)
        text = "\n".join([inspect.getdoc(owner) or "", *described(kinds, name)])
        for section in sections_needed(function.__name__, function):
            if not re.search(rf"^{section}:$", text, re.MULTILINE):
                missing.add(f"{name}: {section}")
    assert sorted(missing) == []


# Errors.


def test_the_package_asserts_nothing():
    assert (
        by_file(lambda t: [n for n in ast.walk(t) if isinstance(n, ast.Assert)]) == {}
    )


def raised(tree):
    """Returns the kinds of errors that a file raises by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc.func)


def test_errors_are_of_pythons_own_kinds():
    known = {"TypeError", "ValueError", "OSError", "ImportError", "NotImplementedError"}
    known |= {"argparse.ArgumentTypeError"}
    found = by_file(lambda tree: set(raised(tree)) - known)
    # Python's word for a name that a module lacks.
    assert found.pop("__init__.py") == ["AttributeError"]
    # Where errors are worded, between TypeError and ValueError by a variable.
    assert [kinds for kinds in found.values() if kinds != ["kind"]] == []
    assert set(found) <= WORDING


def test_errors_are_worded_in_one_place():
    # An unknown name of a module, and what argparse prints in its own form.
    python_s = {"AttributeError", "argparse.ArgumentTypeError"}
    found = by_file(lambda tree: [k for k in raised(tree) if k not in python_s])
    assert set(found) == WORDING


def test_every_message_of_a_check_says_what_was_received():
    silent = [
        f"{name}:{node.lineno}"
        for name in WORDING & set(TREES)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Raise)
        # What `fail_file` raises, callers have worded.
        and ast.unparse(node.exc) != "kind(text)"
        and not any(isinstance(n, ast.FormattedValue) for n in ast.walk(node))
    ]
    assert silent == []


# Seeds.


def signatures(module):
    """Returns functions and methods that a module defines, with their arguments."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, arguments(value)
        elif inspect.isclass(value):
            for key, member in vars(value).items():
                plain = getattr(member, "__func__", member)
                if inspect.isfunction(plain):
                    yield f"{name}.{key}", arguments(plain)


def seeing(rooms, *, by_name=False):
    """Returns functions of modules in or out of some rooms that are given a seed."""
    for name in module_names():
        if rooms(room_of(name)):
            for function, values in signatures(importlib.import_module(name)):
                taken = [p for p in values if p.name in SEEDS]
                if by_name:
                    taken = [p for p in taken if p.kind is not p.KEYWORD_ONLY]
                if taken:
                    yield f"{name}.{function}"


def test_nothing_that_applies_a_draw_sees_a_seed():
    assert list(seeing(lambda room: room not in DRAWING | HANDING_ON)) == []


def test_public_functions_are_given_a_seed_by_name():
    # A check is given by position what it checks, and a named tuple its fields.
    found = seeing(lambda room: room in HANDING_ON - {"_checks"}, by_name=True)
    shown = [name for name in found if not re.search(r"\._|\.sample_pair$", name)]
    assert shown == []


def test_every_function_that_samples_asks_for_its_seed_by_name():
    for function in functions(TREES["sampling.py"]):
        if function.name.startswith("sample_"):
            names = [argument.arg for argument in function.args.kwonlyargs]
            assert "seed" in names, function.name
            default = function.args.kw_defaults[names.index("seed")]
            assert default is None, f"{function.name} has a default seed"


# Tests.


def test_no_test_imports_another():
    # What tests share is in `tests/support`, which knows of no test; the others are
    # programs that their own tests run.
    found = {}
    for name, tree in TESTS.items():
        modules = {m for m in imported(tree) if re.match(r"tests\b", m)}
        modules = {
            m for m in modules if not re.match(r"tests(\.support|\.fuzz|\.mutate|$)", m)
        }
        written = set(re.findall(r"tests\.test_[a-z]+", (HERE / name).read_text()))
        if modules | written:
            found[name] = modules | written
    assert found == {}


def test_helpers_of_tests_are_in_folders_of_their_own():
    kinds = re.compile(
        r"(.*/)?(test_\w+|conftest|__init__)\.py|(support|fuzz|mutate)/\w+\.py"
    )
    assert [name for name in TESTS if not kinds.fullmatch(name)] == []


def test_keras_has_the_methods_that_are_left_to_it():
    # Or the rules on arguments would not be checked on what they are for.
    assert is_keras_s(keras_msda.MixUpLayer, "get_config")
    assert not is_keras_s(keras_msda.MixUpLayer, "sample")
    assert issubclass(keras_msda.MixUpLayer, keras.layers.Layer)
