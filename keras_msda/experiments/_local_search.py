"""PuzzleMix with the labels of a local search, to compare exact ones with."""

from typing import Any

from keras_msda import _backend, _checks
from keras_msda.layers import PuzzleMixLayer
from keras_msda.masks import _puzzle_grid, _puzzle_solver, puzzle
from keras_msda.masks._puzzle_settings import PuzzleSettings

Tensor = Any


# Only its labels differ, and nobody outside meets it, so that it may be a subclass.
class LocalPuzzleMixLayer(PuzzleMixLayer):  # type: ignore[misc]
    """PuzzleMix whose labels are those that a few sweeps of a local search find.

    Each block starts with the label that is cheapest for itself. In a sweep, first the
    even and then the odd blocks take the label that is cheapest beside their neighbours
    (iterated conditional modes).

    Args:
        alpha: As in `PuzzleMixLayer`.
        sweeps: Number of sweeps.
        **kwargs: Further arguments of `PuzzleMixLayer`.
    """

    def __init__(self, alpha: Any = 1.0, *, sweeps: int = 2, **kwargs: Any) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        self.sweeps = _checks.check_count(owner, "sweeps", sweeps)

    def _place_labels(
        self, grid: Any, lam: Tensor, saliency: Any, images: Any
    ) -> Tensor:
        """Searches the labels."""
        return _puzzle_grid.call_compiled(
            _search,
            grid,
            lam,
            saliency,
            images,
            settings=self._settings_of_masks,
            sweeps=self.sweeps,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"sweeps": self.sweeps}


def _search(  # noqa: PLR0913 (those of `place_labels`)
    grid: Any,
    lam: Tensor,
    saliency: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor] | None,
    *,
    settings: PuzzleSettings,
    sweeps: int,
) -> Tensor:
    problem = puzzle.make_problem(grid, lam, saliency, images, settings)
    labels = search_locally(problem, sweeps)
    return puzzle.round_ends(labels, lam, settings.labels - 1)


def search_locally(problem: _puzzle_solver.Problem, sweeps: int) -> Tensor:
    """Returns the labels that a local search ends with.

    Args:
        problem: The costs.
        sweeps: How often each block chooses.

    Returns:
        float32 `(problems, *grid)`.
    """
    ops = _backend.get_ops(problem.unary)
    rank = len(problem.unary.shape) - 2
    count = problem.unary.shape[-1]
    labels = _find_cheapest([problem.unary[..., label] for label in range(count)])
    parity = _find_parity(ops.shape(problem.unary)[1:-1], like=labels)
    for number in range(2 * sweeps):
        costs = [
            problem.unary[..., label] + _compare(problem, labels, float(label), rank)
            for label in range(count)
        ]
        labels = ops.where(parity == number % 2, _find_cheapest(costs), labels)
    return labels


def _compare(
    problem: _puzzle_solver.Problem, labels: Tensor, label: float, rank: int
) -> Tensor:
    """Returns what a label costs beside the labels of the neighbours."""
    total: Any = 0.0
    for axis in range(rank):
        weight = problem.steepness[:, axis]
        for back in (False, True):
            other = _puzzle_solver.shift(labels, axis, back=back)
            here = _puzzle_solver.shift(weight, axis, back=True) if back else weight
            total = total + here * (other - label) ** 2
    return total


def _find_cheapest(costs: list[Tensor]) -> Tensor:
    """Returns the first label of least cost, as floats."""
    ops = _backend.get_ops(costs[0])
    best, labels = costs[0], costs[0] * 0.0
    for label, cost in enumerate(costs[1:], 1):
        labels = ops.where(cost < best, float(label), labels)
        best = ops.minimum(best, cost)
    return labels


def _find_parity(grid: Any, *, like: Tensor) -> Tensor:
    """Returns 0 for even and 1 for odd blocks, int32 `(1, *grid)`."""
    ops = _backend.get_ops(like)
    total: Any = 0
    for axis, length in enumerate(grid):
        shape = [1] * (len(grid) + 1)
        shape[axis + 1] = -1
        total = total + ops.reshape(ops.arange(length), shape)
    return total % 2
