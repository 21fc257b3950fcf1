"""The tool that changes the library, and what it found."""

import ast
import importlib
import inspect
import json
import sys
from types import SimpleNamespace

import pytest
from numpy.testing import assert_allclose, assert_equal

from tests.mutate import children, results, selection
from tests.mutate.places import find_place

PAGE = selection.ROOT / "tests/MUTANTS.md"
LINES = selection.ROOT / "benchmarks/results/mutants.jsonl"

SOURCE = '''"""A docstring with 1 number."""

import math

LIMIT = 3


class Box:
    """A box."""

    sides = 4

    def area(self, width: "int", height=2):
        if width < 0:
            raise ValueError("at least 0" + "!")
        for i in range(
            width,
        ):
            height += i
        return _errors.fail("Box", 1)


def check(x):
    check_share("x", 0.5, low=0.0, remedy="Use 1.")
    return math.fsum(x, start=1)
'''


# Which lines belong together.


@pytest.mark.parametrize(
    ("first", "last", "scope", "lines"),
    [
        (5, 5, "module", []),
        (11, 11, "Box", []),
        (13, 13, "Box.area", range(14, 21)),
        (14, 14, "Box.area", [14]),
        (15, 15, "Box.area", [15]),
        (16, 18, "Box.area", [16, 17, 18]),
        (17, 17, "Box.area", [17]),
        (25, 25, "check", [25]),
    ],
)
def test_a_place_is_the_lines_that_run_with_it(first, last, scope, lines):
    assert find_place(ast.parse(SOURCE), first, last) == (scope, tuple(lines))


# Mutants.


def list_mutants(source):
    pytest.importorskip("mutmut", reason="`make mutate` installs it")
    return importlib.import_module("tests.mutate.mutants").list_mutants("a.py", source)


def test_all_that_matters_is_changed_and_nothing_else():
    found = {(x.line, x.after) for x in list_mutants(SOURCE)}
    expected = {
        (5, "LIMIT = 4"),
        (11, "sides = 5"),
        (13, 'def area(self, width: "int", height=3):'),
        (14, "if width <= 0:"),
        (14, "if width < 1:"),
        (19, "height -= i"),
        (19, "height = i"),
        (24, 'check_share("x", 1.5, low=0.0, remedy="Use 1.")'),
        (24, 'check_share("x", 0.5, low=1.0, remedy="Use 1.")'),
        (24, 'check_share("x", 0.5, remedy="Use 1.")'),
        (25, "return math.fsum(x, )"),
        (25, "return math.fsum(x, start=2)"),
    }
    assert found == expected


def test_a_mutant_is_a_whole_file_with_one_line_changed():
    for mutant in list_mutants(SOURCE):
        old, new = SOURCE.splitlines(), mutant.source.splitlines()
        assert len(old) == len(new)
        assert [i + 1 for i in range(len(old)) if old[i] != new[i]] == [mutant.line]


def test_names_differ_and_stay_when_other_lines_change():
    names = [x.name for x in list_mutants(SOURCE)]
    assert len(set(names)) == len(names)
    later = list_mutants(SOURCE.replace("LIMIT", "import os\n\nLIMIT"))
    assert_equal([x.name for x in later if x.scope != "module"], names[1:])


# Children.


