"""Labels and sample weights of a mixed batch, in NumPy."""

from typing import Any

import numpy as np

from tests.fuzz import rules
from tests.fuzz.expected import STEP, Expected


def expect(case: Any, contents: Any, plan: Any, mixed: bool) -> dict[str, Any]:
    """Returns what labels and sample weights should become."""
    if "labels" not in contents:
        return {}
    labels, weights = contents["labels"], contents.get("sample_weight")
    spec = case.parts["labels"]
    if "outputs" not in spec:
        ((_, classes),) = rules.list_outputs(case)
        both = plan, _shares(weights, plan)
        found = _expect_output(case, classes, labels, both, mixed)
        return {"labels": found} | _expect_weights(case, weights, plan)
    names = list(spec["outputs"])
    values = (
        labels if isinstance(labels, dict) else dict(zip(names, labels, strict=True))
    )
    each = dict.fromkeys(names, weights)
    if isinstance(weights, tuple):
        each = dict(zip(names, weights, strict=True))
    elif isinstance(weights, dict):
        each = weights
    outputs = {}
    for name, (_, classes) in zip(names, rules.list_outputs(case), strict=True):
        both = plan, _shares(each[name], plan)
        outputs[name] = _expect_output(case, classes, values[name], both, mixed)
    found = outputs if spec["nest"] is dict else tuple(outputs.values())
    return {"labels": found} | _expect_weights(case, weights, plan)


def _expect_weights(case: Any, weights: Any, plan: Any) -> dict[str, Any]:
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
        return Expected(weights, weights.dtype.name)
    own, other = _terms(weights, plan)
    total = (own + other).reshape(weights.shape)
    # XLA may round m to the next float32.
    slack = 1e-6 * np.abs(own + other)
    slack = slack + STEP * np.abs(weights.astype("float64")).max(initial=0)
    slack = slack * (plan.weight != 1)
    return Expected(total, "float32", slack.reshape(weights.shape))


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


def encode(classes: int | None, labels: np.ndarray, smoothing: float) -> np.ndarray:
    """Returns labels as float64, class ids as rows; NaN for ids that are none."""
    if classes is None:
        return labels.astype("float64")
    ids = labels.reshape(-1).astype("float64")
    rows = np.equal(ids[:, None], np.arange(classes)).astype("float64")
    rows = rows * (1 - smoothing) + smoothing / classes
    rows[~np.isin(ids, np.arange(classes))] = np.nan
    return rows


def _expect_output(
    case: Any, classes: int | None, labels: np.ndarray, both: Any, mixed: bool
) -> Any:
    """Returns what the labels of an output become by a plan and the shares of it."""
    plan, share = both
    target = case.arguments.get("targets", "soft")
    if target == "pair":
        return _expect_pair(case, classes, labels, plan, share)
    smoothing = case.arguments.get("label_smoothing", 0.0) if mixed else 0.0
    own = encode(classes, labels, smoothing)
    if target == "own":
        if classes is None and labels.dtype.kind != "b":
            return Expected(labels, labels.dtype.name)
        return Expected(own, "float32", 1e-7 if smoothing else 0.0)
    if target == "union":
        return _expect_union(case, own, plan)
    share = share.reshape(len(own), *[1] * (own.ndim - 1))
    mean, slack = _mean(own, own[plan.partner], share)
    wide = labels.dtype.name == "float64" and classes is None
    slack = slack + (1e-7 if smoothing else 0.0)
    return Expected(mean, "float64" if wide else "float32", slack)


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
    case: Any, classes: int | None, labels: np.ndarray, plan: Any, share: np.ndarray
) -> Expected:
    """Returns own label, partner's label and the weight, side by side."""
    own = labels.astype("float64")
    if own.ndim == 1:
        own = own[:, None]
    shape = (*own.shape[:-1], 1)
    last = np.broadcast_to(share.reshape(len(own), *[1] * (own.ndim - 1)), shape)
    partner = plan.partner
    if case.partner and case.partner["kind"] == "batch":
        # An unmixed sample has no partner, whatever the second batch holds.
        unmixed = share.astype("float32") == 1
        partner = np.where(unmixed, np.arange(len(own)), partner)
    slack = np.where(last == 1, 0.0, 1e-6)
    zero = np.zeros(own.shape)
    free = np.zeros(own.shape, bool)
    if classes is not None:  # In a graph, an id that is no class shows as a NaN.
        wrong = ~np.isin(own, np.arange(classes))
        last = np.where(wrong | wrong[partner], np.nan, last)
        free = np.broadcast_to(np.isnan(last), own.shape)
    free = np.concatenate([free, free, np.zeros(shape, bool)], -1)
    values = np.concatenate([own, own[partner], last], -1)
    return Expected(values, "float32", np.concatenate([zero, zero, slack], -1), free)
