"""What a seed and a layer's hooks make: parameters of masks, and whole plans.

Functions of a layer, which has the settings and the hooks; see `MixLayer`.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import keras

from keras_msda import _backend, _errors, plans, sampling
from keras_msda.layers import memory
from keras_msda.layers._content import NO_CONTENT, Content
from keras_msda.masks import _factored, _moved

Tensor = Any

#: Instead of indices: the partner of sample i is sample i of a second batch.
SECOND = object()


def draw_params(
    layer: Any, num_draws: Any, size: Any, *, seeds: Sequence[Any], lam: Any
) -> Any:
    """Draws what masks are made from, for lambda given or drawn.

    Args:
        layer: A mixing layer.
        num_draws: How many.
        size: Lengths that masks depend on.
        seeds: Seed pairs of lambda and of all else.
        lam: lambda, a number or one per draw; None to draw it.
    """
    ops = _backend.get_ops(num_draws, *seeds)
    lam_seed, params_seed = seeds
    if lam is None:
        own = layer.targets == "own"
        lam = layer._sample_lam(num_draws, own=own, seed=lam_seed)
        lam = fold(lam) if layer.fold else lam
    else:
        lam = ops.broadcast_to(ops.convert(lam, "float32"), [num_draws])
    return layer.sample_params(lam, size, seed=params_seed)


def draw_uniform_params(
    layer: Any, num_draws: Any, size: Any, *, seeds: Sequence[Any], lam: Any
) -> Any:
    """Draws what masks are made from; all pixels of images are equally salient."""
    params = draw_params(layer, num_draws, size, seeds=seeds, lam=lam)
    if not layer.uses_saliency:
        return params
    partner = _backend.get_ops(num_draws, *seeds).arange(num_draws)
    return _place(layer, params, partner, size, NO_CONTENT)[0]


def _place(
    layer: Any, params: Any, partner: Tensor | None, size: Any, content: Content
) -> tuple[Any, Tensor]:
    """Returns what masks are made from, given the images, and which samples have any.

    Args:
        layer: A layer whose masks depend on saliency.
        params: One row per sample.
        partner: int32 `(batch,)`; None for partners in a second batch.
        size: Lengths that masks depend on.
        content: Of the batch.

    Returns:
        The parameters, and truth values `(batch,)`: False where saliency is negative,
        infinite or NaN.
    """
    ops = _backend.get_ops(*keras.tree.flatten(params))
    batch = ops.shape(keras.tree.flatten(params)[0])[0]
    if content.saliency is None:
        ones = ops.ones([batch, *size], "float32")
        usable, both = ops.cast(ops.ones([batch], "int32"), "bool"), (ones, ones)
    else:
        saliency = content.saliency
        each = (saliency >= 0) & (saliency < float("inf"))
        usable = ops.all(each, list(range(1, len(size) + 1)))
        shown = _factored.append_axes(usable, len(size))
        both = plans.take_both(ops.where(shown, saliency, 1.0), partner)
        own, other = plans.take_both(usable, partner)
        usable = own & other
    images: dict[str, Any] = {}
    if layer.uses_images:
        found = content.images
        found = (None, None) if found is None else plans.take_both(found, partner)
        images = dict(zip(("images", "partner_images"), found, strict=True))
    return layer.place(params, *both, size, **images), usable


def fold(lam: Any) -> Any:
    """Returns max(lam, 1 - lam), for each of the layers of a random choice."""
    if isinstance(lam, list):
        return [fold(member) for member in lam]
    return _backend.get_ops(lam).maximum(lam, 1.0 - lam)


def draw_plan(
    layer: Any,
    batch: Any,
    size: Any,
    *,
    seed: Any,
    lam: Any = None,
    masked: bool = True,
    partner: Any = None,
    mix: Any = True,
    content: Content = NO_CONTENT,
) -> plans.Plan:
    """Returns the plan of a seed.

    Args:
        layer: A mixing layer.
        batch: Number of samples.
        size: Lengths that the mask depends on.
        seed: Seed pair.
        lam: lambda instead of drawing it.
        masked: Whether to make masks, factored ones; else there is None.
        partner: int32 `(batch,)`, indices instead of drawing them; or `SECOND`: each
            sample has its partner at its own place in a second batch.
        mix: Whether to mix any sample, perhaps traced.
        content: What the plan depends on besides the seed.
    """
    ops = _backend.get_ops(batch, seed)
    partner_seed, coin_seed, *seeds = ops.split_seed(seed, 4)
    groups = count_groups(layer, batch, seed)
    given = partner is not None
    partner, known = _find_known(partner, batch)
    pairing = _pair(layer, batch, groups, content, given=given, seed=partner_seed)
    params = draw_params(layer, pairing.num_draws, size, seeds=seeds, lam=lam)
    coin = sampling.sample_uniform([pairing.num_draws], seed=coin_seed)
    mixed = coin < ops.convert(layer._mixed_share.read(coin))
    mixed = mixed if mix is True else mixed & mix
    index = pairing.draw_index
    mixed = mixed if index is None else ops.take(mixed, index)
    chosen, mixed = _choose_partner(partner, pairing.partner, mixed)
    if layer.uses_saliency:
        params, index = _take_draws(params, index), None
        if masked or layer.weight_needs_images:
            others = _find_partner(partner, chosen, groups)
            params, usable = _place(layer, params, others, size, content)
            # Otherwise a loss, which does not see the images, could not know it.
            usable = usable if layer.weight_needs_images else True
            chosen, mixed = _choose_partner(partner, chosen, mixed & usable)
    mask = layer._factored_mask(params, size) if masked else None
    weight = layer._weight(params, size, mask)
    weight = weight if index is None else ops.take(weight, index)
    weight = ops.where(mixed, weight, 1.0)
    if mask is not None:
        shared = layer.per == "batch" and not layer.uses_saliency
        mask = _factored.take_draws(mask, index, shared=shared)
        mask = _factored.keep_own(mask, mixed)
    plan: plans.Plan = plans.MixPlan(chosen, mask, weight)
    if layer.moves_partner and masked:
        moves = _draw_moves(layer, params, size, index, mixed)
        plan = plans.MovedMixPlan(chosen, mask, weight, *moves)
    if known is None:
        return plan
    known = known if mix is True else known | ~mix
    return plan._replace(weight=ops.where(known, plan.weight, float("nan")))


def _take_draws(params: Any, index: Tensor | None) -> Any:
    """Returns what masks are made from with one row per sample; see `Pairing`."""
    if index is None:
        return params
    ops = _backend.get_ops(index)
    return keras.tree.map_structure(lambda x: ops.take(x, index), params)


def _find_partner(given: Any, chosen: Tensor, groups: int) -> Tensor | None:
    """Returns where the partners' images are, for `plans.take_both`.

    Drawn partners are in the group of their sample; see `plans.place_partner`.
    """
    if given is SECOND:
        return None
    return plans.place_partner(chosen, groups) if given is None else chosen


def _draw_moves(
    layer: Any, params: Any, size: Any, index: Tensor | None, mixed: Tensor
) -> tuple[_moved.Move, _moved.Move | None]:
    """Returns how the pixels of partners are moved, and those of own images if any.

    Args:
        layer: A layer that moves pixels.
        params: One row per draw.
        size: Lengths that masks depend on.
        index: int32 `(batch,)`, the draw that each sample takes, or None.
        mixed: Truth values `(batch,)`.
    """
    move = _moved.take_draws(layer.move(params, size), index)
    if not layer.moves_own:
        return move, None
    own = _moved.take_draws(layer.move_own(params, size), index)
    return move, _moved.keep_unmixed(own, mixed)


def _pair(
    layer: Any, batch: Any, groups: int, content: Content, *, given: bool, seed: Any
) -> sampling.Pairing:
    """Returns drawn partners, or any where partners are given instead."""
    kinds = {"per": layer.per, "groups": groups, "seed": seed}
    if layer.pairing != "label_similarity":
        return sampling.sample_partners(batch, pairing=layer.pairing, **kinds)
    if given:
        return sampling.sample_partners(batch, pairing="roll", **kinds)
    return sampling.sample_similar_partners(content.labels, layer.bandwidth, **kinds)


def _find_known(given: Any, batch: Any) -> tuple[Any, Tensor | None]:
    """Returns given indices, 0 for those outside the batch, and which are inside it."""
    if given is None or given is SECOND:
        return given, None
    ops = _backend.get_ops(given)
    given = ops.cast(given, "int32")
    known = (given >= 0) & (given < batch)
    return ops.where(known, given, 0), known


def _choose_partner(given: Any, drawn: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the partners, and which samples are mixed.

    Args:
        given: As in `draw_plan`.
        drawn: int32 `(batch,)`, drawn partners.
        mixed: Truth values `(batch,)`, which samples probability lets mix.
    """
    ops = _backend.get_ops(drawn)
    itself = ops.arange(ops.shape(mixed)[0])
    if given is SECOND:
        return itself, mixed
    partner = drawn if given is None else given
    mixed = mixed & (partner != itself)
    return ops.where(mixed, partner, itself), mixed


