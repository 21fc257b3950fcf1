"""Extra tensors of a batch, mixed by the plan of its images: views, token labels."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored
from keras_msda.parts._part import Context

Tensor = Any


def check(key: str, context: Context, *, owner: str) -> Tensor:
    """Returns a tensor that can be mixed, or raises; see `Part`.

    It has the images' rank, or is floats `(batch, ...)`.
    """
    x, layout = context.parts[key], context.layout
    _checks.check_given(owner, key, x)
    ops = _backend.get_ops(x)
    _checks.check_not_ragged(owner, f'"{key}"', ops.is_ragged(x), x)
    _checks.check_array(owner, f'"{key}"', x)
    x = ops.convert(x)
    _checks.check_batch(owner, f'"{key}"', x.shape, (layout.batch,))
    lengths = layout.lengths(x.shape)
    if lengths is not None:
        _check_lengths(owner, key, lengths, layout.size)
    _check_real(owner, key, x.dtype, lengths, layout.size)
    if context.settings.moves and lengths is not None:
        _check_not_coarse(owner, key, lengths, layout.size)
    return x


def mix(key: str, context: Context, *, plan: plans.Plan) -> Tensor:
    """Returns a checked tensor as a plan mixes it; see `Part`. Floats keep their dtype.

    By the mask averaged over its coarser grid if it has one, else by the weight of the
    labels.
    """
    x, layout, dtype = context.parts[key], context.layout, context.settings.dtype
    ops = _backend.get_ops(x)
    if keras.backend.is_float_dtype(x.dtype):
        dtype = keras.backend.standardize_dtype(x.dtype)
    lengths = layout.lengths(ops.shape(x))
    if lengths is None:
        weight = _factored.append_axes(plan.weight, len(x.shape) - 1)
        return plans.blend(*plans.take_both(x, plan.partner), weight, dtype)
    if layout.lengths(x.shape) != tuple(layout.size):
        floats = keras.backend.is_float_dtype(x.dtype)
        if plans.get_move(plan) is not None or not floats:
            x = _take_for_whole(context.settings.owner, key, x, layout)
        else:
            plan = plan._replace(mask=_average_mask(plan.mask, layout, lengths))
    choice = context.settings.jit_compile
    return plans.mix_images(
        x, plan, layout.data_format, dtype=dtype, jit_compile=choice
    )


def _average_mask(mask: Any, layout: plans.Layout, lengths: tuple[Any, ...]) -> Tensor:
    """Returns dense masks averaged over the blocks of a coarser grid."""
    values = _factored.to_dense(mask, layout.size)
    ops = _backend.get_ops(values)
    blocks = [ops.shape(values)[0]]
    for length, fine in zip(lengths, layout.size, strict=True):
        blocks += [length, fine // length]
    return ops.mean(ops.reshape(values, blocks), list(range(2, len(blocks), 2)))


def _take_for_whole(owner: str, key: str, x: Tensor, layout: plans.Layout) -> Tensor:
    """Returns a tensor as one of the images' size, or refuses it.

    The pixels of a partner that is moved are known on the images' grid alone, and
    integers on a coarser one are no images.
    """
    _check_not_coarse(owner, key, layout.lengths(x.shape) or (), layout.size)
    # Lengths that are not known when traced: a coarser grid fails when it runs.
    ops = _backend.get_ops(x)
    shape = list(ops.shape(x))
    first = 2 if layout.channels == 1 else 1
    shape[first : first + len(layout.size)] = layout.size
    return ops.reshape(x, shape)


def _check_not_coarse(
    owner: str, key: str, lengths: Sequence[Any], size: Sequence[Any]
) -> None:
    """Refuses a tensor on a coarser grid beside partners that are moved."""
    if any(map(_errors.differ, lengths, size)):
        _errors.fail(
            owner,
            f'a partner is moved pixel by pixel, so that "{key}" must have the size of '
            f"the images, {_errors.show(size)}.",
            f'"{key}" on a coarser grid, of lengths {_errors.show(lengths)}',
            "Resize it to the images, or leave it out of `batch_keys`.",
        )


def _check_lengths(
    owner: str, key: str, lengths: Sequence[Any], size: Sequence[Any]
) -> None:
    """Checks that spatial lengths divide those of the images."""
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
    """Refuses integers that would be averaged and are no images."""
    alike = lengths is not None and not any(map(_errors.differ, lengths, size))
    if not alike and not keras.backend.is_float_dtype(dtype):
        _errors.fail(
            owner,
            f'integers cannot be averaged, and "{key}" does not have the size of the '
            "images.",
            f"dtype {keras.backend.standardize_dtype(dtype)}",
            'Give class ids as "labels", and cast other numbers to float32.',
        )
