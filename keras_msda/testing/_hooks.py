"""The laws of what hooks return: masks, weights, plans, and what a class declares."""

from typing import Any

import keras
import numpy as np

from keras_msda import _backend, plans
from keras_msda.layers import _planning
from keras_msda.masks import _factored, _returned
from keras_msda.testing import _worlds
from keras_msda.testing._report import Report

Size = tuple[int, ...]

#: Of a float32 number in [0, 1]: some last bits, and those of a mean.
TOLERANCE = 1e-6
SEEDS = [(1, 2), (3, 4), (5, 6), (7, 8)]
# A standard error is seldom off by five; seeds are fixed, so luck does not change.
_STANDARD_ERRORS = 5
_MOMENT_DRAWS = 2000


def check_hooks(report: Report, layer: Any, size: Size, *, draws: int) -> None:
    """Checks masks and weights of some draws, as the hooks return them."""
    with report.checking("mask", "eager", size):
        masked = layer._masked(size)
        params = _draw_params(layer, draws, masked, lam=None)
        _check_params(report, params, draws)
        mask = _check_form(report, layer.mask(params, masked), draws, masked)
        _check_values(report, mask)
        if layer.has_lam:
            lam = np.linspace(0, 1, draws, dtype="float32")
            every = _draw_params(layer, draws, masked, lam=lam)
            every = layer.mask(every, masked)
            _check_values(report, _check_form(report, every, draws, masked))
    with report.checking("weight", "eager", size):
        weight = layer.mask_weight(params, masked)
        _check_weight(report, _worlds.to_numpy(weight), draws)
        if all(getattr(x, "exact_weight", True) for x in _worlds.members(layer)):
            means = mask.astype("float64").reshape(draws, -1).mean(1)
            report.require_close(
                _worlds.to_numpy(weight),
                means,
                "`mask_weight` must be the mean of the mask.",
                "Return the mean, or leave the method out, which takes it.",
                atol=TOLERANCE,
            )


def _draw_params(layer: Any, draws: int, size: Size, *, lam: Any) -> Any:
    """Returns what `sample_params` returns, for lambda given or drawn (None)."""
    seeds = _backend.get_backend_ops().split_seed(SEEDS[0], 2)
    return _planning.draw_uniform_params(layer, draws, size, seeds=seeds, lam=lam)


def _check_params(report: Report, params: Any, draws: int) -> None:
    """Checks that what `sample_params` returns has one entry per draw.

    Or is the seed pair of noise that is too large to keep, as in FMix.
    """
    tensors = [x for x in _flatten(params) if hasattr(x, "shape")]
    for place, tensor in enumerate(tensors):
        shape = tuple(tensor.shape)
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        pair = shape == (2,) and keras.backend.is_int_dtype(dtype)
        report.require(
            shape[:1] == (draws,) or pair,
            "`sample_params` must return tensors with `num_draws` first.",
            f"shape {shape} of tensor {place} for {draws} draws",
            "Draw one value per lambda: `keras.ops.shape(lam)[0]` is `num_draws`.",
        )


def _flatten(nest: Any) -> list[Any]:
    if isinstance(nest, dict):
        return [x for value in nest.values() for x in _flatten(value)]
    if isinstance(nest, (list, tuple)):
        return [x for value in nest for x in _flatten(value)]
    return [nest]


def _check_form(report: Report, mask: Any, draws: int, size: Size) -> np.ndarray:
    """Returns masks as an array `(draws, *size)`, of a dense or a factored mask."""
    expected = (draws, *size)
    if not isinstance(mask, _factored.Mask):
        report.require(
            tuple(mask.shape) == expected,
            "a dense mask must have the shape (num_draws, *size).",
            f"shape {tuple(mask.shape)} instead of {expected}",
            "Take the lengths from `size`, and give every axis its full length: "
            "`keras.ops.broadcast_to`.",
        )
    else:
        shapes = [tuple(x.shape) for x in (mask.offset, mask.scale, *mask.factors)]
        fits = all(shape == (draws,) for shape in shapes[:2]) and all(
            len(shape) == len(expected)
            and all(n in (1, m) for n, m in zip(shape, expected, strict=True))
            for shape in shapes[2:]
        )
        report.require(
            fits,
            "a `Mask` must have offset and scale (num_draws,), and factors that "
            f"broadcast to {expected}.",
            f"offset, scale and factors of shapes {shapes}",
            "Give a factor length 1 along the axes where it does not change.",
        )
    factored = _returned.as_mask(mask, size, owner=report.owner)
    return np.asarray(_worlds.to_numpy(_factored.to_dense(factored, size)))