def test_a_changed_text_is_imported_and_read(tmp_path, monkeypatch):
    path = tmp_path / "changed_example.py"
    path.write_text("def number():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    children.change("changed_example", path, "def number():\n    return 2\n")
    module = importlib.import_module("changed_example")
    assert children.is_changed("changed_example")
    assert not children.is_changed("tests.mutate.children")
    monkeypatch.delitem(sys.modules, "changed_example")
    assert_equal(module.number(), 2)
    assert "return 2" in inspect.getsource(module.number)


def finished(tmp_path, status, text=None):
    child = children.Child(2**22 + 1, tmp_path / "1.json", 0.0)  # No such process.
    child.path.with_suffix(".log").write_text("words")
    if text:
        child.path.write_text(text)
    found = children.finish(child, status)
    assert not list(tmp_path.iterdir())
    return found


def test_a_child_that_ends_by_a_signal_counts_as_killed(tmp_path):
    assert finished(tmp_path, 14) == {"outcome": "killed", "by": "time"}
    assert finished(tmp_path, 11) == {"outcome": "killed", "by": "SIGSEGV"}


def test_a_child_without_results_is_broken(tmp_path):
    assert finished(tmp_path, 256) == {"outcome": "broken", "by": "words"}
    assert finished(tmp_path, 0, '{"outcome": "survived"}') == {"outcome": "survived"}


# Which tests are run.

BOX = "tests/masks/test_box.py"
MAP = selection.Map(
    {
        f"{BOX}::slower": 2.0,
        f"{BOX}::a[1]": 0.1,
        "tests/test_x.py::b": 1.0,
    },
    [],
    {"masks/box.py": {"7": [0, 1], "9": [0, 2]}},
)


def test_tests_are_those_of_the_lines():
    assert MAP.tests_of("masks/box.py", [7, 8]) == {f"{BOX}::slower", f"{BOX}::a[1]"}
    assert_equal(len(MAP.tests_of("masks/box.py", [])), 3)
    assert not MAP.tests_of("masks/other.py", [7])


def test_own_tests_come_first_and_quick_ones_before_slow_ones():
    own, others, more = selection.list_stages(MAP, "masks/box.py", [9, 7])
    assert own[:2] == ([BOX], [f"{BOX}::a[1]", f"{BOX}::slower"])
    assert others[:2] == (["tests/test_x.py"], ["tests/test_x.py::b"])
    assert more[:2] == own[:2]
    assert [x.thorough for x in (own, others, more)] == [False, False, True]


def test_a_module_that_only_imports_run_meets_its_own_tests():
    own, more = selection.list_stages(MAP._replace(lines={}), "masks/box.py", [9])
    assert_equal(own.names, [f"{BOX}::a[1]", f"{BOX}::slower"])
    assert more.thorough


def test_own_files_have_the_name_or_most_tests():
    find = selection.find_own_files
    assert find("losses.py", []) == ["tests/test_losses.py", "keras_msda/losses.py"]
    names = [f"tests/masks/{x}.py::1" for x in "abcdd"] + ["tests/test_x.py::1"] * 9
    assert find("masks/_odd.py", names)[:1] == ["tests/masks/d.py"]
    assert find("plans.py", names)[:1] == ["tests/test_x.py"]
    assert_equal(len(find("masks/_odd.py", names)), selection.FEW + 1)


def test_the_last_stage_has_more_cases_and_slow_tests():
    stage = selection.Stage([BOX], ["f::a[1]"], 9, thorough=True)
    names = ["f::a[1]", "f::a[2]", "f::elsewhere[2]", "f::slow"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    known = ["f::a[1]", "f::elsewhere[1]"]
    found = [x.nodeid for x in selection.choose(stage, items, known)]
    assert_equal(found, ["f::a[2]", "f::slow"])
    quick = selection.Stage([BOX], ["f::slow", "f::a[1]", "gone"], 9)
    found = [x.nodeid for x in selection.choose(quick, items, known)]
    assert_equal(found, ["f::slow", "f::a[1]"])


def test_a_test_has_five_times_its_time_and_at_least_a_minute():
    assert children.make_limits({"a": 1.0, "b": 20.0}) == {"a": 60, "b": 100}


# The order and the results.

ROOMS = {"large": [f"l{i}" for i in range(400)], "small": [f"s{i}" for i in range(100)]}


def test_an_order_is_that_of_its_seed_and_has_all_names():
    found = results.order(ROOMS, 3)
    assert found == results.order(ROOMS, 3)
    assert found != results.order(ROOMS, 4)
    assert sorted(found) == sorted(ROOMS["large"] + ROOMS["small"])


def test_a_room_four_times_as_large_has_twice_the_share():
    first = results.order(ROOMS, 0)[:150]
    assert_equal(sum(name.startswith("s") for name in first), 50)


# Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I.
@pytest.mark.parametrize(
    ("killed", "count", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_intervals_are_those_of_newcombe(killed, count, expected):
    assert_allclose(results.interval(killed, count), expected, rtol=0, atol=5e-5)


def test_a_file_that_was_cut_off_is_read_and_the_last_line_counts(tmp_path):
    path = tmp_path / "lines"
    results.append(path, {"seed": 0})
    for outcome in ("survived", "killed"):
        results.append(path, {"name": "a", "outcome": outcome})
    with path.open("a") as file:
        file.write('{"name": "b", "outc')
    about, rows = results.read(path)
    assert about == {"seed": 0}
    assert rows == {"a": {"name": "a", "outcome": "killed"}}
    results.write(path, about, rows.values())
    assert_equal(len(path.read_text().splitlines()), 2)


def test_a_table_counts_each_room():
    about = {"mutants": {"masks": 30, "losses": 10}}
    rows = [{"name": f"masks/a.py:b:{i}", "outcome": "killed"} for i in range(3)]
    rows += [{"name": "losses.py:b:1", "outcome": "survived"}]
    table = results.make_table(about, rows)
    assert "| `masks` | 30 | 3 | 3 | 100.0 % | 44 % to 100 % |" in table
    assert "| `losses` | 10 | 1 | 0 | 0.0 % | 0 % to 79 % |" in table
    assert "| together | 40 | 4 | 3 | 75.0 % |" in table
    assert "number of mutants: 75.0 %" in table
    page = f"a\n{results.START}\nold\n{results.END}\nb\n"
    assert results.fill_page(page, "new") == page.replace("old", "new")


# What was found.


def test_the_page_has_the_table_of_the_results():
    about, rows = results.read(LINES)
    page = PAGE.read_text()
    assert results.fill_page(page, results.make_table(about, rows.values())) == page


def test_the_page_explains_each_mutant_that_survived():
    _, rows = results.read(LINES)
    left = [name for name, row in rows.items() if row["outcome"] != "killed"]
    assert sorted(results.list_explained(PAGE.read_text())) == sorted(left)


def test_results_are_lines_of_mutants():
    for line in LINES.read_text().splitlines()[1:]:
        row = json.loads(line)
        assert row["outcome"] in ("killed", "survived")
        assert row["before"] != row["after"]
