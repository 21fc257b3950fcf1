"""What masks are on average and what they regularise, as a table and a picture."""

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_msda import _errors, _methods, analysis, plot
from keras_msda.cli import _files

# Lambdas at which sides change, times numbers in a transform, times kinds of boxes: of
# so much two exact results take some 30 s. It is 105x105 pixels for HMix, whose boxes
# are cut in many ways, and 315x315 for all others.
_LARGEST_WORK = 2.5e8
# Of an axis all places are transformed for each lambda: 20 s.
_LONGEST = 512
# Numbers in the masks that are drawn where nothing else is said.
_DRAWN, _LEAST_DRAWS, _MOST_DRAWS = 2**22, 100, 1000
_WORDS = """Averages are over all pairs of pixels: where label
weights keep lambda's law, a mask moves regularisation from one distance to another,
and the average is MixUp's. Masks that are cut at the border have other weights."""
#: What the picture compares with.
REFERENCES = ("mixup", "cutmix")


class Settings(NamedTuple):
    """What the command line asks for.

    Attributes:
        methods: Keys of `_methods.LAYERS`, in the order of the table.
        shape: Spatial lengths.
        alpha: Of lambda's Beta law, two numbers.
        own: Arguments that only some layers have, those that were given.
        lam: Lambda of the moments, or None for its law.
        draws: Where masks are drawn; None for a number that takes seconds.
        seed: Of the draws.
    """

    methods: tuple[str, ...]
    shape: tuple[int, ...]
    alpha: tuple[float, float]
    own: Mapping[str, Any]
    lam: float | None
    draws: int | None
    seed: int


class Row(NamedTuple):
    """What was found of one method."""

    method: str
    moments: analysis.MaskMoments
    coefficients: analysis.Coefficients


def make_layers(settings: Settings) -> dict[str, Any]:
    """Makes the layers of the table, and checks all that was asked for.

    Args:
        settings: Of the command line.

    Raises:
        ValueError: If an argument is out of range or belongs to none of the methods,
            or the images are too large.
    """
    for name in settings.own:
        takers = [method for method in _methods.LAYERS if _takes(method, name)]
        _check_taken(name, settings.methods, takers)
    for method in (*settings.methods, *REFERENCES):
        work = _work(method, settings)
        _check_work(method, settings.shape, work, _LARGEST_WORK)
    return {method: _make(method, settings) for method in settings.methods}


def examine(layers: Mapping[str, Any], settings: Settings) -> list[Row]:
    """Computes moments and coefficients.

    Args:
        layers: From `make_layers`.
        settings: Of the command line.
    """
    return [
        Row(method, _moments(layer, settings), _coefficients(layer, settings))
        for method, layer in layers.items()
    ]


def draw(rows: Sequence[Row], settings: Settings, out: Path) -> None:
    """Writes the picture: moments, and coefficients beside those of MixUp and CutMix.

    Args:
        rows: Of the table.
        settings: Of the command line.
        out: The file.
    """
    found = {row.method: row.coefficients for row in rows}
    for method in REFERENCES:
        if method not in found:
            found[method] = _coefficients(_make(method, settings), settings)
    figure = plot.moments_and_coefficients(
        {_title(row.method): row.moments for row in rows},
        {_title(name): found[name] for name in _methods.LAYERS if name in found},
    )
    with _files.replacing(out) as part:
        figure.savefig(part)


def format_rows(rows: Sequence[Row], settings: Settings) -> str:
    """Lays the rows out in a table of moments and one of coefficients.

    Args:
        rows: In their order.
        settings: Of the command line.
    """
    a, b = settings.alpha
    size = "x".join(str(length) for length in settings.shape)
    given = "".join(f", {name} {value}" for name, value in settings.own.items())
    fixed = "drawn" if settings.lam is None else f"{settings.lam:g}"
    heads = "least", "mean", "most", "weight's mean", "its sd"
    lines = [
        f"{size} pixels, lambda ~ Beta({a:g}, {b:g}){given}",
        "",
        f"E[M] over the pixels, and the label weight; lambda {fixed}",
        f"{'method':<8}" + "".join(f"{head:>15}" for head in heads),
        *(_moments_line(row) for row in rows),
        "",
        "Coefficients of gradient products by distance in pixels",
        *_coefficient_lines(rows, a, b),
    ]
    return "\n".join(lines)


