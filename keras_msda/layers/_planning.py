"""What a seed and a layer's hooks make: parameters of masks, and whole plans.

Functions of a layer, which has the settings and the hooks; see `MixLayer`.
"""

from collections.abc import Sequence
from typing import Any

from keras_msda import _backend, plans, sampling
from keras_msda.layers import memory
from keras_msda.masks import _factored

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
) -> plans.MixPlan:
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
    """
    ops = _backend.get_ops(batch, seed)
    partner_seed, coin_seed, *seeds = ops.split_seed(seed, 4)
    pairing = sampling.sample_partners(
        batch,
        pairing=layer.pairing,
        per=layer.per,
        groups=count_groups(layer, batch, seed),
        seed=partner_seed,
    )
    params = draw_params(layer, pairing.num_draws, size, seeds=seeds, lam=lam)
    mask = layer._factored_mask(params, size) if masked else None
    weight = layer._weight(params, size, mask)
    coin = sampling.sample_uniform([pairing.num_draws], seed=coin_seed)
    mixed = coin < ops.convert(layer._mixed_share.read(coin))
    if pairing.draw_index is not None:
        weight, mixed = (ops.take(x, pairing.draw_index) for x in (weight, mixed))
    chosen, mixed = _choose_partner(partner, pairing.partner, mixed)
    if mask is not None:
        shared = layer.per == "batch"
        mask = _factored.take_draws(mask, pairing.draw_index, shared=shared)
        mask = _factored.keep_own(mask, mixed)
    plan = plans.MixPlan(chosen, mask, ops.where(mixed, weight, 1.0))
    if partner is None or partner is SECOND:
        return plan
    return _mark_unknown_partners(plan, batch)


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
    partner = drawn if given is None else ops.cast(given, "int32")
    mixed = mixed & (partner != itself)
    return ops.where(mixed, partner, itself), mixed


def _mark_unknown_partners(plan: plans.MixPlan, batch: Any) -> plans.MixPlan:
    """Returns a plan of given partners with weights of NaN where there is none."""
    ops = _backend.get_ops(plan.partner)
    known = (plan.partner >= 0) & (plan.partner < batch)
    return plan._replace(
        partner=ops.where(known, plan.partner, 0),
        weight=ops.where(known, plan.weight, float("nan")),
    )


def count_groups(layer: Any, batch: Any, like: Tensor) -> int:
    """Returns how many parts of the batch partners stay in."""
    if layer.groups is not None:
        return int(layer.groups)
    devices = _backend.get_ops(like).count_batch_shards()
    # A part of one sample would mix nobody.
    return devices if devices > 1 and batch >= 2 * devices else 1


def replay(
    layer: Any, batch: Any, size: tuple[int, ...] | None, recalled: list[Tensor]
) -> plans.MixPlan:
    """Returns the plan of a layer's last call; see `MixLayer.replay`."""
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


def _apply_step(
    layer: Any,
    plan: plans.MixPlan,
    step: memory.Step,
    batch: Any,
    size: tuple[int, ...] | None,
    called: list[Any],
    asked: list[Any],
) -> plans.MixPlan:
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
