"""ResizeMix: the whole partner, resized, in a box."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import Move, _factored, _given, box, resize

Tensor = Any

# Relative sides are multiples of 1 / 2^14, so that they are exact in float32.
_UNITS = 2**14


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class ResizeMixLayer(MixLayer):
    """Pastes the whole partner, made smaller, into a box of the image.

    There is no lambda: a relative side is drawn, uniformly, and the own label's weight
    is the share of pixels outside of the box. The partner is resized to the nearest
    pixel, so that each pixel of the box is a pixel of the partner. Its segmentation
    mask, bounding boxes and keypoints move with it.

    Args:
        scale_range: Pair (low, high) in [0, 1] of the side of the box, relative to each
            axis. A box has one pixel at least and lies inside.
        **kwargs: Shared arguments, see `MixLayer`. `alpha`, `fold` and `targets="own"`
            are errors, since they need a lambda.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.ResizeMixLayer(num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Qin, Fang, Zhang, Liu, Wang and Wang, ResizeMix: Mixing Data with Preserved
        Object Information and True Labels, 2020.
    """

    has_lam = False
    moves_partner = True

    def __init__(
        self,
        *,
        scale_range: tuple[float, float] = (0.1, 0.8),
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.scale_range = _given.check_range(
            type(self).__name__, "scale_range", scale_range, (0.1, 0.8)
        )

    def sample_params(self, lam: Tensor, size: Any, *, seed: Any) -> box.Extent:
        """Draws the side and the place of the box."""
        resize.check_lengths(type(self).__name__, size)
        ops = _backend.get_ops(lam)
        place_seed, scale_seed = ops.split_seed(seed, 2)
        draws = ops.shape(lam)
        low, high = (round(end * _UNITS) for end in self.scale_range)
        noise = sampling.sample_uniform(draws, seed=scale_seed)
        units = low + ops.truncate(noise * float(high - low + 1))
        side = resize.scaled_sides(ops.cast(units, "float32") / _UNITS, size)
        place = sampling.sample_uniform([*draws, len(size)], seed=place_seed)
        return resize.place_inside(place, side, size)

    def mask_weight(self, params: box.Extent, size: Any) -> Tensor:
        """Returns the share of pixels outside of the box."""
        return box.uncovered_share(params, size)

    def mask(self, params: box.Extent, size: Any) -> _factored.Mask:
        """Returns masks of 0 in the box and 1 elsewhere."""
        ops = _backend.get_ops(params.start)
        level = ops.ones(ops.shape(params.start)[:1], "float32")
        return box.build_box(level, params, size)

    def move(self, params: box.Extent, size: Any) -> Move:
        """Returns which pixel of the partner is shown at each pixel."""
        ops = _backend.get_ops(params.start)
        return Move(
            resize.find_sources(params, size),
            ops.cast(params.start, "float32"),
            resize.relative_sides(params, size),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"scale_range": self.scale_range}
