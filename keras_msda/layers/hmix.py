"""HMix: a box of the partner on a floor of MixUp."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, _checks, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, box

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class HMixLayer(MixLayer):
    """Pastes a box of the partner and mixes the rest, so that the mean is lambda.

    Between MixUp (`box_ratio=0`) and CutMix (`box_ratio=1`): the box holds `box_ratio`
    of the partner's share, and the level outside makes up for the rest exactly, also
    where the box is cut at the border. The label weight is lambda.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        box_ratio: Part of the partner's share in the box, in [0, 1].
        border: "clip" cuts the box, of even sides, at the border, as published;
            "clip_odd" keeps odd sides; "wrap" continues the box at the other side;
            "inside" places it inside.
        **kwargs: Shared arguments, see `MixLayer`. `targets="own"` is an error.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.HMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation: A Loss
        Function Perspective, 2022.
    """

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        box_ratio: float = 0.5,
        border: str = "clip",
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        remedy = "0.0 is MixUp, 1.0 is CutMix."
        self.box_ratio = _checks.check_share(owner, "box_ratio", box_ratio, remedy)
        self.border = _checks.check_choice(owner, "border", border, box.BORDERS)

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, box.Extent]:
        """Draws the place of the box."""
        _given.check_countable(type(self).__name__, size)
        # Rounded down, never up: the level outside would exceed 1.
        side = box.box_sides(self.box_ratio * (1.0 - lam), size, 0.0)
        units = _backend.get_ops(lam).shape(lam)[0]
        place = sampling.sample_uniform([units, len(size)], seed=seed)
        center = box.box_center(place, side, size, self.border)
        return lam, box.box_extent(side, center, size, self.border)

    def mask_weight(self, params: tuple[Tensor, box.Extent], size: Any) -> Tensor:
        """Returns lambda, which the level outside of the box makes the mean."""
        return box.floor_box_weight(*params, size)

    def mask(self, params: tuple[Tensor, box.Extent], size: Any) -> _factored.Mask:
        """Returns masks of 0 in the box and a constant level elsewhere."""
        lam, extent = params
        return box.build_box(box.floor_level(lam, extent, size), extent, size)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"box_ratio": self.box_ratio, "border": self.border}
        return super().get_config() | config
