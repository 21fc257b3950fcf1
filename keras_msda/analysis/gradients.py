"""Products of a model's input gradients at two pixels, by the offset between them.

What the coefficients of the loss theorem multiply, as a model has it after training.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np
from scipy import fft

from keras_msda import _checks, _errors
from keras_msda.analysis import _arguments, _logits, _losses
from keras_msda.analysis._offsets import pair_counts
from keras_msda.analysis._types import Array, Shape

#: How many products of two pixels the maximum takes at most: minutes.
_MOST = 5e10
#: Numbers in a pass, so that a processor's cache holds them.
_PASS = 2**16


class GradientMap(NamedTuple):
    """Products of input gradients at two pixels, by the offset between them.

    Maps have the shape `(2 length - 1, ...)`, one axis for each spatial axis, the
    offset 0 in the middle, where they are 1.

    Attributes:
        maximum: Largest product over all images and pairs of pixels, divided by
            `maximum_scale`; NaN beyond `max_offset`.
        mean: Mean product over them, divided by `mean_scale`.
        maximum_scale: The largest squared gradient.
        mean_scale: The mean squared gradient.
        images: Number of images.
    """

    maximum: Array
    mean: Array
    maximum_scale: float
    mean_scale: float
    images: int


def input_gradient_map(  # noqa: PLR0913
    model: Any,
    images: Any,
    labels: Any,
    *,
    of: str = "logit",
    batch_size: int = 32,
    max_offset: int | None = None,
    verbose: int = 1,
    data_format: str | None = None,
) -> GradientMap:
    """Measures how a model's input gradients go together at two pixels of an image.

    With g_v the norm over channels of the gradient of f at pixel v, the maps are

        max over k and v of g_v(x_k) g_{v+p}(x_k),   and their mean over k and v,

    over images x_k and pixels v such that v + p is inside, by the offset p. MixUp
    regularises such products at every offset alike, CutMix those of near pixels.

    Args:
        model: Keras model or layer, or function of a batch of images, that returns
            logits: `(batch, classes)`, or `(batch,)` or `(batch, 1)` for one logit. It
            is called with `training=False` and computes in its `variable_dtype`.
        images: Shape `(images, *shape, channels)`, or channels first, as the model
            takes them.
        labels: Class ids or one-hot labels; numbers in [0, 1] for one logit.
        of: What f is: "logit", that of the true class (or the only one), or "loss", the
            cross-entropy, softmax for several classes and logistic for one logit. The
            loss hardly changes at images that a model is sure of; the logit does.
        batch_size: Images at a time.
        max_offset: Largest offset on each axis for the maximum, whose time grows with
            the number of offsets times pixels; None for all. The mean has all.
        verbose: 1 for a progress bar, 0 for none.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        `GradientMap`, two maps of shape `(2 length - 1, ...)`, float64, with their
        scales.

    Raises:
        ValueError: If labels or outputs do not fit, if the model returns probabilities
            or has no gradients with respect to its inputs, or if the maximum would take
            too long.

    Example:
        >>> import keras, numpy as np
        >>> from keras_msda import analysis
        >>> weights = np.array([[3.0], [2.0], [0.0], [1.0]], "float32")
        >>> model = lambda x: keras.ops.matmul(x[..., 0], weights)
        >>> found = analysis.input_gradient_map(
        ...     model, np.zeros((1, 4, 1)), [1], verbose=0
        ... )
        >>> print(found.maximum[3:] * found.maximum_scale)
        [9. 6. 2. 3.]

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        figure 4. How it is normalised there is not stated; the scales are for those who
        compare models.
    """
    owner = "input_gradient_map"
    _checks.check_choice(owner, "of", of, ("logit", "loss"))
    batch_size = _checks.check_count(owner, "batch_size", batch_size)
    _check_max_offset(owner, max_offset)
    data_format = _checks.check_data_format(owner, data_format)
    images = _logits.as_array(images)
    _arguments.check_images(owner, images, 1)
    shape = images.shape[1:-1] if data_format == "channels_last" else images.shape[2:]
    products = len(images) * _products(shape, max_offset)
    _check_products(owner, products, _MOST, shape)
    size = min(batch_size, len(images))
    logits = _logits.Logits(owner, model, images, batch_size=size, rows=len(images))
    targets = _losses.encode(owner, labels, len(images), logits.classes)
    if of == "logit":
        _check_one_hot(owner, targets)
    activation = _logits.last_activation(model)
    sums = _Sums(shape, max_offset)
    bar = keras.utils.Progbar(len(images), verbose=verbose, unit_name="image")
    for part in _logits.batches(len(images), size, bar):
        own = logits(images[part])
        _arguments.check_not_probabilities(owner, own, activation)
        factor = _factor(own, targets[part], of)
        slopes = logits.slopes(images[part], factor)
        channels = -1 if data_format == "channels_last" else 1
        sums.add(np.sqrt((slopes**2).sum(channels)))
    return _normalise(owner, sums, of)


def _factor(logits: Array, targets: Array, of: str) -> Array:
    """Returns the gradient of f by the logits."""
    one = logits.shape[1] == 1
    if of == "loss":
        loss = _losses.LOSSES["logistic" if one else "softmax"]
        return loss.residual(logits, targets)
    return np.ones_like(logits) if one else targets


class _Sums:
    """Running maxima and sums of products, by offset.

    Args:
        shape: Spatial lengths.
        max_offset: As in `input_gradient_map`.
    """

    def __init__(self, shape: Shape, max_offset: int | None) -> None:
        self.shape = shape
        self.images = 0
        self.squares = 0.0
        self._offsets = list(_half_of_offsets(_reach(shape, max_offset)))
        self._largest = [0.0] * len(self._offsets)
        self._padded = [fft.next_fast_len(2 * n - 1, real=True) for n in shape]
        self._power: Any = 0.0

    def add(self, norms: Array) -> None:
        """Takes in gradient norms, `(images, *shape)`."""
        self.images += len(norms)
        self.squares += float((norms**2).sum())
        step = max(1, _PASS // math.prod(self.shape))
        for start in range(0, len(norms), step):
            part = norms[start : start + step]
            self._add_power(part)
            self._add_maxima(part)

    def _add_power(self, norms: Array) -> None:
        axes = tuple(range(1, norms.ndim))
        spectrum = fft.rfftn(norms, self._padded, axes)
        self._power = self._power + (spectrum.real**2 + spectrum.imag**2).sum(0)

    def _add_maxima(self, norms: Array) -> None:
        # Images on the last axis: long rows, however short the pixels' axis is.
        norms = np.ascontiguousarray(np.moveaxis(norms, 0, -1))
        memory = np.empty(norms.size)
        for number, offset in enumerate(self._offsets):
            first, second = (norms[_inside(d, self.shape)] for d in _signed(offset))
            products = memory[: first.size].reshape(first.shape)
            largest = float(np.multiply(first, second, out=products).max())
            self._largest[number] = max(self._largest[number], largest)

    @property
    def maximum(self) -> Array:
        """The largest product by offset, NaN where none was taken."""
        maxima = np.full([2 * n - 1 for n in self.shape], np.nan)
        for offset, largest in zip(self._offsets, self._largest, strict=True):
            for signed in _signed(offset):
                # Counted from the centre, the offset 0.
                place = (n - 1 + d for n, d in zip(self.shape, signed, strict=True))
                maxima[tuple(place)] = largest
        return maxima

    @property
    def mean(self) -> Array:
        """The mean product by offset."""
        total = fft.irfftn(self._power, self._padded)
        total = total[np.ix_(*(np.arange(1 - n, n) for n in self.shape))]
        # The two halves differ in rounding, which makes zeros negative, too.
        total = np.maximum((total + np.flip(total)) / 2, 0.0)
        pairs = pair_counts(self.shape)
        return np.asarray(total / pairs / self.images, np.float64)


def _reach(shape: Shape, max_offset: int | None) -> Shape:
    """Returns the largest offset of each axis."""
    longest = max(shape) if max_offset is None else max_offset
    return tuple(min(n - 1, longest) for n in shape)


def _products(shape: Shape, max_offset: int | None) -> float:
    """Returns how many products of two pixels an image has, half of those by offset."""
    reach = zip(shape, _reach(shape, max_offset), strict=True)
    return math.prod(n * (2 * k + 1) - k * (k + 1) for n, k in reach) / 2


def _half_of_offsets(reach: Shape) -> Iterator[Shape]:
    """Yields one of each offset and its opposite."""
    for offset in itertools.product(*(range(-k, k + 1) for k in reach)):
        if offset >= (0,) * len(reach):
            yield offset


def _signed(offset: Shape) -> tuple[Shape, Shape]:
    return offset, tuple(-d for d in offset)


def _inside(offset: Shape, shape: Shape) -> tuple[slice, ...]:
    """Returns the pixels v such that v - offset is inside."""
    pairs = zip(offset, shape, strict=True)
    return tuple(slice(max(d, 0), n + min(d, 0)) for d, n in pairs)


def _normalise(owner: str, sums: _Sums, of: str) -> GradientMap:
    """Returns maps that are 1 at the offset 0, where there are gradients at all."""
    centre = tuple(n - 1 for n in sums.shape)
    maximum, mean = sums.maximum, sums.mean
    largest = float(maximum[centre])
    mean_square = sums.squares / sums.images / math.prod(sums.shape)
    if not math.isfinite(mean_square):
        _fail_not_finite(owner, "gradients")
    if mean_square == 0:
        _arguments.fail_flat(owner, f"all gradients of the {of} are 0")
    return GradientMap(
        maximum / largest,
        mean / mean_square,
        largest,
        mean_square,
        sums.images,
    )


def _fail_not_finite(owner: str, name: str) -> NoReturn:
    """Raises the error for values that are NaN or infinite."""
    _errors.fail(
        owner,
        f"the {name} of `model` must be finite.",
        "NaN or infinite values",
        "Check the images and the model's weights.",
    )


def _check_one_hot(owner: str, labels: np.ndarray) -> None:
    """Checks that every image has one true class."""
    if not np.all((labels == 0) | (labels == 1)):
        _errors.fail(
            owner,
            'the true class\'s logit, of="logit", needs one class per image.',
            f"soft labels, {_errors.show_range(labels)}",
            'Give class ids, or use `of="loss"`.',
        )


def _check_products(owner: str, products: float, most: float, shape: Any) -> None:
    """Checks that a maximum over all pairs of pixels is not too much work."""
    if products > most:
        _errors.fail(
            owner,
            f"the maximum takes {most:.0e} products of two pixels at most.",
            f"{products:.1e} products for images of size {_errors.show(shape)}",
            "Look at nearby pixels alone: `max_offset=16`; or give fewer images.",
        )


def _check_max_offset(owner: str, value: Any) -> None:
    """Checks how far apart pixels may be."""
    if value is not None and not (value == 0 or _checks.is_length(value)):
        _errors.fail(
            owner,
            "`max_offset` must be an integer of 0 or more, or None.",
            f"max_offset={value!r}",
            "Leave it out for all offsets.",
        )
