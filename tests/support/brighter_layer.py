"""A layer whose masks and weights depend on the images."""

import keras
from keras import ops

import keras_msda as msda


@keras.saving.register_keras_serializable(package="tests")
class BrighterLayer(msda.MixLayer):
    """Shows the own image where its saliency is at least the partner's."""

    uses_saliency = True
    weight_needs_images = True

    def sample_params(self, lam, size, *, seed):
        return lam

    def place(self, params, saliency, partner_saliency, size):
        return ops.cast(saliency >= partner_saliency, "float32")

    def mask(self, params, size):
        return params
