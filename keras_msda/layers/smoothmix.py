"""SmoothMix: a Gaussian bump of the own image, without a lambda."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, box, gaussian

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class SmoothMixLayer(MixLayer):
    """Shows the own image in a Gaussian bump around a random pixel.

    There is no lambda: a width is drawn, and the own label's weight is the mean of the
    mask. Some published code gives that weight to the partner's label.

    Args:
        sigma_range: Pair (low, high) in [0, 1]. The standard deviation is uniform in
            it, relative to the length of each axis: the bump takes the image's shape.
        **kwargs: Shared arguments, see `MixLayer`. `alpha`, `fold` and `targets="own"`
            are errors, since they need a lambda.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.SmoothMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Lee, Zaheer, Astrid and Lee, SmoothMix: a Simple Yet Effective Data Augmentation
        to Train Robust Classifiers, 2020.
    """

    has_lam = False

    def __init__(
        self,
        *,
        sigma_range: tuple[float, float] = (0.25, 0.5),
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.sigma_range = _given.check_range(
            type(self).__name__, "sigma_range", sigma_range, (0.25, 0.5)
        )

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, Tensor]:
        """Draws the centre and the width of the bump."""
        ops = _backend.get_ops(lam)
        place_seed, width_seed = ops.split_seed(seed, 2)
        draws = ops.shape(lam)
        place = sampling.sample_uniform([*draws, len(size)], seed=place_seed)
        low, high = self.sigma_range
        noise = sampling.sample_uniform(draws, seed=width_seed)
        return box.box_center(place, None, size, "clip"), low + (high - low) * noise

    def mask_weight(self, params: tuple[Tensor, Tensor], size: Any) -> Tensor:
        """Returns the means of the bumps."""
        return gaussian.smooth_weight(*params, size)

    def mask(self, params: tuple[Tensor, Tensor], size: Any) -> _factored.Mask:
        """Returns the bumps."""
        return gaussian.build_smooth(*params, size)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"sigma_range": self.sigma_range}
