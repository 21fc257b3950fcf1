"""The costs of PuzzleMix: what is lost of the saliency, and how rough the mask is."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_msda import _backend
from keras_msda.masks import _factored, _puzzle_grid, _puzzle_solver
from keras_msda.masks._puzzle_grid import Grid
from keras_msda.masks._puzzle_settings import PuzzleSettings

Tensor = Any

#: lambda is kept this far from 0 and 1, where the prior would be infinite.
LEAST_LAM = 1e-6
# A smoothness of 16 makes a cut across the whole image cost 1, as published: as much as
# the saliency of a whole image.
_SMOOTHNESS_OF_1 = 16.0
#: Colours are compared between cells of at least this many pixels, as published.
_CELL = 4


def find_costs(
    grid: Grid,
    lam: Tensor,
    saliency: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor] | None,
    settings: PuzzleSettings,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the costs of each block's labels, and the weights of pairs of blocks.

    Label k of m + 1 shows k / m of the partner.

    Args:
        grid: The grid.
        lam: float32 `(batch,)`.
        saliency: Share of each block in its image's saliency, of the own image and of
            the partner, float32 `(batch, *grid)`.
        images: The own images and the partners, float32 `(batch, *size, channels)`, or
            None.
        settings: The weights of the costs.

    Returns:
        float32 `(batch, *grid, labels)`, and float32 `(batch, *grid)` for each axis.
    """
    ops = _backend.get_ops(lam)
    rank, highest = len(grid.shape), settings.labels - 1
    own, partner = saliency
    weights = [_weigh_pairs(grid, axis, settings.smoothness) for axis in range(rank)]
    # What is lost by showing the partner, and by showing the own image.
    shown = [own, partner]
    if images is not None and settings.data_smoothness > 0:
        shown, weights = _compare_colors(grid, shown, images, weights, settings)
    lost_own, lost_partner = (x[..., None] for x in shown)
    share = ops.arange(settings.labels, "float32") / highest
    unary = lost_partner + share * (lost_own - lost_partner)
    area = settings.prior * _puzzle_grid.measure_blocks(grid)[..., None]
    log_prior = _find_log_prior(lam, highest)
    shape = [ops.shape(lam)[0], *[1] * rank, settings.labels]
    return unary - area * ops.reshape(log_prior, shape), weights


def _find_log_prior(lam: Tensor, highest: int) -> Tensor:
    """Returns the logarithms of the binomial distribution, `(batch, highest + 1)`.

    The published 1e-8 inside the logarithm is left out: the costs would not be convex.
    """
    ops = _backend.get_ops(lam)
    lam = ops.minimum(ops.maximum(lam, LEAST_LAM), 1.0 - LEAST_LAM)
    own, partner = ops.log(lam), ops.log(1.0 - lam)
    logs = [
        math.log(math.comb(highest, k)) + (highest - k) * own + k * partner
        for k in range(highest + 1)
    ]
    return ops.stack(logs, axis=-1)


def _weigh_pairs(grid: Grid, axis: int, smoothness: float) -> Tensor:
    """Returns what a block costs that differs from the next one along an axis.

    It is in proportion to the face between them, so that a straight cut through the
    image costs the same on every grid.
    """
    face = _puzzle_grid.measure_blocks(grid, without=axis)
    following = _follow(grid, axis)
    return smoothness / _SMOOTHNESS_OF_1 * face * following


def _follow(grid: Grid, axis: int) -> Tensor:
    """Returns 1 for blocks with another one behind them along an axis, else 0."""
    ops = _backend.get_ops(grid.used[axis])
    places = ops.arange(grid.shape[axis])[None]
    following = ops.cast(places + 1 < grid.used[axis], "float32")
    return _puzzle_grid.place_on_axis(following, axis, len(grid.shape))


def share_saliency(grid: Grid, saliency: Tensor) -> Tensor:
    """Returns each block's share of the saliency, and of the pixels where it is 0.

    Args:
        grid: The grid.
        saliency: float32 `(batch, *size)`, not negative.
    """
    ops = _backend.get_ops(saliency)
    axes = list(range(1, len(grid.shape) + 1))
    # First by the largest, or sums might overflow or vanish.
    largest = _factored.append_axes(ops.max(saliency, axes), len(axes))
    sums = _puzzle_grid.sum_blocks(
        grid, saliency / ops.where(largest > 0.0, largest, 1.0)
    )
    total = _factored.append_axes(ops.sum(sums, axes), len(axes))
    known = total > 0.0
    shares = sums / ops.where(known, total, 1.0)
    return ops.where(known, shares, _puzzle_grid.measure_blocks(grid))


# How colours change the costs.


class _Cells(NamedTuple):
    """The cells of one axis: pixels whose colours are averaged, some in each block.

    Attributes:
        per_block: int32 `(batch, 1)`, how many a block has.
        mean: float32 `(batch, cells, pixels)`, averages over each cell.
        mean_of_block: float32 `(batch, places, cells)`, averages over the cells of each
            block, those of no pixels left out.
    """

    per_block: Tensor
    mean: Tensor
    mean_of_block: Tensor


