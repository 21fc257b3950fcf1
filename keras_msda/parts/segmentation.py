"""Segmentation masks of mixed images: pasted, chosen or blended, pixel by pixel."""

from typing import Any

import keras

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.masks import _factored
from keras_msda.parts._part import Context

Tensor = Any


@_backend.skip_autograph
def mix_segmentation_masks(
    masks: Any,
    plan: plans.Plan,
    data_format: str | None = None,
    *,
    mode: str | int = "auto",
) -> Tensor:
    """Mixes segmentation masks as a plan mixes the images.

    Args:
        masks: Class indices, `(batch, *size)` or with one channel, or soft masks,
            `(batch, *size, classes)`; channels first where `data_format` says so.
        plan: From `layer.sample`, for this batch and size.
        data_format: "channels_last", "channels_first" or None for Keras's setting.
        mode: "select" takes each pixel from the image that shows more there, so that no
            class is invented. "blend" mixes floats like the images. "auto" blends
            floats of several channels and selects anything else. A number of classes
            turns class indices into soft masks, blended, with zeros for an index
            outside, such as one to be ignored.

    Returns:
        Mixed masks of the masks' dtype and shape; with a number of classes float32
        `(batch, *size, classes)`.

    Raises:
        ValueError: If the masks have another batch or size than the plan, or a dtype
            that the mode cannot mix.

    Example:
        >>> import numpy as np, keras_msda as msda
        >>> masks = np.array([[[7, 7]], [[9, 9]]])
        >>> layer = msda.MixUpLayer(pairing="roll")
        >>> plan = layer.sample(2, (1, 2), seed=(1, 2), lam=0.25)
        >>> print(msda.mix_segmentation_masks(masks, plan).numpy().tolist())
        [[[9, 9]], [[7, 7]]]
    """
    owner = "mix_segmentation_masks"
    data_format = _checks.check_data_format(owner, data_format)
    mode = _checks.check_segmentation(owner, mode)
    plan, layout = plans.convert_plan(plan, data_format)
    masks = _check_masks(owner, masks, layout, mode)
    return _mix_masks(masks, plan, layout, mode)


def check(key: str, context: Context, *, owner: str) -> Tensor:
    """Returns segmentation masks that can be mixed, or raises; see `Part`."""
    masks, mode = context.parts[key], context.settings.segmentation
    _checks.check_given(owner, key, masks)
    return _check_masks(owner, masks, context.layout, mode)


def mix(key: str, context: Context, *, plan: plans.Plan) -> Tensor:
    """Returns checked masks as a plan mixes them; see `Part`."""
    masks, mode = context.parts[key], context.settings.segmentation
    choice = context.settings.jit_compile
    return _mix_masks(masks, plan, context.layout, mode, jit_compile=choice)


def _check_masks(
    owner: str, masks: Any, layout: plans.Layout, mode: str | int
) -> Tensor:
    """Returns masks as a tensor that can be mixed, or raises."""
    ops = _backend.get_ops(masks)
    _checks.check_not_ragged(owner, "segmentation masks", ops.is_ragged(masks), masks)
    form = ", ".join(["None"] * (len(layout.size) + 1))
    _checks.check_known_rank(owner, "segmentation masks", masks, form=f"({form})")
    masks = ops.convert(masks)
    lengths = layout.lengths(masks.shape) or tuple(masks.shape[1:])
    found = (masks.shape[0], *lengths)
    _check_shape(owner, masks.shape, found, (layout.batch, *layout.size))
    _check_dtype(owner, masks.dtype, _count_channels(masks, layout), mode)
    return masks


def _count_channels(masks: Tensor, layout: plans.Layout) -> int | None:
    """Returns the number of channels: 1 without an axis of them, None if unknown."""
    has_channels = layout.lengths(masks.shape) is not None
    count = masks.shape[layout.channels] if has_channels else 1
    return None if count is None else int(count)


