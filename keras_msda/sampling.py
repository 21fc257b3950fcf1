"""What is random: lambda, partners, positions, noise.

Every `sample_*` function takes a seed pair and is a function of it alone, in eager,
graph and XLA. Nothing else in the package sees a seed but the layers, which pass it on.
"""

import functools
import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _backend

Tensor = Any

#: Draws of lambda are one of this many equally likely quantiles.
TABLE_BITS = 16
_ONE_FROM = 1 - 1e-6


@functools.lru_cache(maxsize=32)
def beta_table(a: float, b: float, reformulated: bool = False) -> np.ndarray:
    """Returns equally likely values of lambda ~ Beta(a, b).

    Entry k is the quantile of (k + 1/2) / 65,536, in float64 from TensorFlow
    Probability and then float32: no ratio of gammas, hence no NaN and no false 0, and
    the same number on every device. Values above 1 - 1e-6 are exactly 1.

    Args:
        a: First parameter, positive.
        b: Second parameter, positive.
        reformulated: Whether lambda is weighted by itself, as a loss on the own label
            alone needs: the mixture of Beta(a + 1, b) with share a / (a + b) and of
            Beta(b + 1, a), which is Beta(a + 1, a) for a = b.

    Returns:
        float32, shape `(65536,)`; in ascending order but for a reformulated a != b.

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        for the mixture (distribution D~ of theorem 1).
    """
    entries = 2**TABLE_BITS
    if not reformulated:
        table = _quantiles(a, b, entries)
    elif a == b:
        table = _quantiles(a + 1, a, entries)
    else:
        first = round(entries * a / (a + b))
        table = np.concatenate(
            [_quantiles(a + 1, b, first), _quantiles(b + 1, a, entries - first)]
        )
    return np.where(table > _ONE_FROM, 1, table).astype("float32")


def _quantiles(a: float, b: float, entries: int) -> np.ndarray:
    probabilities = (np.arange(entries) + 0.5) / entries
    if a == b == 1:
        return probabilities  # The default, without a second's import of TFP.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TFP 0.25 still asks distutils for versions.
        from tensorflow_probability.substrates import numpy as tfp

    beta = tfp.distributions.Beta(np.float64(a), np.float64(b))
    with np.errstate(all="ignore"):  # It evaluates the branches that it does not take.
        return np.asarray(beta.quantile(probabilities))


def sample_lam(table: Any, num_draws: Any, *, seed: Any) -> Tensor:
    """Draws lambda.

    Args:
        table: Equally likely values, shape `(65536,)`, from `beta_table`.
        num_draws: How many to draw.
        seed: Seed pair.

    Returns:
        float32 in [0, 1], shape `(num_draws,)`.
    """
    ops = _backend.of(num_draws, seed)
    index = ops.random_integers([num_draws], TABLE_BITS, seed)
    return ops.take(ops.convert(table), index)


def sample_uniform(shape: Any, *, seed: Any) -> Tensor:
    """Draws float32 multiples of 2^-23 in [0, 1), the same in every world."""
    ops = _backend.of(seed, *shape)
    return ops.cast(ops.random_integers(shape, 23, seed), "float32") * 2.0**-23


def sample_normal(shape: Any, *, seed: Any) -> Tensor:
    """Draws float32 standard normals by Box and Muller, equal to some ulps everywhere.

    Args:
        shape: Shape of the result; its last length is 2, the pairs of the method.
        seed: Seed pair.
    """
    ops = _backend.of(seed, *shape)
    uniform = sample_uniform([2, *shape[:-1]], seed=seed)
    radius = ops.sqrt(-2.0 * ops.log(1.0 - uniform[0]))
    cosine, sine = ops.cos_sin(2 * math.pi * uniform[1])
    return ops.stack([radius * cosine, radius * sine], axis=-1)


class Pairing(NamedTuple):
    """Who is mixed with whom, and who shares a draw.

    Attributes:
        partner: int32 `(batch,)`, index of the second sample; one's own where a sample
            has no partner.
        draw_index: int32 `(batch,)`, the number of the draw that a sample takes, or None
            where sample i takes draw i.
        num_draws: How many draws that makes.
    """

    partner: Tensor
    draw_index: Tensor | None
    num_draws: Any


def sample_partners(
    batch: Any, *, pairing: str, per: str, groups: int, seed: Any
) -> Pairing:
    """Draws partners inside contiguous groups of the batch.

    Args:
        batch: Number of samples, an integer or a traced scalar; may be 0.
        pairing: "shuffle" (a uniform permutation; with `per="pair"` a uniform perfect
            matching), "derangement" (a uniform cycle), "reverse" or "roll" (i - 1).
        per: "sample", "pair" or "batch": who shares a draw.
        groups: Number of parts that partners stay in; parts of `ceil(batch / groups)`
            samples, the last ones shorter where that does not divide.
        seed: Seed pair.
    """
    ops = _backend.of(batch, seed)
    length = (batch + groups - 1) // groups
    index = ops.arange(batch)
    part = index // ops.maximum(length, 1)
    start = part * length
    count = ops.minimum(length, batch - start)  # Samples in this sample's part.
    place = index - start

    if pairing == "reverse":
        partner = start + count - 1 - place
        pair = ops.minimum(place, count - 1 - place)
    elif pairing == "roll":
        partner, pair = start + (place + count - 1) % count, place
    else:
        order = _shuffle_within(part, groups, seed=seed)
        rank = ops.argsort(order)  # The inverse: where each sample stands in the order.
        place = rank - start
        if per == "pair":
            other = place + 1 - 2 * (place % 2)
            partner = ops.take(order, start + ops.where(other < count, other, place))
        elif pairing == "derangement":
            partner = ops.take(order, start + (place + 1) % count)
        else:
            partner = order
        pair = place // 2

    if per == "pair":
        pairs = (length + 1) // 2
        return Pairing(partner, part * pairs + pair, groups * pairs)
    if per == "batch":
        return Pairing(partner, ops.zeros([batch], "int32"), 1)
    return Pairing(partner, None, batch)


def _shuffle_within(part: Tensor, groups: int, *, seed: Any) -> Tensor:
    """Returns a permutation that is uniform in each part and leaves parts in place."""
    ops = _backend.of(part)
    keys = ops.random_integers(ops.shape(part), 31, seed)
    order = ops.argsort(keys)
    if groups == 1:
        return order
    return ops.take(order, ops.argsort(ops.take(part, order)))