def _cut_axis(grid: Grid, axis: int) -> _Cells:
    """Cuts the blocks of an axis into cells of four to seven pixels.

    A block of less than eight pixels is one cell.
    """
    ops = _backend.get_ops(grid.side[axis])
    side, length = grid.side[axis], grid.size[axis]
    per_block = ops.maximum(side // _CELL, 1)
    pixels = ops.arange(length)[None]
    block = pixels // side
    where = block * per_block + (pixels - block * side) * per_block // side
    # Where blocks have less than four pixels, there are as many cells as blocks.
    most = _puzzle_grid.divide_up(length, _CELL)
    static = isinstance(most, int)
    places = (max if static else ops.maximum)(most, grid.shape[axis])
    marks = _puzzle_grid.mark(places, where)
    pixels_of = ops.sum(marks, 2)[..., None]
    owner = ops.arange(places)[None] // per_block
    filled = ops.cast(pixels_of[:, None, :, 0] > 0.0, "float32")
    cells = _puzzle_grid.mark(grid.shape[axis], owner) * filled
    count = ops.sum(cells, 2)[..., None]
    return _Cells(
        per_block,
        marks / ops.maximum(pixels_of, 1.0),
        cells / ops.maximum(count, 1.0),
    )


def _scale_colors(images: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns images in which the colours of each pair of them differ by 1 at most.

    The published code compares images from 0 to 1. Pairs that are not finite become 0.
    """
    own, partner = images
    ops = _backend.get_ops(own)
    axes = list(range(1, len(own.shape)))
    high = ops.maximum(ops.max(own, axes), ops.max(partner, axes))
    low = -ops.maximum(ops.max(-own, axes), ops.max(-partner, axes))
    # Half of each, as the difference might overflow.
    extent = high / 2 - low / 2
    known = extent > 0.0
    for x in images:  # The largest of values may leave NaN out.
        known &= ops.all((x > -float("inf")) & (x < float("inf")), axes)
    factor = _factored.append_axes(ops.where(known, 0.5 / extent, 0.0), len(axes))
    low = _factored.append_axes(ops.where(known, low, 0.0), len(axes))
    shown = _factored.append_axes(known, len(axes))
    return tuple(ops.where(shown, (x - low) * factor, 0.0) for x in images)


def _compare_colors(
    grid: Grid,
    shown: Sequence[Tensor],
    images: tuple[Tensor, Tensor],
    weights: Sequence[Tensor],
    settings: PuzzleSettings,
) -> tuple[list[Tensor], list[Tensor]]:
    """Adds what it costs that colours differ across the face between two blocks.

    With the distances d between the colours of two neighbours, each from one of the
    images, and two labels, a pair costs its d, and what does not depend on the labels.
    More labels are in between.

    Args:
        grid: The grid.
        shown: Costs of showing the partner, and of showing the own image.
        images: The own images and the partners.
        weights: Of each axis, the weights of pairs of blocks.
        settings: The weights of the costs.

    Returns:
        The two costs, and the weights.
    """
    ops = _backend.get_ops(*images)
    cut = [_cut_axis(grid, axis) for axis in range(len(grid.shape))]
    colors = [_average_cells(x, cut) for x in _scale_colors(images)]
    lost_own, lost_partner = shown
    found = []
    for axis, weight in enumerate(weights):
        before, after = _find_faces(grid, colors, axis, cut)
        strength = settings.data_smoothness / 2 * weight
        own, own_partner, partner_own, partner = (
            strength * _average_distance(a, b, axis, cut) for a in before for b in after
        )
        # Published: half of it in the costs of either block, half in the weight.
        lost_partner = lost_partner + own_partner + own
        lost_own = lost_own + partner_own + partner
        back = [
            _puzzle_solver.shift(x, axis, back=True)
            for x in (partner_own + own, own_partner + partner)
        ]
        lost_partner, lost_own = lost_partner + back[0], lost_own + back[1]
        extra = own_partner + partner_own - own - partner
        found.append(ops.maximum(weight + extra, 0.0))
    return [lost_own, lost_partner], found


def _average_cells(images: Tensor, cut: Sequence[_Cells]) -> Tensor:
    """Returns the colours of cells, `(batch, channels, *cells)`.

    The channels move to the front, as products with matrices of few columns take long,
    and they do so when most pixels are averaged already.
    """
    ops = _backend.get_ops(images)
    for axis, cells in enumerate(cut[:-1]):
        images = _puzzle_grid.contract(images, axis, cells.mean)
    rank = len(cut)
    rows = ops.transpose(images, (0, rank + 1, *range(1, rank + 1)))
    return _puzzle_grid.contract(rows, rank, cut[-1].mean)


def _find_faces(
    grid: Grid, colors: Sequence[Tensor], axis: int, cut: Sequence[_Cells]
) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the colours before and after the faces between blocks along an axis.

    Args:
        grid: The grid.
        colors: Colours of the cells of own images and partners, `(batch, channels,
            *cells)`.
        axis: The axis.
        cut: The cells of each axis.
    """
    ops = _backend.get_ops(*colors)
    cells = ops.shape(colors[0])[axis + 2]
    first = (ops.arange(grid.shape[axis])[None] + 1) * cut[axis].per_block
    sides = []
    for place in (first - 1, first):
        rows = ops.arange(cells)[None, None] == place[..., None]
        picked = ops.cast(rows, "float32")
        sides.append([_puzzle_grid.contract(x, axis + 1, picked) for x in colors])
    return sides[0], sides[1]


def _average_distance(
    before: Tensor, after: Tensor, axis: int, cut: Sequence[_Cells]
) -> Tensor:
    """Returns how far colours differ at the faces along an axis, `(batch, *grid)`."""
    ops = _backend.get_ops(before)
    difference = before - after
    distance = ops.mean(ops.maximum(difference, -difference), 1)
    for other, cells in enumerate(cut):
        if other != axis:
            distance = _puzzle_grid.contract(distance, other, cells.mean_of_block)
    return distance
