"""Draws the pictures of docs/methods/ and of docs/gallery.md.

python benchmarks/gallery.py              draws all of them
python benchmarks/gallery.py hmix signals draws some

It needs the packages of the extra "dev", and the two photographs that scikit-learn
ships (mlxtend depends on it). Seeds are fixed.
"""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_msda as msda
from keras_msda import plot
from keras_msda.layers import METHODS
from keras_msda.plot import style

DOCS = Path(__file__).parent.parent / "docs"
#: Width and height of the photographs: 16 blocks divide both.
SIZE = (240, 160)
LAMBDAS = (0.25, 0.5, 0.75)
DRAWS = 6
#: Volumes are cubes; three slices of each are shown.
SIDE, SLICES = 32, (6, 16, 25)
#: Seeds of pictures in which the default shows too little.
SEEDS = {"hmix": 8, "cutmix": 3}


def read_photographs() -> np.ndarray:
    """Returns a temple and a flower, float32 in [0, 1]."""
    pictures = [Image.fromarray(x).resize(SIZE) for x in load_sample_images().images]
    return np.stack([np.asarray(x) for x in pictures]).astype("float32") / 255


def show(axes: Any, values: Any, title: str = "", **options: Any) -> None:
    """Shows an image or a mask, whose values are in [0, 1]."""
    axes.imshow(np.clip(values, 0, 1), **{"vmin": 0, "vmax": 1} | options)
    axes.set(xticks=[], yticks=[])
    if title:
        axes.set_title(title, fontsize=9)


# A picture for each method.


