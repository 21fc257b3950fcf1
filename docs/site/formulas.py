"""Formulas as MathML, which browsers show without a script or a font of ours."""

from typing import Any


def visit_inline(translator: Any, node: Any) -> None:
    """Writes a formula in a line of text."""
    translator.body.append(_convert(node.astext(), "inline"))
    raise _skip()


def visit_block(translator: Any, node: Any) -> None:
    """Writes a formula on a line of its own."""
    formula = _convert(node.astext(), "block")
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise _skip()


def _convert(text: str, display: str) -> str:
    from latex2mathml import converter

    return str(converter.convert(text, display=display))


def _skip() -> Exception:
    from docutils import nodes

    return nodes.SkipNode()
