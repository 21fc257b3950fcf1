"""The mixing methods with their layers, which tables and figures read."""

import importlib
import inspect
from typing import Any, NamedTuple

from keras_msda import _methods
from keras_msda.layers.base import MixLayer


class Method(NamedTuple):
    """A mixing method, as the command line, tables and figures know it.

    Attributes:
        layer: Class of its layer, a subclass of `MixLayer`.
        paper: The paper that describes it: authors, title and year.
        url: Address of the paper.
        color: Colour of its curves in figures, as "#rrggbb".

    Example:
        >>> from keras_msda.layers import METHODS
        >>> method = METHODS["hmix"]
        >>> print(method.name, method.label, method.options)
        hmix HMix {'box_ratio': 0.5, 'border': 'clip'}
    """

    layer: type[MixLayer]
    paper: str
    url: str
    color: str

    @property
    def label(self) -> str:
        """Name in tables and figures: that of the class, without "Layer"."""
        return self.layer.__name__.removesuffix("Layer")

    @property
    def name(self) -> str:
        """Name on the command line: the label in lower case."""
        return self.label.lower()

    @property
    def options(self) -> dict[str, Any]:
        """The layer's own arguments with their defaults, without the shared ones."""
        shared = inspect.signature(MixLayer).parameters
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.layer).parameters.items()
            if name not in shared
        }


def _make_method(line: _methods.Line) -> Method:
    layer = getattr(importlib.import_module(line.module), line.class_name)
    return Method(layer, line.paper, line.url, line.color)


#: Every method by its name, in the order of tables and figures. `RandomMixLayer` is not
#: here: it chooses among methods and is none itself.
METHODS: dict[str, Method] = {line.name: _make_method(line) for line in _methods.LINES}