def list_panels(name: str, images: np.ndarray) -> list[tuple[str, plot.Panels]]:
    """Returns what a method draws: two draws for each lambda, or six draws."""
    layer = make_layer(name)
    found = []
    for draw in range(DRAWS):
        lam = LAMBDAS[draw // 2] if layer.has_lam else None
        seed = (SEEDS.get(name, 5), draw)
        drawn = plot.sample_panels(layer, images, lam=lam, seed=seed)
        text = "" if lam is None else f"λ {lam:.2f}, "
        found.append((f"{text}weight {drawn.weight[0]:.2f}", drawn))
    return found


def make_layer(name: str) -> Any:
    """Makes the layer of a method with its default arguments."""
    if name == "random":
        members = [msda.MixUpLayer(), msda.CutMixLayer(), msda.FMixLayer()]
        return msda.RandomMixLayer(members, per="sample", pairing="roll")
    return METHODS[name].layer(pairing="roll")


def draw_method(name: str, images: np.ndarray) -> Figure:
    """Draws both images, masks above and mixes below."""
    panels = list_panels(name, images)
    figure = style.new_figure(12.4, 2.7)
    grid = figure.subplots(2, DRAWS + 1)
    show(grid[0, 0], images[0], "own image")
    show(grid[1, 0], images[1])
    grid[1, 0].set_xlabel("partner", fontsize=9)
    for column, (title, drawn) in enumerate(panels, 1):
        show(grid[0, column], drawn.mask[0], title, cmap=plot.MASK_COLORS)
        show(grid[1, column], drawn.mixed[0])
    bar = figure.colorbar(grid[0, 1].images[0], ax=list(grid[:, -1]))
    bar.set_label("share of the own image", fontsize=8)
    return figure


def build_filters() -> keras.Model:
    """Builds two layers of fixed filters: differences, then their means."""
    edges = np.zeros((3, 3, 3, 2), "float32")
    edges[1, :, :, 0] = np.array([-1, 0, 1])[:, None]
    edges[:, 1, :, 1] = np.array([-1, 0, 1])[:, None]
    first = keras.layers.Conv2D(2, 3, padding="same", use_bias=False, activation="relu")
    model = keras.Sequential([keras.Input((*SIZE[::-1], 3)), first])
    first.set_weights([edges])
    model.add(keras.layers.AveragePooling2D(8))
    return model


def draw_manifold(images: np.ndarray) -> Figure:
    """Draws, for each place that can be drawn, what each layer sees."""
    first, second = build_filters().layers
    steps: list[Callable[[Any], Any]] = [lambda x: x, first, second]
    names = ("input", "after the first layer", "after the second layer")
    figure = style.new_figure(8.2, 5.0)
    grid = figure.subplots(3, 3)
    for place, row in enumerate(grid):
        values: Any = images
        for number, (step, axes) in enumerate(zip(steps, row, strict=True)):
            values = np.asarray(step(values))
            if number == place:
                values = 0.5 * values + 0.5 * values[::-1]
            title = names[number] if place == 0 else ""
            if number == 0:
                show(axes, values[0], title)
                axes.set_ylabel(f"mixed {names[place]}".replace(" input", " at input"))
            else:
                grey = values[0].mean(-1)
                show(axes, grey / grey.max(), title, cmap="gray")
    for axes in grid[:, 0]:
        axes.yaxis.label.set_fontsize(8)
    return figure


# The gallery.


def draw_photographs(images: np.ndarray) -> Figure:
    """Draws a mask and a mix by every method."""
    rows, columns = 4, 6
    figure = style.new_figure(12.4, 5.5)
    grid = figure.subplots(rows, columns)
    show(grid[0, 0], images[0], "own image")
    show(grid[1, 0], images[1], "partner")
    places = [(row, column) for row in (0, 2) for column in range(columns)][1:]
    for (row, column), name in zip(places, METHODS, strict=False):
        drawn = plot.sample_panels(make_layer(name), images, lam=0.5, seed=(2, 7))
        title = f"{METHODS[name].label}, weight {drawn.weight[0]:.2f}"
        show(grid[row, column], drawn.mask[0], title, cmap=plot.MASK_COLORS)
        show(grid[row + 1, column], drawn.mixed[0])
    for axes in grid.flat:
        if not axes.images:
            axes.axis("off")
    return figure


def mix_pair(name: str, pair: np.ndarray, seed: tuple[int, int]) -> Any:
    """Returns the mix of the first sample with the second, its mask and its weight."""
    layer = make_layer(name)
    lam = [0.5, 0.5] if layer.has_lam else None
    seen = {"images": pair} if layer.uses_saliency else {}
    plan = layer.sample(2, pair.shape[1:-1], seed=seed, lam=lam, **seen)
    mixed = msda.mix_images(pair, plan, data_format="channels_last")
    values = (np.asarray(x)[0] for x in (mixed, plan.mask, plan.weight))
    return [*values]


def make_signals() -> np.ndarray:
    """Returns a slow wave and a fast one that fades, `(2, length, 1)`."""
    time = np.linspace(0, 1, 400)
    slow = np.sin(2 * np.pi * 3 * time)
    fast = np.sin(2 * np.pi * 30 * time) * np.exp(-((time - 0.4) ** 2) / 0.04)
    return np.stack([slow, fast])[..., None].astype("float32")


def draw_signals() -> Figure:
    """Draws mixes of two signals as curves, with the mask behind them."""
    pair = make_signals()
    figure = style.new_figure(12.4, 5.6)
    grid = figure.subplots(4, 3, sharex=True, sharey=True)
    curves = {"own signal": pair[0], "partner": pair[1]}
    for axes, (title, curve) in zip(grid[0], curves.items(), strict=False):
        axes.plot(curve, color="black", linewidth=1)
        axes.set_title(title, fontsize=9)
    for axes, name in zip(grid.flat[2:], METHODS, strict=True):
        mixed, mask, weight = mix_pair(name, pair, (1, 3))
        shade = mask[None]
        extent = (0, len(mask), -1.15, 1.15)
        axes.imshow(
            shade, cmap=plot.MASK_COLORS, vmin=0, vmax=1, alpha=0.45, aspect="auto",
            extent=extent,
        )  # fmt: skip
        axes.plot(mixed, color="black", linewidth=1)
        axes.set_title(f"{METHODS[name].label}, weight {weight:.2f}", fontsize=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], ylim=(-1.15, 1.15), xlim=(0, 400))
    return figure


