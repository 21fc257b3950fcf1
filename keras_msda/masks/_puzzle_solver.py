"""Labels of least cost on a grid, by a convex relaxation that is exact.

Each block of a grid takes one of the labels 0, ..., m. The costs are

    E(k) = sum_i u_i(k_i) + sum_ij w_ij (k_i - k_j)^2 / m^2

with u_i convex in the label and w_ij >= 0. docs/puzzlemix.md has the proof that the
relaxation loses nothing.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend
from keras_msda.masks import _factored

Tensor = Any

#: Where between two labels a relaxed label is rounded up. The best one is kept.
THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
# Found by trying: the primal step is this many times longer than the dual step, and
# each iteration goes this much further than it would (2 is the limit of convergence).
_STEP_RATIO = 2.0
_RELAXATION = 1.8


class Problem(NamedTuple):
    """The costs of labels, divided by a number of each problem.

    Attributes:
        unary: float32 `(problems, *grid, labels)`, cost of each label of each block.
        slopes: What one label more costs, for each label but the last, a list of
            float32 `(problems, *grid)`.
        steepness: float32 `(problems, rank, *grid)`: for each axis what a label costs
            that differs by 1 from that of the next block, 0 for the last blocks.
        scale: float32 `(problems,)`, what the costs were divided by.
    """

    unary: Tensor
    slopes: list[Tensor]
    steepness: Tensor
    scale: Tensor


def make_problem(unary: Tensor, weights: Sequence[Tensor]) -> Problem:
    """Returns a problem whose slopes are about 1.

    Args:
        unary: float32 `(problems, *grid, labels)`.
        weights: Of each axis float32 `(problems, *grid)`, the w of a block and the next
            one; 0 for the last blocks.
    """
    ops = _backend.get_ops(unary)
    rank, highest = len(weights), unary.shape[-1] - 1
    slopes = unary[..., 1:] - unary[..., :-1]
    size = ops.maximum(slopes, -slopes)
    axes = list(range(1, rank + 2))
    # Places without a block cost nothing, and must not count.
    count = ops.sum(ops.cast(size > 0.0, "float32"), axes)
    scale = ops.sum(size, axes) / ops.maximum(count, 1.0)
    scale = ops.where(scale > 0.0, scale, 1.0)
    slopes = slopes / _factored.append_axes(scale, rank + 1)
    spread = _factored.append_axes(scale, rank) * float(highest**2)
    return Problem(
        unary / _factored.append_axes(scale, rank + 1),
        [slopes[..., label] for label in range(highest)],
        ops.stack([weight / spread for weight in weights], axis=1),
        scale,
    )


def shift(x: Tensor, axis: int, *, back: bool = False) -> Tensor:
    """Returns the values of the next blocks along an axis, around the end.

    Args:
        x: Shape `(problems, *grid)`.
        axis: Axis of the grid, from 0.
        back: Whether to return those of the blocks before.
    """
    ops = _backend.get_ops(x)
    whole = (slice(None),) * (axis + 1)
    cut = -1 if back else 1
    parts = [x[(*whole, slice(cut, None))], x[(*whole, slice(None, cut))]]
    return ops.concat(parts, axis + 1)


def _find_steps_up(k: Tensor) -> Tensor:
    """Returns the next block's label minus a block's, `(problems, rank, *grid)`."""
    ops = _backend.get_ops(k)
    axes = range(len(k.shape) - 1)
    return ops.stack([shift(k, axis) - k for axis in axes], axis=1)


def _collect(duals: Tensor) -> Tensor:
    """Returns the transpose of `_find_steps_up`, applied to values of pairs of blocks.

    Pairs around the end have the value 0.
    """
    total: Any = 0.0
    for axis in range(len(duals.shape) - 2):
        y = duals[:, axis]
        total = total + (shift(y, axis, back=True) - y)
    return total


def _clip(x: Tensor, low: Any, high: Any) -> Tensor:
    ops = _backend.get_ops(x)
    return ops.minimum(ops.maximum(x, low), high)


class _Iteration(NamedTuple):
    """What stays the same in all iterations.

    Attributes:
        step: float32 `(problems, *grid)`, step length of each block.
        starts: Of each slope, where its label begins: label + step * slope.
        steepness: As in `Problem`.
        double: Twice that.
        kinks: What a pair's variable passes before its second, third, ... slope.
    """

    step: Tensor
    starts: list[Tensor]
    steepness: Tensor
    double: Tensor
    kinks: list[Tensor]


# Pairs have two blocks: the step is at most the inverse.
_DUAL_STEP = 0.5 / _STEP_RATIO


def _prepare(problem: Problem) -> _Iteration:
    """Returns step lengths by Pock and Chambolle, and what follows from them.

    The step length of a block is the inverse of its number of neighbours.
    """
    ops = _backend.get_ops(problem.scale)
    pairs = ops.cast(problem.steepness > 0.0, "float32")
    neighbours = 0.0 * problem.slopes[0]
    for axis in range(len(pairs.shape) - 2):
        pair = pairs[:, axis]
        neighbours = neighbours + pair + shift(pair, axis, back=True)
    step = _STEP_RATIO / ops.maximum(neighbours, 1.0)
    return _Iteration(
        step,
        [step * slope + float(label) for label, slope in enumerate(problem.slopes)],
        problem.steepness,
        2.0 * problem.steepness,
        [
            (2 * order - 1) * problem.steepness + order * _DUAL_STEP
            for order in range(1, len(problem.slopes))
        ],
    )


def _step_blocks(fixed: _Iteration, moved: Tensor) -> Tensor:
    """Returns the proximal point of the unary costs: how far each label is passed."""
    parts = [_clip(moved - start, 0.0, 1.0) for start in fixed.starts]
    return sum(parts[1:], parts[0])


def _step_pairs(fixed: _Iteration, moved: Tensor) -> Tensor:
    """Returns the proximal point of the conjugate of d -> steepness * d^2.

    d^2 stands for the straight lines between its values at whole d, whose slopes are 1,
    3, 5, ... times the steepness.
    """
    result = _clip(moved, -fixed.steepness, fixed.steepness)
    for kink in fixed.kinks:
        result = result + _clip(moved - kink, 0.0, fixed.double)
        result = result + _clip(moved + kink, -fixed.double, 0.0)
    return result


def solve(problem: Problem, iterations: int, *, average: bool) -> tuple[Any, Any]:
    """Returns what `iterate` does, compiled where values are known.

    Step by step, calling thousands of small operations would take ten times as long.
    """
    ops: Any = _backend.get_ops(problem.scale)
    if ops.always_eager or not ops.is_eager(problem.scale):
        return iterate(problem, iterations, average=average)
    shape = tuple(problem.steepness.shape)
    found: tuple[Any, Any] = _compile(ops, iterations, average, shape)(problem)
    return found


@functools.lru_cache(maxsize=64)
def _compile(
    ops: Any,
    iterations: int,
    average: bool,
    shape: tuple[int, ...],  # noqa: ARG001
) -> Any:
    # A function for each shape, and without code of its own: TensorFlow warns of a
    # function that is traced five times.
    return ops.compile_function(
        functools.partial(iterate, iterations=iterations, average=average)
    )


def iterate(problem: Problem, iterations: int, *, average: bool) -> tuple[Any, Any]:
    """Returns relaxed labels, and values of the dual variables.

    The primal-dual iteration of Chambolle and Pock, over-relaxed.

    Args:
        problem: From `make_problem`.
        iterations: How many.
        average: Whether to average the dual variables over the second half of the
            iterations. The bound is then much better; labels do not need it.

    Returns:
        Labels, float32 `(problems, *grid)` in [0, labels - 1], and dual variables,
        float32 `(problems, rank, *grid)`; None without `average`.
    """
    fixed, first_averaged = _prepare(problem), iterations // 2
    ops = _backend.get_ops(problem.scale)

    def improve(step: Any, state: Any) -> Any:
        k, duals, _, total = state
        better = _step_blocks(fixed, k - fixed.step * _collect(duals))
        ahead = _find_steps_up(2.0 * better - k)
        found = _step_pairs(fixed, duals + _DUAL_STEP * ahead)
        k = k + _RELAXATION * (better - k)
        duals = duals + _RELAXATION * (found - duals)
        if average:
            counted = ops.cast(ops.convert(step >= first_averaged), "float32")
            total = total + counted * found
        return k, duals, better, total

    zeros = 0.0 * problem.steepness
    start = 0.0 * problem.slopes[0] + len(problem.slopes) / 2
    state = (start, zeros, start, zeros if average else problem.scale)
    _, _, labels, total = ops.loop(iterations, improve, state)
    return labels, total / float(iterations - first_averaged) if average else None


def _round_at(relaxed: Tensor, threshold: float, highest: int) -> Tensor:
    """Returns labels, rounded up from a threshold between two labels on, as floats."""
    ops = _backend.get_ops(relaxed)
    above = [
        ops.cast(relaxed > label + threshold, "float32") for label in range(highest)
    ]
    return sum(above[1:], above[0])


def _sum_blocks(x: Tensor) -> Tensor:
    """Returns the sum of each problem, `(problems,)`."""
    return _backend.get_ops(x).sum(x, list(range(1, len(x.shape))))


def find_energy(problem: Problem, labels: Tensor) -> Tensor:
    """Returns the costs of labels, float32 `(problems,)`, divided by the scale."""
    ops = _backend.get_ops(labels)
    costs = problem.unary[..., 0]
    for label, slope in enumerate(problem.slopes):
        costs = costs + ops.where(labels > label + 0.5, slope, 0.0)
    up = _find_steps_up(labels)
    return _sum_blocks(costs) + _sum_blocks(problem.steepness * up * up)


def find_best(problem: Problem, relaxed: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the cheapest of the labels that thresholds give, and their costs."""
    ops = _backend.get_ops(relaxed)
    highest, rank = len(problem.slopes), len(relaxed.shape) - 1
    best = _round_at(relaxed, THRESHOLDS[0], highest)
    energy = find_energy(problem, best)
    for threshold in THRESHOLDS[1:]:
        labels = _round_at(relaxed, threshold, highest)
        cost = find_energy(problem, labels)
        lower = cost < energy
        best = ops.where(_factored.append_axes(lower, rank), labels, best)
        energy = ops.where(lower, cost, energy)
    return best, energy


def find_bound(problem: Problem, duals: Tensor) -> Tensor:
    """Returns what no labels cost less than, float32 `(problems,)`, scaled.

    Any dual variables y give a bound: the cost of a pair at the difference d is at
    least y d minus the maximum of y d - (cost of d), and what is linear in the labels
    then belongs to the blocks, whose cheapest labels are found one by one.
    """
    ops = _backend.get_ops(problem.scale)
    lean = _collect(duals)
    costs = problem.unary[..., 0]
    cheapest = costs
    for slope in problem.slopes:
        costs = costs + slope + lean
        cheapest = ops.minimum(cheapest, costs)
    size, over = ops.maximum(duals, -duals), 0.0 * duals
    for order in range(1, len(problem.slopes) + 1):
        beyond = size - (2 * order - 1) * problem.steepness
        over = over + ops.maximum(beyond, 0.0)
    return _sum_blocks(cheapest) - _sum_blocks(over)
