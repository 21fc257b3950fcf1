"""Amplitudes of the frequencies of a random field: powers, and functions of users."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_msda import _backend, _errors

Tensor = Any
Spectrum = str | Callable[[Any], Any]

#: Like all higher powers, this one keeps the lowest frequency alone.
HIGHEST_POWER = 1e5
# Between these, float32 can hold a field of 2^30 pixels.
_LEAST, _MOST = 2.0**-84, 2.0**84
_LOG_LARGEST = math.log(2.0**122)
# The amplitude of frequency 0 may be so many times the highest other one. It adds the
# same to each pixel, which does not change a mask but costs the other terms digits.
_MOST_MEAN = 2.0**12


def decay_amplitude(radius: Tensor, size: Sequence[Any], decay_power: float) -> Tensor:
    """Returns max(f, 1 / longest axis)^-decay_power, up to a factor.

    The factor is not 1 where float32 could not hold the amplitudes; masks need only
    their ratios.
    """
    ops = _backend.get_ops(radius)
    longest = ops.max(ops.cast(ops.stack(size), "float32"))
    power = min(decay_power, HIGHEST_POWER)
    logarithm = ops.log(ops.maximum(radius, 1.0 / longest))
    if all(isinstance(length, int) for length in size):
        if power * math.log(max(size)) <= _log_largest(math.prod(size)):
            return ops.exp(-power * logarithm)
        return _decay_relative(radius, longest, power)
    pixels = ops.prod(ops.cast(ops.stack(size), "float32"))
    fits = power * ops.log(longest) <= _log_largest(pixels)
    usual = ops.exp(-power * logarithm)
    return ops.where(fits, usual, _decay_relative(radius, longest, power))


def _decay_relative(radius: Tensor, longest: Tensor, power: float) -> Tensor:
    """Returns max(f L, 1)^-power, in which the lowest frequency has the amplitude 1."""
    ops = _backend.get_ops(radius)
    return ops.exp(-power * ops.log(ops.maximum(radius * longest, 1.0)))


def _log_largest(pixels: Any) -> Any:
    """Returns the logarithm of the largest amplitude with which a field fits float32.

    A pixel is at most that times the square root of the number of pixels, times 64 for
    the sum of normals.
    """
    if isinstance(pixels, int):
        return _LOG_LARGEST - math.log(pixels) / 2
    return _LOG_LARGEST - _backend.get_ops(pixels).log(pixels) / 2.0


def choose_amplitude(
    radius: Tensor, size: Sequence[Any], decay_power: float, spectrum: Spectrum
) -> Tensor:
    """Returns the amplitude of each frequency that is drawn."""
    if not callable(spectrum):
        return decay_amplitude(radius, size, decay_power)
    ops = _backend.get_ops(radius)
    if not all(isinstance(length, int) for length in size):
        lowest = 1.0 / ops.max(ops.cast(ops.stack(size), "float32"))
        return _traced_amplitude(spectrum, radius, lowest)
    frequency = _half_spectrum(size)
    lowest = np.float32(1 / max(size))
    with np.errstate(all="ignore"):
        values = spectrum(frequency)
        found = _backend.get_concrete_value(values)
        if found is None:  # A library traces the values.
            return _traced_amplitude(spectrum, frequency, lowest, values)
        found = _check_amplitude(found, frequency)
        if not np.isfinite(found.flat[0]):
            # The first is frequency 0.
            clamped: Any = _backend.get_concrete_value(
                spectrum(np.maximum(frequency, lowest))
            )
            found.flat[0] = clamped.flat[0]
    return ops.convert(_scale_amplitude(found), "float32")


def _half_spectrum(size: Sequence[int]) -> np.ndarray:
    """Returns the frequencies of a half spectrum, float32, in cycles per pixel."""
    axes = [np.fft.fftfreq(length) for length in size[:-1]]
    axes.append(np.arange(size[-1] // 2 + 1) / size[-1])
    radius: np.ndarray = np.sqrt(sum(axis**2 for axis in np.ix_(*axes)))
    return radius.astype("float32")


def _check_amplitude(values: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Returns amplitudes as float64 of the shape of the frequencies, or raises.

    Only at frequency 0 may they be infinite or NaN, which the caller replaces.
    """
    owner = "fourier_field"
    _check_amplitude_shape(owner, values, frequency.shape)
    found = np.broadcast_to(values, frequency.shape).astype("float64")
    _check_amplitude_values(owner, found.ravel()[1:], frequency.ravel()[1:])
    return found


