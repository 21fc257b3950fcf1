"""From a target coefficient by distance to a spectrum of FMix."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, stats

from keras_msda import _backend, _checks, _errors
from keras_msda.analysis import _arguments
from keras_msda.analysis._offsets import average_by_distance
from keras_msda.analysis._types import Array, Shape
from keras_msda.analysis.coefficients import Radial, regularization_coefficients
from keras_msda.layers.fmix import FMixLayer


@keras.saving.register_keras_serializable(package="keras_msda")
class RadialSpectrum:
    """An amplitude at equally spaced frequencies, linear in between.

    Args:
        step: Distance of the frequencies, in cycles per pixel, positive.
        amplitude: At 0, `step`, 2 `step` and so on, two or more; the last one holds
            beyond.

    Raises:
        ValueError: If an argument is not one of those.

    Example:
        >>> import numpy as np
        >>> from keras_msda import analysis
        >>> spectrum = analysis.RadialSpectrum(0.1, [0.0, 1.0, 0.5])
        >>> print(spectrum(np.array([0.05, 0.1, 0.4])).round(2))
        [0.5 1.  0.5]
    """

    def __init__(self, step: float, amplitude: npt.ArrayLike) -> None:
        owner = type(self).__name__
        self.step = _check_step(owner, step)
        self.amplitude = _check_amplitude(owner, amplitude)

    def __call__(self, frequency: Any) -> Any:
        """Returns the amplitude at frequencies in cycles per pixel, array or tensor.

        Args:
            frequency: Of any shape; a tensor is float32.

        Returns:
            The amplitudes, of the same shape and kind.
        """
        last = len(self.amplitude) - 1
        if isinstance(frequency, np.ndarray):
            nodes = self.step * np.arange(last + 1)
            return np.interp(frequency, nodes, self.amplitude)
        ops = _backend.get_ops(frequency)
        place = ops.minimum(frequency / self.step, float(last))
        below = ops.minimum(ops.truncate(place), last - 1)
        table = ops.convert(self.amplitude)
        rest = place - ops.cast(below, "float32")
        return (1.0 - rest) * ops.take(table, below) + rest * ops.take(table, below + 1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments.

        Returns:
            A dictionary that can be written as JSON.
        """
        return {"step": self.step, "amplitude": self.amplitude.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the spectrum again."""
        return cls(**config)


class SpectrumDesign(NamedTuple):
    """A spectrum, and how near it comes to its target.

    Distances are those on the torus, where a field of FMix lives: half a length is far.

    Attributes:
        spectrum: For `FMixLayer(spectrum=...)`.
        target: The coefficient that was asked for, by distance.
        predicted: What the spectrum gives by the arcsine relation, by distance.
        measured: What an `FMixLayer` with it gives by distance, drawn.
        error: Standard error of `measured`, `(distances,)`, on the high side: as if all
            offsets of a distance erred together.
        rms_residual: Root mean square of `target - predicted` over all offsets except
            for 0, in the units of the coefficient.
        negative: Share of the target correlation's spectrum that was negative and set
            to 0; 0 where the target is positive definite.
    """

    spectrum: RadialSpectrum
    target: Radial
    predicted: Radial
    measured: Radial
    error: Array
    rms_residual: float
    negative: float


def design_spectrum(
    coefficients: npt.ArrayLike,
    shape: tuple[int, ...],
    *,
    alpha: float | tuple[float, float] = 1.0,
    draws: int = 500,
    seed: int = 0,
) -> SpectrumDesign:
    """Returns the spectrum of FMix whose coefficients come closest to a target.

    FMix's pixels are those of a Gaussian field above a threshold, so that a coefficient
    follows from the field's correlation rho: E[lambda (1 - lambda)], which is MixUp's,
    plus the integral over angles from 0 to arcsin(rho) of E[exp(-t^2 / (1 + sin))] / 2
    pi, where t is the threshold. It is solved for rho, transformed, averaged over
    directions, and projected: the closest spectrum in least squares that is nowhere
    negative and has rho = 1 at distance 0. At 0 the coefficient is the methods' common
    one, whatever the target, and the mean over all offsets is MixUp's. The real masks
    hold the exact number of pixels, which lowers correlations a little: see `measured`.

    Args:
        coefficients: Target of `regularization_coefficients(...).second` by distance 0,
            1, 2, ... pixels; the last one holds beyond.
        shape: Spatial lengths, one to three, without channels.
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        draws: Masks to draw for `measured`, 2 or more.
        seed: Of the draws.

    Returns:
        `SpectrumDesign`; its curves have the distances 0, 1, 2, ... up to the longest
        on the torus, each of shape `(distances,)`.

    Raises:
        ValueError: If the coefficients are not finite numbers, two at least, or an
            argument is out of range.

    Example:
        >>> import keras_msda as msda
        >>> from keras_msda import analysis
        >>> target = [0.33, 0.25, 0.2, 0.17, 0.16]
        >>> design = analysis.design_spectrum(target, (16, 16), draws=50)
        >>> layer = msda.FMixLayer(spectrum=design.spectrum)
        >>> print(design.predicted.value[:3].round(2), design.negative < 0.1)
        [0.33 0.24 0.2 ] True
    """
    owner = "design_spectrum"
    shape = _arguments.check_shape(owner, shape)
    _check_two_pixels(owner, shape)
    a, b = _checks.check_alpha(owner, alpha)
    _arguments.check_draws(owner, draws)
    curve = _check_curve(owner, coefficients)
    angle, value = _relation(a, b)
    distance = _distances(shape)
    target = np.interp(distance, np.arange(len(curve)), curve)
    correlation = np.sin(np.interp(target, value, angle))
    correlation[(0,) * len(shape)] = 1.0
    spectrum, negative = _closest_spectrum(correlation)
    predicted = np.interp(np.arcsin(_correlation(spectrum, shape)), angle, value)
    layer = FMixLayer((a, b), spectrum=spectrum)
    found = regularization_coefficients(layer, shape, draws=draws, seed=seed)
    apart = distance > 0
    return SpectrumDesign(
        spectrum,
        target=_radial(_spread(target), shape),
        predicted=_radial(_spread(predicted), shape),
        measured=_radial(found.second, shape),
        error=_radial(found.error, shape).value,
        rms_residual=float(np.sqrt(np.mean((target - predicted)[apart] ** 2))),
        negative=negative,
    )


def _relation(a: float, b: float) -> tuple[Array, Array]:
    """Returns angles, arcsin(rho) in ascending order, and their coefficients."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 2049)
    share = (np.arange(4096) + 0.5) / 4096
    threshold = stats.norm.isf(stats.beta.ppf(share, a, b))
    # At an angle of -90 degrees no two pixels are both above.
    widths = np.maximum(1 + np.sin(angle), 1e-12)
    density = [np.exp(-(threshold**2) / width).mean() for width in widths]
    above = integrate.cumulative_simpson(density, x=angle, initial=0) / (2 * np.pi)
    even = a * b / ((a + b) * (a + b + 1))
    return angle, even + above - above[len(angle) // 2]


def _distances(shape: Shape) -> Array:
    """Returns the distance of each offset from 0 on the torus, `shape`."""
    axes = [np.minimum(np.arange(n), n - np.arange(n)) ** 2.0 for n in shape]
    return np.asarray(np.sqrt(functools.reduce(np.add.outer, axes)), np.float64)


def _frequencies(shape: Shape) -> Array:
    """Returns the frequencies in cycles per pixel, in FFT order, `shape`."""
    axes = [np.fft.fftfreq(n) ** 2 for n in shape]
    return np.asarray(np.sqrt(functools.reduce(np.add.outer, axes)), np.float64)


def _closest_spectrum(target: Array) -> tuple[RadialSpectrum, float]:
    """Returns the closest spectrum to a correlation, and the share that was negative.

    The mean is left out: a constant added to a field changes no mask.
    """
    longest = max(target.shape)
    ring = np.rint(_frequencies(target.shape) * longest).astype(int).reshape(-1)[1:]
    power = np.fft.fftn(target).real.reshape(-1)[1:]
    count = np.bincount(ring)
    mean = np.bincount(ring, power) / np.maximum(count, 1)
    negative = np.abs(power[power < 0]).sum() / max(np.abs(power).sum(), 1e-300)

    def excess(level: float) -> float:
        return float(count @ np.maximum(mean - level, 0)) - target.size

    used = mean[count > 0]
    level = optimize.brentq(excess, used.min() - target.size, used.max())
    power = np.where(count > 0, np.maximum(mean - level, 0), 0)
    power[0] = power[1]
    return RadialSpectrum(1 / longest, np.sqrt(power)), float(negative)


def _correlation(spectrum: RadialSpectrum, shape: Shape) -> Array:
    """Returns the correlation of the field of a spectrum by offset on the torus."""
    power = np.asarray(spectrum(_frequencies(shape))) ** 2
    power[(0,) * len(shape)] = 0
    found = np.fft.ifftn(power).real
    return np.asarray(np.clip(found / found[(0,) * len(shape)], -1, 1), np.float64)


def _spread(torus: Array) -> Array:
    """Returns a map of the torus by offset in the plane, 0 in the middle."""
    lengths = [np.arange(1 - n, n) % n for n in torus.shape]
    return np.asarray(torus[np.ix_(*lengths)], np.float64)


def _radial(offsets: Array, shape: Shape) -> Radial:
    """Returns an offset map by distance on the torus."""
    return Radial(*average_by_distance(offsets, _spread(_distances(shape))))


def _finite_row(values: Any, dtype: str) -> np.ndarray | None:
    """Returns two finite numbers or more, one axis, or None if they are not that."""
    try:
        row = np.asarray(values, dtype)
    except (TypeError, ValueError):
        return None
    return row if row.ndim == 1 and len(row) > 1 and np.isfinite(row).all() else None


def _check_curve(owner: str, values: Any) -> np.ndarray:
    """Returns coefficients by distance."""
    curve = _finite_row(values, "float64")
    if curve is None:
        _errors.fail(
            owner,
            "`coefficients` must be finite numbers by distance 0, 1, 2, ..., two at "
            "least.",
            f"coefficients={values!r}",
            "Give for example `by_distance(found.second).value` of a layer.",
        )
    return curve


def _check_two_pixels(owner: str, shape: Sequence[int]) -> None:
    """Checks that there are pixels at a distance."""
    if math.prod(shape) < 2:
        _errors.fail(
            owner,
            "`shape` must have two pixels or more.",
            f"shape={shape}",
            "Use for example `shape=(32, 32)`.",
        )


def _check_step(owner: str, step: Any) -> float:
    """Returns the distance of the frequencies of a table."""
    if not (_checks.is_number(step) and math.isfinite(step) and step > 0):
        _errors.fail(
            owner,
            "`step` must be a positive finite number of cycles per pixel.",
            f"step={step!r}",
            "Use for example `step=1 / 32` for images of 32 pixels.",
        )
    return float(step)


def _check_amplitude(owner: str, values: Any) -> np.ndarray:
    """Returns amplitudes of a table, float32."""
    table = _finite_row(values, "float32")
    if table is None:
        _errors.fail(
            owner,
            "`amplitude` must be finite numbers at the frequencies 0, `step`, ..., two "
            "at least.",
            f"amplitude={values!r}",
            "Use for example `amplitude=[0.0, 1.0, 0.5]`.",
        )
    return table
