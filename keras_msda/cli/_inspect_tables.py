"""Lays out what `inspect` found in two tables: of moments, and of coefficients."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keras_msda import analysis
from keras_msda.cli._inspect import Row, Settings

_WORDS = """Averages are over all pairs of pixels: where label
weights keep lambda's distribution, a mask moves regularisation from one distance to
another, and the average is MixUp's. Masks that are cut at the border have other
weights."""


def format_rows(rows: Sequence[Row], settings: Settings) -> str:
    """Lays the rows out in a table of moments and one of coefficients.

    Args:
        rows: The rows, in their order.
        settings: What the command line asks for.

    Returns:
        The text to print.
    """
    width = max([8, *(len(row.method) + 2 for row in rows)])
    a, b = settings.alpha
    size = "x".join(str(length) for length in settings.shape)
    given = "".join(f", {name} {value}" for name, value in settings.own.items())
    fixed = "drawn" if settings.lam is None else f"{settings.lam:g}"
    heads = "least", "mean", "most", "weight's mean", "its sd"
    lines = [
        f"{size} pixels, lambda ~ Beta({a:g}, {b:g}){given}",
        "",
        f"E[M] over the pixels, and the label weight; lambda {fixed}",
        f"{'method':<{width}}" + "".join(f"{head:>15}" for head in heads),
        *(_moments_line(row, width) for row in rows),
        "",
        "Coefficients of gradient products by distance in pixels",
        *_coefficient_lines(rows, a, b, width),
    ]
    return "\n".join(lines)


def _moments_line(row: Row, width: int) -> str:
    mean, covariance = row.moments.mean, row.moments.covariance
    # The weight is the mean of the mask, so its variance is the mean covariance of all
    # pairs of pixels.
    deviation = np.sqrt(max(0.0, analysis.over_all_pairs(covariance)))
    values = mean.min(), mean.mean(), mean.max(), mean.mean(), deviation
    words = "exact"
    if not row.moments.exact:
        error = row.moments.mean_error.max()
        words = f"{row.moments.draws} draws, error of E[M] <= {error:.1g}"
    return f"{row.method:<{width}}{''.join(f'{x:>15.4f}' for x in values)}  {words}"


def _coefficient_lines(
    rows: Sequence[Row], a: float, b: float, width: int
) -> list[str]:
    """Returns the table by distance, and what its averages say."""
    last = int(analysis.by_distance(rows[0].coefficients.second).distance[-1])
    shown = [x for x in range(last + 1) if x & (x - 1) == 0]
    mixup = a * b / ((a + b) * (a + b + 1))
    head = "".join(f"{x:>8}" for x in shown)
    lines = [f"{'method':<{width}}{'form':<8}{head}{'average':>10}{'of MixUp':>10}"]
    for row in rows:
        for form, offsets, compared in _forms(row.coefficients):
            value = analysis.by_distance(offsets).value[shown]
            line = f"{row.method:<{width}}{form:<8}"
            line += "".join(f"{x:>8.4f}" for x in value)
            if compared:
                average = analysis.over_all_pairs(offsets)
                # MixUp's underflows at alphas near the smallest float.
                ratio = f"{average / mixup:.2%}" if mixup else "-"
                line += f"{average:>10.4f}{ratio:>10}"
            lines.append(line)
    return [*lines, "", f"MixUp has {mixup:.4f} at each distance. {_WORDS}"]


def _forms(
    found: analysis.Coefficients,
) -> list[tuple[str, npt.NDArray[np.float64], bool]]:
    """Returns names, offset maps, and whether to compare averages with MixUp."""
    forms = [("exact" if found.exact else "drawn", found.second, True)]
    if not found.exact:
        forms.append(("error", found.error, False))
    if found.paper is not None:
        forms.append(("paper's", found.paper, True))
    return forms
