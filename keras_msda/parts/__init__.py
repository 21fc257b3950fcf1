"""What belongs to a batch of images, one file each: how it is checked and mixed.

A new kind of part is a module with the functions `check` and `mix` of `Part`, and a
line in the table `PARTS`.
"""

from collections.abc import Mapping
from typing import Any

from keras_msda import plans
from keras_msda.parts import structures
from keras_msda.parts._part import Context, Part, Settings
from keras_msda.parts._table import EXTRA, PARTS

__all__ = ["PARTS", "Part", "Settings", "check_parts", "mix_parts"]


def check_parts(
    owner: str,
    inputs: Mapping[str, Any],
    *,
    layout: plans.Layout,
    settings: Settings,
) -> dict[str, Any]:
    """Returns what belongs to the images as tensors that can be mixed, or raises.

    Args:
        owner: Name that an error starts with.
        inputs: Parts by key; images and what is not mixed are left out.
        layout: Of the images.
        settings: Of the layer.
    """
    context = Context(inputs, layout, settings)
    checked = {
        key: part.check(key, context, owner=owner)
        for key, part in _find_parts(inputs, settings).items()
    }
    return {key: value for key, value in checked.items() if value is not None}


def mix_parts(
    parts: Mapping[str, Any],
    plan: plans.Plan,
    *,
    layout: plans.Layout,
    settings: Settings,
) -> dict[str, Any]:
    """Returns checked parts as a plan mixes them, and other entries as they are.

    Args:
        parts: From `check_parts`, perhaps with other entries.
        plan: The plan of the batch.
        layout: Of the images.
        settings: Of the layer.
    """
    context = Context(parts, layout, settings)
    mixed = {
        key: part.mix(key, context, plan=plan)
        for key, part in _find_parts(parts, settings).items()
    }
    return {**parts, **mixed}


def _find_parts(parts: Mapping[str, Any], settings: Settings) -> dict[str, Part]:
    """Returns the kind of each part that is mixed, in the order of the table."""
    known = {key: part for key, part in PARTS.items() if key in parts}
    others = [*settings.batch_keys, *structures.extra_keys(parts)]
    return known | {key: EXTRA for key in others if key in parts}
