"""Where a line stands: its function or class, and the lines that run with it."""

import ast
from typing import NamedTuple

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPOUND = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


class Place(NamedTuple):
    """What surrounds some lines."""

    scope: str  # the innermost function or class, with those around it
    #: A change matters where one of these lines is run. None are given for what is done
    #: when the module is imported.
    lines: tuple[int, ...]


def find_place(tree: ast.Module, first: int, last: int) -> Place:
    """Returns the place of the lines from `first` to `last`."""
    names, function, innermost = [], None, None
    statements = list[ast.stmt](tree.body)
    while inside := [x for x in statements if covers(x, first, last)]:
        innermost = inside[0]
        if isinstance(innermost, (*FUNCTIONS, ast.ClassDef)):
            names.append(innermost.name)
        if isinstance(innermost, FUNCTIONS):
            function = innermost
        statements = list_below(innermost)
    scope = ".".join(names) or "module"
    if function is None or innermost is None:
        return Place(scope, ())
    return Place(scope, list_lines(innermost, first, last))


def covers(statement: ast.stmt, first: int, last: int) -> bool:
    """Returns whether a statement, with its decorators, contains some lines."""
    decorators = getattr(statement, "decorator_list", [])
    start = min([statement.lineno, *(x.lineno for x in decorators)])
    return start <= first and last <= (statement.end_lineno or start)


def list_below(statement: ast.stmt) -> list[ast.stmt]:
    """Returns the statements right below a statement."""
    found = []
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            found.append(node)
        elif isinstance(node, (ast.ExceptHandler, ast.match_case)):
            found += node.body
    return found


def list_lines(statement: ast.stmt, first: int, last: int) -> tuple[int, ...]:
    """Returns the lines that run with some lines of a statement in a function."""
    if isinstance(statement, FUNCTIONS):
        # A default is made at import, and matters where the function is called.
        start, stop = statement.body[0].lineno, statement.body[-1].end_lineno
    elif isinstance(statement, COMPOUND):
        start, stop = first, last
    else:
        start, stop = statement.lineno, statement.end_lineno
    return tuple(range(start, (stop or start) + 1))
