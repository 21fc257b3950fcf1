"""FMix: thresholded low-frequency noise."""

from typing import Any, Self, Unpack, final

import keras

from keras_msda import _backend, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, fourier
from keras_msda.masks import spectrum as _spectrum

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class FMixLayer(MixLayer):
    """Mixes by random blobs: the highest pixels of low-frequency noise show x_i.

    The label weight is the share of those pixels, lambda up to one pixel, and lambda in
    expectation.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        decay_power: The noise's amplitude falls as frequency^-decay_power; higher makes
            larger blobs. Not negative.
        max_soft: Half the share of pixels in a soft edge, in [0, 0.5].
        spectrum: "isotropic", the paper's; "official", the published code's, whose
            masks lack high frequencies along the last axis; or a function from
            frequencies in cycles per pixel to amplitudes, see
            `keras_msda.masks.fourier_field`.
        **kwargs: Shared arguments, see `MixLayer`.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.FMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Harris, Marcu, Painter, Niranjan, Pruegel-Bennett and Hare, FMix: Enhancing
        Mixed Sample Data Augmentation, 2020.
    """

    symmetric = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        decay_power: float = 3.0,
        max_soft: float = 0.0,
        spectrum: _spectrum.Spectrum = "isotropic",
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        self.decay_power = _given.check_decay_power(owner, decay_power)
        self.max_soft = _given.check_max_soft(owner, max_soft)
        self.spectrum = _given.check_spectrum(owner, spectrum)
        sampling.normal_table()  # Computed now, and not while a compiler is tracing.

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draws the rounding of the count, and the seed of the noise."""
        _given.check_countable(type(self).__name__, size, fourier.MOST_PIXELS)
        ops = _backend.get_ops(lam)
        rounding_seed, field_seed = ops.split_seed(seed, 2)
        rounding = sampling.sample_uniform(ops.shape(lam), seed=rounding_seed)
        # The field is drawn with the mask: a loss needs the weight alone.
        return lam, rounding, field_seed

    def mask_weight(self, params: tuple[Tensor, Tensor, Tensor], size: Any) -> Tensor:
        """Returns the share of the highest pixels."""
        lam, rounding, _ = params
        return fourier.fourier_weight(lam, size, rounding)

    def mask(self, params: tuple[Tensor, Tensor, Tensor], size: Any) -> _factored.Mask:
        """Returns masks of 1 at the highest pixels of low-frequency noise."""
        return self._compiled_mask(params, size, self.jit_compile)

    def _compiled_mask(
        self,
        params: tuple[Tensor, Tensor, Tensor],
        size: Any,
        jit_compile: bool | str,
    ) -> _factored.Mask:
        lam, rounding, seed = params
        ops = _backend.get_ops(lam)

        def draw_field(lam: Tensor, seed: Tensor) -> Tensor:
            rest = _spectrum.noise_shape(size, self.decay_power, self.spectrum)
            noise = sampling.sample_normal((ops.shape(lam)[0], *rest), seed=seed)
            return _spectrum.fourier_field(noise, size, self.decay_power, self.spectrum)

        known = all(isinstance(length, int) for length in size)
        compiled = known and bool(jit_compile)
        field = ops.call_fused(draw_field, lam, seed, jit_compile=compiled)
        return fourier.build_fourier(
            lam, field, self.max_soft, rounding, jit_compile=jit_compile
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        spectrum = self.spectrum
        if callable(spectrum):
            spectrum = keras.saving.serialize_keras_object(spectrum)
        return super().get_config() | {
            "decay_power": self.decay_power,
            "max_soft": self.max_soft,
            "spectrum": spectrum,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer again; its draws start from the seed."""
        if "spectrum" in config:
            spectrum = keras.saving.deserialize_keras_object(config["spectrum"])
            config = config | {"spectrum": spectrum}
        return super().from_config(config)
