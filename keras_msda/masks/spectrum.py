"""Smooth random fields: noise shaped in the frequency domain and transformed back."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_msda import _backend, _checks, _errors

Tensor = Any
Spectrum = str | Callable[[Any], Any]

#: Part of the field's variance that frequencies which are not drawn may carry.
_LOST_VARIANCE = 1e-4
# Columns of frequencies for which matrix products beat the fast transform.
_FEW = 64
# Cycles an image from which on all are drawn.
_FARTHEST = 2.0**20
# Higher powers keep the lowest frequency alone, as this one does.
_HIGHEST_POWER = 1e5
# Amplitudes that leave float32 room for a field of 2^30 pixels on either side.
_LEAST, _MOST = 2.0**-84, 2.0**84
_LOG_LARGEST = math.log(2.0**122)
# How much higher than all others the amplitude of frequency 0 may be: it does not
# change a mask, but as a part of each pixel it takes digits from the rest.
_MOST_MEAN = 2.0**12
# 2 pi^(n/2) / Gamma(n/2): the surface of the unit sphere in n dimensions.
_SPHERE = {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}


def kept_frequencies(size: Sequence[Any], decay_power: float) -> tuple[Any, ...]:
    """Returns the highest frequency, in cycles an image, that is drawn on each axis.

    Variance falls as f^(-2 decay_power). What lies beyond a radius R in units of the
    lowest frequency is at most the integral `S_n R^(n - 2 p) / (2 p - n)`, and the two
    lowest ones alone carry 2; R is where the ratio is 1e-4.

    Args:
        size: Spatial lengths, integers or traced scalars.
        decay_power: Decay of the amplitude, not negative.

    Returns:
        One number an axis; half the length where all are kept.

    Raises:
        ValueError: If the size or the power is not one of those.

    Example:
        >>> from keras_msda import masks
        >>> print(masks.kept_frequencies((224, 224), 3.0))
        (11, 11)
    """
    size = _checks.check_size("kept_frequencies", size)
    decay_power = _checks.check_decay_power("kept_frequencies", decay_power)
    return _kept(size, decay_power)


def _kept(size: Sequence[Any], decay_power: float) -> tuple[Any, ...]:
    """Returns what `kept_frequencies` does, of arguments that are known to be right."""
    ops = _backend.of(*size)
    everything = tuple(length // 2 for length in size)
    excess = 2 * min(decay_power, _HIGHEST_POWER) - len(size)
    if excess <= 0:
        return everything
    tail = _SPHERE[len(size)] / (excess * 2 * _LOST_VARIANCE)
    # One more, since lattice points stand for the volume around them.
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


def _smaller(x: Any, y: Any) -> Any:
    """Returns the smaller of two lengths, an integer where both are."""
    if isinstance(x, int) and isinstance(y, int):
        return min(x, y)
    return _backend.of(x, y).minimum(x, y)


def noise_shape(
    size: Sequence[Any], decay_power: float, spectrum: Spectrum
) -> tuple[Any, ...]:
    """Returns the shape, without the draws, of the normals that `fourier_field` takes.

    Args:
        size: Spatial lengths.
        decay_power: Decay of the amplitude.
        spectrum: As in `fourier_field`.
    """
    if spectrum == "official":
        return (2, *size[2:], *[_official_half(width) for width in size[1:2]], 2)
    kept = [length // 2 for length in size]
    if spectrum == "isotropic":
        kept = list(_kept(size, decay_power))
    rows = [_smaller(2 * k + 1, length) for k, length in zip(kept, size, strict=True)]
    return (*rows[:-1], kept[-1] + 1, 2)


def _cycles(count: Any, length: Any, like: Tensor) -> Tensor:
    """Returns `count` frequencies of an axis in FFT order, in cycles per pixel."""
    ops = _backend.of(like)
    index = ops.arange(count)
    signed = ops.where(index < (count + 1) // 2, index, index - count)
    return ops.cast(signed, "float32") / ops.cast(length, "float32")


def _radius(axes: Sequence[Tensor]) -> Tensor:
    """Returns the distance from 0 of each point of a grid."""
    ops = _backend.of(*axes)
    total = 0.0
    for axis, values in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = -1
        total = total + ops.reshape(values * values, shape)
    return ops.sqrt(total)


def _decayed(radius: Tensor, size: Sequence[Any], decay_power: float) -> Tensor:
    """Returns max(f, 1 / longest axis)^-decay_power, or that times a number.

    The number keeps what float32 cannot hold, of which masks need the ratios alone.
    """
    ops = _backend.of(radius)
    longest = ops.max(ops.cast(ops.stack(size), "float32"))
    power = min(decay_power, _HIGHEST_POWER)
    logarithm = ops.log(ops.maximum(radius, 1.0 / longest))
    if all(isinstance(length, int) for length in size):
        if power * math.log(max(size)) <= _largest(math.prod(size)):
            return ops.exp(-power * logarithm)
        return _relative(radius, longest, power)
    pixels = ops.prod(ops.cast(ops.stack(size), "float32"))
    fits = power * ops.log(longest) <= _largest(pixels)
    usual = ops.exp(-power * logarithm)
    return ops.where(fits, usual, _relative(radius, longest, power))


def _relative(radius: Tensor, longest: Tensor, power: float) -> Tensor:
    """Returns max(f L, 1)^-power, in which the lowest frequency has the amplitude 1."""
    ops = _backend.of(radius)
    return ops.exp(-power * ops.log(ops.maximum(radius * longest, 1.0)))


def _largest(pixels: Any) -> Any:
    """Returns the logarithm of the largest amplitude that a field has room for.

    Times the square root of the number of pixels, and 64 for the normals' sum.
    """
    if isinstance(pixels, int):
        return _LOG_LARGEST - math.log(pixels) / 2
    return _LOG_LARGEST - _backend.of(pixels).log(pixels) / 2.0


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
            units that float32 can hold. Powers from 1e5 on count as that.
        spectrum: "isotropic" as the paper defines it; "official" as the published code
            indexes it, which keeps the frequencies 0 and 1 alone along the last axis;
            or a function from frequencies in cycles per pixel to amplitudes, which gets
            a NumPy array, or a tensor where the size is not known when traced. Where it
            is not finite at frequency 0, as 1 / f, it is taken at 1 / longest axis. Its
            sign and scale do not matter.

    Returns:
        float32 `(draws, *size)`, on a torus.

    Raises:
        ValueError: If an argument is not one of those, or a spectrum's amplitude is not
            finite at a frequency but 0, or 0 at all of them. Where amplitudes are
            tensors that are traced, those that are not finite count as 0, and if none
            is left all are 1.

    Example:
        >>> import numpy as np
        >>> from keras_msda import masks
        >>> noise = np.zeros((1, 5, 2), "float32")
        >>> noise[0, 1, 0] = 1.0  # The real part of one cycle an image.
        >>> field = masks.fourier_field(noise, (8,), decay_power=0.0)
        >>> print(field.numpy()[0, ::2].round(2) + 0.0)
        [ 0.5  0.  -0.5  0. ]

    References:
        Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing
        Mixed Sample Data Augmentation, 2020, section 4.
    """
    owner = "fourier_field"
    size = _checks.check_size(owner, size)
    decay_power = _checks.check_decay_power(owner, decay_power)
    _checks.check_spectrum(owner, spectrum)
    ops = _backend.of(noise, *size)
    noise = ops.convert(noise, "float32")
    whole = noise_shape(size, 0.0, spectrum)  # All frequencies.
    _check_noise(owner, noise.shape, whole, spectrum == "isotropic")
    if spectrum == "official":
        return _official_field(noise, size, decay_power)
    *rows, columns = ops.shape(noise)[1:-1]
    axes = [_cycles(count, n, noise) for count, n in zip(rows, size[:-1], strict=True)]
    column = ops.arange(columns)
    axes.append(ops.cast(column, "float32") / ops.cast(size[-1], "float32"))
    amplitude = _amplitude(_radius(axes), size, decay_power, spectrum)
    # A self-conjugate column keeps half its variance when it is made Hermitian.
    mirrored = (column == 0) | (2 * column == size[-1])
    pixels = ops.prod(ops.cast(ops.stack(size), "float32"))
    scale = amplitude * ops.sqrt(pixels * ops.where(mirrored, 1.0, 0.5))
    parts = _hermitian(noise[..., 0] * scale, noise[..., 1] * scale, length=size[-1])
    return _transformed(parts, size)


