"""Saliency maps of images, for methods whose masks depend on them."""

from typing import Any

from keras_msda import _backend, _checks, _errors, plans
from keras_msda.parts._part import Context

Tensor = Any


def check(key: str, context: Context, *, owner: str) -> Tensor:
    """Returns saliency as float32 `(batch, *size)`, or raises; see `Part`."""
    saliency, layout = context.parts[key], context.layout
    _checks.check_given(owner, key, saliency)
    ops = _backend.get_ops(saliency)
    _checks.check_not_ragged(owner, f'"{key}"', ops.is_ragged(saliency), saliency)
    _checks.check_array(owner, f'"{key}"', saliency)
    saliency = ops.cast(ops.convert(saliency), "float32")
    expected = (layout.batch, *layout.size)
    shape = saliency.shape
    if len(shape) != len(expected) or any(map(_errors.differ, shape, expected)):
        _errors.fail(
            owner,
            '"saliency" must hold one number per pixel, of shape '
            f"{_errors.show(expected)}.",
            f"shape {_errors.show(shape)}",
            "Take the norm over the channels, and resize it to the images.",
        )
    return saliency


def mix(key: str, context: Context, *, plan: plans.Plan) -> Tensor:
    """Returns checked saliency, mixed as the images are; see `Part`."""
    saliency = context.parts[key][..., None]
    choice = context.settings.jit_compile
    return plans.mix_images(saliency, plan, "channels_last", jit_compile=choice)[..., 0]
