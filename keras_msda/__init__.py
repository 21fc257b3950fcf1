"""Mixed sample data augmentation for Keras: MixUp, CutMix, FMix and others.

`keras_msda.analysis` and `keras_msda.plot` are here too. Their first use imports them:
they bring SciPy and Matplotlib, which no layer needs at once.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from keras_msda import masks
from keras_msda._errors import MixWarning
from keras_msda.callbacks import MixSchedule
from keras_msda.layers import (
    CutMixLayer,
    FMixLayer,
    GMixLayer,
    GridMixLayer,
    HMixLayer,
    MixLayer,
    MixUpLayer,
    PuzzleMixLayer,
    RandomMixLayer,
    ResizeMixLayer,
    SaliencyMixLayer,
    SmoothMixLayer,
)
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy
from keras_msda.models import ManifoldMixing, SaliencyMixing, loss_saliency, strip
from keras_msda.parts.boxes import mix_bounding_boxes
from keras_msda.parts.keypoints import mix_keypoints
from keras_msda.parts.segmentation import mix_segmentation_masks
from keras_msda.pipeline import mixing
from keras_msda.plans import MixPlan, MovedMixPlan, mix_images, mix_labels
from keras_msda.presets import mix_from_timm

__version__ = "0.2.0"

__all__ = [
    "CutMixLayer",
    "FMixLayer",
    "GMixLayer",
    "GridMixLayer",
    "HMixLayer",
    "ManifoldMixing",
    "MixLayer",
    "MixPlan",
    "MixSchedule",
    "MixUpLayer",
    "MixWarning",
    "MixedAccuracy",
    "MixedLoss",
    "MovedMixPlan",
    "PuzzleMixLayer",
    "RandomMixLayer",
    "ResizeMixLayer",
    "SaliencyMixLayer",
    "SaliencyMixing",
    "SmoothMixLayer",
    "loss_saliency",
    "masks",
    "mix_bounding_boxes",
    "mix_from_timm",
    "mix_images",
    "mix_keypoints",
    "mix_labels",
    "mix_segmentation_masks",
    "mixing",
    "strip",
]

# Not in `__all__`: `from keras_msda import *` must not ask for Matplotlib.
_LAZY = ("analysis", "plot")

if TYPE_CHECKING:
    from keras_msda import analysis as analysis
    from keras_msda import plot as plot
else:
    # Hidden from type checkers, which would believe in every name that it is asked for.
    def __getattr__(name: str) -> ModuleType:
        """Imports a module that is needed for the first time."""
        if name in _LAZY:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists all names, those of modules that were not needed so far too."""
    return sorted({*globals(), *_LAZY})
