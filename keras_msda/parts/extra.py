"""Further tensors of a batch, mixed by the plan of its images: views, token labels."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored

Tensor = Any


def checked(owner: str, key: str, x: Any, layout: plans.Layout) -> Tensor:
    """Returns a further tensor that can be mixed, or raises.

    Args:
        owner: Name that an error starts with.
        key: The tensor's name.
        x: Of the images' rank, or floats `(batch, ...)`.
        layout: Of the images.
    """
    _checks.check_given(owner, key, x)
    ops = _backend.of(x)
    _checks.check_not_ragged(owner, f'"{key}"', ops.is_ragged(x), x)
    _checks.check_array(owner, f'"{key}"', x)
    x = ops.convert(x)
    _checks.check_batch(owner, f'"{key}"', x.shape, (layout.batch,))
    lengths = layout.lengths(x.shape)
    if lengths is not None:
        _check_further(owner, key, lengths, layout.size)
    _check_real(owner, key, x.dtype, lengths, layout.size)
    return x


def mixed(
    x: Tensor,
    plan: plans.MixPlan,
    layout: plans.Layout,
    dtype: str,
    *,
    jit_compile: bool | str,
) -> Tensor:
    """Returns a checked tensor as a plan mixes it.

    Args:
        x: Floats keep their dtype.
        plan: The plan of the batch.
        layout: Of the images.
        dtype: Of what integers become.
        jit_compile: Whether a graph compiles this, as in the layers.
    """
    ops = _backend.of(x)
    if keras.backend.is_float_dtype(x.dtype):
        dtype = keras.backend.standardize_dtype(x.dtype)
    lengths = layout.lengths(ops.shape(x))
    if lengths is None:
        weight = _factored.append_axes(plan.weight, len(x.shape) - 1)
        return plans.blend(*plans.take_both(x, plan.partner), weight, dtype)
    if layout.lengths(x.shape) != tuple(layout.size):
        plan = plan._replace(mask=_coarser(plan.mask, layout, lengths))
    return plans.mix_images(
        x, plan, layout.data_format, dtype=dtype, jit_compile=jit_compile
    )


def _coarser(mask: Any, layout: plans.Layout, lengths: tuple[Any, ...]) -> Tensor:
    """Returns dense masks averaged over the blocks of a coarser grid."""
    values = _factored.to_dense(mask, layout.size)
    ops = _backend.of(values)
    blocks = [ops.shape(values)[0]]
    for length, fine in zip(lengths, layout.size, strict=True):
        blocks += [length, fine // length]
    return ops.mean(ops.reshape(values, blocks), list(range(2, len(blocks), 2)))


def _check_further(
    owner: str, key: str, lengths: Sequence[Any], size: Sequence[Any]
) -> None:
    """Checks a further tensor whose spatial lengths must divide the images'."""
    for length, fine in zip(lengths, size, strict=True):
        if isinstance(length, int) and isinstance(fine, int) and fine % max(length, 1):
            _errors.fail(
                owner,
                f'the spatial lengths of "{key}" must divide those of the images, '
                f"{_errors.show(size)}.",
                f"lengths {_errors.show(lengths)}",
                "Resize it, or flatten its spatial axes to have it mixed by the weight "
                "of the labels.",
            )


def _check_real(
    owner: str, key: str, dtype: Any, lengths: Sequence[Any] | None, size: Sequence[Any]
) -> None:
    """Refuses integers where a mean is taken that is not one of images."""
    alike = lengths is not None and not any(map(_errors.differ, lengths, size))
    if not alike and not keras.backend.is_float_dtype(dtype):
        _errors.fail(
            owner,
            f'integers have no mean, and "{key}" is not of the images\' size.',
            f"dtype {keras.backend.standardize_dtype(dtype)}",
            'Give class ids as "labels", and cast what is no id to float32.',
        )
