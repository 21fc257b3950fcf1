"""Layers, models and losses that are written to files and read again."""

import keras

import keras_msda as msda
from tests.support.handing_off import residual, unaware

for function in (residual, unaware):
    keras.saving.register_keras_serializable(package="tests")(function)


@keras.saving.register_keras_serializable(package="tests")
def reddish(frequency):
    """A user's spectrum."""
    return 1 / (frequency + 0.05)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """A model that is given its layers."""

    def __init__(self, mix, head, **kwargs):
        super().__init__(**kwargs)
        self.mix, self.head = mix, head
        self.pool = keras.layers.GlobalAveragePooling2D()

    def call(self, inputs, training=None):
        return self.head(self.pool(self.mix(inputs, training=training)))

    def get_config(self):
        parts = {"mix": self.mix, "head": self.head}
        parts = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return super().get_config() | parts

    @classmethod
    def from_config(cls, config):
        parts = {
            k: keras.saving.deserialize_keras_object(config[k]) for k in ("mix", "head")
        }
        return cls(**(config | parts))


LAYERS = {
    "mixup": lambda: msda.MixUpLayer(seed=1),
    "cutmix": lambda: msda.CutMixLayer(seed=2),
    "hmix": lambda: msda.HMixLayer(seed=3),
    "gmix": lambda: msda.GMixLayer(seed=4),
    "fmix": lambda: msda.FMixLayer((0.5, 2.0), spectrum=reddish, seed=5),
    "random": lambda: msda.RandomMixLayer(
        [msda.MixUpLayer(), msda.FMixLayer(spectrum=reddish)], seed=6
    ),
}
