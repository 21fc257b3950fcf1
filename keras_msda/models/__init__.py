"""Models that mix as they train, and models without any trace of it."""

from keras_msda.models._strip import strip
from keras_msda.models.manifold_mixing import ManifoldMixing
from keras_msda.models.saliency_mixing import SaliencyMixing, loss_saliency

__all__ = ["ManifoldMixing", "SaliencyMixing", "loss_saliency", "strip"]
