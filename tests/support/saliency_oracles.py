"""Slow, plain float64 counterparts of saliency and of masks that it places."""

import numpy as np


def _neighbour(values, axis, shift):
    """Returns the values at a shifted place, those of the edge beyond it."""
    length = values.shape[axis]
    places = [min(max(i + shift, 0), length - 1) for i in range(length)]
    return np.take(values, places, axis)


def contrast_saliency(images, data_format="channels_last"):
    """Returns the mean of |pixel - surround| over three surrounds."""
    channels = 1 if data_format == "channels_first" else -1
    brightness = np.asarray(images, np.float64).mean(channels)
    surround, total = brightness, np.zeros(brightness.shape)
    for power in range(5):
        for axis in range(1, brightness.ndim):
            left = _neighbour(surround, axis, -(2**power))
            right = _neighbour(surround, axis, 2**power)
            surround = (left + 2 * surround + right) / 4
        if power >= 2:
            total += np.abs(brightness - surround) / 3
    return total


def salient_pixels(saliency):
    """Returns the pixels, in row-major order, that are the most salient ones."""
    highest = np.max(saliency)
    return [p for p in np.ndindex(*saliency.shape) if saliency[p] >= highest]
