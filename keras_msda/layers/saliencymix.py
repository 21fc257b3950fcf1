"""SaliencyMix: CutMix's box, where the partner draws the eye."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, _checks, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, box
from keras_msda.masks import saliency as _saliency

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class SaliencyMixLayer(MixLayer):
    """Pastes a box around the most salient pixel of the partner, at the same place.

    Each sample has the saliency of its own partner, given as "saliency" in the batch or
    else measured by `keras_msda.masks.contrast_saliency`. Where several pixels are the
    most salient, one of them is drawn: a constant image has a uniform centre, as in
    CutMix.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        border: "inside" moves the box inside, so that it covers 1 - lambda in
            expectation wherever it is. A partner whose saliency is not finite then
            counts as equally salient everywhere. "clip" cuts the box at the border, as
            published, and leaves such samples unmixed. The label weight then depends on
            the images, so that images must be mixed together with labels.
        **kwargs: Shared arguments, see `MixLayer`. `targets="own"` is an error.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.SaliencyMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Uddin, Monira, Shin, Chung and Bae, SaliencyMix: A Saliency Guided Data
        Augmentation Strategy for Better Regularization, 2021.
    """

    uses_saliency = True

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        border: str = "inside",
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        self.border = _checks.check_choice(owner, "border", border, _saliency.BORDERS)
        self.weight_needs_images = self.border != "inside"

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[box.Extent, Tensor]:
        """Draws the sides of the box, and which of equally salient pixels it takes."""
        _given.check_countable(type(self).__name__, size, 2**31 - 1)
        ops = _backend.get_ops(lam)
        tie_seed, side_seed = ops.split_seed(seed, 2)
        draws = ops.shape(lam)
        rounding: Any = 0.0
        if self.border == "inside":
            rounding = sampling.sample_uniform([*draws, len(size)], seed=side_seed)
        side = box.box_sides(1.0 - lam, size, rounding)
        tie = sampling.sample_uniform(draws, seed=tie_seed)
        return box.Extent(ops.zeros(ops.shape(side), "int32"), side), tie

    def place(
        self,
        params: tuple[box.Extent, Tensor],
        saliency: Tensor,
        partner_saliency: Tensor,
        size: Any,
    ) -> tuple[box.Extent, Tensor]:
        """Places each box around the most salient pixel of the partner."""
        extent, tie = params
        center = _saliency.find_salient(partner_saliency, tie)
        return box.box_extent(extent.length, center, size, self.border), tie

    def mask_weight(self, params: tuple[box.Extent, Tensor], size: Any) -> Tensor:
        """Returns the share of pixels outside of the box."""
        return box.uncovered_share(params[0], size)

    def mask(self, params: tuple[box.Extent, Tensor], size: Any) -> _factored.Mask:
        """Returns masks of 0 in the box and 1 elsewhere."""
        extent, tie = params
        ops = _backend.get_ops(tie)
        return box.build_box(ops.ones(ops.shape(tie), "float32"), extent, size)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"border": self.border}
