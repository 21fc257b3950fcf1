"""Further tensors of a batch, mixed by the plan of its images: views, token labels."""

from typing import Any

import keras

from keras_msda import _backend, _checks, _factored, plans

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
        _checks.check_further(owner, key, lengths, layout.size)
    _checks.check_real(owner, key, x.dtype, lengths, layout.size)
    return x


def mixed(x: Tensor, plan: plans.MixPlan, layout: plans.Layout, dtype: str) -> Tensor:
    """Returns a checked tensor as a plan mixes it.

    Args:
        x: Floats keep their dtype.
        plan: The plan of the batch.
        layout: Of the images.
        dtype: Of what integers become.
    """
    ops = _backend.of(x)
    if keras.backend.is_float_dtype(x.dtype):
        dtype = keras.backend.standardize_dtype(x.dtype)
    lengths = layout.lengths(ops.shape(x))
    if lengths is None:
        weight = _factored.per_draw(plan.weight, len(x.shape) - 1)
        return plans.blend(*plans.both(x, plan.partner), weight, dtype)
    if layout.lengths(x.shape) != tuple(layout.size):
        plan = plan._replace(mask=_coarser(plan.mask, layout, lengths))
    return plans.mix_images(x, plan, layout.data_format, dtype=dtype)


def _coarser(mask: Any, layout: plans.Layout, lengths: tuple[Any, ...]) -> Tensor:
    """Returns dense masks averaged over the blocks of a coarser grid."""
    values = _factored.full(mask, layout.size)
    ops = _backend.of(values)
    blocks = [ops.shape(values)[0]]
    for length, fine in zip(lengths, layout.size, strict=True):
        blocks += [length, fine // length]
    return ops.mean(ops.reshape(values, blocks), list(range(2, len(blocks), 2)))
