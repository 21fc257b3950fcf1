"""The theory of mixing made computable: what a layer's masks do to a loss, and why.

NumPy and SciPy, in float64; what needs a model's gradients uses Keras's backend.
"""

from keras_msda.analysis.coefficients import (
    Coefficients,
    Radial,
    by_distance,
    regularization_coefficients,
)
from keras_msda.analysis.moments import MaskMoments, mask_moments
from keras_msda.analysis.sets import MaskSet, mask_set

__all__ = [
    "Coefficients",
    "MaskMoments",
    "MaskSet",
    "Radial",
    "by_distance",
    "mask_moments",
    "mask_set",
    "regularization_coefficients",
]
