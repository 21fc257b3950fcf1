"""Moments of masks over lambda's law, where their law given lambda is known.

Exact of the Beta distribution itself. A layer draws lambda from 65,536 of its
quantiles, those above 1 - 1e-6 taken as 1, which moves moments by less than 1e-6.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks, _errors
from keras_msda.analysis import _methods
from keras_msda.analysis._laws import Array, Moments, Shape, moments
from keras_msda.analysis._quadrature import beta_nodes

#: Beyond, SciPy's distribution function is not exact enough to integrate with.
LARGEST_EXACT_ALPHA = 1e9


class Rule(NamedTuple):
    """Nodes of lambda, with weights for two laws.

    Attributes:
        lam: `(nodes,)`.
        drawn: For lambda ~ Beta(a, b), as a layer draws it; sum 1.
        weighted: For lambda weighted by itself, D~ of the paper; sum 1.
    """

    lam: Array
    drawn: Array
    weighted: Array


def uses_lam(leaf: Any) -> bool:
    """Tells whether a layer's masks depend on lambda."""
    return getattr(leaf, "ratio_range", None) is None


def rule(leaf: Any, shape: Shape, *, folded: bool = False) -> Rule:
    """Returns the rule of a layer's lambda.

    D~ is a mixture whose parts are lambda times the densities of Beta(a, b) and of
    Beta(b, a). Folding, lambda to max(lambda, 1 - lambda), leaves D~ as it is: both
    have the same sum of the densities at lambda and at 1 - lambda.

    Args:
        leaf: A mixing layer that draws lambda.
        shape: Spatial lengths.
        folded: Whether max(lambda, 1 - lambda) is drawn.

    Raises:
        ValueError: If alpha is so large that nothing exact is known.
    """
    owner = type(leaf).__name__
    a, b = _check_exact_alpha(owner, _checks.check_alpha(owner, leaf.alpha))
    breaks = _methods.breaks(leaf, shape)
    if folded:
        breaks = [*breaks, *(1 - x for x in breaks)]
    lam, drawn = beta_nodes((a, b), breaks, len(shape))
    parts = [Rule(lam, drawn, drawn * lam)]
    if a != b:
        other, mirrored = beta_nodes((b, a), breaks, len(shape))
        parts.append(Rule(other, np.zeros_like(mirrored), mirrored * other))
    if folded:
        parts[0] = parts[0]._replace(drawn=np.zeros_like(drawn))
        parts.append(Rule(np.maximum(lam, 1 - lam), drawn, np.zeros_like(drawn)))
    nodes, drawn, weighted = map(np.concatenate, zip(*parts, strict=True))
    return Rule(nodes, drawn, weighted / weighted.sum())


def is_folded(layer: Any, leaf: Any) -> bool:
    """Returns whether a member of a layer draws max(lambda, 1 - lambda)."""
    return any(getattr(x, "fold", False) for x in (layer, leaf))


def known_moments(
    layer: Any, shape: Shape, *, lam: float | None = None
) -> tuple[Moments, Moments]:
    """Returns the moments over lambda as it is drawn, and weighted by itself.

    Args:
        layer: A mixing layer whose law is known.
        shape: Spatial lengths.
        lam: A given lambda instead of its law; both results are then the same.
    """
    parts = (
        [found.times(chance * float(weight)) for weight in weights]
        for chance, leaf in _methods.members(layer)
        for node, *weights in zip(*_rule_or(lam, layer, leaf, shape), strict=True)
        for found in [moments(_methods.law(leaf, float(node), shape))]
    )
    drawn, weighted = functools.reduce(
        lambda totals, both: list(map(Moments.plus, totals, both)), parts
    )
    return drawn, weighted


def _rule_or(lam: float | None, layer: Any, leaf: Any, shape: Shape) -> Rule:
    """Returns the rule of a member's lambda, or that of a given or an unused one."""
    if lam is None and uses_lam(leaf):
        return rule(leaf, shape, folded=is_folded(layer, leaf))
    one = np.ones(1)
    return Rule(np.full(1, 0.5 if lam is None else lam), one, one)


def _check_exact_alpha(owner: str, alpha: tuple[float, float]) -> tuple[float, float]:
    """Checks that means over lambda can be exact, and returns the pair."""
    if max(alpha) > LARGEST_EXACT_ALPHA:
        _errors.fail(
            owner,
            f"means over lambda are exact for `alpha` up to {LARGEST_EXACT_ALPHA:g}.",
            f"alpha={alpha!r}",
            "Use a smaller `alpha`: lambda hardly differs from its mean there, too.",
        )
    return alpha
