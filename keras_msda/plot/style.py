"""How figures look: sizes, colours, and lines that differ in print as on a screen."""

from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from keras_msda.layers import METHODS

#: Blue to yellow: safe for colour-blind eyes, and never mistaken for a grey image.
MASK_COLORS = "cividis"
#: Blue below zero, orange above. Lightness rises, so that grey keeps the order.
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
    """How a curve is drawn: a colour and a marker, each enough to know it by."""

    color: str
    marker: str


# The colours of Okabe and Ito, yellow last, as it is pale on white; then some of Tol's.
LINES = (
    Line("#000000", "o"),
    Line("#d55e00", "s"),
    Line("#0072b2", "^"),
    Line("#009e73", "D"),
    Line("#cc79a7", "v"),
    Line("#e69f00", "P"),
    Line("#56b4e9", "X"),
    Line("#f0e442", "*"),
    Line("#999999", "h"),
    Line("#332288", "p"),
    Line("#882255", "<"),
    Line("#117733", ">"),
    Line("#aa4499", "d"),
)


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
        names: The label of a method in `layers.METHODS` gets that method's line, which
            is the same in every figure. Other names take the lines that are left, in
            their order.
    """
    methods = _method_lines()
    known = {name: methods[name] for name in names if name in methods}
    taken = {value for line in known.values() for value in line}
    free = [line for line in LINES if not taken & set(line)] or LINES
    others = [name for name in names if name not in known]
    return known | {
        name: free[number % len(free)] for number, name in enumerate(others)
    }


def _method_lines() -> dict[str, Line]:
    """Returns the line of each method, by label: its own colour, the next marker."""
    return {
        method.label: Line(method.color, LINES[number % len(LINES)].marker)
        for number, method in enumerate(METHODS.values())
    }
