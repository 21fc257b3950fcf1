"""Draws docs/puzzlemix.png: how PuzzleMix makes a mask, and how sure it is of it.

python benchmarks/puzzle_picture.py docs/puzzlemix.png
"""

import sys

import numpy as np
from keras import ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_msda import datasets, masks

#: A seven and a four of the included digits.
PICTURES = (3600, 2210)
BLOCKS, LAM = 7, 0.5
#: Less than the default of 0.8, so that more is to be seen.
COST = 0.05
ITERATIONS = (2, 5, 10, 20, 50, 100, 200)


def show(axes, values, title, **options):
    """Draws one picture without ticks."""
    axes.imshow(values, **{"cmap": "gray", "vmin": 0, "vmax": 1} | options)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def random_problems(count=60, length=16, labels=3, seed=0):
    """Returns costs as two random images give them at lambda 1/2."""
    rng = np.random.default_rng(seed)
    saliency = rng.random((2, count, length, length, 1))
    own, partner = saliency / saliency.sum((2, 3), keepdims=True)
    share = np.arange(labels) / (labels - 1)
    prior = 0.2 / length**2 * -np.log([0.25, 0.5, 0.25])
    unary = np.float32(partner + share * (own - partner) + prior)
    weight = 1.2 / 16 / length
    shapes = [(count, length - 1, length), (count, length, length - 1)]
    return unary, [np.full(shape, weight, "float32") for shape in shapes]


def measure_gaps():
    """Returns mean and worst certificate by iterations, and the usual random excess.

    Both in parts of what a random labelling costs more than the best one.
    """
    unary, pairwise = random_problems()
    labels = np.random.default_rng(1).integers(0, 3, unary.shape[:-1])
    usual = np.take_along_axis(unary, labels[..., None], -1).sum((1, 2, 3))
    for axis, weight in enumerate(pairwise, 1):
        usual += (weight * np.diff(labels, axis=axis) ** 2 / 4).sum((1, 2))
    gaps = []
    for iterations in ITERATIONS:
        found = masks.solve_labels(unary, pairwise, iterations=iterations)
        energy, bound = (ops.convert_to_numpy(x) for x in found[1:])
        gaps.append((energy - bound) / (usual - energy))
    # What is below is rounding of float32.
    return np.maximum([[x.mean(), x.max()] for x in gaps], 1e-8)


def draw_certificates(axes):
    """Draws the gap between the labels' cost and its lower bound."""
    gaps = measure_gaps()
    for column, (name, marker) in enumerate((("mean", "o"), ("worst of 60", "s"))):
        axes.loglog(ITERATIONS, gaps[:, column], marker=marker, label=name, ms=4)
    axes.axvline(100, color="#999999", lw=0.8, ls=":")
    axes.set_title("certified gap, 16x16 blocks", fontsize=9)
    axes.set_xlabel("iterations", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)


def main(path):
    """Draws the figure and writes it to a file."""
    images = datasets.load().images[list(PICTURES)].astype("float32") / 255
    saliency = ops.convert_to_numpy(masks.contrast_saliency(images, "channels_last"))
    own, partner = images[:1], images[1:]
    pair = (saliency[:1], saliency[1:])
    mask, weight = masks.puzzle_mask([LAM], pair, blocks=BLOCKS, images=(own, partner))
    index = masks.puzzle_transport(mask, pair[1], blocks=BLOCKS, cost=COST)
    share = ops.convert_to_numpy(mask)[0]
    still = partner[0, ..., 0]
    moved = still.ravel()[ops.convert_to_numpy(index)[0]]
    first = own[0, ..., 0]
    mixed = [share * first + (1 - share) * other for other in (still, moved)]
    figure = Figure(figsize=(8.8, 4.2), layout="constrained", dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4)
    show(axes[0, 0], first, "own image")
    show(axes[0, 1], still, "partner")
    for place, values, name in zip((2, 3), pair, ("own", "partner"), strict=True):
        title = f"saliency, {name}"
        show(axes[0, place], values[0], title, vmax=values.max(), cmap="cividis")
    title = f"mask, weight {float(weight[0]):.2f}"
    show(axes[1, 0], share, title, cmap="cividis")
    show(axes[1, 1], mixed[0], "mixed, without transport")
    show(axes[1, 2], mixed[1], f"with transport, cost {COST}")
    draw_certificates(axes[1, 3])
    figure.savefig(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
