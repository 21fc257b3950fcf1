"""The loss theorem for a model: what mixing adds to the loss, term by term.

Derivatives are the model's own, taken along directions; no Hessian is ever held.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import keras
import numpy as np
import numpy.typing as npt

from keras_msda import _checks, _errors
from keras_msda.analysis import _arguments, _logits, _losses
from keras_msda.analysis._laws import Array
from keras_msda.analysis._methods import MaskSet
from keras_msda.analysis.sets import mask_set
from keras_msda.layers.base import MixLayer

Index = npt.NDArray[np.int64]

#: How many mixed images the exact form makes at most.
_MOST = 2_000_000
#: Up to this order a matrix of mask products is split into its directions.
_SPLIT = 2048


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


class _Rows(NamedTuple):
    """Combinations to evaluate: indices of images, partners and masks."""

    own: Index
    partner: Index
    field: Index


class _Directions(NamedTuple):
    """Fields u such that a displacement goes along `u (x_r - x_i)`.

    Attributes:
        field: `(fields, *shape)`.
        linear: Factors of what is linear in the displacement.
        square: Factors of what is quadratic in it.
    """

    field: Array
    linear: Array
    square: Array


class _Problem(NamedTuple):
    """What the terms are asked for."""

    logits: _logits.Logits
    loss: _losses.Loss
    images: npt.NDArray[Any]
    labels: Array
    channels: int
    batch_size: int
    verbose: int

    def shares(self, fields: Array) -> Array:
        """Returns fields so that they broadcast over the channels."""
        return np.expand_dims(fields, self.channels)

    def bar(self, count: int) -> Any:
        """Returns a progress bar."""
        return keras.utils.Progbar(count, verbose=self.verbose, unit_name="image")


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

    over images, partners, which are any image, itself too, and masks. So R2 and R3 are
    the sums over pixels with the coefficients of `regularization_coefficients`, but for
    a layer's `probability`: all samples are mixed here. The remainder is of third order
    in the displacements, of fourth where f has no third derivatives. At a kink of f,
    such as ReLU's, there is no second derivative: what kinks do is in the remainder.

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
        masks: A mixing layer, all of whose masks count, or a `MaskSet`.
        loss: "softmax" or "logistic", the cross-entropy.
        pairs: Number of pairs to draw, each with a mask, instead of taking all. A pair
            counts in both orders, in the terms as in the measured loss.
        seed: Of the draws.
        batch_size: Mixed images at a time.
        verbose: 1 for progress bars, 0 for none.
        data_format: "channels_last", "channels_first" or None for Keras's setting.

    Returns:
        `LossTerms`.

    Raises:
        ValueError: If masks, labels or logits do not fit, if the model returns
            probabilities or has no derivatives, or if there are too many combinations
            of images, partners and masks to take all.

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
    problem = _Problem(
        logits, _losses.LOSSES[loss], images, labels, channels, batch_size, verbose
    )
    own = _own_logits(problem)
    _arguments.check_not_probabilities(owner, own, _logits.last_activation(model))
    _check_gradients(owner, problem)
    if pairs is None:
        return _exact(problem, own, masks)
    return _sampled(problem, own, masks, pairs=pairs, seed=seed)


def _as_set(
    owner: str, masks: Any, shape: tuple[int, ...], *, draws: int | None, seed: int
) -> MaskSet:
    """Returns what a layer may draw, or has drawn, as a set."""
    if isinstance(masks, MaskSet):
        _check_mask_shape(owner, masks.mask.shape, shape)
        return masks
    _arguments.check_analysed(owner, masks, shape, MixLayer)
    _arguments.check_linear(owner, masks.targets)
    try:
        found = mask_set(masks, shape, draws=draws, seed=seed)
    except ValueError as error:
        _fail_not_listed(owner, error)
    if masks.targets == "own":  # The own label alone is used, whatever the mask.
        return found._replace(weight=np.ones_like(found.weight))
    return found


def _own_logits(problem: _Problem) -> Array:
    """Returns the logits of the images as they are."""
    parts = _logits.batches(len(problem.images), problem.batch_size, _logits.silent())
    return np.concatenate([problem.logits(problem.images[part]) for part in parts])


def _check_gradients(owner: str, problem: _Problem) -> None:
    """Checks that the logits change with the images, at one of them at least."""
    images = problem.images
    factor = np.cos(1.0 + np.arange(problem.logits.classes))
    for part in _logits.batches(len(images), problem.batch_size, _logits.silent()):
        rows = images[part]
        factors = np.broadcast_to(factor, (len(rows), len(factor)))
        if problem.logits.slopes(rows, factors).any():
            return
    _arguments.fail_flat(owner, "all gradients are 0")


def _exact(problem: _Problem, own: Array, masks: MaskSet) -> LossTerms:
    """Returns the terms over all images, partners and masks."""
    count = len(problem.images)
    plain = float(problem.loss.value(own, problem.labels).mean())
    rows = _all_rows(count, len(masks.mask))
    values = _measure(problem, rows, masks)
    measured = float(values @ masks.chance[rows.field]) / count**2
    directions = _directions(masks)
    rows = _all_rows(count, len(directions.field))
    rows = _Rows(*(x[rows.own != rows.partner] for x in rows))  # No displacement.
    slopes, products, curvatures = _differentiate(
        problem, own, rows, directions.field.__getitem__
    )
    linear, square = directions.linear[rows.field], directions.square[rows.field]
    terms = [
        float(slopes @ linear) / count**2,
        float(products @ square) / count**2 / 2,
        float(curvatures @ square) / count**2 / 2,
    ]
    return _summed([plain, *terms, measured], 0.0, len(values))


def _all_rows(count: int, fields: int) -> _Rows:
    """Returns all combinations of two images and a field."""
    places = np.indices((count, count, fields)).reshape(3, -1)
    return _Rows(*places)


def _sampled(
    problem: _Problem, own: Array, masks: MaskSet, *, pairs: int, seed: int
) -> LossTerms:
    """Returns the terms over drawn pairs, each taken in both orders."""
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(problem.images), (2, pairs))
    field = generator.choice(len(masks.mask), pairs, p=masks.chance)
    orders = _Rows(np.r_[first, second], np.r_[second, first], np.r_[field, field])
    measured = _measure(problem, orders, masks).reshape(2, pairs).mean(0)
    # Both displacements of both orders: (1 - M) d and M d.
    count = len(masks.mask)
    both = np.r_[orders.field, orders.field + count]
    rows = _Rows(np.tile(orders.own, 2), np.tile(orders.partner, 2), both)

    def fields(index: Index) -> Array:
        mask = masks.mask[index % count]
        other = np.expand_dims(index < count, tuple(range(1, mask.ndim)))
        return np.where(other, 1 - mask, mask)

    found = _differentiate(problem, own, rows, fields).reshape(3, 2, 2, pairs)
    factors = np.stack([masks.weight[field], 1 - masks.weight[field]])[:, None]
    terms = (factors * found).sum(1).mean(1) * np.array([[1.0], [0.5], [0.5]])
    losses = problem.loss.value(own, problem.labels)
    plain = (losses[first] + losses[second]) / 2
    remainder = measured - (plain + terms.sum(0))
    error = float(remainder.std(ddof=1)) / math.sqrt(pairs)
    means = [float(x.mean()) for x in (plain, *terms, measured)]
    return _summed(means, error, 2 * pairs)


def _summed(means: list[float], error: float, evaluations: int) -> LossTerms:
    """Returns the terms and the measured loss with what is left of it."""
    *terms, measured = means
    plain, first, second, third = terms
    remainder = measured - sum(terms)
    return LossTerms(
        plain, first, second, third, measured, remainder, error, evaluations
    )


def _measure(problem: _Problem, rows: _Rows, masks: MaskSet) -> Array:
    """Returns the losses of mixed images with mixed labels."""
    found = np.empty(len(rows.own))
    bar = problem.bar(len(found))
    for part in _logits.batches(len(found), problem.batch_size, bar):
        own, partner, field = (x[part] for x in rows)
        share = problem.shares(masks.mask[field])
        weight = masks.weight[field, None]
        images, labels = problem.images, problem.labels
        mixed = share * images[own] + (1 - share) * images[partner]
        label = weight * labels[own] + (1 - weight) * labels[partner]
        found[part] = problem.loss.value(problem.logits(mixed), label)
    return found


def _directions(masks: MaskSet) -> _Directions:
    """Returns the fields that displacements go along, as few as is cheap to find.

    Terms of second order know of the masks only the matrix of their products,
    `sum_k c_k u_k u_k^T`, so that its eigenvectors do for the fields u_k: one for
    MixUp, never more than pixels. That of first order knows their mean.
    """
    fields = np.concatenate([1 - masks.mask, masks.mask])
    factors = np.concatenate(
        [masks.chance * masks.weight, masks.chance * (1 - masks.weight)]
    )
    flat = fields.reshape(len(fields), -1)
    if min(flat.shape) > _SPLIT:
        return _Directions(fields, factors, factors)
    scaled = np.sqrt(factors)[:, None] * flat
    if flat.shape[0] < flat.shape[1]:
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
        split, square = vectors.T @ scaled, np.ones(len(values))
    else:
        values, vectors = np.linalg.eigh(scaled.T @ scaled)
        split, square = vectors.T, values
    kept = values > 1e-14 * values[-1]
    found = np.concatenate([(factors @ flat)[None], split[kept]])
    return _Directions(
        found.reshape(-1, *fields.shape[1:]),
        np.eye(len(found))[0],
        np.concatenate([[0.0], square[kept]]),
    )


def _differentiate(
    problem: _Problem, own: Array, rows: _Rows, fields: Callable[[Index], Array]
) -> Array:
    """Returns derivatives along displacements v = field * (partner - image).

    Returns:
        `q . J v`, `J v . h'' J v` and `q . D2 f[v, v]`, shape `(3, rows)`.
    """
    residual = problem.loss.residual(own, problem.labels)
    probability = problem.loss.probability(own)
    found = np.empty((3, len(rows.own)))
    bar = problem.bar(found.shape[1])
    for part in _logits.batches(found.shape[1], problem.batch_size, bar):
        index, partner, field = (x[part] for x in rows)
        images = problem.images[index]
        step = problem.images[partner].astype(np.float64) - images
        direction = problem.shares(fields(field)) * step
        slope, curvature = problem.logits.curvatures(images, residual[index], direction)
        found[0, part] = (residual[index] * slope).sum(1)
        found[1, part] = problem.loss.hessian(probability[index], slope)
        found[2, part] = curvature
    return found


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
    """Checks that a standard error can be told."""
    if pairs == 1:
        _errors.fail(
            owner,
            "`pairs` must be an integer of 2 or more, or None.",
            "pairs=1",
            "Use for example `pairs=10000`.",
        )
