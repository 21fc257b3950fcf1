"""Labels and sample weights of a mixed batch, in NumPy."""

from typing import Any

import numpy as np

from tests.fuzz import rules
from tests.fuzz.expected import Expected, Same


def expect(case: Any, contents: Any, plan: Any, mixed: bool) -> dict[str, Any]:
    """Returns what labels and sample weights should become."""
    if "labels" not in contents:
        return {}
    labels, weights = contents["labels"], contents.get("sample_weight")
    spec = case.parts["labels"]
    if "outputs" not in spec:
        (output, classes), *_ = rules.list_outputs(case)
        found = _expect_output(case, output, classes, labels, weights, plan, mixed)
        return {"labels": found} | _expect_weights(case, weights, plan, mixed)
    names = list(spec["outputs"])
    values = (
        labels if isinstance(labels, dict) else dict(zip(names, labels, strict=True))
    )
    each = dict.fromkeys(names, weights)
    if isinstance(weights, tuple):
        each = dict(zip(names, weights, strict=True))
    elif isinstance(weights, dict):
        each = weights
    both = zip(names, rules.list_outputs(case), strict=True)
    outputs = {
        name: _expect_output(case, *pair, values[name], each[name], plan, mixed)
        for name, pair in both
    }
    found = outputs if spec["nest"] is dict else tuple(outputs.values())
    return {"labels": found} | _expect_weights(case, weights, plan, mixed)


def _expect_weights(case: Any, weights: Any, plan: Any, mixed: bool) -> dict[str, Any]:
    if weights is None:
        return {}
    if isinstance(weights, dict):
        found: Any = {k: _expect_weight(case, x, plan) for k, x in weights.items()}
    elif isinstance(weights, tuple):
        found = tuple(_expect_weight(case, x, plan) for x in weights)
    else:
        found = _expect_weight(case, weights, plan)
    return {"sample_weight": found}


def _expect_weight(case: Any, weights: Any, plan: Any) -> Any:
    """Returns w_i m + w_j (1 - m)."""
    if weights is None:
        return None
    if case.arguments.get("targets") == "own":
        return Same(weights)
    own, other = _terms(weights, plan)
    total = (own + other).reshape(weights.shape)
    mixed = (plan.weight != 1).reshape(weights.shape)
    return Expected(total, "float32", 1e-6 * np.abs(total) * mixed)


def _terms(weights: np.ndarray, plan: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns what both labels count for: w_i m and w_j (1 - m)."""
    share = plan.weight.astype("float64")
    w = weights.astype("float64").reshape(-1)
    return w * share, w[plan.partner] * (1 - share)


def _shares(weights: Any, plan: Any) -> np.ndarray:
    """Returns the share of the own label, which sample weights change."""
    share = plan.weight.astype("float64")
    if weights is None:
        return share
    own, other = _terms(weights, plan)
    total = own + other
    return np.where(total > 0, own / np.where(total > 0, total, 1), share)


def encode(
    output: dict[str, Any], classes: int | None, labels: np.ndarray, smoothing: float
) -> np.ndarray:
    """Returns labels as float64, class ids as rows; NaN for ids that are none."""
    if classes is None:
        return labels.astype("float64")
    ids = labels.reshape(-1).astype("float64")
    rows = np.equal(ids[:, None], np.arange(classes)).astype("float64")
    rows = rows * (1 - smoothing) + smoothing / classes
    rows[~np.isin(ids, np.arange(classes))] = np.nan
    return rows


def _expect_output(
    case: Any,
    output: dict[str, Any],
    classes: int | None,
    labels: np.ndarray,
    weights: Any,
    plan: Any,
    mixed: bool,
) -> Any:
    target = case.arguments.get("targets", "soft")
    if target == "pair":
        return _expect_pair(labels, classes, weights, plan)
    smoothing = case.arguments.get("label_smoothing", 0.0) if mixed else 0.0
    own = encode(output, classes, labels, smoothing)
    if target == "own":
        if classes is None and labels.dtype.kind != "b":
            return Same(labels)
        return Expected(own, "float32", 1e-7 if smoothing else 0.0)
    if target == "union":
        return _expect_union(case, own, plan)
    share = _shares(weights, plan).reshape(len(own), *[1] * (own.ndim - 1))
    mean, slack = _mean(own, own[plan.partner], share)
    name = (
        "float64" if labels.dtype.name == "float64" and classes is None else "float32"
    )
    slack = slack + (1e-7 if smoothing else 0.0)
    return Expected(mean, name, slack)


def _mean(own: Any, other: Any, share: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mix of labels; an unmixed sample has its own exactly."""
    mean = np.where(share == 1, own, share * own + (1 - share) * other)
    mean = np.where(share == 0, other, mean)
    slack = 1e-6 * (np.abs(own) + np.abs(other)) + 1e-12
    return mean, np.where(share == 1, 0.0, np.where(np.isfinite(slack), slack, 1.0))


def _expect_union(case: Any, own: np.ndarray, plan: Any) -> Expected:
    """Returns which classes have more than the threshold of the mixed label."""
    threshold = case.arguments.get("target_threshold", 0.0)
    share = plan.weight.astype("float64").reshape(len(own), *[1] * (own.ndim - 1))
    mean, slack = _mean(own, own[plan.partner], share)
    close = np.abs(mean - threshold) <= slack
    if not threshold:
        close &= mean != 0
    found = np.where(np.isnan(mean), np.nan, mean > threshold)
    return Expected(found.astype("float64"), "float32", free=close)


def _expect_pair(
    labels: np.ndarray, classes: int | None, weights: Any, plan: Any
) -> Expected:
    """Returns own label, partner's label and the weight, side by side."""
    own = labels.astype("float64")
    if own.ndim == 1:
        own = own[:, None]
    share = _shares(weights, plan)
    shape = (*own.shape[:-1], 1)
    last = np.broadcast_to(share.reshape(len(own), *[1] * (own.ndim - 1)), shape)
    slack = np.where(last == 1, 0.0, 1e-6)
    zero = np.zeros(own.shape)
    free = np.zeros(own.shape, bool)
    if classes is not None:  # In a graph, an id that is no class shows as a NaN.
        wrong = ~np.isin(own, np.arange(classes))
        last = np.where(wrong | wrong[plan.partner], np.nan, last)
        free = np.broadcast_to(np.isnan(last), own.shape)
    free = np.concatenate([free, free, np.zeros(shape, bool)], -1)
    values = np.concatenate([own, own[plan.partner], last], -1)
    return Expected(values, "float32", np.concatenate([zero, zero, slack], -1), free)
