"""What a layer does with the parts of a batch: checks and mixes them, by one plan."""

from collections.abc import Mapping
from typing import Any

from keras_msda import _backend, parts, plans
from keras_msda.layers import _planning
from keras_msda.layers._content import check_labels, read_content
from keras_msda.layers._planning import SECOND


def check_batch(
    layer: Any, given: Mapping[str, Any], layout: plans.Layout, *, mix: bool
) -> dict[str, Any]:
    """Returns images and what belongs to them as tensors that can be mixed, or raises.

    Nothing is refused later, when a draw has been used up.

    Args:
        layer: A mixing layer.
        given: By key, as `parts.structures` takes a batch apart.
        layout: Of the images.
        mix: Whether they may be mixed.
    """
    images = given["images"]
    images = _backend.get_ops(images).convert(images)
    checked = parts.check_parts(
        type(layer).__name__,
        given,
        layout=layout,
        settings=_settings_of_parts(layer)._replace(moves=_name_moves(layer, mix)),
    )
    if mix:
        layer._masked(layout.size)
        if layer.pairing == "label_similarity":
            check_labels(type(layer).__name__, checked.get("labels"))
    return checked | {"images": images}


def _name_moves(layer: Any, mix: bool) -> str:
    """Returns how the partner's pixels are moved; see `Settings`."""
    if not (mix and layer.moves_partner):
        return ""
    return "pieces" if layer.moves_own else "whole"


def mix_batch(
    layer: Any,
    checked: Mapping[str, Any],
    layout: plans.Layout,
    *,
    seed: Any,
    partner: Any = None,
    mix: Any = True,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Returns checked parts, mixed by the plan of a seed.

    A traced `mix` becomes part of the plan: of a condition around all this, XLA
    (TensorFlow 2.21) crashes where PuzzleMix's masks are solved in it.

    Args:
        layer: A mixing layer.
        checked: From `check_batch`; followed by those of a second batch for `SECOND`.
        layout: Of the images.
        seed: Seed pair; None leaves the parts unmixed, in the form of mixed ones.
        partner: As in `draw_plan`.
        mix: As in `draw_plan`.
        dtype: Of the images that come out; None for the layer's compute dtype.
    """
    mixed, images = dict(checked), checked["images"]
    batch, size = layer._measure(images)
    batch = batch // 2 if partner is SECOND else batch
    dtype, choice = dtype or layer.compute_dtype, layer.jit_compile
    if seed is None:
        plan: plans.Plan = plans.leave_unmixed(batch, images)
        mixed["images"] = _backend.get_ops(images).cast(images, dtype)
    else:
        masked = layer._masked(size)
        plan = _planning.draw_plan(
            layer,
            batch,
            masked,
            seed=seed,
            partner=partner,
            mix=mix,
            content=read_content(layer, checked, layout._replace(size=size)),
        )
        plan = layer._expand_plan(plan, size)
        if partner is SECOND:
            plan = plan._replace(partner=None)
        elif partner is None:
            groups = _planning.count_groups(layer, batch, seed)
            plan = plans.place_in_groups(plan, groups)
        mixed["images"] = plans.mix_images(
            images, plan, layer.data_format, dtype=dtype, jit_compile=choice
        )
    settings = _settings_of_parts(layer)
    if seed is None or not layer.label_smoothing:  # Unmixed labels are not smoothed.
        settings = settings._replace(label_smoothing=0.0)
    elif mix is not True:
        smoothing = _backend.get_ops(images).where(mix, layer.label_smoothing, 0.0)
        settings = settings._replace(label_smoothing=smoothing)
    return parts.mix_parts(mixed, plan, layout=layout, settings=settings)


def _settings_of_parts(layer: Any) -> parts.Settings:
    """Returns what becomes of the parts."""
    return parts.Settings(
        targets=layer.targets,
        num_classes=layer.num_classes,
        label_smoothing=layer.label_smoothing,
        target_threshold=layer.target_threshold,
        segmentation=layer.segmentation,
        bounding_box_format=layer.bounding_box_format,
        min_box_share=layer.min_box_share,
        batch_keys=layer.batch_keys,
        dtype=layer.compute_dtype,
        uniform_mask=layer.uniform_mask,
        jit_compile=layer.jit_compile,
        owner=type(layer).__name__,
    )
