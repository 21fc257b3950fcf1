"""Figures of what layers do and of what the theory says of them.

All are made without pyplot, so nothing here needs a screen or leaves state behind.
"""

# First, so that it speaks before Python does.
from keras_msda.plot import _matplotlib  # noqa: F401
from keras_msda.plot._coefficients import coefficients, moments_and_coefficients
from keras_msda.plot._gradient_map import gradient_map
from keras_msda.plot._label_histogram import label_histogram
from keras_msda.plot._mask_moments import mask_moments
from keras_msda.plot._mixes import column_figure, mixes, panel_figure
from keras_msda.plot._preview import MixPreview
from keras_msda.plot._samples import Panels, as_floats, sample_panels
from keras_msda.plot.style import MASK_COLORS

__all__ = [
    "MASK_COLORS",
    "MixPreview",
    "Panels",
    "as_floats",
    "coefficients",
    "column_figure",
    "gradient_map",
    "label_histogram",
    "mask_moments",
    "mixes",
    "moments_and_coefficients",
    "panel_figure",
    "sample_panels",
]
