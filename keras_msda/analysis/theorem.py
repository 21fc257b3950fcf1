"""The loss theorem for a model: what mixing adds to the loss, term by term.

Derivatives are the model's own.
"""

import math
from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_msda import _checks, _errors
from keras_msda.analysis import _arguments, _displacements, _logits, _losses
from keras_msda.analysis._displacements import Index, Problem, Rows
from keras_msda.analysis._types import Array
from keras_msda.analysis.mask_sets import MaskSet, mask_set
from keras_msda.layers.base import MixLayer

#: How many mixed images the exact form makes at most.
_MOST = 2_000_000


class LossTerms(NamedTuple):
    """Terms of the loss on mixed images, means over images.

    Attributes:
        plain: L, the loss without mixing; where pairs are drawn, on their images.
        first: R1, from first derivatives of the model.
        second: R2, from products of first derivatives.
        third: R3, from second derivatives.
        measured: The loss on mixed images.
        remainder: `measured - (plain + first + second + third)`.
        error: Standard error of the remainder, 0.0 where the terms are exact.
        evaluations: Number of mixed images that the loss was measured on.
    """

    plain: float
    first: float
    second: float
    third: float
    measured: float
    remainder: float
    error: float
    evaluations: int


def loss_terms(  # noqa: PLR0913
    model: Any,
    images: Any,
    labels: Any,
    masks: Any,
    *,
    loss: str = "softmax",
    pairs: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    verbose: int = 1,
    data_format: str | None = None,
) -> LossTerms:
    """Returns the terms of the loss theorem for a model, and what they leave out.

    The loss on mixed images is `L + R1 + R2 + R3 + remainder`. For logits z = f(x), the
    loss h(z) - y . z, q = h'(z) - y, masks M of label weight w, s = 1 - w, and
    displacements `u = (1 - M) (x_r - x_i)` and `v = M (x_r - x_i)` to a partner x_r,

        R1 = E[q . (w J u + s J v)],
        R2 = E[w J u . h''(z) J u + s J v . h''(z) J v] / 2,
        R3 = E[w q . D2 f[u, u] + s q . D2 f[v, v]] / 2,

    over images, partners and masks; a partner may be any image, the image itself
    included. So R2 and R3 are the sums over pixels with the coefficients of
    `regularization_coefficients`, without the factor of a layer's `probability`: all
    samples are mixed here. The remainder is of third order in the displacements, of
    fourth where f has no third derivatives. At a kink of f, such as ReLU's, there is no
    second derivative: what kinks do is in the remainder.

    Args:
        model: Keras model or layer, or function of a batch of images, that returns
            logits: `(batch, classes)`, or `(batch,)` or `(batch, 1)` for "logistic".
            It is called with `training=False` and computes in its `variable_dtype`;
            float64 shows small remainders best, under `set_floatx("float64")` of
            `keras.config`, as a float32 `Input` would round the images; in half
            precision all terms have its errors.
        images: Shape `(images, *shape, channels)`, or channels first, as the model
            takes them; two or more.
        labels: Class ids or soft labels for "softmax", numbers in [0, 1] for
            "logistic".
        masks: A mixing layer, all of whose masks count, or a `MaskSet`. A layer whose
            masks cannot all be listed needs `pairs`.
        loss: "softmax" or "logistic", the cross-entropy.
        pairs: Number of pairs to draw, each with a mask, instead of taking all. A pair
            counts in both orders, in the terms as in the measured loss.
        seed: Of the draws.
        batch_size: Mixed images at a time.
        verbose: 1 for progress bars, 0 for none.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        `LossTerms`, all of them numbers.

    Raises:
        ValueError: If masks, labels or logits do not fit, if the model returns
            probabilities or is not differentiable, or if there are too many
            combinations of images, partners and masks to take all.

    Example:
        >>> import keras, numpy as np, keras_msda as msda
        >>> from keras_msda import analysis
        >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> images = np.random.default_rng(0).normal(size=(4, 5, 5, 1)) / 10
        >>> masks = analysis.mask_set(msda.MixUpLayer(), (5, 5), lam=0.5)
        >>> terms = analysis.loss_terms(model, images, [0, 1, 2, 0], masks, verbose=0)
        >>> print(terms.third, abs(terms.remainder) < 1e-3, terms.evaluations)
        0.0 True 16

    References:
        Park, Yun and Chun, A Unified Analysis of Mixed Sample Data Augmentation, 2022,
        theorem 1, with coefficients that hold for all masks and not only for those of
        which 1 - M(lambda) is distributed as M(1 - lambda).
    """
    owner = "loss_terms"
    _checks.check_choice(owner, "loss", loss, tuple(_losses.LOSSES))
    batch_size = _checks.check_count(owner, "batch_size", batch_size)
    pairs = _checks.check_optional_count(owner, "pairs", pairs)
    _check_drawn_pairs(owner, pairs)
    data_format = _checks.check_data_format(owner, data_format)
    images = _logits.as_array(images)
    _arguments.check_images(owner, images, 2)
    shape = images.shape[1:-1] if data_format == "channels_last" else images.shape[2:]
    masks = _as_set(owner, masks, shape, draws=pairs, seed=seed)
    if pairs is None:
        _check_combinations(owner, len(images), len(masks.mask), _MOST)
    rows = 2 * pairs if pairs else len(images) ** 2 * len(masks.mask)
    batch_size = min(batch_size, rows)
    logits = _logits.Logits(owner, model, images, batch_size=batch_size, rows=rows)
    _check_width(owner, loss, logits.classes)
    labels = _losses.encode(owner, labels, len(images), logits.classes)
    channels = -1 if data_format == "channels_last" else 1
    problem = Problem(
        logits, _losses.LOSSES[loss], images, labels, channels, batch_size, verbose
    )
    own = _displacements.compute_own_logits(problem)
    _arguments.check_not_probabilities(owner, own, _logits.last_activation(model))
    _check_gradients(owner, problem)
    if pairs is None:
        return _sum_exact_terms(problem, own, masks)
    return _average_pairs(problem, own, masks, pairs=pairs, seed=seed)


