"""Masks as pure functions of given lambda and noise, batched, in any rank.

Nothing here is random: lambda, centres and noise are arguments. Sizes have one to three
axes of any length. `Mask` is the form in which a method of your own returns its masks.
"""

from keras_msda.masks._factored import Mask
from keras_msda.masks._moved import Move
from keras_msda.masks._puzzle_settings import PuzzleSettings
from keras_msda.masks.box import box_mask, floor_box_mask
from keras_msda.masks.constant import constant_mask
from keras_msda.masks.fourier import fourier_mask
from keras_msda.masks.gaussian import gaussian_mask, smooth_mask
from keras_msda.masks.grid import grid_mask
from keras_msda.masks.labelling import Labelling, solve_labels
from keras_msda.masks.puzzle import puzzle_mask, puzzle_transport
from keras_msda.masks.resize import resize_mask
from keras_msda.masks.saliency import contrast_saliency, saliency_box_mask
from keras_msda.masks.spectrum import fourier_field, kept_frequencies

__all__ = [
    "Labelling",
    "Mask",
    "Move",
    "PuzzleSettings",
    "box_mask",
    "constant_mask",
    "contrast_saliency",
    "floor_box_mask",
    "fourier_field",
    "fourier_mask",
    "gaussian_mask",
    "grid_mask",
    "kept_frequencies",
    "puzzle_mask",
    "puzzle_transport",
    "resize_mask",
    "saliency_box_mask",
    "smooth_mask",
    "solve_labels",
]
