"""The mixing layers: one base with the one `call`, one leaf a method."""

from keras_msda.layers.base import MixLayer
from keras_msda.layers.cutmix import CutMixLayer
from keras_msda.layers.fmix import FMixLayer
from keras_msda.layers.gmix import GMixLayer
from keras_msda.layers.hmix import HMixLayer
from keras_msda.layers.mixup import MixUpLayer
from keras_msda.layers.random_mix import RandomMixLayer

__all__ = [
    "CutMixLayer",
    "FMixLayer",
    "GMixLayer",
    "HMixLayer",
    "MixLayer",
    "MixUpLayer",
    "RandomMixLayer",
]
