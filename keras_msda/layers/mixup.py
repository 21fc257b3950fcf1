"""MixUp: a constant mask."""

from typing import Any, final

import keras

from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored
from keras_msda.masks.constant import build_constant

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class MixUpLayer(MixLayer):
    """Mixes whole images: `lam * x_i + (1 - lam) * x_j`.

    The label weight is lambda.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        **kwargs: Shared arguments, see `MixLayer`.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.MixUpLayer(alpha=0.2, num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk Minimization,
        2018.
    """

    symmetric = True
    uniform_mask = True

    def sample_params(self, lam: Tensor, size: Any, *, seed: Any) -> Tensor:
        """Returns lambda, all that the mask is made from."""
        return lam

    def mask_weight(self, params: Tensor, size: Any) -> Tensor:
        """Returns lambda."""
        return params

    def mask(self, params: Tensor, size: Any) -> _factored.Mask:
        """Returns masks that are lambda at every pixel."""
        return build_constant(params)
