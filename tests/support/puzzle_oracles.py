"""PuzzleMix by loops and enumeration, for tests. Imports nothing of ours."""

import itertools
import math

import numpy as np


def random_problems(count, grid, labels, *, smoothness=1.2, seed=0):
    """Returns unary costs and pair weights as random images would give them."""
    rng = np.random.default_rng(seed)
    axes = tuple(range(1, len(grid) + 1))
    saliency = rng.random((2, count, *grid))
    own, partner = saliency / saliency.sum(tuple(a + 1 for a in axes), keepdims=True)
    lam = rng.uniform(0.001, 0.999, count).reshape(-1, *[1] * len(grid))
    highest, cells = labels - 1, math.prod(grid)
    first, second = rng.random((2, count, *grid))
    pairwise = []
    for axis in range(len(grid)):
        weight = smoothness / 16 * grid[axis] / cells
        before, after = halves(axis)
        d = {
            (a, b): abs(x[before] - y[after])
            for a, x in enumerate((first, second))
            for b, y in enumerate((first, second))
        }
        for a, cost in enumerate((partner, own)):  # What is lost by showing image a.
            cost[before] += 0.25 * weight * (d[a, 0] + d[a, 1])
            cost[after] += 0.25 * weight * (d[0, a] + d[1, a])
        extra = d[0, 1] + d[1, 0] - d[0, 0] - d[1, 1]
        pairwise.append(weight * (1 + 0.25 * extra))
    unary = [
        partner
        + k / highest * (own - partner)
        - 0.2
        / cells
        * np.log(math.comb(highest, k) * lam ** (highest - k) * (1 - lam) ** k)
        for k in range(labels)
    ]
    return np.stack(unary, -1), pairwise


def halves(axis):
    """Returns the blocks before and after the pairs along an axis, batch first."""
    whole = (slice(None),) * (axis + 1)
    return (*whole, slice(None, -1)), (*whole, slice(1, None))


def energy(unary, pairwise, labels):
    """Returns the costs of labels `(problems, *grid)`."""
    axes = tuple(range(1, labels.ndim))
    total = np.take_along_axis(unary, labels[..., None], -1)[..., 0].sum(axes)
    for axis, weight in enumerate(pairwise):
        before, after = halves(axis)
        step = labels[after] - labels[before]
        total = total + (weight * step**2).sum(axes) / (unary.shape[-1] - 1) ** 2
    return total


def all_energies(unary, pairwise):
    """Returns the costs of all labellings, `(problems, labellings)`."""
    count, *grid, labels = unary.shape
    every = itertools.product(range(labels), repeat=math.prod(grid))
    every = np.array(list(every), np.int8).reshape(-1, *grid)
    chosen = (every[..., None] == np.arange(labels)).reshape(len(every), -1)
    total = unary.reshape(count, -1) @ chosen.T.astype(float)
    for axis, weight in enumerate(pairwise):
        before, after = halves(axis)
        step = (every[after] - every[before]).reshape(len(every), -1)
        squares = step.astype(float) ** 2 / (labels - 1) ** 2
        total += weight.reshape(count, -1) @ squares.T
    return total


def published_costs(own, partner, first, second, blocks):
    """Returns unary costs of both images and the weights, as published, without prior.

    Args:
        own: Saliency of the first image, `(length, length)`.
        partner: That of the second one.
        first: Colours of the first image, `(length, length, channels)`, from 0 to 1.
        second: Those of the second one.
        blocks: Blocks per axis, which divide the length.
    """
    side = len(own) // blocks
    cell = min(4, side)
    per_block = side // cell

    def pool(x, size):
        count = len(x) // size
        return x.reshape(count, size, count, size, -1).mean((1, 3))

    beta, gamma = 1.2 / blocks / 16, 0.5
    images = [pool(x, cell) for x in (first, second)]
    lost = [pool(x, side)[..., 0] for x in (partner, own)]
    lost = [x / x.sum() for x in lost]
    weights = []
    for axis in range(2):
        weight = np.zeros((blocks, blocks))
        for place in np.ndindex(blocks, blocks):
            if place[axis] == blocks - 1:
                continue
            d = np.zeros((2, 2))
            for a, b, along in np.ndindex(2, 2, per_block):
                start = [n * per_block + along for n in place]
                start[axis] = (place[axis] + 1) * per_block - 1
                stop = list(start)
                stop[axis] += 1
                gap = images[a][tuple(start)] - images[b][tuple(stop)]
                d[a, b] += abs(gap).mean() / per_block
            following = tuple(n + (i == axis) for i, n in enumerate(place))
            for a in range(2):
                lost[a][place] += beta * gamma * d[a].sum() / 2
                lost[a][following] += beta * gamma * d[:, a].sum() / 2
            extra = d[0, 1] + d[1, 0] - d[0, 0] - d[1, 1]
            weight[place] = beta * (1 + gamma * extra / 2)
        weights.append(weight)
    return lost, weights


def published_transport(saliency, shown, cost):
    """Returns which block each shown place shows, by the published iteration.

    Args:
        saliency: Share of each block, `(blocks, blocks)`.
        shown: Which places are shown.
        cost: What the way costs.

    Returns:
        The costs of all blocks at all places, and a dictionary from place to block.
    """
    width = len(saliency)
    places = np.indices(saliency.shape).reshape(2, -1).T
    squared = ((places[:, None] - places[None]) ** 2).sum(-1) / max(width - 1, 1) ** 2
    costs = cost * squared - saliency.reshape(-1, 1) * shown.reshape(1, -1)
    current = costs.copy()
    for _ in range(1000):
        best = current.argmin(1)
        winners = {}
        for block in np.argsort(current[np.arange(len(best)), best], kind="stable"):
            if current[block, best[block]] < 0:
                winners.setdefault(int(best[block]), int(block))
        losers = [
            block
            for block, place in enumerate(best)
            if current[block, place] < 0 and winners[int(place)] != block
        ]
        if not losers:
            return costs, winners
        for block in losers:
            current[block, best[block]] += 10
    raise RuntimeError("the iteration does not end")