def _check_values(report: Report, mask: np.ndarray) -> None:
    """Checks that masks are finite float32 numbers in [0, 1]."""
    dtype = str(mask.dtype)
    report.require(
        dtype == "float32", "masks must be float32.", dtype, "Cast the mask."
    )
    report.require_each(
        np.isfinite(mask),
        "masks must be finite.",
        mask,
        "Look for a division by 0 or a logarithm of 0, at lambda 0 or 1 perhaps.",
    )
    report.require_each(
        (mask >= -TOLERANCE) & (mask <= 1 + TOLERANCE),
        "masks must be in [0, 1]: they are the share of the first image.",
        mask,
        "Clip or scale what `mask` returns.",
    )


def _check_weight(report: Report, weight: np.ndarray, draws: int) -> None:
    """Checks form and range of weights."""
    report.require(
        weight.shape == (draws,) and str(weight.dtype) == "float32",
        "`mask_weight` must return float32 of shape (num_draws,).",
        f"{weight.dtype} of shape {weight.shape}",
        "Average over all axes except for the first, and cast.",
    )
    report.require_each(
        (weight >= -TOLERANCE) & (weight <= 1 + TOLERANCE),
        "weights must be in [0, 1]: they are the share of the first label.",
        weight,
        "Return the mean of the mask.",
    )


# Plans.


def check_plans(report: Report, layer: Any, size: Size, *, batch: int) -> None:
    """Checks plans: partners, unmixed samples, and that a seed decides everything."""
    with report.checking("plan", "eager", size):
        never = _worlds.copy_layer(layer, probability=0.0)
        _check_unmixed(report, _sample(never, batch, size), np.ones(batch, bool))
        _check_unmixed(report, _sample(layer, 1, size), np.ones(1, bool))
        plan = _sample(layer, batch, size)
        report.require_each(
            (plan.partner >= 0) & (plan.partner < batch),
            f"partners must be indices of the batch of {batch}.",
            plan.partner,
            "Leave the drawing of partners to `MixLayer`.",
        )
        _check_unmixed(report, plan, plan.partner == np.arange(batch))
        again = _sample(layer, batch, size)
        for name in plans.MixPlan._fields:
            first, second = getattr(plan, name), getattr(again, name)
            report.require_close(
                second,
                first,
                f"one seed must give one {name}.",
                "Draw in `sample_params` alone and by its `seed`, with "
                "`keras_msda.sampling`: not by a global generator such as NumPy's.",
            )
        _check_seeds_matter(report, layer, size, batch)


def _sample(layer: Any, batch: int, size: Size, seed: Any = SEEDS[0]) -> Any:
    return _worlds.sample(layer, batch, size, seed=seed)


def _check_unmixed(report: Report, plan: Any, unmixed: np.ndarray) -> None:
    """Checks that samples that are not mixed are wholly their own."""
    rule = "a sample that is not mixed must have {} ({})."
    remedy = "Leave plans to `MixLayer`; override hooks only."
    itself = np.arange(len(unmixed))
    report.require_each(
        (plan.partner == itself) | ~unmixed,
        rule.format("itself as partner", "its index"),
        plan.partner,
        remedy,
    )
    for name, values in (("weight", plan.weight), ("mask", plan.mask)):
        apart = unmixed.reshape(-1, *[1] * (values.ndim - 1))
        text = rule.format(name, "1")
        report.require_each((values == 1) | ~apart, text, values, remedy)


