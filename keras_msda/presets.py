"""Layers that mix as the arguments of other libraries say."""

import math
from collections.abc import Mapping
from typing import Any

from keras_msda import _checks, _errors
from keras_msda.layers import CutMixLayer, MixUpLayer, RandomMixLayer

# timm's modes: what shares a draw.
_PER = {"batch": "batch", "pair": "pair", "elem": "sample"}


def mix_from_timm(
    mixup_alpha: float = 1.0,
    cutmix_alpha: float = 0.0,
    cutmix_minmax: tuple[float, float] | None = None,
    prob: float = 1.0,
    switch_prob: float = 0.5,
    mode: str = "batch",
    correct_lam: bool = True,
    label_smoothing: float | None = None,
    num_classes: int | None = 1000,
    multi_label: bool = False,
    **kwargs: Any,
) -> Any:
    """Returns the layer that draws as `timm.data.Mixup(...)` does from 1.0.29 on.

    Arguments have timm's order, and partners come from the reversed batch, as in timm.
    Boxes keep odd sides and are cut at the border. Two things differ: odd batches are
    mixed, except for the sample in the middle, where timm raises an error; and lambda
    of the modes "elem" and "pair" is not rounded to the images' precision.

    Args:
        mixup_alpha: MixUp's alpha; 0 for no MixUp.
        cutmix_alpha: CutMix's alpha; 0 for no CutMix.
        cutmix_minmax: Least side of the box, and the side that it stays below, relative
            to the image's. Turns CutMix on; its alpha is then ignored.
        prob: Probability that a batch (or pair, or sample) is mixed.
        switch_prob: Probability of CutMix if both methods are on.
        mode: "batch", "pair" or "elem": what shares a draw.
        correct_lam: Whether the label weight is that of the clipped box.
        label_smoothing: Smoothing of the labels; None is timm's 0.1 for class ids and
            0 for labels that are soft already.
        num_classes: Number of classes of class ids; None for soft labels.
        multi_label: Whether labels are sets of classes, floats `(batch, classes)` of 0
            and 1. These are soft already, so smooth them before, as timm does by
            `(1 - s) * labels + s / 2`.
        **kwargs: Other shared arguments of the layer, such as `seed`, `name` or
            `targets`; see `MixLayer`.

    Returns:
        A `MixUpLayer`, a `CutMixLayer`, or a `RandomMixLayer` of both.

    Raises:
        ValueError: If both methods are off, the mode is "half", or labels that are soft
            already are to be smoothed.

    Example:
        >>> import keras_msda as msda
        >>> layer = msda.mix_from_timm(mixup_alpha=0.8, cutmix_alpha=1.0, seed=1)
        >>> print(type(layer).__name__, layer.per, layer.pairing)
        RandomMixLayer batch reverse

    References:
        Wightman, PyTorch Image Models, `timm/data/mixup.py`.
    """
    owner = "mix_from_timm"
    _check_timm_mode(owner, mode, _PER)
    switch_prob = _checks.check_share(
        owner, "switch_prob", switch_prob, "0.0 is MixUp alone, 1.0 CutMix alone."
    )
    _check_timm_alphas(owner, mixup_alpha, cutmix_alpha, cutmix_minmax)
    soft = multi_label or num_classes is None
    if label_smoothing is None:
        label_smoothing = 0.0 if soft else 0.1
    _check_timm_smoothing(owner, label_smoothing, soft)
    shared: dict[str, Any] = {
        "probability": prob,
        "per": _PER[mode],
        "pairing": "reverse",
        "num_classes": None if multi_label else num_classes,
        "label_smoothing": label_smoothing,
    } | kwargs

    def mixup(**settings: Any) -> MixUpLayer:
        return MixUpLayer(mixup_alpha, **settings)

    def cutmix(**settings: Any) -> CutMixLayer:
        if cutmix_minmax is not None:
            settings |= {"ratio_range": cutmix_minmax, "ratio_endpoint": False}
            return CutMixLayer(**settings)
        settings |= {"border": "clip_odd", "exact_weight": correct_lam}
        return CutMixLayer(cutmix_alpha, **settings)

    if cutmix_minmax is None and not cutmix_alpha:
        return mixup(**shared)
    if not mixup_alpha:
        return cutmix(**shared)
    weights = [1.0 - switch_prob, switch_prob]
    return RandomMixLayer([mixup(), cutmix()], weights, **shared)


def _check_timm_mode(owner: str, mode: Any, modes: Mapping[str, str]) -> None:
    """Checks a mode of timm."""
    if mode == "half":
        _errors.fail(
            owner,
            'the mode "half" makes batches of half the size, which no layer does.',
            "mode='half'",
            'Use `mode="elem"` on batches of the size to train with.',
        )
    _checks.check_choice(owner, "mode", mode, tuple(modes))


def _check_timm_smoothing(owner: str, label_smoothing: Any, soft: bool) -> None:
    """Checks that labels that are soft already are not to be smoothed."""
    if soft and label_smoothing:
        _errors.fail(
            owner,
            "`label_smoothing` smooths class ids, and with `multi_label` or without "
            "`num_classes` labels are soft already.",
            f"label_smoothing={label_smoothing!r}",
            "Leave it out and smooth them before, for sets of classes by "
            "`(1 - s) * labels + s / 2`.",
        )


def _check_timm_alphas(owner: str, mixup: Any, cutmix: Any, minmax: Any) -> None:
    """Checks that one of timm's methods is on."""
    for name, alpha in (("mixup_alpha", mixup), ("cutmix_alpha", cutmix)):
        if not (_checks.is_number(alpha) and math.isfinite(alpha) and alpha >= 0):
            _errors.fail(
                owner,
                f"`{name}` must be a finite number, not negative.",
                f"{name}={alpha!r}",
                "Use 0.0 to turn the method off.",
            )
    if not mixup and not cutmix and minmax is None:
        _errors.fail(
            owner,
            "one of MixUp and CutMix must be on.",
            f"mixup_alpha={mixup!r}, cutmix_alpha={cutmix!r}, cutmix_minmax=None",
            "Leave the layer out to train without mixing.",
        )
