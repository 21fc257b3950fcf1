"""Where a layer is run, on what, and the copies of it that are run there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_msda import _backend, pipeline

Arrays = tuple[np.ndarray, ...]

_SEED = 7


class World(NamedTuple):
    """A way to run a function of tensors.

    Attributes:
        name: "eager", "graph", "compiled" or "pipeline".
        run: Takes a function and arrays; returns the function's results as arrays.
    """

    name: str
    run: Callable[..., Any]


def to_numpy(x: Any) -> Any:
    """Returns a nest of tensors as arrays; half precision becomes float32."""

    def convert(value: Any) -> Any:
        if value is None:
            return None
        found = np.asarray(keras.ops.convert_to_numpy(value))
        # NumPy itself knows no bfloat16.
        return found.astype("float32") if found.dtype.kind == "V" else found

    return keras.tree.map_structure(convert, x)


def _run_eagerly(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    return to_numpy(function(*map(keras.ops.convert_to_tensor, arrays)))


def _run_traced(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    return to_numpy(_backend.get_backend_ops().compile_function(function)(*arrays))


def _run_compiled(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    ops = _backend.get_backend_ops()
    run = ops.compile_function(
        lambda *tensors: ops.call_fused(function, *tensors, jit_compile=True)
    )
    return to_numpy(run(*arrays))


def _run_in_pipeline(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    return _first(_dataset(*arrays).map(function))


def _dataset(*arrays: np.ndarray) -> Any:
    return _backend.get_pipeline_ops().make_dataset(*arrays).batch(len(arrays[0]))


def _first(dataset: Any) -> Any:
    return to_numpy(next(iter(dataset)))


_WORLDS = {
    "tensorflow": {
        "eager": _run_eagerly,
        "graph": _run_traced,
        "compiled": _run_compiled,
        "pipeline": _run_in_pipeline,
    },
    "jax": {"eager": _run_eagerly, "compiled": _run_traced},
    "torch": {"eager": _run_eagerly},
}


def list_worlds() -> list[World]:
    """Returns the worlds of Keras's backend, "eager" first."""
    return [World(*pair) for pair in _WORLDS[keras.config.backend()].items()]


def list_names() -> list[str]:
    """Returns the names of the worlds, that of JAX's stateless calls too."""
    stateless = ["stateless"] if keras.config.backend() == "jax" else []
    return [world.name for world in list_worlds()] + stateless


def seed_pair() -> tuple[int, ...]:
    """Returns the seed of all worlds, that of a pipeline's first batch."""
    if keras.config.backend() != "tensorflow":
        return _SEED, 1
    ops = _backend.get_tensorflow_ops()
    pair = _backend.get_pipeline_ops().make_batch_seed(_SEED, 0, ops.convert(0))
    return tuple(ops.read_integers(pair))


def sample(layer: Any, batch: int, size: tuple[int, ...], *, seed: Any = None) -> Any:
    """Returns a plan as arrays, by default that of `seed_pair` and `make_batch`."""
    seen = {"saliency": make_saliency(batch, size)} if layer.uses_saliency else {}
    images, labels = make_batch(batch, size)
    if layer.uses_images:
        seen["images"] = images
    if layer.pairing == "label_similarity":
        seen["labels"] = labels
    plan = layer.sample(batch, size, seed=seed or seed_pair(), **seen)
    return type(plan)(*(to_numpy(part) for part in plan))


def make_saliency(batch: int, size: tuple[int, ...]) -> np.ndarray:
    """Returns the saliency of the images of `make_batch`, random."""
    rng = np.random.default_rng(1)
    return rng.random((batch, *size), "float32")


def mix(world: World, layer: Any, images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Returns images and labels that a layer mixes in a world, by `seed_pair`.

    A layer whose masks depend on saliency is given that of `make_saliency`.
    """
    arrays = [images, labels]
    if layer.uses_saliency:
        first = layer.data_format == "channels_first"
        size = images.shape[2:] if first else images.shape[1:-1]
        arrays.append(make_saliency(len(images), size))
    if world.name == "pipeline":
        data = _dataset(*arrays).map(_as_batch)
        mixed = data.apply(pipeline.mixing(layer, seed=_SEED, epoch=0))
        return _first(mixed.map(_as_pair))  # type: ignore[no-any-return]
    seed = seed_pair()
    return world.run(  # type: ignore[no-any-return]
        lambda *batch: _as_pair(layer.mix(_as_batch(*batch), seed=seed)), *arrays
    )


def mix_eagerly(layer: Any, images: Any, labels: np.ndarray) -> Arrays:
    """Returns images and labels as `mix` does, as they come out."""
    return mix(World("eager", lambda run, *batch: run(*batch)), layer, images, labels)


def _as_batch(images: Any, labels: Any, saliency: Any = None) -> Any:
    if saliency is None:
        return images, labels
    return {"images": images, "labels": labels, "saliency": saliency}


def _as_pair(*mixed: Any) -> Any:
    """Returns images and labels of a mixed batch, which pipelines unpack."""
    first = mixed[0] if len(mixed) == 1 else mixed
    return (first["images"], first["labels"]) if isinstance(first, dict) else first


# Copies.

#: Arguments that say what becomes of labels and other parts, not how masks are drawn.
PLAIN = {
    "targets": "soft",
    "num_classes": None,
    "label_smoothing": 0.0,
    "segmentation": "auto",
    "batch_keys": (),
    "data_format": "channels_last",
    "dtype": "float32",
}


def copy_layer(layer: Any, **settings: Any) -> Any:
    """Returns a new layer of the same configuration except for some arguments.

    A copy has no uid: losses of the layer that is checked must not find it.
    """
    return type(layer).from_config(_change(layer.get_config(), settings))


def _change(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration with other settings, in the members of a choice too."""
    known = {name: value for name, value in settings.items() if name in config}
    changed = config | known
    changed.pop("uid", None)
    if isinstance(config.get("layers"), list):
        changed["layers"] = [
            member | {"config": _change(member["config"], settings)}
            for member in config["layers"]
        ]
    return changed


def members(layer: Any) -> list[Any]:
    """Returns a layer and those that it chooses from."""
    inner = [
        leaf for member in getattr(layer, "layers", ()) for leaf in members(member)
    ]
    return [layer, *inner]


def make_batch(batch: int, size: tuple[int, ...]) -> Arrays:
    """Returns images that show how they were mixed, and labels.

    Of image i channel i is 1 and the other `batch - 1` are 0: of a mixed image the own
    channel is the mask. Two more channels are random, the last one NaN in every second
    image. Labels are one-hot.
    """
    rng = np.random.default_rng(0)
    eye = np.eye(batch, dtype="float32")
    signs = np.broadcast_to(
        eye.reshape(batch, *[1] * len(size), batch), (batch, *size, batch)
    )
    values = rng.random((batch, *size, 2), "float32")
    values[1::2, ..., 1] = np.nan
    return np.concatenate([signs, values], -1), eye
