"""All mutants of a file: mutmut's changes, without those that no test should notice."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

from tests.mutate.places import find_place

PACKAGE = Path(__file__).parents[2] / "keras_msda"
#: The rooms whose mutants are run: files and folders of the package.
ROOMS = ("sampling", "masks", "plans", "layers", "parts", "losses", "metrics")
#: Functions whose arguments are texts for people, or for mypy.
WORDING = {"fail", "warn", "cast", "TypeVar"}
#: Changes that are not made: `x = None` mostly ends in an error at once, like most
#: positional arguments that are left out, and would only raise the share.
NOT_MADE = {"assignment"}
#: Of these changes only the first is made: others write the text in capitals.
FIRST_ONLY = {"string"}


class Mutant(NamedTuple):
    """A change of one place of a file."""

    path: str  # below the package
    scope: str  # the function or class
    digest: str  # tells the mutants of a file apart, though other lines change
    operator: str
    line: int
    lines: tuple[int, ...]  # of which one must run, see `Place`
    before: str
    after: str
    source: str  # of the whole file, with the change

    @property
    def name(self) -> str:
        """What the results call it."""
        return f"{self.path}:{self.scope}:{self.digest}"

    @property
    def room(self) -> str:
        """The room of the package that it belongs to."""
        return find_room(self.path)


def find_room(path: str) -> str:
    """Returns the room of a file of the package."""
    return path.split("/")[0].removesuffix(".py")


def list_files() -> list[str]:
    """Returns the files whose mutants are run, below the package."""
    found = [
        path
        for room in ROOMS
        for path in (PACKAGE / f"{room}.py", *sorted((PACKAGE / room).glob("*.py")))
        if path.exists()
    ]
    return [path.relative_to(PACKAGE).as_posix() for path in found]


def list_mutants(path: str, source: str | None = None) -> list[Mutant]:
    """Returns all mutants of a file, those that make the same text only once."""
    source = (PACKAGE / path).read_text() if source is None else source
    wrapper, tree = MetadataWrapper(cst.parse_module(source)), ast.parse(source)
    module = wrapper.module
    positions = wrapper.resolve(PositionProvider)
    codes = [module.code_for_node(statement) for statement in module.body]
    found, texts, digests = [], set(codes), set[str]()
    for index, statement in enumerate(module.body):
        finder = Finder(positions)
        statement.visit(finder)
        start = source.index(codes[index], sum(map(len, codes[:index])))
        stop = start + len(codes[index])
        for change in finder.changes:
            code = module.code_for_node(change.apply(statement))
            if code in texts or not compiles(code):
                continue
            texts.add(code)
            place = find_place(tree, change.first, change.last)
            difference = find_difference(codes[index], code)
            words = (path, place.scope, change.operator, *difference)
            digest = make_digest(words, digests)
            rest = (digest, change.operator, change.first, place.lines, *difference)
            text = source[:start] + code + source[stop:]
            found.append(Mutant(path, place.scope, *rest, text))
    return found


def make_digest(words: tuple[str, ...], taken: set[str]) -> str:
    """Returns a short name for a change, and takes it."""
    for count in range(len(taken) + 1):
        text = "\n".join([*words, str(count)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        if digest not in taken:
            break
    taken.add(digest)
    return digest


def compiles(text: str) -> bool:
    """Returns whether a text is Python."""
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def find_difference(source: str, text: str) -> tuple[str, str]:
    """Returns the lines that differ before and after, each time joined to one."""
    old, new = source.splitlines(), text.splitlines()
    least = min(len(old), len(new))
    start = next((i for i in range(least) if old[i] != new[i]), least)
    rest = range(least - start)
    stop = next((i for i in rest if old[-1 - i] != new[-1 - i]), len(rest))
    parts = old[start : len(old) - stop], new[start : len(new) - stop]
    before, after = (" ".join(line.strip() for line in part) for part in parts)
    return before, after


class Change(NamedTuple):
    """A node, what replaces it, and its lines."""

    node: cst.CSTNode
    into: cst.CSTNode
    operator: str
    first: int
    last: int

    def apply(self, statement: Any) -> Any:
        """Returns a statement with this change."""
        return statement.deep_replace(self.node, self.into)


class Finder(cst.CSTVisitor):
    """Finds the changes of a statement of a module."""

    def __init__(self, positions: Any) -> None:
        self.changes: list[Change] = []
        self._positions, self._lines = positions, (1, 1)
        self._checks: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Notes the changes of a node; returns whether to go on inside."""
        if is_left_out(node):
            return False
        if place := self._positions.get(node):
            self._lines = (place.start.line, place.end.line)
        if is_check(node):
            self._checks.append(node)
        for operator, into in make_changes(node, checked=bool(self._checks)):
            self.changes.append(Change(node, into, operator, *self._lines))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Forgets a check that was left."""
        if self._checks and self._checks[-1] is original_node:
            self._checks.pop()


def is_left_out(node: cst.CSTNode) -> bool:
    """Returns whether no change inside of a node matters to what the library does."""
    if isinstance(node, (cst.Annotation, cst.Raise, cst.Import, cst.ImportFrom)):
        return True
    if isinstance(node, cst.Expr):  # A docstring.
        return isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))
    if isinstance(node, cst.Call):
        return name_of(node.func) in WORDING
    if isinstance(node, cst.If):
        return name_of(node.test) == "TYPE_CHECKING"
    if isinstance(node, cst.FunctionDef):
        return any(name_of(x.decorator) == "overload" for x in node.decorators)
    if isinstance(node, (cst.Assign, cst.AnnAssign)):
        targets = node.targets if isinstance(node, cst.Assign) else [node]
        return any(name_of(x.target) == "__all__" for x in targets)
    return False


def is_check(node: cst.CSTNode) -> bool:
    """Returns whether a node is a call of a check, whose texts word its error."""
    return isinstance(node, cst.Call) and name_of(node.func).lstrip("_").startswith(
        "check_"
    )


def name_of(node: cst.CSTNode) -> str:
    """Returns the last name of a dotted name, or nothing."""
    if isinstance(node, cst.Attribute):
        node = node.attr
    return node.value if isinstance(node, cst.Name) else ""


def is_text(node: cst.CSTNode) -> bool:
    """Returns whether a node is, or is named as, words for people."""
    if name_of(node) in ("owner", "remedy", "rule"):
        return True
    return isinstance(node, (cst.SimpleString, cst.FormattedString))


def make_changes(
    node: cst.CSTNode, *, checked: bool
) -> Iterator[tuple[str, cst.CSTNode]]:
    """Yields the changes of a node that may matter, each with its operator's name."""
    if isinstance(node, cst.SimpleString) and (checked or " " in node.value):
        return  # Words for people.
    for kind, operator in mutators.mutation_operators:
        name = operator.__name__.removeprefix("operator_")
        if not isinstance(node, kind) or name in NOT_MADE:
            continue
        for into in operator(node):
            if name != "arg_removal" or leaves_out_setting(node, into):
                yield name, into
            if name in FIRST_ONLY:
                break


def leaves_out_setting(node: cst.CSTNode, into: cst.CSTNode) -> bool:
    """Returns whether a change of a call leaves out an argument with a name."""
    if not isinstance(node, cst.Call) or not isinstance(into, cst.Call):
        return False
    if len(into.args) == len(node.args):  # It says None instead.
        return False
    kept = {id(x) for x in into.args}
    gone = [x for x in node.args if id(x) not in kept]
    if is_check(node) and any(is_text(x.value) for x in gone):
        return False
    return all(x.keyword is not None for x in gone)