def _mix_masks(
    masks: Tensor,
    plan: plans.Plan,
    layout: plans.Layout,
    mode: str | int,
    *,
    jit_compile: bool | str = "auto",
) -> Tensor:
    """Returns checked masks as a plan mixes them."""
    ops = _backend.get_ops(masks)
    axis, rank = layout.channels, len(layout.size)
    has_channels = layout.lengths(masks.shape) is not None
    dtype = keras.backend.standardize_dtype(masks.dtype)
    classes = mode if isinstance(mode, int) else None
    count = _count_channels(masks, layout)
    soft = keras.backend.is_float_dtype(dtype) and count != 1
    blended = mode == "blend" or (mode == "auto" and soft)

    def mix(masks: Tensor, partner: Tensor, mask: Any, index: Any) -> Tensor:
        if isinstance(mask, _factored.Mask):
            mask = _factored.multiply_out(mask, rank)
        if has_channels or classes is not None:
            mask = mask[:, None] if axis == 1 else mask[..., None]
        if has_channels and classes is not None:
            masks = masks[:, 0] if axis == 1 else masks[..., 0]
        masks, other = plans.take_both_moved(masks, partner, index, layout.data_format)
        if classes is not None:
            own, other = (ops.one_hot(x, classes, axis) for x in (masks, other))
            return plans.blend(own, other, mask, "float32")
        if blended:
            if mode == "auto" and count is None:
                # A blend by shares of 0 and 1 is a selection.
                several = ops.shape(masks)[axis] > 1
                mask = ops.where(several, mask, ops.cast(mask > 0.5, "float32"))
            return plans.blend(masks, other, mask, dtype)
        return ops.where(mask > 0.5, masks, other)

    index = plans.get_move_index(plan)
    return ops.call_fused(
        mix, masks, plan.partner, plan.mask, index, jit_compile=jit_compile
    )


def _check_shape(owner: str, shape: Any, found: Any, expected: Any) -> None:
    """Checks that segmentation masks belong to images of this batch and size.

    Args:
        owner: Name that an error starts with.
        shape: Shape of the masks.
        found: Their batch and spatial lengths.
        expected: Those of the images.
    """
    if len(found) != len(expected) or any(map(_errors.differ, found, expected)):
        _errors.fail(
            owner,
            "segmentation masks must have the batch size and the spatial size of the "
            f"images, {_errors.show(expected)}, and at most an axis of channels.",
            f"shape {_errors.show(shape)}",
            "Resize the masks to the images, and check `data_format`.",
        )


def _check_dtype(owner: str, dtype: Any, channels: int | None, mode: str | int) -> None:
    """Checks that segmentation masks can be mixed in a mode."""
    count = "an unknown number of" if channels is None else channels
    received = (
        f"masks of dtype {keras.backend.standardize_dtype(dtype)} with "
        f"{count} channels, segmentation={mode!r}"
    )
    floats = keras.backend.is_float_dtype(dtype)
    if isinstance(mode, int):
        _check_class_indices(owner, floats, channels, received)
    elif mode == "blend" and not floats:
        _errors.fail(
            owner,
            "integer masks cannot be averaged.",
            received,
            'Use `segmentation="select"`, or the number of classes, which makes soft '
            "masks of class indices.",
        )


def _check_class_indices(
    owner: str, floats: bool, channels: int | None, received: str
) -> None:
    """Checks that segmentation masks are class indices."""
    if not floats and channels is None:
        _errors.fail(
            owner,
            "a number of classes needs segmentation masks with one channel, or without "
            "an axis of channels.",
            received,
            "Set their shape before mixing: "
            "`masks = tf.ensure_shape(masks, (None, None, None, 1))`.",
        )
    if floats or channels != 1:
        _errors.fail(
            owner,
            "a number of classes makes soft masks of class indices, which are integers "
            "without an axis of classes.",
            received,
            'Cast class indices to int32; use `segmentation="blend"` for masks that '
            "are soft already.",
        )
