"""Every check of an argument, and the wording of every error.

A message names its owner, the rule, what was received and the remedy. Nothing here
computes anything; checks read settings, dtypes and static shapes, and run before work.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any, NoReturn

import keras
import numpy as np

PER = ("sample", "pair", "batch")
PAIRINGS = ("shuffle", "derangement", "reverse", "roll")
TARGETS = ("soft", "pair", "own")
BORDERS = ("clip", "wrap", "inside")
DATA_FORMATS = ("channels_last", "channels_first")
#: Whole numbers up to this one are exact in float32.
LARGEST_ID = 2**24


def fail(
    owner: str,
    rule: str,
    received: str,
    remedy: str,
    kind: type[Exception] = ValueError,
) -> NoReturn:
    """Raises an error in the house's form."""
    raise kind(f"{owner}: {rule} Received: {received}. {remedy}")


def check_backend(name: str) -> None:
    """Checks that Keras computes with a library that keras_msda knows."""
    if name != "tensorflow":
        fail(
            "keras_msda",
            "the Keras backend must be TensorFlow.",
            f"KERAS_BACKEND={name}",
            'Set the environment variable KERAS_BACKEND="tensorflow" before importing '
            "Keras.",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_alpha(owner: str, alpha: Any) -> tuple[float, float]:
    """Returns the two parameters of the Beta distribution."""
    pair = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
    valid = len(pair) == 2 and all(
        _is_number(a) and math.isfinite(a) and a > 0 for a in pair
    )
    if not valid:
        fail(
            owner,
            "`alpha` must be a positive finite number or a pair of them.",
            f"alpha={alpha!r}",
            "Use `alpha=1.0` for uniform mixing, and `probability=0.0` for none.",
        )
    return float(pair[0]), float(pair[1])


def check_share(owner: str, name: str, value: Any, remedy: str) -> float:
    """Returns a number in [0, 1]."""
    if not (_is_number(value) and 0 <= value <= 1):
        fail(
            owner,
            f"`{name}` must be a number in [0, 1].",
            f"{name}={value!r}",
            remedy,
        )
    return float(value)


def check_choice(owner: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns one of some words."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(f'"{choice}"' for choice in choices)
        fail(
            owner,
            f"`{name}` must be one of {words}.",
            f"{name}={value!r}",
            f'The default is "{choices[0]}".',
        )
    return value


def check_data_format(owner: str, value: Any) -> str:
    """Returns a data format, Keras's own where none is given."""
    if value is None:
        return str(keras.config.image_data_format())
    return check_choice(owner, "data_format", value, DATA_FORMATS)


def check_count(owner: str, name: str, value: Any) -> int:
    """Returns a positive integer."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not (whole and value > 0):
        fail(
            owner,
            f"`{name}` must be a positive integer or None.",
            f"{name}={value!r}",
            f"Leave `{name}` out for its default.",
        )
    return int(value)


def check_pairs(owner: str, per: str, pairing: str) -> None:
    """Checks that `per="pair"` is given pairs."""
    if per == "pair" and pairing in ("derangement", "roll"):
        fail(
            owner,
            '`per="pair"` needs partners in pairs, which are "shuffle" or "reverse".',
            f"pairing={pairing!r}",
            'Use `pairing="shuffle"` or `per="sample"`.',
        )


def check_targets(
    owner: str, targets: str, label_smoothing: float, num_classes: int | None
) -> None:
    """Checks that the label arguments hold together."""
    if label_smoothing and targets == "pair":
        fail(
            owner,
            '`label_smoothing` does not go with `targets="pair"`, whose labels stay as '
            "they are.",
            f"label_smoothing={label_smoothing!r}",
            "Give the smoothing to the loss: "
            "`MixedLoss(keras.losses.CategoricalCrossentropy(label_smoothing=...))`.",
        )
    if label_smoothing and num_classes is None:
        fail(
            owner,
            "`label_smoothing` smooths integer labels and needs `num_classes`.",
            f"label_smoothing={label_smoothing!r}, num_classes=None",
            "Give `num_classes`, or smooth soft labels before this layer.",
        )
    if targets == "pair" and num_classes is not None and num_classes > LARGEST_ID:
        fail_ids(owner, f"num_classes={num_classes}")


def fail_ids(owner: str, received: str) -> NoReturn:
    """Raises the error for class ids that packing would round."""
    fail(
        owner,
        f'`targets="pair"` packs class ids as float32, exact up to {LARGEST_ID}.',
        received,
        'Use `targets="soft"` with `num_classes`, or a layer inside the model, where '
        "labels stay integers.",
    )


def fail_own(owner: str) -> NoReturn:
    """Raises the error for own labels where the mask's complement has another law."""
    fail(
        owner,
        '`targets="own"` needs 1 - M(lambda) to be distributed as M(1 - lambda), which '
        "holds for MixUp, GMix and FMix; the complement of a box is no box.",
        "targets='own'",
        'Use `targets="soft"` or `targets="pair"`.',
    )


def check_ratio_range(owner: str, value: Any) -> tuple[float, float]:
    """Returns the two ends of a range of relative sides."""
    valid = (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(_is_number(v) for v in value)
        and 0 <= value[0] <= value[1] <= 1
    )
    if not valid:
        fail(
            owner,
            "`ratio_range` must be a pair (low, high) with 0 <= low <= high <= 1.",
            f"ratio_range={value!r}",
            "Use for example `ratio_range=(0.2, 0.8)`.",
        )
    return float(value[0]), float(value[1])


def check_ratio_settings(owner: str, border: Any, exact_weight: Any) -> None:
    """Checks what goes with a range of relative sides."""
    if border not in (None, "inside") or not exact_weight:
        fail(
            owner,
            "`ratio_range` places boxes inside and draws no lambda.",
            f"border={border!r}, exact_weight={exact_weight!r}",
            "Leave `border` and `exact_weight` out.",
        )


def check_decay_power(owner: str, value: Any) -> float:
    """Returns a number that is not negative."""
    if not (_is_number(value) and math.isfinite(value) and value >= 0):
        fail(
            owner,
            "`decay_power` must be a finite number, not negative.",
            f"decay_power={value!r}",
            "The paper uses 3.0; 0.0 is white noise.",
        )
    return float(value)


def check_max_soft(owner: str, value: Any) -> float:
    """Returns a number in [0, 0.5]."""
    if not (_is_number(value) and 0 <= value <= 0.5):
        fail(
            owner,
            "`max_soft` must be a number in [0, 0.5].",
            f"max_soft={value!r}",
            "Use 0.0 for hard edges.",
        )
    return float(value)


def check_spectrum(owner: str, value: Any) -> Any:
    """Returns the name of a spectrum, or a function."""
    if callable(value):
        return value
    return check_choice(owner, "spectrum", value, ("isotropic", "official"))


def is_image_rank(rank: int) -> bool:
    """Tells batches of images with channels and one to three spatial axes."""
    return 3 <= rank <= 5


def check_rank(owner: str, shape: Any) -> None:
    """Checks for a batch of images with one to three spatial axes."""
    rank = shape.rank if hasattr(shape, "rank") else len(shape)
    if rank is None or not is_image_rank(rank):
        remedy = "Flatten or expand the spatial axes to one, two or three."
        if rank is not None and rank < 3:
            remedy = "Batch first, as in `dataset.batch(128).map(layer)`."
        fail(
            owner,
            "images must have shape (batch, *spatial, channels), rank 3 to 5.",
            f"shape {_show(shape)}",
            remedy,
        )


def check_same_rank(owner: str, shape: Any, rank: int | None) -> None:
    """Checks that a layer inside a model keeps the rank that it was built for."""
    if rank is not None and len(shape) != rank + 2:
        fail(
            owner,
            f"the layer was built for images of rank {rank + 2}.",
            f"shape {_show(shape)}",
            "Use another layer for images with another number of axes.",
        )


def check_not_ragged(owner: str, name: str, ragged: bool, received: Any) -> None:
    """Refuses ragged tensors."""
    if ragged:
        fail(
            owner,
            f"{name} of one batch must have one size.",
            f"a ragged tensor of shape {_show(received.shape)}",
            "Resize or pad, then `dataset.batch(...)`.",
            TypeError,
        )


def check_batch(owner: str, name: str, shape: Any, images_shape: Any) -> None:
    """Checks that a tensor has one entry a sample."""
    if len(shape) == 0:
        fail(
            owner,
            f"{name} must have a batch axis.",
            "a scalar",
            "Batch first, as in `dataset.batch(128).map(layer)`.",
        )
    given, batch = shape[0], images_shape[0]
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        fail(
            owner,
            f"{name} must have the batch of the images, {batch}.",
            f"shape {_show(shape)}",
            f"Give one entry of {name} for each image.",
        )


def check_soft(owner: str, dtype: Any) -> None:
    """Refuses integer labels where soft ones are mixed."""
    if not keras.backend.is_float_dtype(dtype):
        fail(
            owner,
            "integer labels have no mean; soft labels need the number of classes.",
            f"labels of dtype {keras.backend.standardize_dtype(dtype)}",
            'Give `num_classes=...`, or use `targets="pair"` with `MixedLoss`; cast '
            "labels that are not class ids to float32.",
        )


def check_ids(owner: str, shape: Any) -> None:
    """Checks the shape of class ids."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        fail(
            owner,
            "integer labels are class ids, of shape (batch,) or (batch, 1).",
            f"shape {_show(shape)}",
            "Cast labels that are not class ids, such as one-hot rows, to float32.",
        )


def check_id_range(owner: str, low: int, high: int, num_classes: int) -> None:
    """Checks class ids that can be looked at."""
    if low < 0 or high >= num_classes:
        fail(
            owner,
            f"class ids must be in [0, num_classes={num_classes}).",
            f"ids from {low} to {high}",
            "Give the number of classes that the labels count up to.",
        )


def check_not_soft(owner: str, dtype: Any, num_classes: int) -> None:
    """Refuses a number of classes for labels that are already soft."""
    if keras.backend.is_float_dtype(dtype):
        fail(
            owner,
            "`num_classes` turns integer labels into soft ones.",
            f"num_classes={num_classes} with labels of dtype "
            f"{keras.backend.standardize_dtype(dtype)}",
            "Leave `num_classes` out for labels that are soft, or cast class ids to "
            "an integer dtype.",
        )


def check_packable(owner: str, shape: Any) -> None:
    """Checks that labels have one row a sample, as packing needs."""
    if len(shape) > 2:
        fail(
            owner,
            '`targets="pair"` packs labels of shape (batch,) or (batch, classes).',
            f"shape {_show(shape)}",
            'Use `targets="soft"`.',
        )


def check_sample_weight(owner: str, shape: Any) -> None:
    """Checks that there is one weight a sample."""
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        fail(
            owner,
            "sample weights must have shape (batch,) or (batch, 1).",
            f"shape {_show(shape)}",
            "Give one weight for each sample.",
        )


def check_no_weights(owner: str, sample_weight: Any) -> None:
    """Refuses sample weights without labels."""
    if sample_weight is not None:
        fail(
            owner,
            "sample weights are mixed together with labels.",
            "sample_weight without labels",
            "Give labels too, or the weights to the loss.",
        )


def check_keys(owner: str, keys: Sequence[Any]) -> None:
    """Checks the keys of a dictionary of inputs."""
    for needed in ("images", "labels"):
        if needed not in keys:
            fail(
                owner,
                'a dictionary must hold "images" and "labels".',
                f"keys {sorted(map(str, keys))}",
                f'Add "{needed}", or call the layer with images alone.',
            )
    for refused in ("segmentation_masks", "bounding_boxes"):
        if refused in keys:
            fail(
                owner,
                f'"{refused}" would have to be mixed too, and are not yet.',
                f"keys {sorted(map(str, keys))}",
                "Take the key out of the dictionary.",
            )


def check_plan(owner: str, images: Any, mask: Any, data_format: str) -> None:
    """Checks that a plan was made for images of this batch and size."""
    spatial = images[1:-1] if data_format == "channels_last" else images[2:]
    expected = (images[0], *spatial)
    fits = len(expected) == len(mask) and all(
        n is None or m is None or n == m or (i == 0 and m == 1)
        for i, (n, m) in enumerate(zip(expected, mask, strict=True))
    )
    if not fits:
        fail(
            owner,
            f"the plan must be for these images, masks of shape {_show(expected)}.",
            f"masks of shape {_show(mask)}",
            "Draw it with `layer.sample(batch, size, seed=...)`, and check "
            "`data_format`.",
        )


def check_seed(owner: str, seed: Any) -> None:
    """Checks the seed of a layer."""
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed < 2**63):
        fail(
            owner,
            "`seed` must be an integer in [0, 2^63) or None.",
            f"seed={seed!r}",
            "Use for example `seed=7`.",
        )


def check_lam(owner: str, lam: Any) -> None:
    """Checks a lambda, or some, that can be looked at without tracing."""
    known = isinstance(lam, (numbers.Real, list, tuple, np.ndarray, np.generic))
    if known and not np.all((np.asarray(lam) >= 0) & (np.asarray(lam) <= 1)):
        fail(
            owner,
            "`lam` must be in [0, 1].",
            f"lam={lam!r}",
            "Leave `lam` out to draw it.",
        )


def check_size(owner: str, size: Any) -> None:
    """Checks the spatial size of a plan."""
    if not (isinstance(size, (tuple, list)) and 1 <= len(size) <= 3):
        fail(
            owner,
            "`size` must hold one to three spatial lengths, without channels.",
            f"size={size!r}",
            "Use for example `size=(32, 32)`.",
        )


def check_member(owner: str, member: Any, settings: dict[str, Any]) -> None:
    """Checks that a member of a random choice leaves the shared arguments alone.

    Args:
        owner: Name of the choosing layer.
        member: One of its layers.
        settings: Shared arguments of the choosing layer and its members' defaults,
            name -> (own value, default).
    """
    for name, (value, default) in settings.items():
        given = getattr(member, name)
        if given not in (value, default):
            fail(
                owner,
                f"`{name}` is its own; its layers give the law of lambda and the mask.",
                f"{type(member).__name__}({name}={given!r}) with {name}={value!r}",
                f"Give `{name}` to {owner} instead.",
            )


def check_members(owner: str, layers: Any, weights: Any, kind: type) -> None:
    """Checks the layers of a random choice and their weights."""
    valid = isinstance(layers, (tuple, list)) and len(layers) > 0
    if not valid or not all(isinstance(layer, kind) for layer in layers):
        fail(
            owner,
            "`layers` must be a list of mixing layers, one at least.",
            f"layers={layers!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
            TypeError,
        )
    if weights is None:
        return
    valid = (
        isinstance(weights, (tuple, list))
        and len(weights) == len(layers)
        and all(_is_number(w) and math.isfinite(w) and w >= 0 for w in weights)
        and sum(weights) > 0
    )
    if not valid:
        fail(
            owner,
            "`weights` must hold one number for each layer, none negative and not all "
            "zero.",
            f"{len(layers)} layers with weights={weights!r}",
            "Leave `weights` out for equal chances.",
        )


def check_no_alpha(owner: str, arguments: dict[str, Any]) -> None:
    """Refuses a law of lambda where the members give it."""
    if "alpha" in arguments:
        fail(
            owner,
            "`alpha` belongs to each of its layers.",
            f"alpha={arguments['alpha']!r}",
            "Use for example `[MixUpLayer(alpha=0.8), CutMixLayer()]`.",
        )


def fail_unpacked(owner: str, labels: Any, outputs: Any) -> NoReturn:
    """Raises the error for labels that carry no partner."""
    fail(
        owner,
        "without a layer the labels must be packed pairs, or soft labels of the "
        "outputs' shape.",
        f"labels of shape {_show(labels)} with outputs of shape {_show(outputs)}",
        'Map the dataset with a layer of `targets="pair"` (validation too, with '
        "`training=False`), or use `layer.loss(...)` and `layer.accuracy()` of the "
        "layer inside the model.",
    )


def fail_ambiguous(owner: str, labels: Any) -> NoReturn:
    """Raises the error for labels that have two readings."""
    fail(
        owner,
        "with three classes, three numbers may be packed ids or a soft label.",
        f"labels of shape {_show(labels)}",
        f"Say which: `{owner}(..., ids=True)` for packed ids, `ids=False` for soft "
        "labels.",
    )


def fail_unknown_layer(owner: str, uid: str) -> NoReturn:
    """Raises the error for a loss or metric whose layer is not there."""
    fail(
        owner,
        "a saved loss or metric needs its layer, which is made first when a compiled "
        "model is loaded.",
        f"layer uid {uid!r}",
        "Load a model that makes its layer itself with `compile=False`, and compile it "
        "with `layer.loss(...)`.",
    )


def _show(shape: Any) -> str:
    """Returns a static shape as a tuple."""
    unknown = getattr(shape, "rank", 0) is None
    return "unknown" if unknown else str(tuple(shape))
