"""What holds for every plan, whatever a layer has drawn."""

import math
from typing import Any

import numpy as np

from tests.fuzz import rules

#: Methods whose masks are zeros and ones.
BINARY = ("cutmix", "gridmix", "resizemix", "saliencymix", "fmix")


def check_plan(case: Any, plan: Any, batch: int, size: tuple[int, ...]) -> str | None:
    """Returns which law a plan breaks, None if it keeps them all."""
    mask = plan.mask.astype("float64")
    partner, weight = plan.partner, plan.weight
    if partner.shape != (batch,) or weight.shape != (batch,):
        return f"shapes of the plan: {partner.shape}, {weight.shape}"
    if mask.shape != (batch, *size):
        return f"shape of the mask: {mask.shape}"
    if not ((mask >= 0) & (mask <= 1)).all():
        return "the mask leaves [0, 1]"
    if not ((partner >= 0) & (partner < batch)).all():
        return "partners leave the batch"
    means = mask.reshape(batch, math.prod(size)).mean(1)
    drawn = any(not x.get("exact_weight", True) for _, x in rules.methods(case))
    if not drawn and np.abs(means - weight).max(initial=0) > 1e-6:
        return f"weight is not the mean of the mask: {weight} for {means}"
    alone = (partner == np.arange(batch)) & ~np.isnan(weight)
    if not ((mask[alone] == 1).all() and (weight[alone] == 1).all()):
        return "a sample without a partner is mixed"
    found = (
        _check_values(case, mask),
        _check_axes(case, mask),
        _check_draws(case, plan),
    )
    law = next((law for law in found if law), None)
    return law if law or case.partner else _check_partners(case, partner)


def _check_values(case: Any, mask: np.ndarray) -> str | None:
    hard = all(
        name in BINARY and not arguments.get("max_soft")
        for name, arguments in rules.methods(case)
    )
    if hard and not np.isin(mask, (0, 1)).all():
        return "a mask of zeros and ones has other values"
    return None


def _check_axes(case: Any, mask: np.ndarray) -> str | None:
    axes = case.arguments.get("mask_axes")
    if axes is None:
        return None
    first = 2 if case.arguments.get("data_format") == "channels_first" else 1
    others = [i for i in range(1, mask.ndim) if i - 1 + first not in axes]
    if others and np.ptp(mask, tuple(others)).max(initial=0) > 0:
        return "the mask varies along another axis than `mask_axes`"
    return None


def _check_draws(case: Any, plan: Any) -> str | None:
    """Samples that share a draw have the same mask."""
    per = case.arguments.get("per", "batch" if case.members else "sample")
    mixed = np.flatnonzero(plan.partner != np.arange(len(plan.partner)))
    salient = any(name in rules.SALIENT for name, _ in rules.methods(case))
    if salient or per == "sample" or not len(mixed):
        return None
    if per == "pair":
        good = (plan.partner[plan.partner] == np.arange(len(plan.partner))).all()
        good &= (plan.mask == plan.mask[plan.partner]).all()
        return None if good else "a pair does not share its draw"
    same = (plan.mask[mixed] == plan.mask[mixed[0]]).all()
    return None if same else "the batch does not share its draw"


def _check_partners(case: Any, partner: np.ndarray) -> str | None:
    """Partners stay in their part of the batch, as the pairing says."""
    batch, given = len(partner), case.arguments
    length = math.ceil(batch / given.get("groups", 1)) if batch else 1
    own = np.arange(batch)
    if (partner // length != own // length).any():
        return "a partner belongs to another group"
    start = own // length * length
    last = np.minimum(start + length, batch) - 1
    pairing = given.get("pairing", "shuffle")
    wanted = {
        "roll": np.where(own == start, last, own - 1),
        "reverse": start + last - own,
    }.get(pairing, partner)
    if not np.isin(partner - wanted, 0)[partner != own].all():
        return f"partners are not those of {pairing!r}: {partner}"
    always = given.get("probability", 1.0) == 1.0 and given.get("per") != "pair"
    if pairing == "label_similarity" or not always:
        return None
    salient = any(name in rules.SALIENT for name, _ in rules.methods(case))
    if pairing != "shuffle" and not salient and (partner != wanted).any():
        return f"a sample is left alone by {pairing!r}: {partner}"
    if (
        pairing == "derangement"
        and not salient
        and ((partner == own) & (last > start)).any()
    ):
        return f"a sample is left alone by {pairing!r}: {partner}"
    if not salient and len(np.unique(partner)) < batch:
        return f"partners are no permutation: {partner}"
    return None
