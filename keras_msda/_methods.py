"""The one list of mixing methods, a line each, which imports nothing that takes time.

`keras_msda.layers.METHODS` is made from it, with the layers' classes.
"""

import ast
import functools
from pathlib import Path
from typing import Any, NamedTuple


class Line(NamedTuple):
    """A mixing method, without the class of its layer.

    Attributes:
        label: Name in tables and figures. The class is called by it, `CutMixLayer`, and
            by its lower case the file in `keras_msda.layers`, `cutmix`.
        paper: The paper that describes it: authors, title and year.
        url: Address of the paper.
        color: Colour of its curves in figures, as "#rrggbb".
    """

    label: str
    paper: str
    url: str
    color: str

    @property
    def name(self) -> str:
        """Name on the command line: the label in lower case."""
        return self.label.lower()

    @property
    def class_name(self) -> str:
        """Name of the layer's class."""
        return f"{self.label}Layer"

    @property
    def module(self) -> str:
        """The module that has the class."""
        return f"keras_msda.layers.{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        """The layer's own arguments with their defaults, as `Method.options`."""
        return _read_options(self)


@functools.cache
def _read_options(line: Line) -> dict[str, Any]:
    """Reads the own arguments in the source: to import the layer takes seconds.

    They are the arguments of the constructor that are given by name alone. Their
    defaults must be literals.
    """
    file = Path(__file__).with_name("layers") / f"{line.name}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [x for x in tree.body if isinstance(x, ast.ClassDef)]
    (members,) = (x.body for x in classes if x.name == line.class_name)
    functions = [x for x in members if isinstance(x, ast.FunctionDef)]
    return {
        argument.arg: ast.literal_eval(default)
        for function in functions
        if function.name == "__init__"
        for argument, default in zip(
            function.args.kwonlyargs, function.args.kw_defaults, strict=True
        )
        if default is not None
    }


_UNIFIED = (
    "Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss "
    "Function Perspective, 2022",
    "https://arxiv.org/abs/2208.09913",
)
#: All methods, in the order of tables and figures.
# Colours of Okabe and Ito, which colour-blind eyes can tell apart, then two more.
LINES = (
    Line(
        "MixUp",
        "Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk "
        "Minimization, 2018",
        "https://arxiv.org/abs/1710.09412",
        "#000000",
    ),
    Line(
        "CutMix",
        "Yun, Han, Oh, Chun, Choe and Yoo, CutMix: Regularization Strategy to Train "
        "Strong Classifiers with Localizable Features, 2019",
        "https://arxiv.org/abs/1905.04899",
        "#d55e00",
    ),
    Line("HMix", *_UNIFIED, "#0072b2"),
    Line("GMix", *_UNIFIED, "#009e73"),
    Line(
        "FMix",
        "Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing "
        "Mixed Sample Data Augmentation, 2020",
        "https://arxiv.org/abs/2002.12047",
        "#cc79a7",
    ),
    Line(
        "GridMix",
        "Baek, Bang and Shim, GridMix: Strong regularization through local context "
        "mapping, 2021",
        "https://www.sciencedirect.com/science/article/pii/S0031320320303976",
        "#e69f00",
    ),
    Line(
        "SmoothMix",
        "Lee, Zaheer, Astrid and Lee, SmoothMix: a Simple Yet Effective Data "
        "Augmentation to Train Robust Classifiers, 2020",
        "https://openaccess.thecvf.com/content_CVPRW_2020/html/w45/"
        "Lee_SmoothMix_A_Simple_Yet_Effective_Data_Augmentation_to_Train_Robust_"
        "CVPRW_2020_paper.html",
        "#56b4e9",
    ),
    Line(
        "ResizeMix",
        "Qin, Fang, Zhang, Liu, Wang and Wang, ResizeMix: Mixing Data with Preserved "
        "Object Information and True Labels, 2020",
        "https://arxiv.org/abs/2012.11101",
        "#f0e442",
    ),
    Line(
        "SaliencyMix",
        "Uddin, Monira, Shin, Chung and Bae, SaliencyMix: A Saliency Guided Data "
        "Augmentation Strategy for Better Regularization, 2021",
        "https://arxiv.org/abs/2006.01791",
        "#999999",
    ),
    Line(
        "PuzzleMix",
        "Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for "
        "Optimal Mixup, 2020",
        "https://arxiv.org/abs/2009.06962",
        "#332288",
    ),
)
