"""Puzzle masks: blocks that keep what is salient of two images, the mask of PuzzleMix.

Each block of a grid shows one of a few shares of the partner. The shares minimise a
cost exactly, and no graph cut is needed; see `solve_labels`.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_msda import _backend, _errors
from keras_msda.masks import (
    _factored,
    _given,
    _puzzle_costs,
    _puzzle_grid,
    _puzzle_settings,
    _puzzle_solver,
    _transport,
)
from keras_msda.masks._puzzle_grid import Grid
from keras_msda.masks._puzzle_settings import PuzzleSettings

Tensor = Any


def place_labels(
    grid: Grid,
    lam: Tensor,
    saliency: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor] | None,
    settings: PuzzleSettings,
) -> Tensor:
    """Returns the labels of the blocks, int32 `(batch, *grid)`.

    Label k of m + 1 shows k / m of the partner. The prior is infinite where lambda is 0
    or 1: only one of the images is then shown.

    Args:
        grid: The grid.
        lam: float32 `(batch,)`.
        saliency: Of the own images and of the partners, float32 `(batch, *size)`.
        images: The own images and the partners, float32 `(batch, *size, channels)`, or
            None.
        settings: The settings of the method.
    """
    return _puzzle_grid.call_compiled(
        _place_labels, grid, lam, saliency, images, settings=settings
    )


def _place_labels(
    grid: Grid,
    lam: Tensor,
    saliency: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor] | None,
    settings: PuzzleSettings,
) -> Tensor:
    problem = make_problem(grid, lam, saliency, images, settings)
    relaxed, _ = _puzzle_solver.solve(problem, settings.iterations, average=False)
    labels, _ = _puzzle_solver.find_best(problem, relaxed)
    return round_ends(labels, lam, settings.labels - 1)


def make_problem(
    grid: Grid,
    lam: Tensor,
    saliency: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor] | None,
    settings: PuzzleSettings,
) -> _puzzle_solver.Problem:
    """Returns the costs of the labels; arguments are those of `place_labels`."""
    own, partner = (_puzzle_costs.share_saliency(grid, x) for x in saliency)
    unary, weights = _puzzle_costs.find_costs(
        grid, lam, (own, partner), images, settings
    )
    return _puzzle_solver.make_problem(unary, weights)


def round_ends(labels: Tensor, lam: Tensor, highest: int) -> Tensor:
    """Returns labels as integers, where lambda is 0 or 1 those of one image alone."""
    ops = _backend.get_ops(lam)
    lam = _factored.append_axes(lam, len(labels.shape) - 1)
    labels = ops.where(lam >= 1.0, 0.0, labels)
    return ops.cast(ops.where(lam <= 0.0, float(highest), labels), "int32")


def place_sources(grid: Grid, shown: Tensor, saliency: Tensor, cost: float) -> Tensor:
    """Returns which block of an image each block shows, int32 `(batch, n)`.

    Args:
        grid: The grid.
        shown: Whether a block shows any of the image, `(batch, *grid)`.
        saliency: Of the images, float32 `(batch, *size)`.
        cost: What the way across the grid costs.
    """
    return _puzzle_grid.call_compiled(_place_sources, grid, shown, saliency, cost=cost)


def _place_sources(grid: Grid, shown: Tensor, saliency: Tensor, cost: float) -> Tensor:
    share = _puzzle_costs.share_saliency(grid, saliency)
    return _transport.assign_blocks(grid, share, shown, cost)


def puzzle_weight(grid: Grid, labels: Tensor, highest: int) -> Tensor:
    """Returns the mean of the mask of labels 0 to `highest`, counted in integers."""
    ops = _backend.get_ops(labels)
    rank = len(grid.shape)
    pixels = [ops.cast(length, "int32") for length in grid.length]
    parts = [_puzzle_grid.place_on_axis(x, axis, rank) for axis, x in enumerate(pixels)]
    area = functools.reduce(operator.mul, parts)
    axes = list(range(1, rank + 1))
    total = highest * functools.reduce(operator.mul, grid.size)
    return _factored.exact_share(ops.sum((highest - labels) * area, axes), total)


def spread_labels(grid: Grid, labels: Tensor, highest: int) -> Tensor:
    """Returns the mask of labels 0 to `highest`, float32 `(batch, *size)`."""
    return _puzzle_grid.spread(grid, _factored.exact_share(highest - labels, highest))


def puzzle_mask(
    lam: Any,
    saliency: tuple[Any, Any],
    *,
    blocks: int | Sequence[int] = 4,
    images: tuple[Any, Any] | None = None,
    settings: PuzzleSettings = PuzzleSettings(),  # noqa: B008 (a tuple)
) -> tuple[Tensor, Tensor]:
    """Returns the mask of PuzzleMix: blocks that keep what is salient of two images.

    Blocks show shares of the partner that minimise a cost: the saliency that is not
    shown, what neighbours differ by, and how far the shares are from lambda. The least
    cost is found exactly; see `solve_labels`. An axis of L pixels has blocks of
    ceil(L / blocks) pixels, the last one smaller where they do not divide it.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1]. A mask's mean is
            near lambda and need not be equal; at 0 and 1 it is.
        saliency: How much each pixel matters, of the first images and of the partners:
            two arrays `(draws, *size)`, not negative, with one to three spatial axes.
            Only shares of an image's own sum count; all zeros count as uniform.
        blocks: At most this many blocks per axis; an integer or one per draw.
        images: The first images and the partners, two arrays
            `(draws, *size, channels)`, for `data_smoothness`; None leaves it out. Only
            differences relative to the range of each pair count.
        settings: The weights of the costs.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> own = np.float32([[[9, 9, 0, 0], [9, 9, 0, 0]]])
        >>> mask, weight = masks.puzzle_mask([0.5], (own, own[..., ::-1]), blocks=2)
        >>> print(mask.numpy(), weight.numpy())
        [[[1. 1. 0. 0.]
          [1. 1. 0. 0.]]] [0.5]

    References:
        Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for
        Optimal Mixup, 2020, equation 5.
    """
    owner = "puzzle_mask"
    settings = _puzzle_settings.check_settings(owner, settings)
    lam = _given.convert_lam(owner, lam, saliency[0])
    draws = lam.shape[0]
    pair = tuple(_convert_maps(owner, "saliency", x, draws) for x in saliency)
    ops = _backend.get_ops(lam, *pair)
    size = ops.shape(pair[0])[1:]
    grid = _cut(owner, size, blocks, lam)
    if images is not None:
        own, partner = (ops.convert(x, "float32") for x in images)
        images = (own, partner)
        _check_images(owner, images, pair)
    highest = settings.labels - 1
    labels = place_labels(grid, lam, pair, images, settings)
    return spread_labels(grid, labels, highest), puzzle_weight(grid, labels, highest)


def puzzle_transport(
    mask: Any, saliency: Any, *, blocks: int | Sequence[int] = 4, cost: float = 0.8
) -> Tensor:
    """Returns which pixel of the partner each pixel shows, with its blocks moved.

    Salient blocks of the partner that the mask hides take the place of others that it
    shows, where that is worth the way. It costs `cost` times the squared distance, 1
    being the distance between the ends of the longest axis, and gains the saliency. For
    the first image give `1 - mask` and its saliency.
    Blocks propose themselves to the nearest place and places keep the best one, as
    published, until nothing changes. Only blocks of equal sides change places. At
    pixels that are not shown, the index is the pixel's own.

    Args:
        mask: Share of the first image at each pixel, of `puzzle_mask`, shape
            `(draws, *size)`.
        saliency: Of the partners, as in `puzzle_mask`, shape `(draws, *size)`.
        blocks: As in `puzzle_mask`.
        cost: Not negative.

    Returns:
        Index of a pixel, row-major over the image, int32 `(draws, *size)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> mask, saliency = np.float32([[1, 1, 0, 0]]), np.float32([[9, 1, 0, 0]])
        >>> print(masks.puzzle_transport(mask, saliency).numpy())
        [[0 1 0 3]]

    References:
        Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for
        Optimal Mixup, 2020, algorithm 1.
    """
    owner = "puzzle_transport"
    cost = _puzzle_settings.check_cost(owner, "cost", cost, 0.8)
    ops = _backend.get_ops(mask, saliency)
    shares = _convert_maps(owner, "mask", mask, None)
    saliency = _convert_maps(owner, "saliency", saliency, shares.shape[0])
    grid = _cut(owner, ops.shape(shares)[1:], blocks, shares)
    shown = _puzzle_grid.sum_blocks(grid, ops.cast(shares < 1.0, "float32"))
    source = place_sources(grid, shown > 0.0, saliency, cost)
    return _transport.find_pixels(grid, source)


def _convert_maps(owner: str, name: str, values: Any, draws: int | None) -> Tensor:
    """Returns one number per pixel as a tensor, float32 `(draws, *size)`, or raises."""
    maps = _backend.get_ops(values).convert(values, "float32")
    rank = getattr(maps.shape, "rank", 0)
    known = rank is not None and 2 <= len(maps.shape) <= 4
    if not known or 0 in list(maps.shape)[1:] or _errors.differ(maps.shape[0], draws):
        first = "draws" if draws is None else f"draws={draws}"
        _errors.fail(
            owner,
            f"`{name}` must have the shape ({first}, *size) with one to three spatial "
            "axes.",
            f"shape {_errors.show(maps.shape)}",
            "Leave the channels out.",
        )
    low = _backend.get_concrete_value(maps)
    if low is not None and low.size and not 0 <= low.min() <= low.max() < np.inf:
        _errors.fail(
            owner,
            f"`{name}` must be finite and not negative.",
            f"values of {_errors.extent(low)}",
            "Take absolute values, for example of a gradient.",
        )
    return maps


def _check_images(owner: str, images: Sequence[Tensor], maps: Sequence[Tensor]) -> None:
    """Checks that images have the sizes of their saliency."""
    for image, saliency in zip(images, maps, strict=True):
        lengths = list(image.shape)[:-1]
        if len(lengths) != len(saliency.shape) or any(
            map(_errors.differ, lengths, saliency.shape)
        ):
            _errors.fail(
                owner,
                "`images` must have the shape (draws, *size, channels) of the saliency "
                f"{_errors.show(saliency.shape)}.",
                f"shape {_errors.show(image.shape)}",
                "Put the channels last.",
            )


def _cut(owner: str, size: Sequence[Any], blocks: Any, like: Tensor) -> Grid:
    """Returns the grid of a number of blocks, or of one per draw."""
    checked = _puzzle_settings.check_blocks(owner, blocks)
    ops = _backend.get_ops(like)
    draws = ops.shape(like)[0]
    if isinstance(checked, int):
        each = ops.zeros([draws], "int32") + checked
        return _puzzle_grid.make_grid(size, each, (checked,))
    if _errors.differ(len(checked), draws):
        _errors.fail(
            owner,
            f"`blocks` must be an integer, or one for each of the {draws} draws.",
            f"blocks={blocks!r}",
            "Use for example `blocks=4`.",
        )
    each = ops.convert(np.array(checked, "int32"))
    return _puzzle_grid.make_grid(size, each, sorted(set(checked)))
