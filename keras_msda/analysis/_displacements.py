"""Mixed losses, and derivatives along displacements: what the terms are sums of.

A displacement goes along `field * (partner - image)`: no Hessian is ever held.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_msda.analysis import _logits, _losses
from keras_msda.analysis._types import Array
from keras_msda.analysis.mask_sets import MaskSet

Index = npt.NDArray[np.int64]

#: Up to this order a matrix of mask products is split into its directions.
_SPLIT = 2048


class Rows(NamedTuple):
    """Combinations to evaluate: indices of images, partners and masks."""

    own: Index
    partner: Index
    field: Index


class Directions(NamedTuple):
    """Fields u such that a displacement goes along `u (x_r - x_i)`.

    Attributes:
        field: `(fields, *shape)`.
        linear: Factors of what is linear in the displacement.
        square: Factors of what is quadratic in it.
    """

    field: Array
    linear: Array
    square: Array


class Problem(NamedTuple):
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


def compute_own_logits(problem: Problem) -> Array:
    """Returns the logits of the images as they are."""
    parts = _logits.batches(len(problem.images), problem.batch_size, _logits.silent())
    return np.concatenate([problem.logits(problem.images[part]) for part in parts])


def list_rows(count: int, fields: int) -> Rows:
    """Returns all combinations of two images and a field."""
    places = np.indices((count, count, fields)).reshape(3, -1)
    return Rows(*places)


def measure_losses(problem: Problem, rows: Rows, masks: MaskSet) -> Array:
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


def find_directions(masks: MaskSet) -> Directions:
    """Returns the fields that displacements go along, as few as is cheap to find.

    Terms of second order know of the masks only the matrix of their products,
    `sum_k c_k u_k u_k^T`, so that its eigenvectors do for the fields u_k: one for
    MixUp, never more than pixels. That of first order knows their mean.
    """
    fields = np.concatenate([1 - masks.mask, masks.mask])
    factors = np.concatenate(
        [masks.probability * masks.weight, masks.probability * (1 - masks.weight)]
    )
    flat = fields.reshape(len(fields), -1)
    if min(flat.shape) > _SPLIT:
        return Directions(fields, factors, factors)
    scaled = np.sqrt(factors)[:, None] * flat
    if flat.shape[0] < flat.shape[1]:
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
        split, square = vectors.T @ scaled, np.ones(len(values))
    else:
        values, vectors = np.linalg.eigh(scaled.T @ scaled)
        split, square = vectors.T, values
    kept = values > 1e-14 * values[-1]
    found = np.concatenate([(factors @ flat)[None], split[kept]])
    return Directions(
        found.reshape(-1, *fields.shape[1:]),
        np.eye(len(found))[0],
        np.concatenate([[0.0], square[kept]]),
    )


def differentiate(
    problem: Problem, own: Array, rows: Rows, fields: Callable[[Index], Array]
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
