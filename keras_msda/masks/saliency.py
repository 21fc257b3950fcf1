"""Where images draw the eye: a local-contrast detector that needs no training.

It stands in where no saliency is given. Nothing here is random, and no gradient of a
model is used.
"""

from typing import Any

from keras_msda import _backend, _checks

Tensor = Any

# Distances of the neighbours that are averaged, one step after the other. The surround
# after the last ones has standard deviations of 3.2, 6.5 and 13 pixels along each axis.
# Smaller surrounds would find edges and noise.
_DISTANCES = (1, 2, 4, 8, 16)
_FIRST_SURROUND = 4


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
