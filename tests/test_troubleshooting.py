"""The page of errors quotes what the sources say, and leaves out no family."""

import ast
import re
from pathlib import Path

import pytest

import keras_msda

PACKAGE = Path(keras_msda.__file__).parent
PAGE = PACKAGE.parent / "docs" / "troubleshooting.md"
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: Errors about data and training. Those about an argument explain themselves.
TOLD = (
    "_backend/",
    "_handoff.py",
    "layers/_content.py",
    "layers/_features.py",
    "layers/_inputs.py",
    "layers/_misuse.py",
    "layers/_planning.py",
    "layers/memory.py",
    "losses.py",
    "metrics.py",
    "models/",
    "parts/",
    "plans.py",
)

# A page that nothing reads is not checked at all.
pytestmark = pytest.mark.whole


def plain(text):
    """Returns a text as the page writes it, without backticks."""
    return text.replace("`", "")


def pieces(node):
    """Returns the constant parts of a string, between what is inserted."""
    if isinstance(node, ast.JoinedStr):
        return [plain(x.value) for x in node.values if isinstance(x, ast.Constant)]
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return [plain(node.value)] if constant else []


def rules(name):
    """Returns the rules that the sources state where they fail or warn.

    Args:
        name: "fail" or "warn".
    """
    for path, tree in TREES.items():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and len(call.args) > 3:
                called = ast.unparse(call.func).rpartition(".")[2]
                if called == name and pieces(call.args[1]):
                    yield path, pieces(call.args[1])


def quotes():
    """Returns the messages in the tables whose first column is "message"."""
    found, ours = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            ours = False
        elif line.startswith("| message"):
            ours = line.startswith("| message |")
        elif ours:
            found += re.findall("`([^`]+)`", line.split(" | ")[0])
    return found


QUOTES = quotes()
SAID = [
    text for tree in TREES.values() for node in ast.walk(tree) for text in pieces(node)
]
FAMILIES = [x for x in rules("fail") if x[0].startswith(TOLD)]


def is_quoted(rule):
    return any(quote in piece for piece in rule for quote in QUOTES)


def test_the_page_quotes_many_messages_each_once():
    assert len(QUOTES) > 80
    assert len(set(QUOTES)) == len(QUOTES)


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_in_the_sources(quote):
    assert any(quote in text for text in SAID)


def test_every_warning_is_on_the_page():
    warnings = list(rules("warn"))
    assert len(warnings) == 3
    assert not [rule for _, rule in warnings if not is_quoted(rule)]


def test_every_error_about_data_and_training_is_on_the_page():
    assert len(FAMILIES) > 60
    assert not [(path, rule) for path, rule in FAMILIES if not is_quoted(rule)]
