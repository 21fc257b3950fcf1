"""One run: draws its pictures, trains a network on them, and measures it."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _backend, analysis, pipeline
from keras_msda.experiments import (
    _assembly,
    _data,
    _devices,
    _methods,
    _optimizers,
    _scores,
)
from keras_msda.experiments._config import Run
from keras_msda.experiments._networks import NETWORKS
from keras_msda.experiments._streams import Stream

_SHIFTS = {"flip": 0, "crop_flip": 4}
# Pictures of which gradients are taken, and masks that are drawn.
_GRADIENTS, _DRAWS = 200, 200
# Pictures of a stream that are shuffled at a time.
_BUFFER = 8192


class Parts(NamedTuple):
    """What a run trains on and is tested on: pictures, or datasets of a stream."""

    train: Any
    test: Any
    train_count: int
    shape: tuple[int, ...]
    classes: int


def do_run(run: Run, source: Any) -> dict[str, Any]:
    """Trains and measures one network.

    Args:
        run: Which one.
        source: Its data set.

    Returns:
        The curve of training, the scores, and how many seconds it took; values that are
        not finite are None.
    """
    start = time.perf_counter()
    keras.utils.clear_session()
    mixed = run.settings["mixed_precision"]
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    # All methods begin with the same weights.
    keras.utils.set_random_seed(run.seed)
    parts = _draw(run, source)
    with _devices.use_devices(run.settings["devices"]):
        backbone = NETWORKS[run.group.network](parts.shape, parts.classes)
        curve = _train(backbone, parts, run)
    found: dict[str, Any] = {"curve": curve, "scores": _measure(backbone, parts, run)}
    if run.settings["recommend"]:
        found["recommendation"] = _recommend(backbone, parts)
    return {**_finite(found), "seconds": round(time.perf_counter() - start, 2)}


def _draw(run: Run, source: Any) -> Parts:
    """Returns the pictures of a seed."""
    if isinstance(source, Stream):
        # Checks alone train on less than all of it.
        count = min(run.group.train_images or source.train_count, source.train_count)
        test = source.test.take(run.settings["test_images"] or -1)
        train = source.train.take(count)
        return Parts(train, test, count, source.shape, source.classes)
    train = _data.draw_training(
        source,
        count=run.group.train_images,
        wrong_labels=run.group.wrong_labels,
        seed=run.seed,
    )
    test = _data.draw_test(source, run.settings["test_images"])
    return Parts(train, test, len(train.labels), train.shape, source.classes)


def _train(
    backbone: keras.Model, parts: Parts, run: Run
) -> dict[str, list[float | None]]:
    """Trains a network, and returns loss and accuracy of each epoch."""
    layer = _methods.make_layer(run.method, seed=run.seed, targets=_targets(run))
    inside = run.method["method"] == "manifold"
    inside = inside or bool(layer is not None and layer.weight_needs_images)
    data = _make_batches(parts, run)
    if layer is not None and not inside:
        data = data.apply(pipeline.mixing(layer, seed=run.seed))
    model, loss, accuracy = _assemble(backbone, layer, run, inside=inside)
    model.compile(
        _optimizers.make_optimizer(run.settings, _count_steps(parts, run)),
        loss=loss,
        metrics=[accuracy],
        jit_compile=run.settings["jit_compile"],
    )
    epochs = run.settings["epochs"]
    history = model.fit(data.prefetch(2), epochs=epochs, shuffle=False, verbose=0)
    names = {"loss": "loss", "accuracy": accuracy if layer is None else accuracy.name}
    return {key: history.history[name] for key, name in names.items()}


def _count_steps(parts: Parts, run: Run) -> int:
    """Returns the number of batches in an epoch."""
    size: int = run.settings["batch_size"]
    # Rounded down or up.
    more = 0 if _drops_rest(run) else size - 1
    return (parts.train_count + more) // size


def _drops_rest(run: Run) -> bool:
    """Returns whether a shorter last batch is left out, which devices cannot share."""
    return run.settings["devices"] is not None


def _targets(run: Run) -> str:
    """Returns the form of mixed labels; features are mixed with labels as they are."""
    return "soft" if run.method["method"] == "manifold" else "pair"


def _assemble(
    backbone: keras.Model, layer: Any, run: Run, *, inside: bool
) -> tuple[keras.Model, Any, Any]:
    """Returns the model to train, with its loss and accuracy."""
    base = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if layer is None:
        return backbone, base, "accuracy"
    if not inside:
        return _assembly.mix_pairs(backbone, loss=base)
    if run.method["method"] == "manifold":
        names = run.method.get("layer_names")
        return _assembly.mix_features(backbone, layer, loss=base, layer_names=names)
    passed = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in run.method.items()
        if name in _methods.PASS_OPTIONS
    }
    return _assembly.mix_by_gradient(backbone, layer, loss=base, **passed)


def _make_batches(parts: Parts, run: Run) -> Any:
    """Returns a dataset of batches, in another order in each epoch."""
    ops, tensors = _backend.get_pipeline_ops(), _backend.get_tensorflow_ops()
    size, drop = run.settings["batch_size"], _drops_rest(run)
    if isinstance(parts.train, _data.Pictures):
        order = ops.make_dataset(np.arange(parts.train_count)).map(lambda index: index)
        order = order.shuffle(parts.train_count, seed=run.seed).batch(size, drop)
        labels = parts.train.labels.astype(np.int32)
        data = ops.take_batches(order, parts.train.images, labels)
    else:
        data = parts.train.shuffle(_BUFFER, seed=run.seed).batch(size, drop)
        data = data.map(lambda x, y: (x, tensors.cast(y, "int32")))
    data = data.map(
        lambda x, y: (tensors.cast(x, "float32") / 255.0, y), num_parallel_calls=-1
    )
    return _augment(data, run)


def _augment(data: Any, run: Run) -> Any:
    """Shifts and flips images by draws of seed, epoch and batch."""
    if run.settings["augment"] == "none":
        return data
    ops = _backend.get_pipeline_ops()
    shift = _SHIFTS[run.settings["augment"]]
    ids = ops.draw_iteration_ids(run.seed)

    def change(place: Any, batch: Any) -> Any:
        # Other draws than those of mixing, which has the same seed.
        pair = ops.make_batch_seed(run.seed + 2**32, place[1], place[0])
        return ops.shift_and_flip(batch[0], seed=pair, shift=shift), batch[1]

    return ops.enumerate_batches(data, ids).map(change, num_parallel_calls=-1)


def _measure(backbone: keras.Model, parts: Parts, run: Run) -> dict[str, Any]:
    """Returns the scores on clean images, and on changed ones."""
    count, tested = run.settings["robust_images"], run.settings["test_images"]
    batch = min(count, tested or count, _scores.BATCH)
    judge = _scores.Judge(backbone, batch=batch)
    found: dict[str, Any] = {**_scores.score_clean(judge, _batches(parts))}
    images, labels = _first(parts, count)
    robust = _scores.score_robust(
        judge, images, labels, levels=run.settings["scores"], seed=run.seed
    )
    return {**found, **robust}


def _batches(parts: Parts) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Yields the test pictures, as floats in [0, 1], with their labels."""
    if isinstance(parts.test, _data.Pictures):
        yield from _scores.slices(*parts.test)
        return
    for images, labels in parts.test.batch(_scores.BATCH).as_numpy_iterator():
        yield _scores.as_floats(images), labels


def _first(parts: Parts, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns the first test pictures."""
    images: list[npt.NDArray[Any]] = []
    labels: list[npt.NDArray[Any]] = []
    for batch, ids in _batches(parts):
        images.append(batch)
        labels.append(ids)
        if sum(map(len, labels)) >= count:
            break
    return np.concatenate(images)[:count], np.concatenate(labels)[:count]


def _recommend(backbone: keras.Model, parts: Parts) -> dict[str, Any]:
    """Returns what the gradients of the network say for all methods of the theory."""
    images, labels = _first(parts, _GRADIENTS)
    found = analysis.recommend(backbone, images, labels, draws=_DRAWS, verbose=0)
    numbers = ("boundary", "near_share", "even_share", "half_distance", "near", "far")
    report = {name: getattr(found, name) for name in numbers}
    strengths = {row.name: row._asdict() for row in found.methods}
    return {**report, "decided": found.decided, "methods": strengths}


def _finite(value: Any) -> Any:
    """Returns a nest with None for numbers that are not finite, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