def count_groups(layer: Any, batch: Any, like: Tensor) -> int:
    """Returns how many parts of the batch partners stay in."""
    if layer.groups is not None:
        return int(layer.groups)
    devices = _backend.get_ops(like).count_batch_shards()
    # A part of one sample would mix nobody.
    return devices if devices > 1 and batch >= 2 * devices else 1


def replay(
    layer: Any, batch: Any, size: tuple[int, ...] | None, recalled: list[Tensor]
) -> plans.Plan:
    """Returns the plan of a layer's last call; see `MixLayer.replay`."""
    if layer.uses_saliency and size is not None:
        _fail_masks_unknown(type(layer).__name__)
    ops = _backend.get_backend_ops()
    step = memory.unpack(recalled[0], ops)
    called = _lengths(layer, step, ops)  # By the call that is remembered.
    asked = called if size is None else list(layer._masked(size))
    if size is None and layer._weighs_by_mask:
        static = layer._memory.static_size(recalled[0])
        asked = static[: len(called)] or called
    settings = [setting.variable for setting in layer._settings()]
    with ops.substitute_values(zip(settings, recalled[1:], strict=True)):
        plan = draw_plan(layer, batch, asked, seed=step.seed, masked=size is not None)
    plan = plans.place_in_groups(plan, count_groups(layer, batch, step.seed))
    return _apply_step(layer, plan, step, batch, size, called, asked)


