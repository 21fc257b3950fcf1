"""All that is random: lambda, partners, positions, noise.

Every `sample_*` function takes a seed pair and is a function of it alone, in eager,
graph and XLA. Except for the layers, which pass it on, nothing else sees a seed.
"""

import functools
import statistics
import warnings
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _backend

Tensor = Any

#: lambda and normals are one of 2^16 equally likely quantiles.
TABLE_BITS = 16
# Quantiles above this one are exactly 1.
_ONE_FROM = 1 - 1e-6


@functools.lru_cache(maxsize=32)
def beta_table(a: float, b: float, *, reformulated: bool = False) -> np.ndarray:
    """Returns equally likely values of lambda ~ Beta(a, b).

    Entry k is the quantile of (k + 1/2) / 65,536, computed in float64 by TensorFlow
    Probability and kept as float32. No ratio of gammas is drawn, so that there is no
    NaN and no false 0, and the numbers are the same on every device. Values above
    1 - 1e-6 are exactly 1.

    Args:
        a: First parameter, positive.
        b: Second parameter, positive.
        reformulated: Whether lambda is weighted by itself, as a loss needs that sees
            only the own label: the mixture of Beta(a + 1, b), with probability
            a / (a + b), and Beta(b + 1, a), which is Beta(a + 1, a) for a = b.

    Returns:
        float32, shape `(65536,)`; ascending, except for a reformulated a != b.

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        for the mixture (distribution D~ of theorem 1).
    """
    entries = 2**TABLE_BITS
    if not reformulated:
        table = _compute_quantiles(a, b, entries)
    elif a == b:
        table = _compute_quantiles(a + 1, a, entries)
    else:
        first = round(entries * a / (a + b))
        table = np.concatenate(
            [
                _compute_quantiles(a + 1, b, first),
                _compute_quantiles(b + 1, a, entries - first),
            ]
        )
    return np.where(table > _ONE_FROM, 1, table).astype("float32")