def _as_set(
    owner: str, masks: Any, shape: tuple[int, ...], *, draws: int | None, seed: int
) -> MaskSet:
    """Returns what a layer may draw, or has drawn, as a set."""
    if isinstance(masks, MaskSet):
        _check_mask_shape(owner, masks.mask.shape, shape)
        return masks
    _arguments.check_layer(owner, masks, shape, MixLayer)
    _arguments.check_linear(owner, masks.targets)
    try:
        found = mask_set(masks, shape, draws=draws, seed=seed)
    except ValueError as error:
        _fail_not_listed(owner, error)
    if masks.targets == "own":  # The own label alone is used, whatever the mask.
        return found._replace(weight=np.ones_like(found.weight))
    return found


def _check_gradients(owner: str, problem: Problem) -> None:
    """Checks that the logits change with the images, at one of them at least."""
    images = problem.images
    factor = np.cos(1.0 + np.arange(problem.logits.classes))
    for part in _logits.batches(len(images), problem.batch_size, _logits.silent()):
        rows = images[part]
        factors = np.broadcast_to(factor, (len(rows), len(factor)))
        if problem.logits.slopes(rows, factors).any():
            return
    _arguments.fail_flat(owner, "all gradients are 0")


def _sum_exact_terms(problem: Problem, own: Array, masks: MaskSet) -> LossTerms:
    """Returns the terms over all images, partners and masks."""
    count = len(problem.images)
    plain = float(problem.loss.value(own, problem.labels).mean())
    rows = _displacements.list_rows(count, len(masks.mask))
    values = _displacements.measure_losses(problem, rows, masks)
    measured = float(values @ masks.probability[rows.field]) / count**2
    directions = _displacements.find_directions(masks)
    rows = _displacements.list_rows(count, len(directions.field))
    rows = Rows(*(x[rows.own != rows.partner] for x in rows))  # No displacement.
    slopes, products, curvatures = _displacements.differentiate(
        problem, own, rows, directions.field.__getitem__
    )
    linear, square = directions.linear[rows.field], directions.square[rows.field]
    terms = [
        float(slopes @ linear) / count**2,
        float(products @ square) / count**2 / 2,
        float(curvatures @ square) / count**2 / 2,
    ]
    return _assemble([plain, *terms, measured], 0.0, len(values))


