"""The mixing layers, one class per method, and `METHODS`, the list of them."""

from keras_msda.layers.base import MixLayer
from keras_msda.layers.cutmix import CutMixLayer
from keras_msda.layers.fmix import FMixLayer
from keras_msda.layers.gmix import GMixLayer
from keras_msda.layers.gridmix import GridMixLayer
from keras_msda.layers.hmix import HMixLayer
from keras_msda.layers.mixup import MixUpLayer
from keras_msda.layers.puzzlemix import PuzzleMixLayer
from keras_msda.layers.random_mix import RandomMixLayer
from keras_msda.layers.registry import METHODS, Method
from keras_msda.layers.resizemix import ResizeMixLayer
from keras_msda.layers.saliencymix import SaliencyMixLayer
from keras_msda.layers.smoothmix import SmoothMixLayer

__all__ = [
    "METHODS",
    "CutMixLayer",
    "FMixLayer",
    "GMixLayer",
    "GridMixLayer",
    "HMixLayer",
    "Method",
    "MixLayer",
    "MixUpLayer",
    "PuzzleMixLayer",
    "RandomMixLayer",
    "ResizeMixLayer",
    "SaliencyMixLayer",
    "SmoothMixLayer",
]
