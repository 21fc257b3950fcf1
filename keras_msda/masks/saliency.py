"""Where images draw the eye, and the box of SaliencyMix around it.

The detector of local contrast needs no training, and stands in where no saliency is
given. Nothing here is random, and no gradient of a model is used.
"""

import functools
import operator
from typing import Any

import numpy as np

from keras_msda import _backend, _checks, _errors
from keras_msda.masks import _factored, _given, box

Tensor = Any

# Distances of the neighbours that are averaged, one step after the other. The surround
# after the last ones has standard deviations of 3.2, 6.5 and 13 pixels along each axis.
# Smaller surrounds would find edges and noise.
_DISTANCES = (1, 2, 4, 8, 16)
_FIRST_SURROUND = 4

#: What happens to a box at the border of an image; see `saliency_box_mask`.
BORDERS = ("inside", "clip")

# Of the highest saliency: pixels that are less below it are as salient. It is more than
# eager mode and XLA can differ by.
_TIE = 1e-5


def contrast_saliency(images: Any, data_format: str | None = None) -> Tensor:
    """Returns how much each pixel differs in brightness from its surround.

    Brightness is the mean of the channels. The saliency is the mean over three scales
    of |pixel - surround|, where a surround is an average around the pixel, of standard
    deviation 3.2, 6.5 and 13 pixels along each axis. Beyond the border the nearest
    pixel continues the image. Everything is a weighted sum of shifted images, so that
    it costs little and runs in graphs and under XLA. Contrast in colour alone is not
    seen.

    Args:
        images: Shape `(batch, *spatial, channels)`, or channels first, with one to
            three spatial axes of any length; of any real dtype.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        float32 `(batch, *spatial)`, not negative. It is 0 for a constant image, and not
        finite at some pixels of a sample that has pixels that are not finite; other
        samples do not change.

    Raises:
        ValueError: If images have another number of axes, or `data_format` is unknown.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> images = np.zeros((1, 9, 9, 3), "float32")
        >>> images[0, 2, 6] = 1.0
        >>> saliency = masks.contrast_saliency(images, "channels_last")
        >>> row, column = np.unravel_index(np.argmax(saliency[0]), (9, 9))
        >>> print(saliency.shape, int(row), int(column))
        (1, 9, 9) 2 6

    References:
        Montabone and Soto, Human Detection Using a Mobile Platform and Novel Features
        Derived from a Visual Saliency Mechanism, 2010: differences of a pixel and its
        surround at several scales, there with boxes as surrounds.
    """
    owner = "contrast_saliency"
    data_format = _checks.check_data_format(owner, data_format)
    ops = _backend.get_ops(images)
    images = ops.convert(images)
    _checks.check_rank(owner, images.shape)
    return measure_contrast(images, data_format)


def measure_contrast(
    images: Tensor, data_format: str, *, jit_compile: bool | str = "auto"
) -> Tensor:
    """Returns the saliency of images that need no check; see `contrast_saliency`."""
    channels = 1 if data_format == "channels_first" else -1
    rank = len(images.shape) - 2

    def measure(images: Tensor) -> Tensor:
        ops = _backend.get_ops(images)
        brightness = ops.mean(ops.cast(images, "float32"), channels)
        surround, contrasts = brightness, []
        for distance in _DISTANCES:
            for axis in range(1, rank + 1):
                surround = _average_neighbours(surround, distance, axis)
            if distance >= _FIRST_SURROUND:
                difference = brightness - surround
                contrasts.append(ops.maximum(difference, -difference))
        return sum(contrasts[1:], contrasts[0]) / float(len(contrasts))

    ops = _backend.get_ops(images)
    return ops.call_fused(measure, images, jit_compile=jit_compile)


def _average_neighbours(x: Tensor, distance: int, axis: int) -> Tensor:
    """Returns (left + 2 x + right) / 4 of neighbours at a distance along an axis.

    Written with differences, so that equal values stay exactly what they are.
    """
    ops = _backend.get_ops(x)
    before = (slice(None),) * axis

    def repeat(end: slice) -> Tensor:
        edge = x[(*before, end)]
        shape = list(ops.shape(edge))
        shape[axis] = distance
        return ops.broadcast_to(edge, shape)

    wide = ops.concat([repeat(slice(0, 1)), x, repeat(slice(-1, None))], axis)
    left = wide[(*before, slice(None, -2 * distance))]
    right = wide[(*before, slice(2 * distance, None))]
    return x + ((left - x) + (right - x)) * 0.25