def _fail_masks_unknown(owner: str) -> NoReturn:
    """Raises, as a loss does not see the images on which masks depend."""
    _errors.fail(
        owner,
        "masks depend on the images, which a loss does not see, so that labels of each "
        "pixel cannot be mixed there.",
        "a loss with labels of each pixel",
        'Give the labels to the layer as "segmentation_masks" beside the images.',
    )


def _apply_step(
    layer: Any,
    plan: plans.Plan,
    step: memory.Step,
    batch: Any,
    size: tuple[int, ...] | None,
    called: list[Any],
    asked: list[Any],
) -> plans.Plan:
    """Returns the plan of a step: unmixed if it was not mixed, NaN if it was another.

    Args:
        layer: A mixing layer.
        plan: What the step's seed draws.
        step: The step.
        batch: Number of labels.
        size: Of dense masks, or None.
        called: Lengths that the step's masks depended on.
        asked: Lengths that the plan's masks depend on.
    """
    ops = _backend.get_backend_ops()
    mixed = step.state == memory.MIXED
    known = (step.state != memory.NEVER) & (step.batch == batch)
    same = known
    if asked is not called:
        same = known & ops.all(ops.stack(called) == ops.stack(asked))
    weight, mask = ops.where(mixed, plan.weight, 1.0), None
    if size is not None:
        mask = ops.where(mixed, layer._full(plan.mask, size), 1.0)
        mask = ops.where(same, mask, float("nan"))
    itself = ops.arange(ops.shape(plan.partner)[-1])
    return plans.MixPlan(
        ops.where(mixed, plan.partner, itself),
        mask,
        ops.where(known if size is not None else same, weight, float("nan")),
    )


def _lengths(layer: Any, step: memory.Step, ops: Any) -> list[Any]:
    """Returns the lengths that the masks of a call depended on."""
    if ops.always_eager and layer._memory.size():
        return list(layer._memory.size())  # Without a wait for the device.
    rank = len((0,) if layer.spatial is None else layer.spatial)
    count = rank if layer.mask_axes is None else len(layer.mask_axes)
    return [step.size[axis] for axis in range(count)]
