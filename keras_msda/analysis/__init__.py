"""The theory of mixing made computable: what a layer's masks do to a loss, and why.

NumPy and SciPy, in float64; what needs a model's gradients uses Keras's backend.
"""

from keras_msda.analysis.coefficients import (
    Coefficients,
    Radial,
    by_distance,
    over_all_pairs,
    regularization_coefficients,
)
from keras_msda.analysis.gradients import GradientMap, input_gradient_map
from keras_msda.analysis.mask_sets import MaskSet, mask_set
from keras_msda.analysis.moments import MaskMoments, mask_moments
from keras_msda.analysis.recommendation import Recommendation, Strength, recommend
from keras_msda.analysis.spectrum import (
    RadialSpectrum,
    SpectrumDesign,
    design_spectrum,
)
from keras_msda.analysis.theorem import LossTerms, loss_terms

__all__ = [
    "Coefficients",
    "GradientMap",
    "LossTerms",
    "MaskMoments",
    "MaskSet",
    "Radial",
    "RadialSpectrum",
    "Recommendation",
    "SpectrumDesign",
    "Strength",
    "by_distance",
    "design_spectrum",
    "input_gradient_map",
    "loss_terms",
    "mask_moments",
    "mask_set",
    "over_all_pairs",
    "recommend",
    "regularization_coefficients",
]
