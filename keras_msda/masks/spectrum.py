"""Smooth random fields: noise shaped in the frequency domain and transformed back."""

import math
from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, _errors
from keras_msda.masks import _amplitudes, _given
from keras_msda.masks._synthesis import fit_lengths, transform_back

Tensor = Any
#: "isotropic", "official" or a function of a user; see `fourier_field`.
Spectrum = _amplitudes.Spectrum

#: Part of the field's variance that the frequencies which are not drawn may carry.
_LOST_VARIANCE = 1e-4
# From so many cycles per image on, all frequencies are drawn.
_FARTHEST = 2.0**20
# 2 pi^(n/2) / Gamma(n/2): the surface of the unit sphere in n dimensions.
_SPHERE = {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}


def kept_frequencies(size: Sequence[Any], decay_power: float) -> tuple[Any, ...]:
    """Returns the highest frequency, in cycles per image, that is drawn on each axis.

    Variance falls as f^(-2 p) with p the decay power. In units of the lowest frequency,
    all beyond a radius R carry at most the integral `S_n R^(n - 2 p) / (2 p - n)`, and
    the two lowest ones alone carry 2; R is the radius where the ratio is 1e-4.

    Args:
        size: Spatial lengths, integers or traced scalars.
        decay_power: Decay of the amplitude, not negative.

    Returns:
        One number per axis; half the length where all frequencies are kept.

    Raises:
        ValueError: If the size or the power is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> print(masks.kept_frequencies((224, 224), 3.0))
        (11, 11)
    """
    size = _given.check_size("kept_frequencies", size)
    decay_power = _given.check_decay_power("kept_frequencies", decay_power)
    return _limit_frequencies(size, decay_power)


