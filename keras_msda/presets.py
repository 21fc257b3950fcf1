"""Layers with the law of other libraries' arguments."""

from typing import Any

from keras_msda import _checks
from keras_msda.layers import CutMixLayer, MixUpLayer, RandomMixLayer

# timm's modes: what shares a draw.
_PER = {"batch": "batch", "pair": "pair", "elem": "sample"}


def mix_from_timm(
    *,
    mixup_alpha: float = 1.0,
    cutmix_alpha: float = 0.0,
    cutmix_minmax: tuple[float, float] | None = None,
    prob: float = 1.0,
    switch_prob: float = 0.5,
    mode: str = "batch",
    correct_lam: bool = True,
    label_smoothing: float = 0.1,
    num_classes: int | None = 1000,
    **kwargs: Any,
) -> Any:
    """Returns the layer with the law of `timm.data.Mixup(...)`.

    Partners are those of the batch turned round, as there. Three things differ, where
    timm is in error: odd batches are mixed, all but the sample in the middle; boxes of
    `cutmix_minmax` reach the far edge of the image; and lambda is not rounded to the
    images' precision.

    Args:
        mixup_alpha: MixUp's alpha; 0 for no MixUp.
        cutmix_alpha: CutMix's alpha; 0 for no CutMix.
        cutmix_minmax: Least and largest side of the box, relative to the image's; turns
            CutMix on and makes its alpha irrelevant.
        prob: Chance that a batch (or pair, or sample) is mixed.
        switch_prob: Chance of CutMix where both are on.
        mode: "batch", "pair" or "elem": what shares a draw.
        correct_lam: Whether the label weight is that of the clipped box.
        label_smoothing: Smoothing of the labels.
        num_classes: Number of classes.
        **kwargs: Further shared arguments of the layer, such as `seed`, `name` or
            `targets`; see `MixLayer`.

    Returns:
        A `MixUpLayer`, a `CutMixLayer`, or a `RandomMixLayer` of both.

    Raises:
        ValueError: If both methods are off, or the mode is "half".

    Example:
        >>> import keras_msda as msda
        >>> layer = msda.mix_from_timm(mixup_alpha=0.8, cutmix_alpha=1.0, seed=1)
        >>> print(type(layer).__name__, layer.per, layer.pairing)
        RandomMixLayer batch reverse

    References:
        Wightman, PyTorch Image Models, `timm/data/mixup.py`.
    """
    owner = "mix_from_timm"
    _checks.check_timm_mode(owner, mode, _PER)
    switch_prob = _checks.check_share(
        owner, "switch_prob", switch_prob, "0.0 is MixUp alone, 1.0 CutMix alone."
    )
    _checks.check_timm_alphas(owner, mixup_alpha, cutmix_alpha, cutmix_minmax)
    shared: dict[str, Any] = {
        "probability": prob,
        "per": _PER[mode],
        "pairing": "reverse",
        "num_classes": num_classes,
        "label_smoothing": label_smoothing,
    } | kwargs

    def mixup(**settings: Any) -> MixUpLayer:
        return MixUpLayer(mixup_alpha, **settings)

    def cutmix(**settings: Any) -> CutMixLayer:
        if cutmix_minmax is not None:
            return CutMixLayer(ratio_range=cutmix_minmax, **settings)
        return CutMixLayer(cutmix_alpha, exact_weight=correct_lam, **settings)

    if cutmix_minmax is None and not cutmix_alpha:
        return mixup(**shared)
    if not mixup_alpha:
        return cutmix(**shared)
    weights = [1.0 - switch_prob, switch_prob]
    return RandomMixLayer([mixup(), cutmix()], weights, **shared)
