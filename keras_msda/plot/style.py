"""How figures look: sizes, colours, lines and markers that print and eyes can tell."""

from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Blue to yellow, also for colour-blind eyes, and never taken for a grey image.
MASK_COLORS = "cividis"
#: Blue below zero, orange above; and ever lighter, so that grey keeps the order.
SIGNED_COLORS = LinearSegmentedColormap.from_list(
    "keras_msda_signed",
    [
        (0, "#081d58"),
        (0.25, "#0072b2"),
        (0.5, "#8f8f8f"),
        (0.75, "#e69f00"),
        (1, "#fff7bc"),
    ],
)


class Line(NamedTuple):
    """How a curve is drawn: colour and marker, either of which tells it alone."""

    color: str
    marker: str


# The colours of Okabe and Ito but for yellow, which paper swallows.
LINES = (
    Line("#000000", "o"),
    Line("#d55e00", "s"),
    Line("#0072b2", "^"),
    Line("#009e73", "D"),
    Line("#cc79a7", "v"),
    Line("#e69f00", "P"),
    Line("#56b4e9", "X"),
)
#: Methods look the same in every figure.
_METHODS = ("MixUp", "CutMix", "HMix", "GMix", "FMix")


def new_figure(width: float, height: float) -> Figure:
    """Makes a figure on the Agg canvas: no screen, no pyplot, no state left behind.

    Args:
        width: Inches.
        height: Inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure


def lines_of(names: tuple[str, ...]) -> dict[str, Line]:
    """Returns how the curve of each name is drawn.

    Args:
        names: The methods' own look comes to those that are called after them; others
            take what is left, in their order.
    """
    known = {name: LINES[_METHODS.index(name)] for name in names if name in _METHODS}
    free = [line for line in LINES if line not in known.values()]
    others = [name for name in names if name not in known]
    return known | {
        name: free[number % len(free)] for number, name in enumerate(others)
    }
