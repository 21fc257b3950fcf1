"""The one list of mixing methods, which tables, figures and the command line read."""

import inspect
from typing import Any, NamedTuple

from keras_msda.layers.base import MixLayer
from keras_msda.layers.cutmix import CutMixLayer
from keras_msda.layers.fmix import FMixLayer
from keras_msda.layers.gmix import GMixLayer
from keras_msda.layers.gridmix import GridMixLayer
from keras_msda.layers.hmix import HMixLayer
from keras_msda.layers.mixup import MixUpLayer
from keras_msda.layers.puzzlemix import PuzzleMixLayer
from keras_msda.layers.resizemix import ResizeMixLayer
from keras_msda.layers.saliencymix import SaliencyMixLayer
from keras_msda.layers.smoothmix import SmoothMixLayer


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
# Colours of Okabe and Ito, which colour-blind eyes can tell apart, then two more.
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
    Method(
        GridMixLayer,
        "Baek, Bang and Shim, GridMix: Strong regularization through local context "
        "mapping, 2021",
        "https://www.sciencedirect.com/science/article/pii/S0031320320303976",
        "#e69f00",
    ),
    Method(
        SmoothMixLayer,
        "Lee, Zaheer, Astrid and Lee, SmoothMix: a Simple Yet Effective Data "
        "Augmentation to Train Robust Classifiers, 2020",
        "https://openaccess.thecvf.com/content_CVPRW_2020/html/w45/"
        "Lee_SmoothMix_A_Simple_Yet_Effective_Data_Augmentation_to_Train_Robust_"
        "CVPRW_2020_paper.html",
        "#56b4e9",
    ),
    Method(
        ResizeMixLayer,
        "Qin, Fang, Zhang, Liu, Wang and Wang, ResizeMix: Mixing Data with Preserved "
        "Object Information and True Labels, 2020",
        "https://arxiv.org/abs/2012.11101",
        "#f0e442",
    ),
    Method(
        SaliencyMixLayer,
        "Uddin, Monira, Shin, Chung and Bae, SaliencyMix: A Saliency Guided Data "
        "Augmentation Strategy for Better Regularization, 2021",
        "https://arxiv.org/abs/2006.01791",
        "#999999",
    ),
    Method(
        PuzzleMixLayer,
        "Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for "
        "Optimal Mixup, 2020",
        "https://arxiv.org/abs/2009.06962",
        "#332288",
    ),
)

#: Every method by its name, in the order of tables and figures. `RandomMixLayer` is not
#: here: it chooses among methods and is none itself.
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
