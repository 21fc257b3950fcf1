"""Moments of masks over lambda, where their distribution given lambda is known.

Exact of the Beta distribution itself. A layer draws lambda from 65,536 of its
quantiles, those above 1 - 1e-6 taken as 1, which moves moments by less than 1e-6.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks, _errors
from keras_msda.analysis import _mask_distributions
from keras_msda.analysis._beta_quadrature import beta_nodes
from keras_msda.analysis._distributions import Moments, moments
from keras_msda.analysis._types import Array, Shape

#: Beyond this, SciPy's distribution function is not exact enough to integrate with.
LARGEST_EXACT_ALPHA = 1e9


class LamNodes(NamedTuple):
    """Nodes of lambda, with weights for two distributions of it.

    Attributes:
        lam: `(nodes,)`.
        drawn: For lambda ~ Beta(a, b), as a layer draws it; sum 1.
        weighted: For lambda weighted by itself, D~ of the paper; sum 1.
    """

    lam: Array
    drawn: Array
    weighted: Array


def depends_on_lam(leaf: Any) -> bool:
    """Returns whether a layer draws lambda by its own alpha, and its masks show it."""
    return bool(leaf.draws_lam) and getattr(leaf, "ratio_range", None) is None


def lam_nodes(leaf: Any, shape: Shape, *, folded: bool = False) -> LamNodes:
    """Returns the nodes of a layer's lambda.

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
    breaks = _mask_distributions.family(leaf).breaks(leaf, shape)
    if folded:
        breaks = [*breaks, *(1 - x for x in breaks)]
    lam, drawn = beta_nodes((a, b), breaks, len(shape))
    parts = [LamNodes(lam, drawn, drawn * lam)]
    if a != b:
        other, mirrored = beta_nodes((b, a), breaks, len(shape))
        parts.append(LamNodes(other, np.zeros_like(mirrored), mirrored * other))
    if folded:
        parts[0] = parts[0]._replace(drawn=np.zeros_like(drawn))
        larger = np.maximum(lam, 1 - lam)
        parts.append(LamNodes(larger, drawn, np.zeros_like(drawn)))
    nodes, drawn, weighted = map(np.concatenate, zip(*parts, strict=True))
    return LamNodes(nodes, drawn, weighted / weighted.sum())


def is_folded(layer: Any, leaf: Any) -> bool:
    """Returns whether a member of a layer draws max(lambda, 1 - lambda)."""
    return any(getattr(x, "fold", False) for x in (layer, leaf))


def exact_moments(
    layer: Any, shape: Shape, *, lam: float | None = None
) -> tuple[Moments, Moments]:
    """Returns the moments over lambda as it is drawn, and weighted by itself.

    Args:
        layer: A mixing layer whose distribution is known.
        shape: Spatial lengths.
        lam: A given lambda instead of its distribution; both results are then the same.
    """
    parts = (
        [found.times(probability * float(weight)) for weight in weights]
        for probability, leaf in _mask_distributions.members(layer)
        for node, *weights in zip(*_nodes_or(lam, layer, leaf, shape), strict=True)
        for found in [_moments_at(leaf, float(node), shape)]
    )
    drawn, weighted = functools.reduce(
        lambda totals, both: list(map(Moments.plus, totals, both)), parts
    )
    return drawn, weighted


def _moments_at(leaf: Any, lam: float, shape: Shape) -> Moments:
    """Returns the moments of a member's masks at one lambda."""
    return moments(_mask_distributions.family(leaf).distribution(leaf, lam, shape))


def _nodes_or(lam: float | None, layer: Any, leaf: Any, shape: Shape) -> LamNodes:
    """Returns the nodes of a member's lambda, or a given or an unused one."""
    if lam is None and depends_on_lam(leaf):
        return lam_nodes(leaf, shape, folded=is_folded(layer, leaf))
    one = np.ones(1)
    return LamNodes(np.full(1, 0.5 if lam is None else lam), one, one)


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
