"""The laws of calls: blends, seeds, training, dtypes, the sequence of draws, saving."""

import inspect
import itertools
from typing import Any

import keras
import numpy as np

from keras_msda import plans
from keras_msda.testing import _worlds
from keras_msda.testing._report import Report
from keras_msda.testing._worlds import World

Size = tuple[int, ...]

#: Masks of one plan in two worlds: the last bits of an exponential or a quotient.
TOLERANCE = 1e-6
#: Compute dtype -> largest error of one rounding, relative and absolute, up to 255.
ROUNDING = {
    "float16": (2.0**-11, 1e-3),
    "bfloat16": (2.0**-8, 1e-3),
    "uint8": (0.0, 0.5 + 1e-3),
}


def blend(images: np.ndarray, plan: Any) -> np.ndarray:
    """Returns images mixed by a plan, float64: the definition."""
    images = images.astype("float64")
    images, other = take_both(images, plan)
    mask = plan.mask.astype("float64")[..., None]
    mixed = mask * images + (1 - mask) * other
    return np.where(mask == 1, images, np.where(mask == 0, other, mixed))


def take_both(images: np.ndarray, plan: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns own and partners' images, their pixels moved if the plan moves them."""
    index = plans.get_move_index(plan) or (None, None)
    own, other = (
        x if moved is None else _move(x, _worlds.to_numpy(moved))
        for x, moved in zip((images, images[plan.partner]), index, strict=True)
    )
    return own, other


def _move(images: np.ndarray, index: np.ndarray) -> np.ndarray:
    rows = images.reshape(len(images), -1, images.shape[-1])
    moved: np.ndarray = np.take_along_axis(rows, index.reshape(len(images), -1, 1), 1)
    return moved.reshape(images.shape)


def check_mixing(
    report: Report, layer: Any, size: Size, *, batch: int, world: World
) -> None:
    """Checks images and labels that a world mixes against the plan of their seed."""
    images, labels = _worlds.make_batch(batch, size)
    with report.checking("seed", world.name, size):
        plan = _worlds.sample(layer, batch, size)
        mixed, soft = _worlds.mix(world, layer, images, labels)
        _check_plan_shown(report, plan, mixed[..., :batch], soft)
    with report.checking("blend", world.name, size):
        report.require_close(
            mixed[..., batch],
            blend(images, plan)[..., batch],
            "images must be mask * own + (1 - mask) * partner.",
            "Override the hooks of `MixLayer`, not `call` nor `mix`.",
            atol=3 * TOLERANCE,
        )
        _check_ends(report, plan, images, mixed)
        report.require_close(
            soft.astype("float64").sum(-1),
            np.ones(batch),
            "rows of labels must keep their sum.",
            "Let `mask_weight` return weights in [0, 1].",
            atol=TOLERANCE,
        )


def _check_plan_shown(
    report: Report, plan: Any, signs: np.ndarray, soft: np.ndarray
) -> None:
    """Checks that partners, weights and masks are those of the eager plan."""
    batch = len(plan.partner)
    own, other = np.eye(batch), np.eye(batch)[plan.partner]
    weight = plan.weight.astype("float64")[:, None]
    report.require_close(
        soft,
        weight * own + (1 - weight) * other,
        "labels must be mixed by partner and weight of `sample` for the same seed "
        f"(partners {plan.partner.tolist()}).",
        "Make `sample_params` and `mask_weight` functions of their arguments, "
        "without Python's conditions on tensors.",
        atol=TOLERANCE,
    )
    rank = plan.mask.ndim - 1
    own, other = (x.reshape(batch, *[1] * rank, batch) for x in (own, other))
    # Of one value per image, so that a move does not change it.
    mask = plan.mask.astype("float64")[..., None]
    report.require_close(
        signs,
        mask * own + (1 - mask) * other,
        "images must be mixed by partner and mask of `sample` for the same seed "
        f"(partners {plan.partner.tolist()}).",
        "Make `sample_params` and `mask` functions of their arguments, without "
        "Python's conditions on tensors.",
        atol=TOLERANCE,
    )


def _check_ends(
    report: Report, plan: Any, images: np.ndarray, mixed: np.ndarray
) -> None:
    """Checks that one image is there bit for bit where the mask is 1 or 0."""
    batch = len(images)
    itself = np.arange(batch)
    # As this world has it: elsewhere 0 may be the last bit of an exponential.
    mask = np.moveaxis(mixed[..., :batch], -1, 1)[itself, itself]
    values = images[..., batch + 1]
    both = (x[..., 0] for x in take_both(values[..., None], plan))
    for end, whole in zip((1, 0), both, strict=True):
        received = mixed[..., batch + 1]
        report.require_close(
            np.where(mask == end, received, 0),
            np.where(mask == end, whole, 0),
            f"where the mask is {end} the {('partner', 'own image')[end]}'s pixel must "
            "be there bit for bit, also where the other is NaN.",
            "Override the hooks of `MixLayer`, not `call` nor `mix`.",
        )


def check_training(
    report: Report, layer: Any, size: Size, *, batch: int, world: World
) -> None:
    """Checks that `training=False` returns what it is given."""
    images, labels = _worlds.make_batch(batch, size)
    with report.checking("training", world.name, size):
        layer = _worlds.copy_layer(layer)
        outputs = world.run(lambda x, y: layer(x, y, training=False), images, labels)
        pairs = list(zip(outputs, (images, labels), strict=True))
        if world.name == "eager":
            alone = world.run(lambda x: layer(x, training=False), images)
            pairs.append((alone, images))
        for received, given in pairs:
            report.require_close(
                received,
                given,
                "`training=False` must return images and labels as they are.",
                "Override the hooks of `MixLayer`, not `call`.",
            )


def check_dtypes(report: Report, layer: Any, size: Size, *, batch: int) -> None:
    """Checks images in half precision and bytes."""
    with report.checking("dtype", "eager", size):
        values = np.random.default_rng(1).integers(0, 256, (batch, *size, 2))
        images, labels = values.astype("float32"), np.eye(batch, dtype="float32")
        plan = _worlds.sample(layer, batch, size)
        expected = blend(images, plan)
        for dtype, (relative, absolute) in ROUNDING.items():
            copy = _worlds.copy_layer(layer, dtype=dtype)
            # Integers up to 255 are the same in all of them.
            given = keras.ops.cast(images, dtype)
            mixed, soft = _worlds.mix_eagerly(copy, given, labels)
            found = keras.backend.standardize_dtype(mixed.dtype)
            _require_dtype(report, found, dtype)
            _require_dtype(report, keras.backend.standardize_dtype(soft.dtype))
            report.require_close(
                _worlds.to_numpy(mixed),
                expected,
                f"images in {dtype} must be those of float32, rounded once.",
                "Keep masks and weights float32.",
                atol=relative * np.abs(expected) + absolute,
            )
            weight = plan.weight.astype("float64")[:, None]
            report.require_close(
                _worlds.to_numpy(soft),
                weight * labels + (1 - weight) * labels[plan.partner],
                f"labels beside images in {dtype} must be those beside float32.",
                "Compute weights from `params` in float32, not in the compute dtype.",
                atol=TOLERANCE,
            )


def _require_dtype(report: Report, found: str, expected: str = "float32") -> None:
    """Checks a dtype: the compute dtype for images, float32 for labels."""
    rule = "images must come out in the compute dtype and labels in float32."
    remedy = "Override the hooks of `MixLayer`, not `call` nor `mix`."
    report.require(found == expected, rule, f"{found} instead of {expected}", remedy)


def check_channels(report: Report, layer: Any, size: Size, *, batch: int) -> None:
    """Checks that channels that come first are mixed like those that come last."""
    if layer.mask_axes is not None:  # Axes of one of the two forms.
        return
    with report.checking("channels_first", "eager", size):
        images, labels = _worlds.make_batch(batch, size)
        images = images[..., :-1]
        copy = _worlds.copy_layer(layer, data_format="channels_first")
        expected, _ = _worlds.mix_eagerly(layer, images, labels)
        moved = np.moveaxis(images, -1, 1)
        mixed, _ = _worlds.mix_eagerly(copy, moved, labels)
        report.require_close(
            np.moveaxis(_worlds.to_numpy(mixed), 1, -1),
            _worlds.to_numpy(expected),
            "channels first must be mixed like channels last.",
            "Masks have no axis of channels: use `size` alone.",
            atol=TOLERANCE,
        )


# The sequence of draws, and configurations.


def check_config(report: Report, layer: Any) -> None:
    """Checks that a configuration makes the same layer again."""
    with report.checking("config", "eager"):
        config = layer.get_config()
        known = inspect.signature(type(layer).__init__).parameters.values()
        several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        names = [x.name for x in known if x.kind not in several and x.name != "self"]
        missing = [name for name in names if name not in config]
        remedy = "Return all arguments: `super().get_config() | {...}`."
        report.require(
            not missing,
            "`get_config` must return every argument of the constructor.",
            f"a configuration without {', '.join(missing)}",
            remedy,
        )
        again = _worlds.copy_layer(layer).get_config()
        differ = [
            f"{name}={again.get(name)!r} instead of {value!r}"
            for name, value in config.items()
            if name not in ("uid", "layers") and again.get(name) != value
        ]
        rule = "a layer that is made from its configuration must have the same."
        report.require(not differ, rule, "; ".join(differ), remedy)


def check_sequence(report: Report, layer: Any, size: Size, *, batch: int) -> None:
    """Checks that calls draw one after another, and that saving keeps the place."""
    with report.checking("sequence", "eager", size):
        inputs = _make_finite_batch(batch, size)
        first, second, saved, loaded = (_worlds.copy_layer(layer) for _ in range(4))
        calls = [_call(first, inputs) for _ in range(4)]
        if _is_random(layer, inputs):
            report.require(
                any(_differ(calls[0], later) for later in calls[1:]),
                "calls one after another must draw anew.",
                "four calls with the same result",
                "Draw by the `seed` of `sample_params` alone.",
            )
        remedy = "Keep nothing of a call on the layer: hooks are functions."
        _require_same(
            report,
            _call(second, inputs),
            calls[0],
            "a layer made from its configuration must begin its draws again.",
            remedy,
        )
        _call(saved, inputs)
        store: dict[str, Any] = {}
        saved.save_own_variables(store)
        loaded.load_own_variables(store)
        _require_same(
            report,
            _call(loaded, inputs),
            calls[1],
            "a loaded layer must go on where the saved one stopped.",
            remedy,
        )


def check_stateless(report: Report, layer: Any, size: Size, *, batch: int) -> None:
    """Checks that JAX's stateless calls draw what eager calls draw."""
    with report.checking("sequence", "stateless", size):
        inputs = _make_finite_batch(batch, size)
        eager, copy = _worlds.copy_layer(layer), _worlds.copy_layer(layer)
        copy(*inputs, training=False)  # Builds it.
        state = [variable.value for variable in copy.non_trainable_variables]
        for _ in range(2):
            outputs, state = copy.stateless_call([], state, *inputs, training=True)
            _require_same(
                report,
                _worlds.to_numpy(outputs),
                _call(eager, inputs),
                "stateless calls must draw what calls draw.",
                "Keep nothing of a call on the layer: hooks are functions.",
            )


def _make_finite_batch(batch: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Returns images without NaNs, whose contrast is a number, and labels."""
    images, labels = _worlds.make_batch(batch, size)
    return images[..., :-1], labels


def _call(layer: Any, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return list(_worlds.to_numpy(layer(*inputs)))


def _differ(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    pairs = zip(one, other, strict=True)
    return not all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def _is_random(layer: Any, inputs: tuple[np.ndarray, ...]) -> bool:
    """Returns whether each of some seeds has a mix of its own.

    Small images leave few masks to CutMix: calls may then well agree.
    """
    seeds = [(number, 1) for number in range(4)]
    mixes = [list(_worlds.to_numpy(layer.mix(inputs, seed=seed))) for seed in seeds]
    return all(_differ(*pair) for pair in itertools.combinations(mixes, 2))


def _require_same(
    report: Report, received: Any, expected: Any, rule: str, remedy: str
) -> None:
    """Checks images and labels of two calls."""
    for found, wanted in zip(received, expected, strict=True):
        report.require_close(found, wanted, rule, remedy, atol=TOLERANCE)