def _scale_amplitude(values: np.ndarray) -> np.ndarray:
    """Returns amplitudes in the same ratios that float32 can hold."""
    others = values.ravel()[1:]
    peak = np.abs(others).max(initial=0.0)
    if not peak:  # A single pixel has frequency 0 alone.
        return np.ones_like(values)
    values.flat[0] = np.clip(values.flat[0], -_MOST_MEAN * peak, _MOST_MEAN * peak)
    return values if _LEAST <= peak <= _MOST else values / peak


def _traced_amplitude(
    spectrum: Callable[[Any], Any],
    frequency: Any,
    lowest: Any,
    values: Tensor | None = None,
) -> Tensor:
    """Returns what `choose_amplitude` does, where values cannot be looked at.

    Values that would be an error there count as 0 here, and if all are 0, as 1.
    """
    ops = _backend.get_ops(frequency, values)
    frequency = ops.convert(frequency)
    if values is None:
        values = spectrum(frequency)
    clamped = spectrum(ops.maximum(frequency, lowest))
    zeros = ops.zeros(ops.shape(frequency), "float32")
    values, clamped = (ops.convert(x, "float32") + zeros for x in (values, clamped))
    at_zero = frequency == 0.0
    values = ops.where(at_zero & ~_is_finite(values), clamped, values)
    values = ops.where(_is_finite(values), values, 0.0)
    size = ops.maximum(values, -values)
    peak = ops.max(ops.where(at_zero, 0.0, size))
    usable = peak > 0.0
    bound = ops.where(usable, _MOST_MEAN, 1.0) * peak
    values = ops.where(at_zero, ops.minimum(ops.maximum(values, -bound), bound), values)
    fits = (peak >= _LEAST) & (peak <= _MOST)
    values = values / ops.where(fits | ~usable, 1.0, peak)
    return ops.where(usable, values, 1.0)


def _is_finite(x: Tensor) -> Tensor:
    """Returns where values are finite numbers."""
    return (x - x) == 0.0


def _check_amplitude_shape(owner: str, values: Any, shape: tuple[int, ...]) -> None:
    """Checks that a spectrum returns a real number for each frequency."""
    fits = values.dtype.kind in "biuf" and values.ndim <= len(shape)
    pairs = zip(values.shape[::-1], shape[::-1], strict=False)
    if not fits or any(n not in (1, length) for n, length in pairs):
        _errors.fail(
            owner,
            "`spectrum` must return one real amplitude for each frequency.",
            f"shape {values.shape} and dtype {values.dtype} for frequencies of shape "
            f"{shape}",
            "Use functions that work elementwise.",
        )


def _check_amplitude_values(owner: str, values: Any, frequencies: Any) -> None:
    """Checks the amplitudes that a spectrum returns at all frequencies except 0."""
    wrong = ~np.isfinite(values)
    if np.any(wrong):
        _errors.fail(
            owner,
            "the amplitude of `spectrum` must be finite at all frequencies except 0.",
            f"{values[wrong][0]} at {frequencies[wrong][0]:.4g} cycles per pixel",
            "Bound it, for example with `np.maximum(frequency, 1e-3) ** -3.0`.",
        )
    if values.size and not np.any(values):
        _errors.fail(
            owner,
            "the amplitude of `spectrum` must not be 0 at all frequencies except 0, "
            "which makes all masks the same.",
            f"0 at {values.size:,} frequencies",
            "Use a function that is positive at some frequencies, in cycles per pixel.",
        )
