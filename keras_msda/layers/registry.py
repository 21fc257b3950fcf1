"""The one list of mixing methods, which tables, figures and the command line read."""

import inspect
from typing import Any, NamedTuple

from keras_msda.layers.base import MixLayer
from keras_msda.layers.cutmix import CutMixLayer
from keras_msda.layers.fmix import FMixLayer
from keras_msda.layers.gmix import GMixLayer
from keras_msda.layers.hmix import HMixLayer
from keras_msda.layers.mixup import MixUpLayer


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


_UNIFIED = (
    "Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss "
    "Function Perspective, 2022",
    "https://arxiv.org/abs/2208.09913",
)
# Colours of Okabe and Ito, which colour-blind eyes can tell apart.
_ALL = (
    Method(
        MixUpLayer,
        "Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk "
        "Minimization, 2018",
        "https://arxiv.org/abs/1710.09412",
        "#000000",
    ),
    Method(
        CutMixLayer,
        "Yun, Han, Oh, Chun, Choe and Yoo, CutMix: Regularization Strategy to Train "
        "Strong Classifiers with Localizable Features, 2019",
        "https://arxiv.org/abs/1905.04899",
        "#d55e00",
    ),
    Method(HMixLayer, *_UNIFIED, "#0072b2"),
    Method(GMixLayer, *_UNIFIED, "#009e73"),
    Method(
        FMixLayer,
        "Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing "
        "Mixed Sample Data Augmentation, 2020",
        "https://arxiv.org/abs/2002.12047",
        "#cc79a7",
    ),
)

#: Every method by its name, in the order of tables and figures. `RandomMixLayer` is not
#: here: it chooses among methods and is none itself.
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
