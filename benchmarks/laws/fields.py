"""FMix: the spectrum of its noise, and whether masks favour a direction or a place."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from scipy import special, stats

import keras_msda as msda
from benchmarks.laws import pvalues
from benchmarks.laws.pvalues import Law
from keras_msda import sampling
from keras_msda.masks import spectrum

#: Fields in one call.
BLOCK = 2_000
#: Sectors of directions, over half a turn.
SECTORS = 8
#: Pixels between those whose masks are compared.
SHIFT = 4


class Case(NamedTuple):
    """Fields of one kind.

    Attributes:
        size: Spatial lengths.
        decay_power: Decay of the amplitude with the frequency.
    """

    size: tuple[int, ...]
    decay_power: float

    @property
    def subject(self) -> str:
        """What a table calls it."""
        shape = " x ".join(map(str, self.size))
        return f"{shape}, power {self.decay_power:g}"

    @property
    def numbers(self) -> int:
        """How many normals a field is made from."""
        return math.prod(spectrum.noise_shape(self.size, self.decay_power, "isotropic"))


CASES = (
    Case((32, 32), 3.0),
    Case((32, 32), 1.5),
    Case((20, 36), 3.0),
    Case((64,), 1.5),
    Case((10, 12, 14), 3.0),
)


class Block(NamedTuple):
    """Draws of FMix.

    Attributes:
        lam: lambda, `(draws,)`.
        field: The noise, `(draws, *size)`.
        mask: The masks, of the same shape.
    """

    lam: np.ndarray
    field: np.ndarray
    mask: np.ndarray


class Waves(NamedTuple):
    """The frequencies of fields that are drawn, one of each mirrored pair.

    Attributes:
        index: Their places in the transform, flat.
        length: Their lengths, in cycles per pixel.
        angle: Their directions, from 0 to pi; 0 where there is one axis.
    """

    index: np.ndarray
    length: np.ndarray
    angle: np.ndarray


def draw_block(layer: Any, size: tuple[int, ...], draws: int, seed: Any) -> Block:
    """Draws masks by a layer, with the noise that they are made from."""
    noted: dict[str, Any] = {}
    make, draw = spectrum.fourier_field, sampling.sample_lam

    def keep_field(*args: Any, **kwargs: Any) -> Any:
        noted["field"] = make(*args, **kwargs)
        return noted["field"]

    def keep_lam(*args: Any, **kwargs: Any) -> Any:
        noted["lam"] = draw(*args, **kwargs)
        return noted["lam"]

    with (
        mock.patch.object(spectrum, "fourier_field", keep_field),
        mock.patch.object(sampling, "sample_lam", keep_lam),
    ):
        mask, _ = layer.sample_masks(draws, size, seed=seed)
    return Block(*(np.asarray(x) for x in (noted["lam"], noted["field"], mask)))


def find_waves(case: Case) -> Waves:
    """Returns the frequencies whose power is tested."""
    kept = spectrum.kept_frequencies(case.size, case.decay_power)
    axes = [np.rint(np.fft.fftfreq(n) * n).astype(int) for n in case.size]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    lengths = np.array(case.size)
    drawn = (np.abs(grid) <= kept).all(1)
    # One that is its own mirror image has one real part instead of two.
    single = (2 * grid % lengths == 0).all(1)
    mirrored = -grid % lengths
    weights = np.cumprod([1, *lengths[:0:-1]])[::-1]
    places = (grid % lengths) @ weights, mirrored @ weights
    index = np.flatnonzero(drawn & ~single & (places[0] < places[1]))
    cycles = grid[index] / lengths
    angle = np.zeros(len(index))
    if len(lengths) == 2:
        angle = np.arctan2(cycles[:, 0], cycles[:, 1]) % np.pi
    return Waves(index, np.sqrt((cycles**2).sum(1)), angle)


class Sums:
    """Sums over all fields of a case.

    Args:
        case: Their kind.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.waves = case, find_waves(case)
        self.count = 0
        self.power = np.zeros(len(self.waves.index))
        self.phases = np.zeros(64, "int64")
        # Differences of masks, one row per draw and statistic; see `note_masks`.
        self.rows: list[np.ndarray] = []

    def add(self, block: Block) -> None:
        """Adds draws."""
        rank = len(self.case.size)
        field = block.field.astype("float64")
        axes = tuple(range(1, rank + 1))
        waves = np.fft.fftn(field, axes=axes).reshape(len(field), -1)
        waves = waves[:, self.waves.index]
        self.count += len(field)
        self.power += (np.abs(waves) ** 2).sum(0)
        turns = np.angle(waves) / (2 * np.pi) % 1
        cells = np.minimum((turns * 64).astype(int), 63)
        self.phases += np.bincount(cells.ravel(), minlength=64)
        if rank == 2:
            self.rows.append(note_masks(block))


