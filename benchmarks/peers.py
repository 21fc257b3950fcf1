"""Other libraries' mixing, made comparable, and checked before it is timed.

Each peer mixes a batch of images and class ids in the way its documentation shows.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CLASSES = 10


class Peer(NamedTuple):
    """A method of another library, or a plain implementation of a paper's formula.

    Attributes:
        name: Library and method.
        method: Label of our method to compare it with.
        per: What shares one draw: "sample", "pair" or "batch".
        package: The package that must be installed.
        prepare: Converts NumPy images, channels last, and ids to the arguments of
            `mix`.
        mix: Mixes what was prepared; returns images and soft labels.
        inside: Whether it works inside a `Dataset.map`.
        first: Whether its images come out channels first.
    """

    name: str
    method: str
    per: str
    package: str
    prepare: Callable[..., Any]
    mix: Callable[..., Any]
    inside: bool = False
    first: bool = False


def all_peers() -> list[Peer]:
    """Returns the peers whose packages are installed."""
    return [*keras_peers(), _numpy_fmix(), *torch_peers()]


def torch_peers() -> list[Peer]:
    """Returns the peers of PyTorch, which mix on the device of their images."""
    found: list[Peer] = []
    _import_torchvision()
    for package, make in (
        ("timm", _timm),
        ("kornia", _kornia),
        ("torchvision", _torchvision),
    ):
        try:
            importlib.import_module(package)
        except ImportError:
            print(f"{package} is not installed: left out")
        else:
            found += make()
    return found


def label_error(peer: Peer) -> float:
    """Returns the largest difference between labels and what the images show.

    Image i is 1 in channel i and 0 in the others. In a mixed image, channel i is then
    the mask, and one other channel is the rest.

    Raises:
        ValueError: If the images are not mixes of two.
    """
    batch, size = 8, 32
    eye = np.eye(batch, dtype="float32")
    images = np.broadcast_to(eye[:, None, None], (batch, size, size, batch)).copy()
    worst = 0.0
    for _ in range(5):
        mixed, labels = peer.mix(*peer.prepare(images, np.arange(batch)))
        mixed, labels = np.array(mixed), np.array(labels, "float64")[:, :batch]
        if peer.first:
            mixed = np.moveaxis(mixed, 1, -1)
        if np.abs(mixed.sum(-1) - 1).max() > 1e-3 or mixed.min() < -1e-3:
            raise ValueError(f"{peer.name}: its images are not mixes")
        shares = mixed.mean((1, 2), dtype="float64")
        if (np.sort(shares, -1)[:, :-2] > 1e-3).any():
            raise ValueError(f"{peer.name}: more than two images in one")
        worst = max(worst, float(np.abs(shares - labels).max()))
    return worst


# Keras.


def keras_peers() -> list[Peer]:
    """Returns the peers of Keras, which work inside a `Dataset.map`."""
    import keras
    import tensorflow as tf

    def prepare(images: Any, ids: Any) -> tuple[Any, Any]:
        return tf.constant(images), tf.one_hot(ids, max(CLASSES, images.shape[-1]))

    def make_mix(layer: Any) -> Callable[..., Any]:
        def mix(images: Any, labels: Any) -> tuple[Any, Any]:
            mixed = layer({"images": images, "labels": labels}, training=True)
            return mixed["images"], mixed["labels"]

        return mix

    mixup, cutmix = keras.layers.MixUp, keras.layers.CutMix
    mixes = {
        "MixUp": make_mix(mixup(alpha=1.0, seed=1)),
        "CutMix": make_mix(cutmix(factor=(1.0, 1.0), seed=1)),
    }
    return [
        Peer(f"keras {name}", name, "sample", "keras", prepare, mix, inside=True)
        for name, mix in mixes.items()
    ]


# FMix by NumPy, one mask per sample, as in the paper's formula.


def _numpy_fmix() -> Peer:
    rng = np.random.default_rng(1)

    def mask(height: int, width: int, lam: float) -> np.ndarray:
        rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
        radius = np.hypot(rows[:, None], columns)
        decay = np.maximum(radius, 1 / max(height, width)) ** -3.0
        spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * decay
        field = np.fft.irfft2(spectrum, (height, width)).ravel()
        ones = np.zeros(field.size, "float32")
        count = round(lam * field.size)
        ones[np.argsort(field)[field.size - count :]] = 1
        return ones.reshape(height, width, 1)

    def mix(images: Any, labels: Any) -> tuple[Any, Any]:
        partner = rng.permutation(len(images))
        mixed, soft = np.empty_like(images), np.empty_like(labels)
        for i, j in enumerate(partner):
            shown = mask(*images.shape[1:3], rng.beta(1, 1))
            mixed[i] = shown * images[i] + (1 - shown) * images[j]
            weight = shown.mean()
            soft[i] = weight * labels[i] + (1 - weight) * labels[j]
        return mixed, soft

    def prepare(images: Any, ids: Any) -> tuple[Any, Any]:
        return images, np.eye(max(CLASSES, images.shape[-1]), dtype="float32")[ids]

    return Peer("NumPy FMix", "FMix", "sample", "numpy", prepare, mix)


# PyTorch.


def _as_torch(images: Any, ids: Any) -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    moved = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return torch.from_numpy(moved), torch.from_numpy(np.asarray(ids, "int64"))


def _import_torchvision() -> None:
    """Imports torchvision, which timm needs, without its compiled kernels if need be.

    For some builds of PyTorch there are none, and mixing uses none.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        import torch

        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", schema)
        for name in [x for x in sys.modules if x.startswith("torchvision")]:
            del sys.modules[name]