def _limit_frequencies(size: Sequence[Any], decay_power: float) -> tuple[Any, ...]:
    """Returns what `kept_frequencies` does, for arguments that are already checked."""
    ops = _backend.get_ops(*size)
    everything = tuple(length // 2 for length in size)
    excess = 2 * min(decay_power, _amplitudes.HIGHEST_POWER) - len(size)
    if excess <= 0:
        return everything
    tail = _SPHERE[len(size)] / (excess * 2 * _LOST_VARIANCE)
    # Plus one, since each lattice point stands for the volume around it.
    far = math.log(tail) > excess * math.log(_FARTHEST)
    radius = math.ceil(_FARTHEST if far else tail ** (1 / excess)) + 1
    if all(isinstance(length, int) for length in size):
        longest = max(size)
        return tuple(
            min(half, radius * length // longest)
            for half, length in zip(everything, size, strict=True)
        )
    longest = ops.max(ops.stack(size))
    return tuple(
        ops.minimum(half, radius * length // longest)
        for half, length in zip(everything, size, strict=True)
    )


def _min_length(x: Any, y: Any) -> Any:
    """Returns the smaller of two lengths, an integer if both are integers."""
    if isinstance(x, int) and isinstance(y, int):
        return min(x, y)
    return _backend.get_ops(x, y).minimum(x, y)


def noise_shape(
    size: Sequence[Any], decay_power: float, spectrum: Spectrum
) -> tuple[Any, ...]:
    """Returns the shape, without draws, of the normals that `fourier_field` takes.

    Args:
        size: Spatial lengths.
        decay_power: Decay of the amplitude.
        spectrum: As in `fourier_field`.
    """
    if spectrum == "official":
        return (2, *size[2:], *[_official_half(width) for width in size[1:2]], 2)
    kept = [length // 2 for length in size]
    if spectrum == "isotropic":
        kept = list(_limit_frequencies(size, decay_power))
    rows = [
        _min_length(2 * k + 1, length) for k, length in zip(kept, size, strict=True)
    ]
    return (*rows[:-1], kept[-1] + 1, 2)


def _cycles(count: Any, length: Any, like: Tensor) -> Tensor:
    """Returns `count` frequencies of an axis in FFT order, in cycles per pixel."""
    ops = _backend.get_ops(like)
    index = ops.arange(count)
    signed = ops.where(index < (count + 1) // 2, index, index - count)
    return ops.cast(signed, "float32") / ops.cast(length, "float32")


def _radius(axes: Sequence[Tensor]) -> Tensor:
    """Returns the distance from 0 of each point of a grid."""
    ops = _backend.get_ops(*axes)
    total = 0.0
    for axis, values in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = -1
        total = total + ops.reshape(values * values, shape)
    return ops.sqrt(total)


def fourier_field(
    noise: Any,
    size: Sequence[int],
    decay_power: float = 3.0,
    spectrum: Spectrum = "isotropic",
) -> Tensor:
    """Returns smooth random fields made from normals.

    Args:
        noise: Standard normals, float32 `(draws, *noise_shape)`: real and imaginary
            parts, last, of the half spectrum's lowest frequencies, in FFT order.
        size: Spatial lengths of the field, one to three.
        decay_power: The amplitude falls as `max(f, 1 / longest axis)^-decay_power`, in
            units that float32 can hold. Powers above 1e5 count as 1e5.
        spectrum: "isotropic" as the paper defines it; "official" as the published code
            indexes it, which keeps only the frequencies 0 and 1 along the last axis;
            or a function from frequencies in cycles per pixel to amplitudes. It gets a
            NumPy array, or a tensor where the size is not known when traced. If it is
            not finite at frequency 0, like 1 / f, its value at 1 / longest axis counts
            there. Its sign and scale do not matter.

    Returns:
        float32 `(draws, *size)`, on a torus.

    Raises:
        ValueError: If an argument is outside these ranges, or a spectrum's amplitudes
            at the frequencies except 0 are not finite, or all 0. Where amplitudes are
            traced tensors, those that are not finite count as 0, and if none is left
            all count as 1.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> noise = np.zeros((1, 5, 2), "float32")
        >>> noise[0, 1, 0] = 1.0  # The real part of one cycle per image.
        >>> field = masks.fourier_field(noise, (8,), decay_power=0.0)
        >>> print(field.numpy()[0, ::2].round(2) + 0.0)
        [ 0.5  0.  -0.5  0. ]

    References:
        Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing
        Mixed Sample Data Augmentation, 2020, section 4.
    """
    owner = "fourier_field"
    size = _given.check_size(owner, size)
    decay_power = _given.check_decay_power(owner, decay_power)
    _given.check_spectrum(owner, spectrum)
    ops = _backend.get_ops(noise, *size)
    noise = ops.convert(noise, "float32")
    whole = noise_shape(size, 0.0, spectrum)  # All frequencies.
    _check_noise(owner, noise.shape, whole, spectrum == "isotropic")
    if spectrum == "official":
        return _official_field(noise, size, decay_power)
    *rows, columns = ops.shape(noise)[1:-1]
    axes = [_cycles(count, n, noise) for count, n in zip(rows, size[:-1], strict=True)]
    column = ops.arange(columns)
    axes.append(ops.cast(column, "float32") / ops.cast(size[-1], "float32"))
    amplitude = _amplitudes.choose_amplitude(_radius(axes), size, decay_power, spectrum)
    # A self-conjugate column keeps half its variance when it is made Hermitian.
    mirrored = (column == 0) | (2 * column == size[-1])
    pixels = ops.prod(ops.cast(ops.stack(size), "float32"))
    scale = amplitude * ops.sqrt(pixels * ops.where(mirrored, 1.0, 0.5))
    return transform_back((noise[..., 0] * scale, noise[..., 1] * scale), size)


def _official_field(noise: Tensor, size: Sequence[Any], decay_power: float) -> Tensor:
    """Returns the field of the published code, which indexes the wrong axis.

    There the first two rows of frequencies become real and imaginary part; the real and
    imaginary parts become the columns 0 and 1 of a half spectrum, which the transform
    pads with zeros or crops (`fmix.py`, `spectrum[:, 0] + 1j * spectrum[:, 1]`).
    """
    ops = _backend.get_ops(noise, *size)
    rows = _cycles(size[0], size[0], noise)
    axes = [ops.stack([rows[0], rows[1 % size[0]]])]
    if len(size) == 3:
        axes.append(_cycles(size[2], size[2], noise))
    if len(size) > 1:
        axes.append(_cycles(size[1], size[1], noise)[: _official_half(size[1])])
    scaled = (
        noise * _amplitudes.decay_amplitude(_radius(axes), size, decay_power)[..., None]
    )
    # All rows, which mirror each other, and the one or two columns that there are.
    rows = (*size[:-1], _min_length(size[-1] // 2 + 1, scaled.shape[-1]))
    real, imaginary = (fit_lengths(scaled[:, part], rows) for part in (0, 1))
    return transform_back((real, imaginary), size)


def _official_half(width: Any) -> Any:
    """Returns how many frequencies the published code takes along its half axis."""
    return _min_length(width // 2 + 1 + width % 2, width)


def _check_noise(owner: str, shape: Any, whole: Sequence[Any], fewer: bool) -> None:
    """Checks the shape of the normals that a field is made from.

    Args:
        owner: Name that the error starts with.
        shape: Their static shape.
        whole: Their shape with all frequencies, without draws.
        fewer: Whether the highest frequencies may be missing.
    """
    if getattr(shape, "rank", 0) is None:
        return
    lengths = list(shape)[1:]

    def fits(given: Any, most: Any) -> bool:
        if given is None or not isinstance(most, int):
            return True
        return bool(given == most or (fewer and 0 < given < most))

    valid = len(lengths) == len(whole) and lengths[-1] in (None, 2)
    if not valid or not all(map(fits, lengths, whole)):
        _errors.fail(
            owner,
            f"`noise` must have the shape (draws, {', '.join(map(str, whole))})"
            f"{', or fewer frequencies' if fewer else ''}.",
            f"shape {_errors.show(shape)}",
            "Give real and imaginary parts on the last axis, of the half spectrum.",
        )