def _average_pairs(
    problem: Problem, own: Array, masks: MaskSet, *, pairs: int, seed: int
) -> LossTerms:
    """Returns the terms over drawn pairs, each taken in both orders."""
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(problem.images), (2, pairs))
    field = generator.choice(len(masks.mask), pairs, p=masks.probability)
    orders = Rows(np.r_[first, second], np.r_[second, first], np.r_[field, field])
    measured = (
        _displacements.measure_losses(problem, orders, masks).reshape(2, pairs).mean(0)
    )
    # Both displacements of both orders: (1 - M) d and M d.
    count = len(masks.mask)
    both = np.r_[orders.field, orders.field + count]
    rows = Rows(np.tile(orders.own, 2), np.tile(orders.partner, 2), both)

    def fields(index: Index) -> Array:
        mask = masks.mask[index % count]
        other = np.expand_dims(index < count, tuple(range(1, mask.ndim)))
        return np.where(other, 1 - mask, mask)

    found = _displacements.differentiate(problem, own, rows, fields).reshape(
        3, 2, 2, pairs
    )
    factors = np.stack([masks.weight[field], 1 - masks.weight[field]])[:, None]
    terms = (factors * found).sum(1).mean(1) * np.array([[1.0], [0.5], [0.5]])
    losses = problem.loss.value(own, problem.labels)
    plain = (losses[first] + losses[second]) / 2
    remainder = measured - (plain + terms.sum(0))
    error = float(remainder.std(ddof=1)) / math.sqrt(pairs)
    means = [float(x.mean()) for x in (plain, *terms, measured)]
    return _assemble(means, error, 2 * pairs)


def _assemble(means: list[float], error: float, evaluations: int) -> LossTerms:
    """Returns the terms and the measured loss with what is left of it."""
    *terms, measured = means
    plain, first, second, third = terms
    remainder = measured - sum(terms)
    return LossTerms(
        plain, first, second, third, measured, remainder, error, evaluations
    )


def _check_width(owner: str, loss: str, classes: int) -> None:
    """Checks that a loss is for this number of logits."""
    if (loss == "logistic") != (classes == 1):
        other = "softmax" if loss == "logistic" else "logistic"
        _errors.fail(
            owner,
            'the loss "logistic" is for one logit, "softmax" for several classes.',
            f"loss={loss!r} with logits of {classes} classes",
            f'Use `loss="{other}"`.',
        )


def _check_mask_shape(owner: str, masks: Any, shape: Any) -> None:
    """Checks that a set of masks is for images of this size."""
    if tuple(masks[1:]) != tuple(shape):
        _errors.fail(
            owner,
            f"the masks must have the size of the images, {_errors.show(shape)}.",
            f"masks of size {_errors.show(masks[1:])}",
            "Make them by `mask_set(layer, shape)`, and check `data_format`.",
        )


def _check_combinations(owner: str, images: int, masks: int, most: int) -> None:
    """Checks that an exact expectation is not too long a sum."""
    if images**2 * masks > most:
        _errors.fail(
            owner,
            f"the exact form takes {most:,} combinations of two images and a mask at "
            "most.",
            f"{images} images and {masks} masks, {images**2 * masks:,} combinations",
            "Draw some: `pairs=10000`; or give fewer images.",
        )


def _fail_not_listed(owner: str, error: Exception) -> NoReturn:
    """Raises the error for a layer whose masks are not all at hand."""
    _errors.fail(
        owner,
        "the exact form takes a layer all of whose masks can be listed.",
        str(error),
        "In this function that is `pairs=10000`, or a `MaskSet` of your own.",
    )


def _check_drawn_pairs(owner: str, pairs: int | None) -> None:
    """Checks that there are pairs enough for a standard error."""
    if pairs == 1:
        _errors.fail(
            owner,
            "`pairs` must be an integer of 2 or more, or None.",
            "pairs=1",
            "Use for example `pairs=10000`.",
        )
