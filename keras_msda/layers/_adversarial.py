"""The adversarial noise of PuzzleMix: where it starts, and one step along the sign.

Only some samples have it. All draws are made before the gradient is known.
"""

from typing import Any, NamedTuple

from keras_msda import _backend, _checks, _errors, sampling

Tensor = Any

#: Length of the step, in units of the largest change: 12 / 255 for 10 / 255, published.
_STEP = 1.2


class Noise(NamedTuple):
    """Settings of the noise.

    Attributes:
        probability: Probability that a sample has it.
        size: Largest change of a value, in the units of the images; None without noise.
        value_range: Least and largest value of images, or None for no bounds.
    """

    probability: float
    size: float | None
    value_range: tuple[float, float] | None


class Start(NamedTuple):
    """Noise before the gradient is known.

    Attributes:
        images: Images with the noise.
        noise: The noise, of the images' shape; zeros for samples without.
        factor: Factor of the final noise, `(batch, 1, ...)`; 0 for samples without.
    """

    images: Tensor
    noise: Tensor
    factor: Tensor


def check_noise(owner: str, probability: Any, size: Any, value_range: Any) -> Noise:
    """Returns valid settings, or raises."""
    remedy = "Use for example 0.1, or 0.0 for no noise."
    probability = _checks.check_share(
        owner, "adversarial_probability", probability, remedy
    )
    if size is None and probability == 0.0:
        return Noise(0.0, None, _check_range(owner, value_range))
    if not (_checks.is_number(size) and 0 < size < float("inf")):
        _errors.fail(
            owner,
            "adversarial noise needs `adversarial_size`, a positive number.",
            f"adversarial_size={size!r}",
            "Use `adversarial_size=10 / 255` for images from 0 to 1, and "
            "`adversarial_size=10.0` for images from 0 to 255.",
        )
    return Noise(probability, float(size), _check_range(owner, value_range))


def _check_range(owner: str, value: Any) -> tuple[float, float] | None:
    """Returns two ascending numbers, or None."""
    if value is None:
        return None
    pair = value if isinstance(value, (tuple, list)) else ()
    if len(pair) != 2 or not all(map(_checks.is_number, pair)) or pair[0] >= pair[1]:
        _errors.fail(
            owner,
            "`value_range` must be the least and the largest value of images, or None.",
            f"value_range={value!r}",
            "Use for example `value_range=(0, 1)`.",
        )
    return float(pair[0]), float(pair[1])


def start(images: Tensor, settings: Noise, *, seed: Any) -> Start:
    """Returns images with uniform noise.

    Args:
        images: float32, shape `(batch, ...)`.
        settings: Of the noise.
        seed: Seed pair.
    """
    ops = _backend.get_ops(images)
    lengths = ops.shape(images)
    rows = [lengths[0], *(1 for _ in lengths[1:])]
    choice, place, share = ops.split_seed(seed, 3)
    chosen = sampling.sample_uniform(rows, seed=choice) < settings.probability
    uniform = 2.0 * sampling.sample_uniform(lengths, seed=place) - 1.0
    noised = _clip(images + settings.size * uniform, settings.value_range)
    noised = ops.where(chosen, noised, images)
    factor = ops.where(chosen, sampling.sample_uniform(rows, seed=share), 0.0)
    return Start(noised, noised - images, factor)


def finish(images: Tensor, begun: Start, gradient: Tensor, settings: Noise) -> Tensor:
    """Returns images with noise that makes the loss larger.

    Args:
        images: As `start` was given them.
        begun: From `start`.
        gradient: Of the loss by `begun.images`. A sample where it is not finite stays
            as it was.
        settings: Of the noise.
    """
    ops = _backend.get_ops(images)
    axes = tuple(range(1, len(images.shape)))
    finite = ops.all(gradient - gradient == 0.0, axes)
    finite = ops.reshape(finite, ops.shape(begun.factor))
    rising = ops.where(gradient > 0.0, 1.0, ops.where(gradient < 0.0, -1.0, 0.0))
    size = settings.size or 0.0
    noise = begun.noise + _STEP * size * rising
    noise = begun.factor * ops.minimum(ops.maximum(noise, -size), size)
    noised = _clip(images + noise, settings.value_range)
    return ops.where(finite & (begun.factor > 0.0), noised, images)


def _clip(images: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Returns images within bounds, if there are any."""
    if value_range is None:
        return images
    ops = _backend.get_ops(images)
    low, high = value_range
    return ops.minimum(ops.maximum(images, low), high)