def note_masks(block: Block) -> np.ndarray:
    """Returns statistics of each draw that have the mean 0 if the law holds."""
    mask, field = block.mask.astype("float64"), block.field.astype("float64")

    def shared(down: int, right: int) -> np.ndarray:
        moved = np.roll(mask, (down, right), axis=(1, 2))
        return (mask * moved).mean((1, 2))

    modes = np.fft.fft2(mask)
    first = field[:, 0, 0] / field.std()
    return np.stack(
        [
            shared(0, SHIFT) - shared(SHIFT, 0),
            shared(SHIFT, SHIFT) - shared(SHIFT, -SHIFT),
            modes[:, 0, 1].real,
            modes[:, 0, 1].imag,
            modes[:, 1, 0].real,
            modes[:, 1, 0].imag,
            first * np.roll(first, 1),
            first * (block.lam - 0.5),
        ]
    )


class Slope(NamedTuple):
    """A power law fitted to the power of all frequencies.

    Attributes:
        power: The power that the amplitude falls with.
        error: Its standard error.
        residuals: Distances from the law, in standard errors.
    """

    power: float
    error: float
    residuals: np.ndarray


def fit_slope(sums: Sums) -> Slope:
    """Fits the power law, by least squares of logarithms.

    The logarithm of a mean of n exponential variables has the variance trigamma(n).
    """
    x, y = np.log(sums.waves.length), np.log(sums.power / sums.count)
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(special.polygamma(1, sums.count))
    slope = (x @ y) / (x @ x)
    error = spread / math.sqrt(x @ x)
    return Slope(float(-slope / 2), float(error / 2), (y - slope * x) / spread)


def judge_power(sums: Sums) -> Iterator[Law]:
    """Yields the tests of the noise."""
    case, waves, count = sums.case, sums.waves, sums.count
    drawn = count * case.numbers

    def law(test: str, p: float) -> Law:
        return Law("fields", case.subject, test, drawn, p)

    slope = fit_slope(sums)
    yield law("power law", pvalues.z_test(slope.power - case.decay_power, slope.error))
    statistic = (slope.residuals**2).sum()
    p = pvalues.survive(statistic, len(slope.residuals) - 2)
    yield law("each frequency", p)
    yield law("phases", pvalues.chi_square(sums.phases))
    if len(case.size) == 2:
        ratio = sums.power * waves.length ** (2 * case.decay_power)
        ratio *= count * len(ratio) / ratio.sum()
        sector = np.minimum((waves.angle / np.pi * SECTORS).astype(int), SECTORS - 1)
        found = np.bincount(sector, ratio, SECTORS)
        expected = np.bincount(sector, minlength=SECTORS) * count
        statistic = ((found - expected) ** 2 / expected).sum()
        yield law("each direction", pvalues.survive(statistic, SECTORS - 1))


def judge_masks(sums: Sums) -> Iterator[Law]:
    """Yields the tests of masks on images."""
    if not sums.rows:
        return
    rows = np.concatenate(sums.rows, 1)
    z = rows.mean(1) / (rows.std(1) / math.sqrt(rows.shape[1]))

    def law(test: str, p: float) -> Law:
        return Law("fields", sums.case.subject, test, sums.count, p)

    height, width = sums.case.size
    if height == width:
        yield law("masks, rows and columns", pvalues.z_test(z[0], 1))
    yield law("masks, two diagonals", pvalues.z_test(z[1], 1))
    yield law("masks, place", pvalues.survive((z[2:6] ** 2).sum(), 4))
    yield law("noise, next draw", pvalues.z_test(z[6], 1))
    yield law("noise, lambda", pvalues.z_test(z[7], 1))


def sum_fields(case: Case, draws: int, seed: int) -> Sums:
    """Draws fields from so many normals."""
    layer = msda.FMixLayer(decay_power=case.decay_power)
    sums = Sums(case)
    fields = -(-draws // case.numbers)
    for number, start in enumerate(range(0, fields, BLOCK)):
        count = min(BLOCK, fields - start)
        sums.add(draw_block(layer, case.size, count, (seed, number)))
    return sums


def run_all(
    draws: int, seed: int, slopes: dict[str, list[float]] | None = None
) -> Iterator[Law]:
    """Yields the tests of all that this module describes.

    Args:
        draws: How many normals.
        seed: The first of a few.
        slopes: Filled with the power of each case and half of its 95 % interval.
    """
    for number, case in enumerate(CASES):
        sums = sum_fields(case, draws, seed + number)
        slope = fit_slope(sums)
        if slopes is not None:
            reach = stats.norm.ppf(0.975) * slope.error
            slopes[case.subject] = [slope.power, float(reach)]
        yield from judge_power(sums)
        yield from judge_masks(sums)
