"""Draws plans for pictures, and mixes them: what a figure shows, as arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _errors, plans


class Panels(NamedTuple):
    """What one layer drew for a batch, as NumPy arrays; exactly what is shown.

    Attributes:
        name: The method.
        images: Own images, float32 in [0, 1], shape `(batch, height, width, channels)`.
        partner: Index of each one's partner, shape `(batch,)`.
        mask: Share of the own image, shape `(batch, height, width)`.
        weight: Share of the own label, shape `(batch,)`.
        mixed: The mixed images, shaped as `images`.
        lam: The lambda asked for, shape `(batch,)`; NaN where it was drawn.
    """

    name: str
    images: npt.NDArray[np.float32]
    partner: npt.NDArray[np.int32]
    mask: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    mixed: npt.NDArray[np.float32]
    lam: npt.NDArray[np.float32]


def sample_panels(
    layer: keras.Layer,
    images: npt.ArrayLike,
    *,
    lam: float | Sequence[float] | None,
    seed: tuple[int, int],
) -> Panels:
    """Draws one plan of a layer and mixes images by it.

    Args:
        layer: A mixing layer.
        images: As for `mixes`.
        lam: As for `mixes`; not used by layers without lambda.
        seed: Two integers.

    Returns:
        The plan and the images, own and mixed.
    """
    own = as_floats(images)
    batch, height, width, _ = own.shape
    fixed = None
    if lam is not None and layer.has_lam:
        # One number stays one: a layer may draw fewer masks than there are images.
        fixed = np.asarray(lam, np.float32)
    seen = {"images": own} if layer.uses_saliency else {}
    plan = layer.sample(batch, (height, width), seed=seed, lam=fixed, **seen)
    mixed = plans.mix_images(own, plan, data_format="channels_last")
    return Panels(
        name_of(layer),
        own,
        np.asarray(plan.partner),
        np.asarray(plan.mask),
        np.asarray(plan.weight),
        np.asarray(mixed),
        np.full(batch, np.nan if fixed is None else fixed, np.float32),
    )


def sample_pair(
    layer: keras.Layer,
    pair: npt.NDArray[np.float32],
    *,
    lam: float,
    seed: tuple[int, int],
) -> Panels:
    """Mixes two images with each other by one mask, whatever the pairing is.

    Args:
        layer: A mixing layer.
        pair: Two images, from `as_floats`.
        lam: Lambda.
        seed: Two integers.

    Returns:
        The first image mixed with the second, and the second with the first.
    """
    if layer.uses_saliency or layer.moves_partner:
        config = layer.get_config() | {"pairing": "roll", "per": "batch"}
        config |= {"bandwidth": None, "groups": 1, "data_format": "channels_last"}
        config.pop("uid")  # Losses of the layer must not find the copy.
        return sample_panels(type(layer).from_config(config), pair, lam=lam, seed=seed)
    given = lam if layer.has_lam else None
    drawn = layer.sample_masks(1, pair.shape[1:3], seed=seed, lam=given)
    mask, weight = (np.repeat(np.asarray(values), 2, 0) for values in drawn)
    plan = plans.MixPlan(np.array([1, 0], np.int32), mask, weight)
    mixed = plans.mix_images(pair, plan, data_format="channels_last")
    asked = np.full(2, lam, np.float32)
    return Panels(name_of(layer), pair, *plan, np.asarray(mixed), asked)


def name_of(layer: keras.Layer) -> str:
    """Returns a method's name: that of the layer's class without its last word.

    Args:
        layer: A mixing layer.
    """
    return type(layer).__name__.removesuffix("Layer")


def as_floats(images: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Brings images to float32 in [0, 1] with a channel axis.

    Args:
        images: Integers in [0, 255] or floats in [0, 1], three or four axes.

    Returns:
        Shape `(batch, height, width, channels)`.

    Raises:
        ValueError: When the shape is not that of grey or RGB images.
    """
    array = np.asarray(images)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        _errors.fail(
            "plot",
            "`images` must have shape (batch, height, width) or (batch, height, width, "
            "1 or 3).",
            f"shape={np.shape(images)}",
            "Give grey or RGB images with the channels last.",
        )
    scale = 255 if np.issubdtype(array.dtype, np.integer) else 1
    return (array / scale).astype(np.float32)