def _moments_line(row: Row) -> str:
    mean, covariance = row.moments.mean, row.moments.covariance
    # The weight is the mean of the mask; its variance that of all pairs of pixels.
    deviation = np.sqrt(max(0.0, analysis.over_all_pairs(covariance)))
    values = mean.min(), mean.mean(), mean.max(), mean.mean(), deviation
    words = "exact"
    if not row.moments.exact:
        error = row.moments.mean_error.max()
        words = f"{row.moments.draws} draws, error of E[M] <= {error:.1g}"
    return f"{row.method:<8}{''.join(f'{x:>15.4f}' for x in values)}  {words}"


def _coefficient_lines(rows: Sequence[Row], a: float, b: float) -> list[str]:
    """Returns the table by distance, and what its averages say."""
    last = int(analysis.by_distance(rows[0].coefficients.second).distance[-1])
    shown = [x for x in range(last + 1) if x & (x - 1) == 0]
    mixup = a * b / ((a + b) * (a + b + 1))
    head = "".join(f"{x:>8}" for x in shown)
    lines = [f"{'method':<8}{'form':<8}{head}{'average':>10}{'of MixUp':>10}"]
    for row in rows:
        for form, offsets, compared in _forms(row.coefficients):
            value = analysis.by_distance(offsets).value[shown]
            line = f"{row.method:<8}{form:<8}{''.join(f'{x:>8.4f}' for x in value)}"
            if compared:
                average = analysis.over_all_pairs(offsets)
                # At alphas near the least float MixUp's underflows.
                ratio = f"{average / mixup:.2%}" if mixup else "-"
                line += f"{average:>10.4f}{ratio:>10}"
            lines.append(line)
    return [*lines, "", f"MixUp has {mixup:.4f} at each distance. {_WORDS}"]


def _forms(
    found: analysis.Coefficients,
) -> list[tuple[str, npt.NDArray[np.float64], bool]]:
    """Returns names and offset maps, and whether their averages are those of MixUp."""
    forms = [("exact" if found.exact else "drawn", found.second, True)]
    if not found.exact:
        forms.append(("error", found.error, False))
    if found.paper is not None:
        forms.append(("paper's", found.paper, True))
    return forms


def _moments(layer: Any, settings: Settings) -> analysis.MaskMoments:
    """Returns moments; draws only where they are not exact."""
    shape, lam, seed = settings.shape, settings.lam, settings.seed
    found = analysis.mask_moments(layer, shape, lam=lam, draws=2, seed=seed)
    if found.exact:
        return found
    draws = _draws(settings)
    return analysis.mask_moments(layer, shape, lam=lam, draws=draws, seed=seed)


def _coefficients(layer: Any, settings: Settings) -> analysis.Coefficients:
    draws, seed = _draws(settings), settings.seed
    return analysis.regularization_coefficients(
        layer, settings.shape, draws=draws, seed=seed
    )


def _draws(settings: Settings) -> int:
    if settings.draws is not None:
        return settings.draws
    fitting = _DRAWN // int(np.prod(settings.shape))
    return min(_MOST_DRAWS, max(_LEAST_DRAWS, fitting))


def _make(method: str, settings: Settings) -> Any:
    """Makes a layer with those of the given arguments that it has."""
    own = {k: value for k, value in settings.own.items() if _takes(method, k)}
    return _methods.make_layer(method, alpha=settings.alpha, **own)


def _takes(method: str, name: str) -> bool:
    return name in inspect.signature(_methods.LAYERS[method]).parameters


def _title(method: str) -> str:
    return str(_methods.LAYERS[method].__name__).removesuffix("Layer")


def _work(method: str, settings: Settings) -> float:
    """Returns about how many numbers exact moments go through."""
    shape = settings.shape
    if max(shape) > _LONGEST:
        return math.inf
    clipped = settings.own.get("border", "clip") in ("clip", "clip_odd")
    kinds = max(shape) / 4 if method == "hmix" and clipped else 1.0
    return sum(shape) * math.prod(2 * length for length in shape) * max(1.0, kinds)


def _check_taken(name: str, methods: Sequence[str], takers: Sequence[str]) -> None:
    """Checks that an argument belongs to one of the methods."""
    if not set(methods) & set(takers):
        option = f"--{name.replace('_', '-')}"
        _errors.fail(
            "inspect",
            f"{option} belongs to {', '.join(takers)}.",
            f"{option} with --method {','.join(methods)}",
            f"Leave it out, or add --method {takers[0]}.",
        )


def _check_work(method: str, shape: Sequence[int], work: float, most: float) -> None:
    """Checks that exact moments take seconds."""
    if work > most:
        _errors.fail(
            "inspect",
            f"exact moments of {method} would take minutes.",
            f"--size {'x'.join(str(length) for length in shape)}",
            "Give a smaller size of the same proportions, as coefficients at a given "
            "part of the side hardly change with it; 96x96 is never too large.",
        )