def _check_seeds_matter(report: Report, layer: Any, size: Size, batch: int) -> None:
    """Checks that masks that differ between draws differ between seeds too."""
    lams = (0.4, None) if layer.has_lam else (None,)
    for lam in lams:
        masks = [
            _worlds.to_numpy(layer.sample_masks(batch, size, seed=seed, lam=lam)[0])
            for seed in SEEDS
        ]
        differ = any((mask != mask[:1]).any() for mask in masks)
        same = all((mask == masks[0]).all() for mask in masks[1:])
        report.require(
            not (differ and same),
            "another seed must give other masks where masks are random.",
            f"the same {batch} masks, which differ from one another, for the seeds "
            + ", ".join(map(str, SEEDS)),
            "Give `seed` in `sample_params` to every draw of `keras_msda.sampling`.",
        )


# What a class declares.


def check_declared(report: Report, layer: Any, size: Size) -> None:
    """Checks `uniform_mask` and `symmetric`, where they are declared."""
    if layer.uniform_mask:
        with report.checking("uniform_mask", "eager", size):
            mask = _worlds.to_numpy(layer.sample_masks(16, size, seed=SEEDS[0]))[0]
            report.require_each(
                mask == mask.reshape(16, -1)[:, 0].reshape(-1, *[1] * len(size)),
                "`uniform_mask = True` says that a mask is the same at every pixel.",
                mask,
                "Remove `uniform_mask = True` from the class.",
            )
    if layer.symmetric:
        with report.checking("symmetric", "eager", size):
            for lam in (0.2, 0.4) if layer.has_lam else (None,):
                _check_symmetry(report, layer, size, lam)


def _check_symmetry(report: Report, layer: Any, size: Size, lam: float | None) -> None:
    """Checks that 1 - M(lam) has the moments of M(1 - lam)."""
    first, second = (
        _moments(layer, size, lam, seed=SEEDS[0], turned=True),
        _moments(layer, size, None if lam is None else 1 - lam, seed=SEEDS[1]),
    )
    for (name, found), (_, expected) in zip(first, second, strict=True):
        error = np.sqrt((found.var(0) + expected.var(0)) / _MOMENT_DRAWS)
        # Masks that are not random may differ by rounding.
        score = np.abs(found.mean(0) - expected.mean(0)) / (error + TOLERANCE)
        if score.max() <= _STANDARD_ERRORS:
            continue
        worst = int(score.argmax())
        pixel = tuple(int(n) for n in np.unravel_index(worst, size))
        at = "" if lam is None else f" at lambda {lam}"
        report.fail(
            "`symmetric = True` says that 1 - M(lam) has the distribution of "
            f"M(1 - lam); the {name} differs{at}.",
            f"{found.mean(0)[worst]:.4f} and {expected.mean(0)[worst]:.4f} at pixel "
            f"{pixel}, {score[worst]:.1f} standard errors apart in {_MOMENT_DRAWS} "
            "draws",
            "Remove `symmetric = True` from the class.",
        )


def _moments(
    layer: Any, size: Size, lam: float | None, *, seed: Any, turned: bool = False
) -> list[tuple[str, np.ndarray]]:
    """Returns values `(draws, pixels)` whose means are moments, by name.

    Args:
        layer: A mixing layer.
        size: Spatial lengths.
        lam: lambda, or None.
        seed: Seed pair.
        turned: Whether of 1 - M instead of M.
    """
    drawn = layer.sample_masks(_MOMENT_DRAWS, size, seed=seed, lam=lam)
    mask = _worlds.to_numpy(drawn[0]).reshape(_MOMENT_DRAWS, -1).astype("float64")
    mask = 1 - mask if turned else mask
    pixels = mask.shape[1]
    found = [("mean", mask), ("mean square", mask**2)]
    for step in sorted({1, pixels // 2} - {0}):
        name = f"mean product of two pixels, {step} apart,"
        found.append((name, mask * np.roll(mask, step, 1)))
    return found
