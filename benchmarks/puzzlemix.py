"""Times a step of PuzzleMix, whose saliency is a second pass, against a plain step.

ResNet-18 on 64 images of 64x64x3, in turns: a plain step of Keras, one of
`SaliencyMixing`, and what masks and transport take by themselves, given the saliency.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from judging import print_row, print_summary

import keras_msda as msda
from keras_msda import _backend

BATCH, SHAPE, CLASSES = 64, (64, 64, 3), 100
#: Largest ratios to a plain step.
STEP_LIMIT, MIX_LIMIT = 2.3, 0.15


def build_resnet18() -> keras.Model:
    """Builds ResNet-18 with a stem of 3x3, as for small images."""

    def convolve(x: Any, width: int, stride: int = 1, size: int = 3) -> Any:
        x = keras.layers.Conv2D(width, size, stride, "same", use_bias=False)(x)
        return keras.layers.BatchNormalization()(x)

    def add_block(x: Any, width: int, stride: int) -> Any:
        y = keras.layers.ReLU()(convolve(x, width, stride))
        y = convolve(y, width)
        if stride > 1 or x.shape[-1] != width:
            x = convolve(x, width, stride, 1)
        return keras.layers.ReLU()(y + x)

    inputs = keras.Input(SHAPE)
    x = keras.layers.ReLU()(convolve(inputs, 64))
    for stage, width in enumerate((64, 128, 256, 512)):
        x = add_block(x, width, 2 if stage else 1)
        x = add_block(x, width, 1)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def compile_model(model: keras.Model, jit_compile: bool) -> keras.Model:
    """Compiles a model for soft labels."""
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, 0.9), loss, jit_compile=jit_compile)
    return model


def make_turns(jit_compile: bool) -> dict[str, Callable[[], Any]]:
    """Returns what is timed, by name."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, *SHAPE), "float32")
    labels = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, BATCH)]
    plain = compile_model(build_resnet18(), jit_compile)
    layer = msda.PuzzleMixLayer(seed=1)
    mixing = compile_model(msda.SaliencyMixing(build_resnet18(), layer), jit_compile)
    batch = {
        "images": keras.ops.convert_to_tensor(images),
        "labels": keras.ops.convert_to_tensor(labels),
        # Heavy-tailed, as gradients are.
        "saliency": keras.ops.convert_to_tensor(
            rng.random((BATCH, *SHAPE[:2]), "float32") ** 8
        ),
    }
    ops = _backend.get_backend_ops()
    alone = msda.PuzzleMixLayer(seed=1, jit_compile=jit_compile)
    mix = ops.compile_function(
        lambda given: ops.call_fused(
            lambda values: alone.mix(values, seed=(1, 2)),
            given,
            jit_compile=jit_compile,
        )
    )
    return {
        "plain": lambda: plain.train_on_batch(images, labels),
        "puzzlemix": lambda: mixing.train_on_batch(images, labels),
        "mix": lambda: keras.ops.convert_to_numpy(mix(batch)["labels"]),
    }


def time_turns(turns: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Returns the median seconds of each, without the first round."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    order = random.Random(1)
    for _ in range(rounds + 1):
        for name in order.sample(list(turns), len(turns)):
            start = time.perf_counter()
            turns[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def main() -> int:
    """Times everything, prints the rows and writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each run")
    parser.add_argument("--runs", type=int, default=3, help="runs of all turns")
    parser.add_argument("--out", type=Path, help="file for the results")
    options = parser.parse_args()
    rows = []
    for jit_compile in (False, True):
        turns = make_turns(jit_compile)
        runs = [time_turns(turns, options.rounds) for _ in range(options.runs)]
        kind = "XLA" if jit_compile else "graph"
        for name, words, limit in (
            ("puzzlemix", "a step of PuzzleMix / a plain step", STEP_LIMIT),
            ("mix", "mask, transport and blend / a plain step", MIX_LIMIT),
        ):
            ratios = [run[name] / run["plain"] for run in runs]
            rows.append(print_row(f"{words}, {kind}", ratios, limit))
        seconds = [run["plain"] for run in runs]
        rows.append(print_row(f"seconds of a plain step, {kind}", seconds))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    return print_summary(rows)


if __name__ == "__main__":
    raise SystemExit(main())
