"""The two losses of the theorem, `l(z, y) = h(z) - y . z`, on arrays of logits.

Both take logits `(rows, classes)`; the logistic loss has one class, whose label is a
number. All in float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks
from keras_msda.analysis import _logits
from keras_msda.analysis._laws import Array


class Loss(NamedTuple):
    """What makes one loss: h, its gradient and its Hessian.

    Attributes:
        normaliser: z -> h(z), `(rows,)`.
        probability: z -> h'(z), `(rows, classes)`.
        hessian: (h'(z), u) -> u . h''(z) u, `(rows,)`.
    """

    normaliser: Callable[[Array], Array]
    probability: Callable[[Array], Array]
    hessian: Callable[[Array, Array], Array]

    def value(self, logits: Array, labels: Array) -> Array:
        """Returns the loss of each row."""
        return np.asarray(self.normaliser(logits) - (labels * logits).sum(1))

    def residual(self, logits: Array, labels: Array) -> Array:
        """Returns the gradients by the logits, `(rows, classes)`."""
        return self.probability(logits) - labels


def _log_sum_exp(logits: Array) -> Array:
    return np.asarray(np.logaddexp.reduce(logits, 1))


def _softmax(logits: Array) -> Array:
    return np.exp(logits - _log_sum_exp(logits)[:, None])


def _variance(probability: Array, u: Array) -> Array:
    """Returns `sum p u^2 - (sum p u)^2`, as a sum of what is not negative."""
    centred = u - (probability * u).sum(1, keepdims=True)
    return np.asarray((probability * centred**2).sum(1))


def _softplus(logits: Array) -> Array:
    return np.logaddexp(0.0, logits[:, 0])


def _sigmoid(logits: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -logits))


def _bernoulli(probability: Array, u: Array) -> Array:
    return np.asarray((probability * (1 - probability) * u**2)[:, 0])


LOSSES = {
    "softmax": Loss(_log_sum_exp, _softmax, _variance),
    "logistic": Loss(_softplus, _sigmoid, _bernoulli),
}


def encode(owner: str, labels: Any, count: int, classes: int) -> Array:
    """Returns labels as the losses take them, `(count, classes)`.

    Args:
        owner: Name that an error starts with.
        labels: Class ids or soft labels for several classes, numbers in [0, 1] for one.
        count: Number of images.
        classes: Number of logits.
    """
    given = _logits.as_array(labels)
    _checks.check_batch(owner, "labels", given.shape, (count,))
    _checks.check_label_shape(owner, given.shape, classes)
    if classes == 1:
        _checks.check_shares(owner, given)
        return given.reshape(-1, 1).astype(np.float64)
    if given.ndim == 2 and given.shape[1] == classes:
        _checks.check_distributions(owner, given)
        return given.astype(np.float64)
    _checks.check_whole(owner, given)
    ids = given.reshape(-1).astype(np.int64)
    _checks.check_id_range(owner, int(ids.min()), int(ids.max()), classes)
    return np.eye(classes)[ids]
