"""Moments of masks over lambda's law, where their law given lambda is known."""

import functools
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks
from keras_msda.analysis import _methods
from keras_msda.analysis._laws import Array, Moments, Shape, moments
from keras_msda.analysis._quadrature import beta_nodes


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


def rule(leaf: Any, shape: Shape) -> Rule:
    """Returns the rule of a layer's lambda.

    D~ is a mixture whose parts are lambda times the densities of Beta(a, b) and of
    Beta(b, a).

    Args:
        leaf: A mixing layer that draws lambda.
        shape: Spatial lengths.
    """
    a, b = _checks.check_alpha(type(leaf).__name__, leaf.alpha)
    breaks = _methods.breaks(leaf, shape)
    lam, drawn = beta_nodes((a, b), breaks, len(shape))
    if a == b:
        return Rule(lam, drawn, 2 * drawn * lam)
    other, mirrored = beta_nodes((b, a), breaks, len(shape))
    return Rule(
        np.concatenate([lam, other]),
        np.concatenate([drawn, np.zeros_like(mirrored)]),
        np.concatenate([drawn * lam, mirrored * other]),
    )


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
        for node, *weights in zip(*_rule_or(lam, leaf, shape), strict=True)
        for found in [moments(_methods.law(leaf, float(node), shape))]
    )
    drawn, weighted = functools.reduce(
        lambda totals, both: list(map(Moments.plus, totals, both)), parts
    )
    return drawn, weighted


def _rule_or(lam: float | None, leaf: Any, shape: Shape) -> Rule:
    """Returns the rule of a layer's lambda, or that of a given or an unused one."""
    if lam is None and uses_lam(leaf):
        return rule(leaf, shape)
    one = np.ones(1)
    return Rule(np.full(1, 0.5 if lam is None else lam), one, one)
