"""CutMix: a box of the partner."""

from typing import Any, Unpack, final

import keras

from keras_msda import _backend, _checks, _errors, sampling
from keras_msda.layers import settings
from keras_msda.layers.base import MixLayer
from keras_msda.masks import _factored, _given, box

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_msda")
class CutMixLayer(MixLayer):
    """Pastes a box of the partner that covers 1 - lambda of the image.

    Args:
        alpha: lambda is Beta(alpha, alpha), or Beta(a, b) for a pair.
        border: "clip" cuts the box at the border, as published. The box is then often
            smaller than 1 - lambda, also because odd sides lose a pixel. "clip_odd"
            cuts it too but keeps odd sides, as timm does from 1.0.29 on. "wrap"
            continues it at the other side, so that every pixel is the own one with
            probability lambda. "inside" places it inside.
        ratio_range: Pair (low, high) of relative sides in [0, 1]. For each axis of
            length L a side is drawn, uniform on the integers from floor(low L) to
            floor(high L), instead of lambda; the box lies inside.
        ratio_endpoint: Whether a side may be floor(high L) itself. In timm it may not.
        exact_weight: Whether the label weight is the share of pixels that are left, or
            else the drawn lambda.
        **kwargs: Shared arguments, see `MixLayer`. `targets="own"` is an error.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> layer = msda.CutMixLayer(border="wrap", num_classes=3, seed=1)
        >>> images, labels = layer(np.zeros((4, 8, 8, 3)), np.array([0, 1, 2, 0]))
        >>> print(images.shape, labels.shape)
        (4, 8, 8, 3) (4, 3)

    References:
        Yun, Han, Oh, Chun, Choe and Yoo, CutMix: Regularization Strategy to Train
        Strong Classifiers with Localizable Features, 2019.
    """

    def __init__(
        self,
        alpha: float | tuple[float, float] = 1.0,
        *,
        border: str | None = None,
        ratio_range: tuple[float, float] | None = None,
        ratio_endpoint: bool = True,
        exact_weight: bool = True,
        **kwargs: Unpack[settings.LeafArguments],
    ) -> None:
        super().__init__(alpha, **kwargs)
        owner = type(self).__name__
        if ratio_range is not None:
            ratio_range = _given.check_range(
                owner, "ratio_range", ratio_range, (0.2, 0.8)
            )
            _check_ratio_settings(owner, border, exact_weight, self.fold)
            border = "inside"
        else:
            _check_ratio_endpoint(owner, ratio_endpoint)
        border = "clip" if border is None else border
        self.border = _checks.check_choice(owner, "border", border, box.BORDERS)
        self.ratio_range = ratio_range
        self.ratio_endpoint = bool(ratio_endpoint)
        self.exact_weight = bool(exact_weight)

    def sample_params(
        self, lam: Tensor, size: Any, *, seed: Any
    ) -> tuple[Tensor, box.Extent]:
        """Draws the sides and the place of the box."""
        _given.check_countable(type(self).__name__, size)
        ops = _backend.get_ops(lam)
        place_seed, side_seed = ops.split_seed(seed, 2)
        each = [*ops.shape(lam), len(size)]
        noise = sampling.sample_uniform(each, seed=side_seed)
        if self.ratio_range is not None:
            side = box.pick_sides(
                noise, size, self.ratio_range, endpoint=self.ratio_endpoint
            )
        else:
            clipped = self.border in ("clip", "clip_odd")
            rounding = 0.0 if clipped else noise
            side = box.box_sides(1.0 - lam, size, rounding)
        place = sampling.sample_uniform(each, seed=place_seed)
        center = box.box_center(place, side, size, self.border)
        return lam, box.box_extent(side, center, size, self.border)

    def mask_weight(self, params: tuple[Tensor, box.Extent], size: Any) -> Tensor:
        """Returns the share of pixels outside of the box, or lambda."""
        lam, extent = params
        return box.uncovered_share(extent, size) if self.exact_weight else lam

    def mask(self, params: tuple[Tensor, box.Extent], size: Any) -> _factored.Mask:
        """Returns masks of 0 in the box and 1 elsewhere."""
        lam, extent = params
        ops = _backend.get_ops(lam)
        return box.build_box(ops.ones(ops.shape(lam), "float32"), extent, size)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "border": None if self.ratio_range else self.border,
            "ratio_range": self.ratio_range,
            "ratio_endpoint": self.ratio_endpoint,
            "exact_weight": self.exact_weight,
        }


def _check_ratio_settings(
    owner: str, border: Any, exact_weight: Any, fold: bool
) -> None:
    """Checks what can be combined with a range of relative sides."""
    if border not in (None, "inside") or not exact_weight or fold:
        _errors.fail(
            owner,
            "`ratio_range` places boxes inside and draws no lambda.",
            f"border={border!r}, exact_weight={exact_weight!r}, fold={fold!r}",
            "Leave `border`, `exact_weight` and `fold` out.",
        )


def _check_ratio_endpoint(owner: str, endpoint: Any) -> None:
    """Checks that an end is left out of a range alone."""
    if not endpoint:
        _errors.fail(
            owner,
            "`ratio_endpoint` belongs to `ratio_range`.",
            f"ratio_endpoint={endpoint!r}, ratio_range=None",
            "Leave it out, or give `ratio_range=(0.2, 0.8)`.",
        )
