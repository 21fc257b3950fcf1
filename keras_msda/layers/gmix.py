"""GMix: a Gaussian bump instead of a box."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, _checks, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, box
from keras_msda.masks.gaussian import BORDERS, build_gaussian, gaussian_weight

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class GMixLayer(MixLayer):
    """Mixes by a Gaussian bump around a random pixel.

    The bump shows the first image for lambda < 1/2 and the partner from there on. The
    label weight is the mean of the mask.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        border: "clip" cuts the bump at the border, as published: weights then differ
            from lambda and, in two dimensions, never lie in (0.43, 0.57). "wrap"
            continues it at the other side: weights are lambda, and every pixel has the
            expected mask lambda. `targets="own"` stands for labels of weight lambda,
            which under "clip" is not that of the mask.
        **kwargs: Shared arguments, see `MixLayer`.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.GMixLayer(border="wrap", num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022.
    """

    symmetric = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        border: str = "clip",
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        self.border = _checks.check_choice(owner, "border", border, BORDERS)

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, Tensor]:
        """Draws the centre of the bump."""
        units = _backend.get_ops(lam).shape(lam)[0]
        place = sampling.sample_uniform([units, len(size)], seed=seed)
        return lam, box.box_center(place, None, size, self.border)

    def mask_weight(self, params: tuple[Tensor, Tensor], size: Any) -> Tensor:
        """Returns the means of the bumps, or of what they leave."""
        return gaussian_weight(*params, size, self.border)

    def mask(self, params: tuple[Tensor, Tensor], size: Any) -> _factored.Mask:
        """Returns bumps, or what they leave."""
        return build_gaussian(*params, size, self.border)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"border": self.border}
