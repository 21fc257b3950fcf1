"""Checks that several modules of the analysis share."""

from typing import Any, NoReturn

import numpy as np

from keras_msda import _checks, _errors


def check_layer(owner: str, layer: Any, shape: Any, kind: type) -> tuple[int, ...]:
    """Checks a layer to analyse, and returns the spatial lengths as integers."""
    if not isinstance(layer, kind):
        _errors.fail(
            owner,
            "`layer` must be a mixing layer.",
            f"layer of type {type(layer).__name__}",
            "Give for example `keras_msda.HMixLayer()`.",
            TypeError,
        )
    axes = getattr(layer, "mask_axes", None)
    if axes is not None:
        _errors.fail(
            owner,
            "the theory is about masks that depend on all spatial axes.",
            f"a layer with mask_axes={axes!r}",
            "Leave `mask_axes` out, and give `shape` the axes that a mask depends on.",
        )
    if getattr(layer, "fold", False) and getattr(layer, "targets", None) == "own":
        _errors.fail(
            owner,
            "own labels weight lambda by itself, which folding undoes.",
            "a layer with targets='own' and fold=True",
            "Leave `fold` out.",
        )
    return check_shape(owner, shape)


def check_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """Returns the spatial lengths of images to analyse, as integers."""
    valid = isinstance(shape, (tuple, list)) and 1 <= len(shape) <= 3
    if not valid or not all(_checks.is_length(length) for length in shape):
        _errors.fail(
            owner,
            "`shape` must hold one to three spatial lengths, without channels.",
            f"shape={shape!r}",
            "Use for example `shape=(32, 32)`.",
        )
    return tuple(int(length) for length in shape)


def check_draws(owner: str, draws: Any) -> None:
    """Checks how many masks are to be drawn."""
    if not _checks.is_length(draws) or draws < 2:
        _errors.fail(
            owner,
            "`draws` must be an integer of 2 or more.",
            f"draws={draws!r}",
            "Use for example `draws=1000`.",
        )


def check_one_lam(owner: str, lam: Any) -> None:
    """Checks one lambda, or None for its distribution."""
    if lam is not None:
        remedy = "Leave `lam` out for the layer's distribution."
        _checks.check_share(owner, "lam", lam, remedy)


def check_draw_seed(owner: str, seed: Any) -> None:
    """Checks the seed of draws that are made to look at."""
    if not (seed == 0 or _checks.is_length(seed)) or seed >= 2**31:
        _errors.fail(
            owner,
            "`seed` must be an integer from 0, of 31 bits at most.",
            f"seed={seed!r}",
            "Use for example `seed=7`.",
        )


def check_linear(owner: str, targets: str) -> None:
    """Checks that labels are mixed linearly, as the theory asks."""
    if targets == "union":
        _errors.fail(
            owner,
            "the theory is about labels that are mixed, and unions of them are not.",
            "a layer with targets='union'",
            'Give the layer `targets="soft"`.',
        )


def check_images(owner: str, images: np.ndarray, least: int) -> None:
    """Checks for enough images to compute with."""
    _checks.check_rank(owner, images.shape)
    if images.dtype.kind not in "biuf":
        _errors.fail(
            owner,
            "`images` must be real numbers.",
            f"images of dtype {images.dtype}",
            'Cast them, for example `images.astype("float32")`.',
        )
    if len(images) < least:
        _errors.fail(
            owner,
            f"there must be {least} images or more.",
            f"shape {_errors.show(images.shape)}",
            "Give a batch of images of several classes.",
        )


def check_not_probabilities(owner: str, logits: np.ndarray, activation: str) -> None:
    """Checks for a model that does not end with a softmax or a sigmoid, if visible."""
    sums = logits.shape[1] > 1 and np.allclose(logits.sum(1), 1, rtol=0, atol=1e-3)
    if activation in ("softmax", "sigmoid") or (sums and logits.min() >= 0):
        received = "outputs that are not negative and have the sum 1"
        if activation in ("softmax", "sigmoid"):
            received = f"a model that ends with the activation {activation!r}"
        _errors.fail(
            owner,
            "`model` must return logits and not probabilities.",
            received,
            "Leave the last activation out: set `model.layers[-1].activation = None`, "
            "or give the model without its last layer.",
        )


def fail_flat(owner: str, received: str) -> NoReturn:
    """Raises the error for outputs that do not change with the images."""
    _errors.fail(
        owner,
        "the outputs of `model` must have gradients with respect to its inputs.",
        f"{received}, at all images",
        "Leave out what cuts them: rounding, argmax, a stopped gradient, NumPy inside "
        "the model, or a saturated activation.",
    )
