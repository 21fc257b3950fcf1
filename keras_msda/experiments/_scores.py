"""What is measured of a trained network: accuracy, calibration and robustness.

Corruptions are functions of images in [0, 1] and a seed. Nothing here trains.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from keras_msda import _backend

Array = npt.NDArray[Any]
#: Images that pass the network at a time.
BATCH = 100
_BINS = 15
_GREY = 0.5


def accuracy(logits: Array, labels: Array) -> float:
    """Returns the share of samples whose largest logit is that of their label."""
    return float(np.mean(logits.argmax(-1) == labels))


def negative_log_likelihood(logits: Array, labels: Array) -> float:
    """Returns the mean of minus the logarithm of the label's probability."""
    logs = special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    return float(-logs[np.arange(len(labels)), labels].mean())


def calibration_error(logits: Array, labels: Array, *, bins: int = _BINS) -> float:
    """Returns the expected calibration error over bins of equal width.

    Args:
        logits: Shape `(n, classes)`.
        labels: Class ids.
        bins: Number of bins `(lower, upper]` of the largest probability.

    Returns:
        The mean distance of accuracy and confidence, each bin as heavy as its samples.
    """
    probabilities = special.softmax(np.asarray(logits, np.float64), axis=-1)
    sure = probabilities.max(-1)
    right = logits.argmax(-1) == labels
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(places, right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def occlude(images: Array, share: float, *, seed: int) -> Array:
    """Covers a grey square of each image, at a place drawn for each.

    Args:
        images: Shape `(n, height, width, channels)`.
        share: Of the area; a side is cut at the image's own.
        seed: Of the places.
    """
    count, height, width = images.shape[:3]
    side = round(float(np.sqrt(share * height * width)))
    sides = min(side, height), min(side, width)
    generator = np.random.default_rng([seed, 2])
    found: Array = images.copy()
    tops = generator.integers(0, height - sides[0] + 1, count)
    lefts = generator.integers(0, width - sides[1] + 1, count)
    for image, top, left in zip(found, tops, lefts, strict=True):
        image[top : top + sides[0], left : left + sides[1]] = _GREY
    return found


def add_noise(images: Array, deviation: float, *, seed: int) -> Array:
    """Adds Gaussian noise, and clips to [0, 1].

    Args:
        images: Any shape.
        deviation: Standard deviation of the noise.
        seed: Of the noise, which is the same at all deviations up to its size.
    """
    generator = np.random.default_rng([seed, 3])
    noise = generator.standard_normal(images.shape, np.float32)
    return np.asarray(np.clip(images + np.float32(deviation) * noise, 0, 1))


def blur(images: Array, sigma: float) -> Array:
    """Blurs along height and width, images continued by their reflection."""
    widths = (0.0, sigma, sigma, 0.0)
    return np.asarray(ndimage.gaussian_filter(images, widths, mode="reflect"))


def attack(images: Array, signs: Array, *, epsilon: float) -> Array:
    """Moves each pixel by epsilon / 255 along a sign, and clips to [0, 1].

    Args:
        images: In [0, 1].
        signs: Of the gradient of the loss, in the images' shape.
        epsilon: Size of the step, in units of 1/255.
    """
    step = np.float32(epsilon / 255) * signs.astype(np.float32)
    return np.asarray(np.clip(images + step, 0, 1))


def as_floats(images: Array) -> Array:
    """Returns bytes as float32 in [0, 1]."""
    return np.asarray(images.astype(np.float32) / np.float32(255))


def slices(images: Array, labels: Array) -> Iterator[tuple[Array, Array]]:
    """Yields parts of some pictures, as float32 in [0, 1], with their labels."""
    for start in range(0, len(labels), BATCH):
        part = slice(start, start + BATCH)
        yield as_floats(images[part]), labels[part]


class Judge:
    """Applies a network, and differentiates its loss by the images.

    Args:
        model: A model that returns logits, which takes no part in training any more.
        batch: Images at a time. The last ones are filled up, as each further shape
            would be compiled anew.
    """

    def __init__(self, model: keras.Model, *, batch: int = BATCH) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(True, reduction="sum")
        ops = _backend.get_backend_ops()

        def logits(images: Any) -> Any:
            return model(images, training=False)

        def gradient(images: Any, labels: Any) -> Any:
            return ops.gradients(lambda x: loss(labels, logits(x)), images)[0]

        self._logits = ops.compile_function(logits)
        self._gradient = ops.compile_function(gradient)
        self._convert = ops.convert
        self._batch = batch

    def predict(self, images: Array) -> Array:
        """Returns the logits of images in [0, 1]."""
        return self._apply(self._logits, images)

    def find_signs(self, images: Array, labels: Array) -> Array:
        """Returns the signs of the gradient of the cross-entropy, as int8."""
        found = self._apply(self._gradient, images, labels.astype(np.int32))
        return np.sign(found).astype(np.int8)

    def _apply(self, function: Callable[..., Any], *arrays: Array) -> Array:
        found, count = [], len(arrays[0])
        missing = -count % self._batch
        full = [np.concatenate([x, np.repeat(x[-1:], missing, 0)]) for x in arrays]
        for start in range(0, count, self._batch):
            part = (self._convert(x[start : start + self._batch]) for x in full)
            found.append(keras.ops.convert_to_numpy(function(*part)))
        return np.concatenate(found)[:count]


def score_clean(
    judge: Judge, batches: Iterable[tuple[Array, Array]]
) -> dict[str, float]:
    """Returns accuracy, negative log-likelihood and calibration error.

    Args:
        judge: The network.
        batches: Images in [0, 1] and labels.
    """
    found = [(judge.predict(images), labels) for images, labels in batches]
    logits = np.concatenate([each for each, _ in found])
    labels = np.concatenate([each for _, each in found])
    return {
        "accuracy": accuracy(logits, labels),
        "nll": negative_log_likelihood(logits, labels),
        "ece": calibration_error(logits, labels),
    }


def score_robust(
    judge: Judge,
    images: Array,
    labels: Array,
    *,
    levels: Mapping[str, Iterable[float]],
    seed: int,
) -> dict[str, dict[str, float]]:
    """Returns accuracies on images that were changed.

    Args:
        judge: The network.
        images: In [0, 1].
        labels: Their classes.
        levels: How much of each change, by its name.
        seed: Of places and noise.

    Returns:
        By change and level. "unchanged" has the accuracy on these very images.
    """
    signs = judge.find_signs(images, labels) if levels.get("fgsm") else None
    changes: dict[str, Callable[[float], Array]] = {
        "fgsm": lambda level: attack(images, signs, epsilon=level),  # type: ignore[arg-type]
        "occlusion": lambda level: occlude(images, level, seed=seed),
        "noise": lambda level: add_noise(images, level, seed=seed),
        "blur": lambda level: blur(images, level),
    }
    found = {"unchanged": {"0": accuracy(judge.predict(images), labels)}}
    for name, each in levels.items():
        found[name] = {
            f"{level:g}": accuracy(judge.predict(changes[name](level)), labels)
            for level in each
        }
    return found