def _timm() -> list[Peer]:
    from timm.data import Mixup

    def make_mix(**settings: Any) -> Callable[..., Any]:
        def mix(images: Any, ids: Any) -> tuple[Any, Any]:
            classes = max(CLASSES, images.shape[1])
            mixup = Mixup(num_classes=classes, label_smoothing=0.0, **settings)
            return mixup(images, ids)

        return mix

    names = {"batch": "batch", "pair": "pair", "elem": "sample"}
    return [
        Peer(f"timm {method} ({mode})", method, per, "timm", _as_torch, mix, first=True)
        for mode, per in names.items()
        for method, mix in (
            ("MixUp", make_mix(mixup_alpha=1.0, mode=mode)),
            ("CutMix", make_mix(mixup_alpha=0.0, cutmix_alpha=1.0, mode=mode)),
        )
    ]


def _kornia() -> list[Peer]:
    import torch
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    def one_hot(packed: Any, classes: int) -> Any:
        hot = torch.nn.functional.one_hot
        own, other, share = packed[..., 0], packed[..., 1], packed[..., 2:]
        own, other = (hot(x.long(), classes) for x in (own, other))
        return (1 - share) * own + share * other

    def mixup(images: Any, ids: Any) -> tuple[Any, Any]:
        mix = RandomMixUpV2(p=1.0, data_keys=["input", "class"])
        mixed, packed = mix(images, ids)
        return mixed, one_hot(packed, max(CLASSES, images.shape[1]))

    def cutmix(images: Any, ids: Any) -> tuple[Any, Any]:
        mix = RandomCutMixV2(p=1.0, num_mix=1, data_keys=["input", "class"])
        mixed, packed = mix(images, ids)
        return mixed, one_hot(packed[0], max(CLASSES, images.shape[1]))

    return [
        Peer("kornia MixUp", "MixUp", "sample", "kornia", _as_torch, mixup, first=True),
        Peer(
            "kornia CutMix", "CutMix", "sample", "kornia", _as_torch, cutmix, first=True
        ),
    ]


def _torchvision() -> list[Peer]:
    from torchvision.transforms import v2

    def make_mix(layer: Any) -> Callable[..., Any]:
        return lambda images, ids: layer(num_classes=max(CLASSES, images.shape[1]))(
            images, ids
        )

    return [
        Peer(
            f"torchvision {name}",
            name,
            "batch",
            "torchvision",
            _as_torch,
            make_mix(layer),
            first=True,
        )
        for name, layer in (("MixUp", v2.MixUp), ("CutMix", v2.CutMix))
    ]
