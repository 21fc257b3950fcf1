"""Compares how methods regularise the input gradients of a given model."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _errors, layers
from keras_msda.analysis._offsets import offset_lengths, pair_counts
from keras_msda.analysis._types import Array, Shape
from keras_msda.analysis.coefficients import (
    Coefficients,
    by_distance,
    regularization_coefficients,
)
from keras_msda.analysis.gradients import GradientMap, input_gradient_map
from keras_msda.layers.base import MixLayer

#: Strengths that differ by less, relatively, are called equal.
_EQUAL = 0.02

_LIMITS = (
    "The map takes lengths of gradients: products of opposite sign, which mixing "
    "weighs with those of the data, count as if they were of one.",
    "Only the second-order term of gradient products is compared, not the Hessian's.",
    "It says what a method regularises in this model as it is now, not whether that "
    "makes it more accurate: train with both and compare.",
)


class Strength(NamedTuple):
    """How strongly a method regularises products of input gradients.

    Attributes:
        name: The method.
        zero: Coefficient of a pixel's own squared gradient.
        near: Mean coefficient of two pixels nearer than the boundary.
        far: Mean coefficient of two pixels farther apart.
        strength: Mean coefficient of two different pixels, each pair as heavy as the
            model's product of gradients there.
        error: Standard error of `strength` where masks were drawn, on the high side.
    """

    name: str
    zero: float
    near: float
    far: float
    strength: float
    error: float


class Recommendation(NamedTuple):
    """What a model's gradients are like, and what each method does about them.

    `str()` of it is a report.

    Attributes:
        boundary: Distance in pixels between near and far.
        near_share: Share of the model's gradient products that is near, of those of
            different pixels.
        even_share: The share of pairs that is near: that of a model with products as
            large at any distance.
        half_distance: Distance in pixels within which half of the products lie.
        methods: From the strongest to the weakest.
        near: The method with the largest coefficient for near pixels.
        far: That for far ones.
        decided: Whether the two strongest differ by more than 2 % and their errors.
        gradients: The model's map.
    """

    boundary: float
    near_share: float
    even_share: float
    half_distance: float
    methods: tuple[Strength, ...]
    near: str
    far: str
    decided: bool
    gradients: GradientMap

    def __str__(self) -> str:
        """Returns a report of numbers, what follows from them, and limits."""
        lines = [
            f"Gradient products of different pixels: {self.near_share:.0%} are nearer "
            f"than {self.boundary:g} pixels, where {self.even_share:.0%} of all pairs "
            "are.",
            f"Half of them are between pixels at most {self.half_distance:g} apart.",
            "",
            f"{'method':<12}{'strength':>9}{'zero':>8}{'near':>8}{'far':>8}",
            *(
                f"{x.name:<12}{x.strength:>9.4f}{x.zero:>8.4f}{x.near:>8.4f}{x.far:>8.4f}"
                for x in self.methods
            ),
            "",
            f"Near products: {self.near} regularises them most. Far ones: {self.far}.",
            self._verdict(),
            "",
            *(f"- {limit}" for limit in _LIMITS),
        ]
        return "\n".join(lines)

    def _verdict(self) -> str:
        first, last = self.methods[0], self.methods[-1]
        ratio = first.strength / last.strength
        if not self.decided:
            return (
                f"This model's products: the strongest, {first.name}, differs too "
                "little from the next to choose by this."
            )
        return (
            f"This model's products: {first.name} regularises them most, {ratio:.2f} "
            f"times as strongly as {last.name}."
        )


def recommend(  # noqa: PLR0913
    model: Any,
    images: Any,
    labels: Any,
    *,
    methods: Mapping[str, MixLayer] | None = None,
    boundary: float | None = None,
    draws: int = 1000,
    seed: int = 0,
    verbose: int = 1,
    data_format: str | None = None,
) -> Recommendation:
    """Measures a model's gradient products and compares what methods do about them.

    A method's strength is the mean of its coefficients over pairs of different pixels,
    each pair as heavy as the model's mean product of gradient norms at its offset. A
    model whose products are those of near pixels meets the large near coefficients of
    CutMix; one whose products are far apart meets MixUp's, which are the same anywhere.
    Products of a pixel with itself are left out, as they are largest in any model.

    Args:
        model: Keras model that returns logits, trained without mixing or as it is; as
            in `input_gradient_map`.
        images: Some hundred images, as the model takes them.
        labels: Their class ids.
        methods: Mixing layers by name; None for those of `layers.METHODS`, each with
            its defaults, that have a lambda and neither look at the images nor move
            partners: coefficients by distance do not describe others.
        boundary: Distance between near and far, in pixels; None for that at which the
            coefficients of CutMix on a torus fall below MixUp's.
        draws: Masks to draw for methods whose distribution is not known.
        seed: Of the draws.
        verbose: 1 for a progress bar, 0 for none.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        `Recommendation`, whose `str()` is a report; `methods` has one `Strength` per
        method, and `gradients` maps of shape `(2 length - 1, ...)`.

    Raises:
        ValueError: If model, images or labels are not those of `input_gradient_map`,
            if there are no two methods, or the images have no two pixels.

    Example:
        >>> import keras, numpy as np
        >>> from keras_msda import analysis
        >>> model = keras.Sequential([
        ...     keras.layers.Conv2D(4, 3, activation="softplus"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2),
        ... ])
        >>> images = np.random.default_rng(0).normal(size=(8, 12, 12, 1))
        >>> found = analysis.recommend(
        ...     model, images, np.arange(8) % 2, draws=100, verbose=0
        ... )
        >>> print(found.near, found.far)
        CutMix MixUp

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        section 3 and figure 4.
    """
    owner = "recommend"
    methods = _all_methods() if methods is None else dict(methods)
    _check_methods(owner, methods, MixLayer)
    gradients = input_gradient_map(
        model,
        images,
        labels,
        max_offset=1,  # Of the maximum, which is not used.
        verbose=verbose,
        data_format=data_format,
    )
    shape = tuple((length + 1) // 2 for length in gradients.mean.shape)
    limit = _crossing(shape) if boundary is None else boundary
    pairs = _weigh_pairs(gradients, shape, limit)
    _check_boundary(owner, limit, bool(pairs.near.any() and pairs.far.any()))
    found = {
        name: regularization_coefficients(layer, shape, draws=draws, seed=seed)
        for name, layer in methods.items()
    }
    rows = [_strength(name, x, pairs) for name, x in found.items()]
    rows.sort(key=lambda row: -row.strength)
    return Recommendation(
        boundary=float(limit),
        near_share=_share(pairs.products * (pairs.near > 0), pairs.products),
        even_share=_share(pairs.near, pairs.near + pairs.far),
        half_distance=_median_distance(pairs.products),
        methods=tuple(rows),
        near=max(rows, key=lambda row: row.near).name,
        far=max(rows, key=lambda row: row.far).name,
        decided=_is_decided(*rows[:2]),
        gradients=gradients,
    )


class _Pairs(NamedTuple):
    """Weights of offsets: pairs that are near, those that are far, and products."""

    near: Array
    far: Array
    products: Array


def _share(part: Array, whole: Array) -> float:
    return float(part.sum() / whole.sum())


def _is_decided(first: Strength, second: Strength) -> bool:
    """Returns whether two strengths differ by more than is called equal, and noise."""
    noise = 2 * float(np.hypot(first.error, second.error))
    gap = first.strength - second.strength
    return gap > max(_EQUAL * second.strength, noise)


def _all_methods() -> dict[str, MixLayer]:
    """Returns every method that coefficients describe, with its defaults, by label."""
    methods = {method.label: method.layer for method in layers.METHODS.values()}
    return {
        label: kind()
        for label, kind in methods.items()
        if kind.has_lam and not (kind.uses_saliency or kind.moves_partner)
    }


def _crossing(shape: Shape) -> float:
    """Returns the distance at which CutMix's coefficient falls below MixUp's."""
    layer = layers.CutMixLayer(border="wrap")
    curve = by_distance(regularization_coefficients(layer, shape).second)
    # That of MixUp, E[lambda (1 - lambda)], is 1/6 at alpha = 1.
    below = curve.distance[curve.value < 1 / 6]
    return float(below[0]) if len(below) else math.inf


def _weigh_pairs(gradients: GradientMap, shape: Shape, boundary: float) -> _Pairs:
    """Returns the weights of offsets, those of a pixel with itself left out."""
    pairs = pair_counts(shape)
    distance = offset_lengths(pairs.shape)
    apart = distance > 0
    return _Pairs(
        pairs * (apart & (distance < boundary)),
        pairs * (apart & (distance >= boundary)),
        pairs * apart * gradients.mean,
    )


def _strength(name: str, found: Coefficients, pairs: _Pairs) -> Strength:
    """Returns a method's coefficients, averaged."""
    near, far, strength = (
        float(np.average(found.second, weights=weights)) for weights in pairs
    )
    zero = float(found.second[tuple(length // 2 for length in found.second.shape)])
    error = float(np.average(found.error, weights=pairs.products))
    return Strength(name, zero, near, far, strength, error)


def _median_distance(products: Array) -> float:
    """Returns the distance within which half of some sums by offset lie."""
    distance = np.rint(offset_lengths(products.shape)).astype(int)
    total = np.bincount(distance.reshape(-1), products.reshape(-1)).cumsum()
    return float(np.searchsorted(total, total[-1] / 2))


def _check_methods(owner: str, methods: Any, kind: type) -> None:
    """Checks the layers, by name, that are to be compared."""
    valid = len(methods) > 1 and all(isinstance(x, kind) for x in methods.values())
    if not valid:
        _errors.fail(
            owner,
            "`methods` must be two mixing layers or more, by name.",
            f"methods={methods!r}",
            "Leave `methods` out for all methods of this package.",
        )


def _check_boundary(owner: str, boundary: Any, parts: bool) -> None:
    """Checks that there are pixels nearer than the boundary and others."""
    if not parts:
        _errors.fail(
            owner,
            "there must be pairs of pixels nearer than `boundary` and farther apart.",
            f"boundary={boundary!r}",
            "Give a distance in pixels inside the image, such as `boundary=4`.",
        )
