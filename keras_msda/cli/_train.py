"""Trains one small network once per method, each time from the same weights."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _backend, datasets, plot
from keras_msda.cli._report import (
    DIGITS_NOTE,
    Row,
    Settings,
    estimate_left,
    finish,
    judge,
    write_results,
)
from keras_msda.experiments import _assembly
from keras_msda.layers import METHODS, MixUpLayer

BASE_LOSS = "sparse_categorical_crossentropy"


def train(
    dataset: datasets.Dataset,
    parts: datasets.Split,
    settings: Settings,
    *,
    start: float,
) -> int:
    """Trains every row, prints the table and writes the results.

    Args:
        dataset: The data set, which the results name.
        parts: Its two parts.
        settings: What the command line asks for.
        start: When the command began, by `time.perf_counter`.

    Returns:
        The exit code: 0, 1 if a row is below the floor, or 130 after an interrupt.
    """
    rows: list[Row] = []
    try:
        for row in _rows(dataset, parts, settings):
            rows.append(row)
            write_results(rows, dataset.name, parts, settings)
    except KeyboardInterrupt:
        done = ", ".join(row.method for row in rows)
        print(f"\nInterrupted. Finished rows: {done}." if rows else "\nInterrupted.")
        finish(rows, parts, settings, start)
        return 130
    note = DIGITS_NOTE if dataset.name == datasets.INCLUDED else ""
    finish(rows, parts, settings, start, note=note)
    return judge(rows, settings.floor)


def build_backbone(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Builds a small convolutional network, of some 60,000 weights for 28x28 pictures.

    Args:
        shape: Shape of a picture, `(height, width, channels)`.
        classes: Number of classes of the output, a softmax.

    Returns:
        A new model.
    """
    blocks: list[Any] = [keras.Input(shape)]
    for filters in (16, 32, 64):
        blocks += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            # Same padding, so that pictures of a few pixels survive three blocks.
            keras.layers.MaxPooling2D(2, padding="same"),
        ]
    head = [keras.layers.Flatten(), keras.layers.Dense(64, "relu")]
    return keras.Sequential(
        [*blocks, *head, keras.layers.Dense(classes, "softmax")], name="backbone"
    )


def _rows(
    dataset: datasets.Dataset, parts: datasets.Split, settings: Settings
) -> Iterator[Row]:
    """Trains the rows one after another, each from the same initial weights."""
    keras.utils.set_random_seed(settings.seed)
    shape, classes = parts.train_images.shape[1:], len(dataset.class_names)
    initial = build_backbone(shape, classes).get_weights()
    start = time.perf_counter()
    for done, method in enumerate(settings.methods):
        left = estimate_left(done, len(settings.methods), time.perf_counter() - start)
        print(f"\n[{done + 1}/{len(settings.methods)}] {method}{left}", flush=True)
        # Frees the memory of the finished row.
        keras.utils.clear_session()
        keras.utils.set_random_seed(settings.seed)
        backbone = build_backbone(shape, classes)
        backbone.set_weights(initial)
        yield _train_row(method, backbone, parts, settings)


def _train_row(
    method: str, backbone: keras.Model, parts: datasets.Split, settings: Settings
) -> Row:
    """Trains and tests one method."""
    start = time.perf_counter()
    model, train_data, test_data = _assemble(method, backbone, parts, settings)
    steps = -(-len(parts.train_labels) // settings.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps * settings.epochs)
    model.optimizer.learning_rate = schedule
    model.fit(
        train_data,
        epochs=settings.epochs,
        shuffle=False,  # The data set is shuffled already.
        # A bar redraws itself many times a second, which fills a log file.
        verbose=1 if sys.stdout.isatty() else 2,
    )
    scores = model.evaluate(test_data, return_dict=True, verbose=0)
    seconds = time.perf_counter() - start
    return Row(method, scores["accuracy"], scores["loss"], seconds)


def _assemble(
    method: str, backbone: keras.Model, parts: datasets.Split, settings: Settings
) -> tuple[keras.Model, Any, Any]:
    """Puts the layer into the model or into the pipeline, as a user would."""
    train_data = _batches(
        parts.train_images, parts.train_labels, settings, shuffle=True
    )
    test_data = _batches(parts.test_images, parts.test_labels, settings, shuffle=False)
    model, loss, accuracy = backbone, BASE_LOSS, "accuracy"
    if method != "none" and settings.place == "model":
        model, loss, accuracy = _mix_inside(method, backbone, settings.seed)
    elif method != "none":
        layer = METHODS[method].layer(seed=settings.seed, targets="pair")
        train_data = train_data.map(layer, num_parallel_calls=-1)
        test_data = test_data.map(lambda x, y: layer(x, y, training=False))
        _, loss, accuracy = _assembly.mix_pairs(backbone, loss=BASE_LOSS)
    model.compile("adam", loss=loss, metrics=[accuracy], jit_compile=settings.jit)
    return model, train_data.prefetch(2), test_data


def _mix_inside(
    method: str, backbone: keras.Model, seed: int
) -> tuple[keras.Model, Any, Any]:
    """Returns a model that mixes, with its loss and accuracy."""
    if method == "manifold":
        mixer = MixUpLayer(alpha=2.0, seed=seed)
        return _assembly.mix_features(backbone, mixer, loss=BASE_LOSS)
    layer = METHODS[method].layer(seed=seed)
    if layer.weight_needs_images:
        layer = METHODS[method].layer(seed=seed, targets="pair")
        return _assembly.mix_by_gradient(backbone, layer, loss=BASE_LOSS)
    inputs = keras.Input(backbone.input_shape[1:])
    model = keras.Sequential([inputs, layer, backbone])
    return model, layer.loss(BASE_LOSS), layer.accuracy()


def _batches(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    settings: Settings,
    *,
    shuffle: bool,
) -> Any:
    """Makes a data set of batches: float32 images in [0, 1] and int32 class ids."""
    data = _backend.get_pipeline_ops().make_dataset(
        plot.as_floats(images), labels.astype(np.int32)
    )
    if shuffle:
        data = data.shuffle(len(labels), seed=settings.seed)
    return data.batch(settings.batch_size)
