"""Labels of blocks that minimise a cost exactly, with a proof of how good they are.

The optimisation of PuzzleMix by itself, for costs of any kind.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _backend, _checks, _errors
from keras_msda.masks import _puzzle_solver

Tensor = Any


class Labelling(NamedTuple):
    """Labels of least cost, and how far from it they can be at most.

    Attributes:
        labels: int32 `(problems, *grid)`.
        energy: float32 `(problems,)`, the cost of the labels.
        bound: float32 `(problems,)`. No labels cost less, up to float32 rounding. Where
            it equals the energy, the labels are optimal.
    """

    labels: Tensor
    energy: Tensor
    bound: Tensor


def solve_labels(
    unary: Any, pairwise: Sequence[Any], *, iterations: int = 100
) -> Labelling:
    """Finds labels of least cost on grids, and proves how good they are.

    Each block i of a grid takes one label k of 0, ..., m. The costs are

        sum_i unary[i, k_i] + sum_ij pairwise[i, j] (k_i - k_j)^2 / m^2

    over blocks and pairs of neighbours. Labels in between are allowed first: costs are
    joined by straight lines. Nothing is lost by that, as rounding at a random threshold
    costs the same on average, so some threshold gives labels of least cost. A
    primal-dual iteration solves the relaxed problem, for all problems at once, and
    gives a lower bound as a certificate. docs/puzzlemix.md has the proof.

    Args:
        unary: Cost of each label of each block, shape `(problems, *grid, labels)`, with
            one to three axes of the grid and two or more labels. Convex in the label:
            each label more adds at least as much as the one before.
        pairwise: One array per axis of the grid: weights of the pairs of neighbours
            along that axis, shape `(problems, *grid)` but one shorter along that axis.
            Not negative.
        iterations: Number of iterations, 1 or more. 100 are enough for 16x16 blocks.

    Returns:
        Labels, int32 `(problems, *grid)`, their cost, float32 `(problems,)`, and a
        lower bound of the least cost, float32 `(problems,)`.

    Raises:
        ValueError: If shapes do not fit, or costs are not convex or weights negative.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> unary = np.array([[[0.0, 1.0], [0.6, 0.4], [1.0, 0.0]]])  # 3 blocks.
        >>> found = masks.solve_labels(unary, [np.array([[0.1, 0.3]])])
        >>> print(found.labels.numpy(), [f"{x[0]:.3f}" for x in found[1:]])
        [[0 1 1]] ['0.500', '0.500']

    References:
        Chambolle and Pock, A First-Order Primal-Dual Algorithm for Convex Problems with
        Applications to Imaging, 2011. Pock and Chambolle, Diagonal Preconditioning for
        First Order Primal-Dual Algorithms in Convex Optimization, 2011.
    """
    owner = "solve_labels"
    iterations = _checks.check_count(owner, "iterations", iterations)
    _check_problem(owner, unary, pairwise)
    ops = _backend.get_ops(unary, *pairwise)
    costs = ops.convert(unary, "float32")
    weights = [ops.convert(weight, "float32") for weight in pairwise]
    padded = []
    for axis, weight in enumerate(weights):
        shape = list(ops.shape(costs))[:-1]
        shape[axis + 1] = 1
        padded.append(ops.concat([weight, ops.zeros(shape, "float32")], axis + 1))
    problem = _puzzle_solver.make_problem(costs, padded)
    relaxed, duals = _puzzle_solver.solve(problem, iterations, average=True)
    labels, energy = _puzzle_solver.find_best(problem, relaxed)
    bound = _puzzle_solver.find_bound(problem, duals)
    return Labelling(
        ops.cast(labels, "int32"), energy * problem.scale, bound * problem.scale
    )


def _check_problem(owner: str, unary: Any, pairwise: Sequence[Any]) -> None:
    """Checks shapes, and values that are known."""
    shape = tuple(getattr(unary, "shape", np.shape(unary)))
    if not 3 <= len(shape) <= 5 or shape[-1] is None or shape[-1] < 2:
        _errors.fail(
            owner,
            "`unary` must have the shape (problems, *grid, labels) with one to three "
            "axes of the grid and two or more labels.",
            f"shape {shape}",
            "Put the costs of each label on the last axis.",
        )
    expected = [list(shape[:-1]) for _ in shape[1:-1]]
    for axis, lengths in enumerate(expected):
        if lengths[axis + 1] is not None:
            lengths[axis + 1] -= 1
    given = [tuple(getattr(x, "shape", np.shape(x))) for x in pairwise]
    if len(given) != len(expected) or any(
        len(found) != len(wanted) or any(map(_errors.differ, found, wanted))
        for found, wanted in zip(given, expected, strict=True)
    ):
        _errors.fail(
            owner,
            "`pairwise` must hold weights for each axis of the grid, of the shapes "
            f"{', '.join(str(tuple(x)) for x in expected)}.",
            f"shapes {', '.join(map(str, given)) or 'none'}",
            "There is one pair less than blocks along the axis of the pairs.",
        )
    _check_costs(owner, _backend.get_concrete_value(unary))
    for weight in map(_backend.get_concrete_value, pairwise):
        if weight is not None and weight.size and not weight.min() >= 0:
            _errors.fail(
                owner,
                "`pairwise` must hold weights that are not negative.",
                f"weights of {_errors.extent(weight)}",
                "Use 0.0 for blocks that do not influence each other.",
            )


def _check_costs(owner: str, unary: np.ndarray | None) -> None:
    """Checks that costs are finite and convex in the label, if they are known."""
    if unary is None or not unary.size:
        return
    bend = np.diff(unary.astype("float64"), 2, axis=-1)
    # Rounding of float32.
    slack = 1e-5 * np.abs(unary).max()
    if not np.isfinite(unary).all() or (bend.size and bend.min() < -slack):
        _errors.fail(
            owner,
            "`unary` must be finite, and convex in the label.",
            f"values of {_errors.extent(unary)}, second differences of "
            f"{_errors.extent(bend)}",
            "Each label more must add at least as much as the one before.",
        )
