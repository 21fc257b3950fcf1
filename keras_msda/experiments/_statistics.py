"""Means over seeds with 95 % intervals, and differences that are paired by seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from keras_msda.experiments._config import Config, Group

Line = Mapping[str, Any]
#: Headings of the middle levels, by score.
LEVELS = {
    "fgsm": "FGSM {:g}/255",
    "occlusion": "occlusion {:g}",
    "noise": "noise {:g}",
    "blur": "blur {:g}",
}


class Estimate(NamedTuple):
    """A mean, and how far its 95 % interval reaches to either side.

    Attributes:
        mean: NaN without values.
        reach: NaN for fewer than two values.
        number: Of values.
    """

    mean: float
    reach: float
    number: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is on one side of 0."""
        return self.number > 1 and abs(self.mean) > self.reach


class Row(NamedTuple):
    """What a table says of a method.

    Attributes:
        name: Of the row.
        scores: By heading: accuracies as shares, and two scores of probabilities.
        gain: Paired difference of accuracy from no mixing; None for itself.
        fgsm: Accuracy by epsilon, 0 too.
    """

    name: str
    scores: Mapping[str, Estimate]
    gain: Estimate | None
    fgsm: Mapping[float, Estimate]


def estimate(values: Sequence[float | None]) -> Estimate:
    """Returns mean and 95 % interval by Student's t.

    Args:
        values: One per seed; None for one that is not finite.
    """
    given = np.array([math.nan if x is None else x for x in values], np.float64)
    count = len(given)
    mean = float(given.mean()) if count else math.nan
    if count < 2:
        return Estimate(mean, math.nan, count)
    quantile = float(special.stdtrit(count - 1, 0.975))
    return Estimate(mean, quantile * float(given.std(ddof=1)) / math.sqrt(count), count)


def middle(levels: Sequence[float]) -> float:
    """Returns the level in the middle, the higher of two."""
    return levels[len(levels) // 2]


def summarize(config: Config, lines: Sequence[Line], group: Group) -> list[Row]:
    """Returns the rows of a table that have lines.

    Args:
        config: The config.
        lines: Its lines, of all groups.
        group: What the table is about.
    """
    by_row: dict[str, dict[int, Line]] = {row: {} for row in config.methods}
    for line in lines:
        if tuple(line[key] for key in Group._fields) == tuple(group):
            by_row[line["row"]][line["seed"]] = line
    plain = next(
        (by_row[row] for row, x in config.methods.items() if x["method"] == "none"), {}
    )
    return [
        _summarize_row(config, row, found, plain)
        for row, found in by_row.items()
        if found
    ]


def _summarize_row(
    config: Config, name: str, found: Mapping[int, Line], plain: Mapping[int, Line]
) -> Row:
    lines = [line["scores"] for line in found.values()]
    scores = {
        "accuracy": estimate([x["accuracy"] for x in lines]),
        "NLL": estimate([x["nll"] for x in lines]),
        "ECE": estimate([x["ece"] for x in lines]),
    }
    for kind, levels in config.settings["scores"].items():
        level = middle(levels)
        values = [x[kind][f"{level:g}"] for x in lines]
        scores[LEVELS[kind].format(level)] = estimate(values)
    epsilons = config.settings["scores"].get("fgsm", ())
    fgsm = {0.0: estimate([x["unchanged"]["0"] for x in lines])}
    fgsm |= {e: estimate([x["fgsm"][f"{e:g}"] for x in lines]) for e in epsilons}
    return Row(name, scores, _gain(config, name, found, plain), fgsm)


def _gain(
    config: Config, name: str, found: Mapping[int, Line], plain: Mapping[int, Line]
) -> Estimate | None:
    """Returns the mean of differences of runs with the same seed."""
    if config.methods[name]["method"] == "none" or not plain:
        return None
    return compare(found, plain, ("accuracy",))


def compare(
    first: Mapping[int, Line], second: Mapping[int, Line], score: Sequence[str]
) -> Estimate:
    """Returns the mean difference of two rows, paired by seed.

    Args:
        first: Lines of a row by seed.
        second: Lines of the row to subtract.
        score: Where a line's scores have it, such as `("fgsm", "4")`.
    """
    seeds = [seed for seed in first if seed in second]
    pairs = [(read_score(first[x], score), read_score(second[x], score)) for x in seeds]
    return estimate([own - other for own, other in pairs])


def read_score(line: Line, score: Sequence[str]) -> float:
    """Returns a score of a line, NaN where it was not finite."""
    value: Any = line["scores"]
    for key in score:
        value = value[key]
    return math.nan if value is None else float(value)
