"""The constant mask of MixUp."""

from collections.abc import Sequence
from typing import Any

from keras_msda import _backend
from keras_msda.masks import _factored, _given

Tensor = Any


def build_constant(lam: Tensor) -> _factored.Mask:
    """Returns the mask that is lambda at every pixel."""
    ops = _backend.get_ops(lam)
    return _factored.Mask(lam, ops.zeros(ops.shape(lam), "float32"), ())


def constant_mask(lam: Any, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns the mask of MixUp, lambda at every pixel.

    Args:
        lam: Shares of the first image, shape `(draws,)`, in [0, 1].
        size: Spatial lengths of the images, one to three.

    Returns:
        The mask, float32 `(draws, *size)`, and its mean, float32 `(draws,)`.

    Raises:
        ValueError: If an argument is outside these ranges.

    Example:
        >>> from keras_msda import masks
        >>> mask, weight = masks.constant_mask([0.25], (2, 3))
        >>> print(mask.shape, float(mask[0, 0, 0]), float(weight[0]))
        (1, 2, 3) 0.25 0.25

    References:
        Zhang, Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk Minimization,
        2018, equation 1.
    """
    size = _given.check_size("constant_mask", size)
    lam = _given.convert_lam("constant_mask", lam, lam)
    return _factored.to_dense(build_constant(lam), size), lam
