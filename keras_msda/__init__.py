"""Mixed sample data augmentation for Keras: MixUp, CutMix, HMix, GMix and FMix."""

from keras_msda import masks
from keras_msda.layers import (
    CutMixLayer,
    FMixLayer,
    GMixLayer,
    HMixLayer,
    MixUpLayer,
    RandomMixLayer,
)
from keras_msda.losses import MixedLoss
from keras_msda.metrics import MixedAccuracy
from keras_msda.plans import MixPlan, mix_images, mix_labels

__version__ = "0.1.0"

__all__ = [
    "CutMixLayer",
    "FMixLayer",
    "GMixLayer",
    "HMixLayer",
    "MixPlan",
    "MixUpLayer",
    "MixedAccuracy",
    "MixedLoss",
    "RandomMixLayer",
    "masks",
    "mix_images",
    "mix_labels",
]