def make_spectrograms() -> np.ndarray:
    """Returns a rising tone and three steady ones, `(2, frequency, time, 1)`."""
    frequency, time = np.mgrid[:64, :96]
    rising = np.exp(-((frequency - 8 - time / 2) ** 2) / 8)
    bursts = 0.5 + 0.5 * np.cos(time / 6)
    steady = sum(np.exp(-((frequency - x) ** 2) / 4) for x in (12, 28, 50)) * bursts
    return np.stack([rising, steady])[..., None].astype("float32")


def draw_spectrograms() -> Figure:
    """Draws mixes of two spectrograms."""
    pair = make_spectrograms()
    figure = style.new_figure(12.4, 4.2)
    grid = figure.subplots(2, 6)
    spots = iter(grid.flat)
    options = {"cmap": "magma", "origin": "lower", "aspect": "auto"}
    for title, picture in zip(("own", "partner"), pair, strict=True):
        show(next(spots), picture[..., 0], title, **options)
    for name in METHODS:
        mixed, _, weight = mix_pair(name, pair, (1, 5))
        title = f"{METHODS[name].label}, weight {weight:.2f}"
        show(next(spots), mixed[..., 0], title, **options)
    return figure


def make_volumes() -> np.ndarray:
    """Returns a hollow ball and stripes, `(2, depth, height, width, 1)`."""
    z, y, x = np.mgrid[:SIDE, :SIDE, :SIDE] - (SIDE - 1) / 2
    distance = np.sqrt(z**2 + y**2 + x**2)
    ball = np.exp(-((distance - 11) ** 2) / 6)
    stripes = 0.5 + 0.5 * np.sin((x + y) / 1.6)
    return np.stack([ball, stripes])[..., None].astype("float32")


def draw_volumes() -> Figure:
    """Draws three slices of mixed volumes, by every method."""
    pair = make_volumes()
    columns = 6
    figure = style.new_figure(8.6, 9.6)
    parts = figure.subfigures(2, columns)
    tiles: list[tuple[str, np.ndarray]] = [("own\n", pair[0]), ("partner\n", pair[1])]
    for name in METHODS:
        mixed, _, weight = mix_pair(name, pair, (3, 2))
        tiles.append((f"{METHODS[name].label}\nweight {weight:.2f}", mixed))
    for part, (title, volume) in zip(parts.flat, tiles, strict=True):
        part.suptitle(title, fontsize=9)
        for axes, depth in zip(part.subplots(3, 1), SLICES, strict=True):
            show(axes, volume[depth, ..., 0], cmap="gray")
    return figure


# Files.


def save(figure: Figure, path: Path) -> None:
    """Writes a figure, as JPEG if it shows photographs."""
    held = io.BytesIO()
    figure.savefig(held, format="png")
    picture = Image.open(held).convert("RGB")
    if path.suffix == ".jpg":
        picture.save(path, quality=76, optimize=True)
    else:
        picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def list_pictures() -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Returns file and drawing function of each picture, by name."""
    images = read_photographs()
    found: dict[str, tuple[str, Callable[[], Figure]]] = {
        name: (f"methods/{name}.jpg", lambda name=name: draw_method(name, images))
        for name in (*METHODS, "random")
    }
    return found | {
        "manifold": ("methods/manifold.jpg", lambda: draw_manifold(images)),
        "photographs": ("gallery-photographs.jpg", lambda: draw_photographs(images)),
        "signals": ("gallery-signals.png", draw_signals),
        "spectrograms": ("gallery-spectrograms.png", draw_spectrograms),
        "volumes": ("gallery-volumes.png", draw_volumes),
    }


def main(names: Sequence[str]) -> None:
    """Draws the pictures that are named, or all."""
    pictures = list_pictures()
    for name in names or pictures:
        file, draw = pictures[name]
        save(draw(), DOCS / file)
        print(f"{file}: {(DOCS / file).stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
