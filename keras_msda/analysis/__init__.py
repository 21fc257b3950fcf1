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
from keras_msda.analysis.spectrum import (
    RadialSpectrum,
    SpectrumDesign,
    design_spectrum,
)

__all__ = [
    "Coefficients",
    "MaskMoments",
    "MaskSet",
    "Radial",
    "RadialSpectrum",
    "SpectrumDesign",
    "by_distance",
    "design_spectrum",
    "mask_moments",
    "mask_set",
    "regularization_coefficients",
]