def _compute_quantiles(a: float, b: float, entries: int) -> np.ndarray:
    probabilities = (np.arange(entries) + 0.5) / entries
    if a == b == 1:
        return probabilities  # The default; importing TFP would take a second.
    # For the median TFP 0.25 returns its first guess, which is wrong by up to 0.1.
    probabilities = np.where(probabilities == 0.5, 0.5 + 2.0**-30, probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TFP 0.25 still asks distutils for versions.
        from tensorflow_probability.substrates import numpy as tfp

    beta = tfp.distributions.Beta(np.float64(a), np.float64(b))
    with np.errstate(all="ignore"):  # TFP also evaluates branches that it discards.
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
    ops = _backend.get_ops(num_draws, seed)
    index = ops.random_integers([num_draws], TABLE_BITS, seed)
    return ops.take(ops.convert(table), index)


def sample_uniform(shape: Any, *, seed: Any) -> Tensor:
    """Draws uniform float32 multiples of 2^-23 in [0, 1).

    Args:
        shape: Shape of the result.
        seed: Seed pair.

    Returns:
        float32 of that shape, the same bits in eager, graph and XLA.
    """
    ops = _backend.get_ops(seed, *shape)
    return ops.cast(ops.random_integers(shape, 23, seed), "float32") * 2.0**-23


# No `functools.cache`: PyTorch's compiler would look into the function that it wraps.
_normals: list[np.ndarray] = []


def normal_table() -> np.ndarray:
    """Returns equally likely values of a standard normal.

    Entry k is the quantile of (k + 1/2) / 65,536, times 1.0000101, so that the variance
    is 1. The largest value is 4.325, and the fourth moment is 2.9992 instead of 3. They
    are computed by the first call, which `torch.compile` must not see.

    Returns:
        float32, shape `(65536,)`, ascending; the second half is the first, negated.
    """
    if not _normals:
        entries, normal = 2**TABLE_BITS, statistics.NormalDist()
        upper = np.array(
            [normal.inv_cdf((k + 0.5) / entries) for k in range(entries // 2, entries)]
        )
        upper /= np.sqrt(np.mean(upper**2))
        _normals.append(np.concatenate([-upper[::-1], upper]).astype("float32"))
    return _normals[0]


def sample_normal(shape: Any, *, seed: Any) -> Tensor:
    """Draws standard normals, each one of 65,536 equally likely quantiles.

    Args:
        shape: Shape of the result; its last length is 2, since 32 random bits give two.
        seed: Seed pair.

    Returns:
        float32 of that shape, the same bits in eager, graph and XLA; see
        `normal_table`.
    """
    ops = _backend.get_ops(seed, *shape)
    index = ops.random_halves(shape[:-1], seed)
    return ops.take(ops.convert(normal_table()), index)


class Pairing(NamedTuple):
    """Who is mixed with whom, and who shares a draw.

    Attributes:
        partner: int32 `(batch,)`, index of the second sample; a sample without a
            partner has itself.
        draw_index: int32 `(batch,)`, the number of the draw that each sample takes;
            None where sample i takes draw i.
        num_draws: How many draws there are.
    """

    partner: Tensor
    draw_index: Tensor | None
    num_draws: Any


class _Places(NamedTuple):
    """Where the samples of a batch stand in its contiguous parts.

    Attributes:
        part: int32 `(batch,)`, the number of each sample's part.
        start: int32 `(batch,)`, the first sample of that part.
        count: int32 `(batch,)`, how many samples that part has.
        place: int32 `(batch,)`, each sample's place in its part, from 0.
    """

    part: Tensor
    start: Tensor
    count: Tensor
    place: Tensor


def sample_partners(
    batch: Any,
    *,
    pairing: str,
    per: str,
    groups: int,
    seed: Any,
) -> Pairing:
    """Draws partners inside contiguous parts of the batch.

    Args:
        batch: Number of samples, an integer or a traced scalar; may be 0.
        pairing: "shuffle" (a uniform permutation; with `per="pair"` a uniform perfect
            matching), "derangement" (a uniform cycle), "reverse" or "roll" (i - 1).
        per: "sample", "pair" or "batch": who shares a draw.
        groups: Number of parts that partners stay in; parts of `ceil(batch / groups)`
            samples, the last ones shorter where that does not divide the batch.
        seed: Seed pair.

    Returns:
        Partners, and which draw each sample takes.
    """
    ops = _backend.get_ops(batch, seed)
    length = (batch + groups - 1) // groups
    places = _find_places(batch, length, seed=seed)
    pair = places.place
    if pairing == "reverse":
        partner, pair = _reverse(places)
    elif pairing == "roll":
        partner = _roll(places)
    else:
        order = _shuffle_within(places.part, groups, seed=seed)
        if per == "pair":
            partner, pair = _match(places, order)
        elif pairing == "derangement":
            partner = _cycle(places, order)
        else:
            partner = order

    if per == "pair":
        pairs = (length + 1) // 2
        return Pairing(partner, places.part * pairs + pair, groups * pairs)
    if per == "batch":
        return Pairing(partner, ops.zeros([batch], "int32"), 1)
    return Pairing(partner, None, batch)


def sample_similar_partners(
    labels: Tensor, bandwidth: float, *, per: str, groups: int, seed: Any
) -> Pairing:
    """Draws partners with similar labels, in contiguous parts of the batch.

    Each sample draws for itself, with probabilities proportional to
    `exp(-d^2 / (2 bandwidth^2))`, d being the Euclidean distance of the labels; it may
    draw itself. Labels that are NaN have no distance: their samples keep themselves.

    Args:
        labels: float32 `(batch, numbers)`.
        bandwidth: Standard deviation of the kernel, in units of the labels.
        per: "sample" or "batch": who shares a draw of lambda and mask.
        groups: As in `sample_partners`.
        seed: Seed pair.

    Returns:
        Partners, and which draw each sample takes.

    References:
        Yao, Wang, Zhang, Zou and Finn, C-Mixup: Improving Generalization in Regression,
        2022, equation 6.
    """
    ops = _backend.get_ops(labels, seed)
    batch = ops.shape(labels)[0]
    part = _find_places(batch, (batch + groups - 1) // groups, seed=seed).part
    difference = (labels[:, None] - labels[None]) / bandwidth
    share = ops.exp(-0.5 * ops.sum(difference * difference, -1))
    index = ops.arange(batch)
    known = (share == share) & (part[:, None] == part[None])
    share = ops.where(known, share, 0.0)
    share = ops.where(index[:, None] == index[None], 1.0, share)
    # Sums of integers do not depend on the order of the additions.
    steps = ops.cast(2**30 // ops.maximum(batch, 1), "float32")
    whole = ops.truncate(share * steps)
    heights = ops.cumsum(whole)
    # Not the last height, which an empty batch does not have.
    total = ops.cast(ops.sum(whole, -1), "float32")
    drawn = ops.truncate(sample_uniform([batch], seed=seed) * total)
    partner = ops.sum(ops.cast(heights <= drawn[:, None], "int32"), -1)
    if per == "batch":
        return Pairing(partner, ops.zeros([batch], "int32"), 1)
    return Pairing(partner, None, batch)


def _find_places(batch: Any, length: Any, *, seed: Any) -> _Places:
    """Returns where samples stand in parts of so many samples.

    Args:
        batch: Number of samples.
        length: Number of samples in all parts except for the last ones.
        seed: Seed pair, which decides which library computes.
    """
    ops = _backend.get_ops(batch, seed)
    index = ops.arange(batch)
    part = index // ops.maximum(length, 1)
    start = part * length
    return _Places(part, start, ops.minimum(length, batch - start), index - start)


def _reverse(places: _Places) -> tuple[Tensor, Tensor]:
    """Returns partners in reverse order, and the number of each pair in its part."""
    ops = _backend.get_ops(places.place)
    _, start, count, place = places
    partner = start + count - 1 - place
    return partner, ops.minimum(place, count - 1 - place)


def _roll(places: _Places) -> Tensor:
    """Returns the sample before each one, and the last one for the first."""
    _, start, count, place = places
    return start + (place + count - 1) % count


def _match(places: _Places, order: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the two samples of a pair as each other's partners, and its number.

    Pairs stand side by side in a random order of each part; an odd one out has itself.
    """
    ops = _backend.get_ops(order)
    place = _find_rank(places, order)
    other = place + 1 - 2 * (place % 2)
    other = ops.where(other < places.count, other, place)
    return ops.take(order, places.start + other), place // 2


def _cycle(places: _Places, order: Tensor) -> Tensor:
    """Returns the next sample of a random order of each part, closed to a cycle."""
    place = _find_rank(places, order)
    following = places.start + (place + 1) % places.count
    return _backend.get_ops(order).take(order, following)


def _find_rank(places: _Places, order: Tensor) -> Tensor:
    """Returns where each sample stands in an order of its part: the inverse."""
    return _backend.get_ops(order).argsort(order) - places.start


def _shuffle_within(part: Tensor, groups: int, *, seed: Any) -> Tensor:
    """Returns a permutation that is uniform in each part and leaves parts in place."""
    ops = _backend.get_ops(part)
    keys = ops.random_integers(ops.shape(part), 31, seed)
    order = ops.argsort(keys)
    if groups == 1:
        return order
    return ops.take(order, ops.argsort(ops.take(part, order)))