def _amplitude(
    radius: Tensor, size: Sequence[Any], decay_power: float, spectrum: Spectrum
) -> Tensor:
    """Returns the amplitude of each frequency that is drawn."""
    if not callable(spectrum):
        return _decayed(radius, size, decay_power)
    ops = _backend.of(radius)
    if not all(isinstance(length, int) for length in size):
        lowest = 1.0 / ops.max(ops.cast(ops.stack(size), "float32"))
        return _traced_amplitude(spectrum, radius, lowest)
    frequency = _half_spectrum(size)
    lowest = np.float32(1 / max(size))
    with np.errstate(all="ignore"):
        values = spectrum(frequency)
        found = _backend.visible(values)
        if found is None:  # Made by a library that traces.
            return _traced_amplitude(spectrum, frequency, lowest, values)
        found = _checked_amplitude(found, frequency)
        if not np.isfinite(found.flat[0]):
            # The first is frequency 0.
            clamped: Any = _backend.visible(spectrum(np.maximum(frequency, lowest)))
            found.flat[0] = clamped.flat[0]
    return ops.convert(_scaled_amplitude(found), "float32")


def _half_spectrum(size: Sequence[int]) -> np.ndarray:
    """Returns the frequencies of a half spectrum, float32, in cycles per pixel."""
    axes = [np.fft.fftfreq(length) for length in size[:-1]]
    axes.append(np.arange(size[-1] // 2 + 1) / size[-1])
    radius: np.ndarray = np.sqrt(sum(axis**2 for axis in np.ix_(*axes)))
    return radius.astype("float32")


def _checked_amplitude(values: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Returns amplitudes as float64 of the shape of the frequencies, or raises.

    What is not finite at frequency 0 alone is left for a lower one to replace.
    """
    owner = "fourier_field"
    _check_amplitude_shape(owner, values, frequency.shape)
    found = np.broadcast_to(values, frequency.shape).astype("float64")
    _check_amplitude_values(owner, found.ravel()[1:], frequency.ravel()[1:])
    return found


def _scaled_amplitude(values: np.ndarray) -> np.ndarray:
    """Returns amplitudes that float32 holds, in the same ratios."""
    others = values.ravel()[1:]
    peak = np.abs(others).max(initial=0.0)
    if not peak:  # Of one pixel there is frequency 0 alone.
        return np.ones_like(values)
    values.flat[0] = np.clip(values.flat[0], -_MOST_MEAN * peak, _MOST_MEAN * peak)
    return values if _LEAST <= peak <= _MOST else values / peak


def _traced_amplitude(
    spectrum: Callable[[Any], Any],
    frequency: Any,
    lowest: Any,
    values: Tensor | None = None,
) -> Tensor:
    """Returns what `_amplitude` does where values cannot be looked at.

    What would be an error there counts as 0 here, and zeros everywhere as ones.
    """
    ops = _backend.of(frequency, values)
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


def _transformed(parts: tuple[Tensor, Tensor], size: Sequence[Any]) -> Tensor:
    """Returns the inverse transform of a block of low frequencies, in FFT order.

    Args:
        parts: Real and imaginary part, float32 `(draws, *rows, columns)`.
        size: Spatial lengths of the result.
    """
    ops = _backend.of(*parts)
    columns = parts[0].shape[-1]
    known = all(isinstance(length, int) for length in size)
    if known and columns <= min(_FEW, (size[-1] // 2 + 1) // 2):
        return _synthesised(parts, size)
    real, imaginary = (_placed(part, size) for part in parts)
    return ops.irfftn((real, imaginary), size)


def _synthesised(parts: tuple[Tensor, Tensor], size: Sequence[int]) -> Tensor:
    """Returns what `_transformed` does, by the product of a matrix for each axis.

    Where the fast transform would mostly move zeros. TPU compilers take a second for it
    and not 15.
    """
    ops = _backend.of(*parts)
    columns = parts[0].shape[-1]
    waves = ops.concat(parts, -1)
    for axis, length in enumerate(size[:-1], start=1):
        # Times i, so that cosines of the one and sines of the other make the product.
        turned = ops.concat([-waves[..., columns:], waves[..., :columns]], -1)
        rest = ops.shape(waves)[1:]
        before, count, after = rest[: axis - 1], rest[axis - 1], rest[axis:]
        matrix = np.concatenate(_turns(count, length), 0).T
        stacked = ops.concat([waves, turned], axis)
        stacked = ops.reshape(stacked, [-1, 2 * count, math.prod(after)])
        waves = ops.synthesise(ops.convert(matrix, "float32"), stacked)
        waves = ops.reshape(waves, [-1, *before, length, *after])
    # A column stands for its mirror image too, but where it is that itself.
    column = np.arange(columns)
    share = np.where((column == 0) | (2 * column == size[-1]), 1, 2) / math.prod(size)
    cosines, sines = _turns(2 * columns, size[-1])[:, :columns] * share[:, None]
    matrix = ops.convert(np.concatenate([cosines, -sines]), "float32")
    field = ops.synthesise(ops.reshape(waves, [-1, 2 * columns]), matrix)
    return ops.reshape(field, [-1, *size])


def _turns(count: int, length: int) -> np.ndarray:
    """Returns cosines and sines of some frequencies, in FFT order, at each pixel."""
    index = np.arange(count)
    signed = np.where(index < (count + 1) // 2, index, index - count)
    # In whole numbers as far as they go: the angle of the last pixel is as exact.
    angle = 2 * np.pi / length * (np.outer(signed, np.arange(length)) % length)
    return np.stack([np.cos(angle), np.sin(angle)])


def _placed(block: Tensor, size: Sequence[Any]) -> Tensor:
    """Puts a block of low frequencies, in FFT order, into the whole half spectrum."""
    ops = _backend.of(block)
    rank = len(size)
    for axis in range(1, rank + 1):
        shape = list(ops.shape(block))
        rows, last = shape[axis], axis == rank
        head = rows if last else (rows + 1) // 2
        whole = size[axis - 1] // 2 + 1 if last else size[axis - 1]
        shape[axis] = whole - rows
        before = (slice(None),) * axis
        parts = [block[(*before, slice(0, head))], ops.zeros(shape, "float32")]
        block = ops.concat([*parts, block[(*before, slice(head, None))]], axis)
    return block


def _official_field(noise: Tensor, size: Sequence[Any], decay_power: float) -> Tensor:
    """Returns the field of the published code, whose index takes rows for parts.

    Its first two rows of frequencies become real and imaginary part, and its real and
    imaginary parts the columns 0 and 1 of a half spectrum that the transform then pads
    with zeros or crops (`fmix.py`, `spectrum[:, 0] + 1j * spectrum[:, 1]`).
    """
    ops = _backend.of(noise, *size)
    rows = _cycles(size[0], size[0], noise)
    axes = [ops.stack([rows[0], rows[1 % size[0]]])]
    if len(size) == 3:
        axes.append(_cycles(size[2], size[2], noise))
    if len(size) > 1:
        axes.append(_cycles(size[1], size[1], noise)[: _official_half(size[1])])
    scaled = noise * _decayed(_radius(axes), size, decay_power)[..., None]
    # Of all rows, which mirror each other, and of the one or two columns there are.
    rows = (*size[:-1], _smaller(size[-1] // 2 + 1, scaled.shape[-1]))
    parts = [_fitted(scaled[:, part], rows) for part in (0, 1)]
    return _transformed(_hermitian(*parts, length=size[-1]), size)


def _official_half(width: Any) -> Any:
    """Returns how many frequencies the published code takes of its half axis."""
    return _smaller(width // 2 + 1 + width % 2, width)


def _fitted(block: Tensor, lengths: Sequence[Any]) -> Tensor:
    """Crops or pads a block, at the end of each axis, to some lengths."""
    ops = _backend.of(block)
    for axis, length in enumerate(lengths, start=1):
        block = block[(*(slice(None),) * axis, slice(0, length))]
        shape = list(ops.shape(block))
        shape[axis] = length - shape[axis]
        block = ops.concat([block, ops.zeros(shape, "float32")], axis)
    return block


def _hermitian(real: Tensor, imaginary: Tensor, *, length: Any) -> tuple[Any, Any]:
    """Returns a half spectrum whose self-conjugate columns belong to a real field.

    The first column of a half spectrum, and the middle one of an even length, are their
    own mirror images in a real field. Not every library takes that part by itself.
    """
    ops = _backend.of(real)
    shape = ops.shape(real)
    columns = ops.arange(shape[-1])
    mirrored = (columns == 0) | (2 * columns == length)
    others = range(1, len(shape) - 1)
    flipped = [ops.negate_index(part, others) for part in (real, imaginary)]
    return (
        ops.where(mirrored, (real + flipped[0]) / 2.0, real),
        ops.where(mirrored, (imaginary - flipped[1]) / 2.0, imaginary),
    )


def _check_noise(owner: str, shape: Any, whole: Sequence[Any], fewer: bool) -> None:
    """Checks the shape of the normals that a field is made from.

    Args:
        owner: Name that the error starts with.
        shape: Their static shape.
        whole: Their shape, without the draws, with all frequencies.
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
    """Checks what a spectrum returns at all frequencies but 0."""
    wrong = ~np.isfinite(values)
    if np.any(wrong):
        _errors.fail(
            owner,
            "the amplitude of `spectrum` must be finite at all frequencies but 0.",
            f"{values[wrong][0]} at {frequencies[wrong][0]:.4g} cycles per pixel",
            "Bound it, for example by `np.maximum(frequency, 1e-3) ** -3.0`.",
        )
    if values.size and not np.any(values):
        _errors.fail(
            owner,
            "the amplitude of `spectrum` must not be 0 at all frequencies but 0, which "
            "makes all masks the same.",
            f"0 at {values.size:,} frequencies",
            "Give a function that is positive at some, in cycles per pixel.",
        )