def find_salient(saliency: Tensor, tie: Tensor) -> Tensor:
    """Returns the most salient pixel of each sample, int32 `(batch, rank)`.

    Of several that are equal, up to 1e-5 of the highest saliency, the one that a
    uniform number picks.

    Args:
        saliency: float32 `(batch, *size)`, not negative.
        tie: float32 `(batch,)` in [0, 1).
    """
    ops = _backend.get_ops(saliency)
    batch, *size = ops.shape(saliency)
    rows = functools.reduce(operator.mul, size[:-1], 1)
    values = ops.reshape(saliency, [batch, rows, size[-1]])
    highest = ops.max(values, [1, 2])[:, None, None]
    tied = ops.cast(values >= highest * (1.0 - _TIE), "int32")
    # The row first, since cumulative sums over all pixels would be slow.
    counts = ops.sum(tied, -1)
    count = ops.sum(counts, -1)
    number = ops.minimum(ops.truncate(tie * ops.cast(count, "float32")), count - 1)
    row, number = _find_number(counts, number)
    column, _ = _find_number(ops.take_along(tied, row[:, None])[:, 0], number)
    center = [column]
    for length in reversed(size[:-1]):
        center.append(row % length)
        row = row // length
    return ops.stack(center[::-1], -1)


def _find_number(counts: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where a number comes to in a row of counts, and what is left of it.

    Args:
        counts: int32 `(batch, n)`.
        number: int32 `(batch,)`, less than the sum of the counts.

    Returns:
        The place with so many before it, int32 `(batch,)`, and the number in it.
    """
    ops = _backend.get_ops(counts)
    passed = ops.cast(ops.cumsum(counts) <= number[:, None], "int32")
    place = ops.cast(ops.sum(passed, -1), "int32")
    return place, number - ops.cast(ops.sum(passed * counts, -1), "int32")


def saliency_box_mask(
    lam: Any,
    saliency: Any,
    tie: Any,
    border: str = "inside",
    rounding: Any = 0.0,
) -> tuple[Tensor, Tensor]:
    """Returns the mask of SaliencyMix: CutMix's box around the most salient pixel.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        saliency: Of the partner, shape `(draws, *size)`, not negative and finite, with
            one to three spatial axes.
        tie: In [0, 1), shape `(draws,)`. Of several pixels that are the most salient,
            up to 1e-5 of their saliency, it picks one: uniform draws pick uniformly.
        border: "inside" moves the box inside, so that its size is known from lambda
            alone; "clip" makes sides even and cuts the box at the border, as published.
        rounding: Added to the sides before they are rounded down, in [0, 1), a number
            or `(draws, rank)`.

    Returns:
        The mask, float32 `(draws, *size)` of zeros and ones, and its mean, float32
        `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> saliency = [[[0.0, 0.0, 0.1], [0.0, 0.2, 0.9], [0.0, 0.0, 0.0]]]
        >>> mask, weight = masks.saliency_box_mask([0.5], saliency, [0.0])
        >>> print(mask.numpy()[0])
        [[1. 0. 0.]
         [1. 0. 0.]
         [1. 1. 1.]]

    References:
        Uddin, Monira, Shin, Chung and Bae, SaliencyMix: A Saliency Guided Data
        Augmentation Strategy for Better Regularization, 2021.
    """
    owner = "saliency_box_mask"
    _checks.check_choice(owner, "border", border, BORDERS)
    lam = _given.convert_lam(owner, lam, saliency)
    tie = _given.convert_noise(owner, "tie", tie, lam)
    saliency = _convert_saliency(owner, saliency, lam)
    ops = _backend.get_ops(lam)
    size = ops.shape(saliency)[1:]
    rounding = _given.convert_rounding(owner, rounding, lam, ("rank", len(size)))
    side = box.box_sides(1.0 - lam, size, rounding)
    extent = box.box_extent(side, find_salient(saliency, tie), size, border)
    level = ops.ones(ops.shape(lam), "float32")
    weight = box.uncovered_share(extent, size)
    return _factored.to_dense(box.build_box(level, extent, size), size), weight


def _convert_saliency(owner: str, saliency: Any, lam: Tensor) -> Tensor:
    """Returns saliency as a tensor, float32 `(draws, *size)`, or raises."""
    known = _backend.get_concrete_value(saliency)
    if known is not None and not (
        known.dtype.kind in "iuf" and np.all(np.isfinite(known) & (known >= 0))
    ):
        _errors.fail(
            owner,
            "`saliency` must be finite and not negative.",
            f"saliency of dtype {known.dtype} from {_errors.extent(known)}",
            "Give for instance the absolute values of a gradient.",
        )
    saliency = _backend.get_ops(lam, saliency).convert(saliency, "float32")
    shape, draws = tuple(saliency.shape), lam.shape[0]
    if not 2 <= len(shape) <= 4 or _errors.differ(shape[0], draws):
        _errors.fail(
            owner,
            "`saliency` must have the shape (draws, *size) with one to three axes of "
            "pixels.",
            f"shape {_errors.show(shape)} for {draws} draws",
            "Take the mean over channels first.",
        )
    return saliency
