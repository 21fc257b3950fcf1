"""The two losses of the theorem, `l(z, y) = h(z) - y . z`, on arrays of logits.

Both take logits `(rows, classes)`; the logistic loss has one class, whose label is a
number. All in float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_msda import _checks, _errors
from keras_msda.analysis import _logits
from keras_msda.analysis._types import Array


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
        """Returns the gradients with respect to the logits, `(rows, classes)`."""
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
    _check_label_shape(owner, given.shape, classes)
    if classes == 1:
        _check_shares(owner, given)
        return given.reshape(-1, 1).astype(np.float64)
    if given.ndim == 2 and given.shape[1] == classes:
        _check_distributions(owner, given)
        return given.astype(np.float64)
    _check_whole(owner, given)
    ids = given.reshape(-1).astype(np.int64)
    _checks.check_id_range(owner, int(ids.min()), int(ids.max()), classes)
    return np.eye(classes)[ids]


def _check_label_shape(owner: str, shape: Any, classes: int) -> None:
    """Checks labels against the number of logits."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, classes))):
        wanted = "" if classes == 1 else f", or (images, classes={classes})"
        _errors.fail(
            owner,
            f"labels must have shape (images,) or (images, 1){wanted}.",
            f"shape {_errors.show(shape)}",
            "Give class ids, or soft labels of the classes that the model has.",
        )


def _check_shares(owner: str, labels: np.ndarray) -> None:
    """Checks labels of one logit."""
    if labels.dtype.kind not in "biuf" or not np.all((labels >= 0) & (labels <= 1)):
        _errors.fail(
            owner,
            "labels of a model with one logit must be numbers in [0, 1].",
            _errors.show_range(labels),
            "Use 0 and 1 for the two classes.",
        )


def _check_distributions(owner: str, labels: np.ndarray) -> None:
    """Checks soft labels."""
    valid = labels.dtype.kind in "biuf" and np.all(labels >= 0)
    if not valid or not np.allclose(labels.sum(1), 1, rtol=0, atol=1e-4):
        _errors.fail(
            owner,
            "soft labels must not be negative and have the sum 1.",
            _errors.show_range(labels),
            "Give class ids, or one-hot labels.",
        )


def _check_whole(owner: str, labels: np.ndarray) -> None:
    """Checks that labels are class ids."""
    if labels.dtype.kind not in "biu":
        _errors.fail(
            owner,
            "labels that are not soft must be class ids, integers.",
            f"labels of shape {_errors.show(labels.shape)} and dtype {labels.dtype}",
            'Cast them, for example `labels.astype("int32")`.',
        )
