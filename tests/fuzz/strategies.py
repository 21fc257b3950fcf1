"""What a case of the fuzzer is, and how it is drawn."""

import math
from typing import Any, NamedTuple

import keras

from keras_msda.layers import METHODS
from tests.fuzz import models, rules
from tests.fuzz.drawn import PIPELINES
from tests.fuzz.draws import Numbers
from tests.fuzz.options import (
    ALONE,
    BOX_FORMATS,
    CHOSEN,
    COMPUTE_DTYPES,
    DICTIONARIES,
    FLOATS,
    FORMS,
    IMAGE_DTYPES,
    INTEGERS,
    LABEL_KINDS,
    NO_IMAGES,
    OWN_ARGUMENTS,
    TUPLES,
)

#: JAX compiles each operation for each shape: few shapes, which come again.
_FEW = keras.config.backend() == "jax"


class Case(NamedTuple):
    """A layer, the form of its batches, and the batches.

    Attributes:
        seed: Of the contents of the batches.
        world: Where the layer is called.
        method: Key of `METHODS`, or "random".
        arguments: Of the layer.
        members: Methods and arguments of the layers that "random" chooses from.
        form: How a batch is given.
        parts: What the batches hold: the settings of each part by its name.
        calls: Batch size, spatial lengths and `training` of each batch.
        plain: Whether the layer is called, or else `mix` with a seed.
        partner: How partners are given: "kind" is "batch" for a second batch, or
            "indices"; None for drawn ones.
    """

    seed: int
    world: str
    method: str
    arguments: dict[str, Any]
    members: tuple[tuple[str, dict[str, Any]], ...]
    form: str
    parts: dict[str, Any]
    calls: tuple[tuple[int, tuple[int, ...], Any], ...]
    plain: bool
    partner: dict[str, Any] | None


def draw_case(draws: Numbers, world: str, calls: int) -> Case:
    """Returns a case; most of those that must be refused are drawn again."""
    for _ in range(30):
        case = _draw_case(draws, world, calls)
        if world == "fit":
            case = models.prepare(draws, case)
        if find_refusal(case) is None or draws.chance(10):
            break
    return case


def find_refusal(case: Case) -> str | None:
    """Returns why a layer or one of its calls must be refused, None if none must."""
    found = [rules.refuse_call(case, *call) for call in case.calls]
    if case.world == "fit":
        found = [models.refuse(case)]
    return next(
        (reason for reason in (rules.refuse_layer(case), *found) if reason), None
    )


def _draw_case(draws: Numbers, world: str, calls: int) -> Case:
    method = draws.choice([*METHODS, "random"])
    rank = draws.choice((2, 2, 1, 3, 0) if method in rules.UNIFORM else (2, 2, 1, 3))
    form = draws.choice(FORMS)
    if world == "mixing":  # Lists are no nests of tf.data.
        form = {"list": "tuple", "list inputs": "tuple inputs"}.get(form, form)
    arguments = _draw_shared(draws, rank)
    members: tuple[Any, ...] = ()
    if method == "random":
        names = [draws.choice(CHOSEN) for _ in range(draws.integer(1, 3))]
        members = tuple((name, _draw_own(draws, name)) for name in names)
        arguments["per"] = draws.choice(("batch", "sample", "pair"))
    else:
        arguments |= _draw_own(draws, method)
    partner = _draw_partner(draws, world, arguments)
    parts = _draw_parts(draws, form, rank, arguments)
    for spec in (parts.get("bounding_boxes"), parts.get("keypoints")):
        if spec and not _has_ragged(world):
            spec["ragged"] = False
    plain = draws.chance(30) and world not in ("jit", "mixing")
    if world == "eager":
        _list_numbers(draws, parts)
    return Case(
        seed=draws.integer(0, 2**31),
        world=world,
        method=method,
        arguments=arguments,
        members=members,
        form=form,
        parts=parts,
        calls=_draw_calls(draws, world, rank, calls, traced=plain),
        # Inside `jax.jit` a call needs the state of its layer.
        plain=plain,
        partner=partner,
    )


def _has_ragged(world: str) -> bool:
    """Returns whether a world has ragged tensors."""
    tensors = keras.config.backend() == "tensorflow" and world != "XLA"
    return tensors or world in PIPELINES


def _draw_partner(
    draws: Numbers, world: str, arguments: dict[str, Any]
) -> dict[str, Any] | None:
    """Returns how partners are given, most often not."""
    kind = draws.choice(("batch", "indices"))
    if not draws.chance(15) or world in ("mixing", "fit"):
        return None
    if draws.chance(90):
        arguments.pop("groups", None)
        arguments.pop("per", None)
    return {
        "kind": kind,
        "dtype": draws.choice(INTEGERS[:3]),
        "outside": draws.chance(10),
        "listed": draws.chance(20) and world == "eager",
    }


def _list_numbers(draws: Numbers, parts: dict[str, Any]) -> None:
    """Has some labels and sample weights given as lists of numbers."""
    labels = parts.get("labels", {})
    found = [*labels.get("outputs", {"": labels}).values()]
    found.append(parts.get("sample_weight", {}))
    if labels.get("nest") is tuple:  # Lists in a tuple would be rows of one array.
        found = found[:1]
    for spec in found:
        if spec and draws.chance(10):
            kind = "int64" if spec["dtype"] in INTEGERS else "float64"
            spec["dtype"] = "bool" if spec["dtype"] == "bool" else kind
            spec["listed"] = True


def _draw_own(draws: Numbers, method: str) -> dict[str, Any]:
    """Returns arguments of a method of its own, and its lambda."""
    options = OWN_ARGUMENTS.get(method, {})
    found = {name: draws.choice(given) for name, given in options.items()}
    found = {name: value for name, value in found.items() if draws.chance(60)}
    if found.get("ratio_range") and draws.chance(80):
        found.pop("border", None)
        found.pop("exact_weight", None)
    if METHODS[method].layer.has_lam and draws.chance(50):
        found["alpha"] = draws.choice((1.0, 0.2, 5.0, (2.0, 1.0), 0.05))
    return found


def _draw_shared(draws: Numbers, rank: int) -> dict[str, Any]:
    """Returns shared arguments except for those that belong to parts of the batch."""
    options: dict[str, tuple[Any, ...]] = {
        "probability": (1.0, 0.5, 0.0),
        "per": ("sample", "pair", "batch"),
        "groups": (1, 2, 3),
        "targets": ("soft", "pair", "own", "union"),
        "fold": (False, True),
        "data_format": ("channels_last", "channels_first"),
        "jit_compile": ("auto", False),
        "dtype": COMPUTE_DTYPES,
        "seed": (7, -3, 2**40),
    }
    found = {name: draws.choice(given) for name, given in options.items()}
    found = {name: value for name, value in found.items() if draws.chance(50)}
    found["seed"] = found.get("seed", 1)
    pairing = draws.choice(("roll", "shuffle", "derangement", "reverse", "similar"))
    if pairing != "similar":
        found["pairing"] = pairing
    elif draws.chance(60):
        found |= {"pairing": "label_similarity", "bandwidth": draws.choice((1.0, 0.01))}
    if rank > 1 and draws.chance(15):
        first = 2 if found.get("data_format") == "channels_first" else 1
        axes = range(first, first + rank)
        found["mask_axes"] = tuple(axis for axis in axes if draws.chance(60)) or (
            first,
        )
    return found


def _draw_parts(
    draws: Numbers, form: str, rank: int, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Returns the settings of the parts of a batch, and completes the arguments."""
    parts: dict[str, Any] = {
        "images": {
            "dtype": draws.choice(NO_IMAGES if draws.chance(3) else IMAGE_DTYPES),
            "channels": draws.choice((3, 1, 2)),
            "odd": draws.chance(10),
        },
        "saliency": draws.chance(50) and form in DICTIONARIES,
    }
    if form not in ALONE and (form != "dictionary" or draws.chance(80)):
        parts["labels"] = _draw_labels(draws, arguments)
        if draws.chance(35):
            parts["sample_weight"] = _draw_weights(draws, parts["labels"])
    if form in DICTIONARIES:
        _draw_entries(draws, rank, arguments, parts)
    if form in TUPLES:
        parts["extra"] = [_draw_extra(draws, rank) for _ in range(draws.integer(1, 2))]
    return parts


def _draw_entries(
    draws: Numbers, rank: int, arguments: dict[str, Any], parts: dict[str, Any]
) -> None:
    """Adds what only a dictionary holds."""
    if rank and draws.chance(25):
        parts["segmentation_masks"] = {
            "dtype": draws.choice(("int32", "uint8", "float32", "float16", "int64")),
            "channels": draws.choice((None, 1, 3)),
        }
        arguments["segmentation"] = draws.choice(("auto", "select", "blend", 4))
    if draws.chance(25 if rank == 2 else 3):
        parts["bounding_boxes"] = _draw_objects(draws)
        arguments["bounding_box_format"] = draws.choice(BOX_FORMATS)
        arguments["min_box_share"] = draws.choice((0.0, 0.1, 0.5, 1.0))
    if rank and draws.chance(15):
        parts["keypoints"] = _draw_objects(draws)
    parts["extra"] = []
    if draws.chance(35):
        parts["extra"] = [_draw_extra(draws, rank) for _ in range(draws.integer(1, 2))]
        names = [f"extra{i}" for i in range(len(parts["extra"]))]
        arguments["batch_keys"] = draws.choice((tuple(names), names))
    parts["rest"] = draws.chance(50)


def _draw_objects(draws: Numbers) -> dict[str, Any]:
    return {
        "rows": draws.choice((2, 1, 0, 5)),
        "dtype": draws.choice((*FLOATS[:3], *FLOATS[:3], *INTEGERS[:2], "uint16")),
        "label_dtype": draws.choice(("int64", "int32", "float32")),
        "ragged": draws.chance(25),
        "weights": draws.chance(30),
        "more": draws.chance(30),
    }


def _draw_extra(draws: Numbers, rank: int) -> dict[str, Any]:
    return {
        "kind": draws.choice(("view", "row", "number", "coarse") if rank else ("row",)),
        "dtype": draws.choice((*FLOATS, *FLOATS, "int32", "uint8")),
    }


def _draw_labels(draws: Numbers, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of labels, of one output or several."""
    if not draws.chance(20):
        found = _draw_output(draws)
        if arguments.get("bandwidth"):
            found["outside"] = False  # `sample` is eager, and refuses it.
        if found["encode"]:
            arguments["num_classes"] = found["classes"]
            _draw_smoothing(draws, arguments)
        if arguments.get("targets") == "union":
            arguments["target_threshold"] = draws.choice((0.0, 0.2, 0.5, 1.0))
        return found
    outputs = {name: _draw_output(draws) for name in ("kind", "age")}
    nest = draws.choice((dict, tuple))
    counts = {name: x["classes"] for name, x in outputs.items() if x["encode"]}
    if counts:
        arguments["num_classes"] = counts
        _draw_smoothing(draws, arguments)
        if nest is tuple:
            arguments["num_classes"] = tuple(counts.get(name) for name in outputs)
    return {"nest": nest, "outputs": outputs}


def _draw_smoothing(draws: Numbers, arguments: dict[str, Any]) -> None:
    if draws.chance(30):
        arguments["label_smoothing"] = draws.choice((0.1, 0.5, 1.0))


def _draw_output(draws: Numbers) -> dict[str, Any]:
    kind = draws.choice(LABEL_KINDS)
    dtypes = {"ids": INTEGERS, "bool ids": ("bool",), "set": (*FLOATS, "bool")}
    classes = 2 if kind == "bool ids" else draws.choice((3, 2, 10))
    encoded = {"ids": 80, "float ids": 80, "bool ids": 60}
    return {
        "kind": kind,
        "dtype": draws.choice(dtypes.get(kind, FLOATS)),
        "classes": classes,
        "column": draws.chance(30),
        "encode": draws.chance(encoded.get(kind, 3)),
        "outside": draws.chance(3),
    }


def _draw_weights(draws: Numbers, labels: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of sample weights, of all outputs or of each."""
    found = {
        "dtype": draws.choice((*FLOATS, "int32")),
        "column": draws.chance(20),
        "zeros": draws.chance(30),
    }
    if "outputs" in labels and draws.chance(60):
        found["nest"] = labels["nest"]
        found["without"] = draws.choice((None, "kind", "age"))
    return found


def _draw_calls(
    draws: Numbers, world: str, rank: int, calls: int, *, traced: bool
) -> tuple[Any, ...]:
    """Returns sizes of batches; all alike where a world knows its shapes.

    Args:
        draws: Where choices come from.
        world: Where the layer is called.
        rank: Number of spatial axes.
        calls: How many.
        traced: Whether `training` may be a tensor.
    """
    alike = world not in rules.UNKNOWN and world != "eager"
    choices = (None, None, True, False, "np", "tensor")
    found: list[Any] = []
    training = draws.choice(choices[:4])
    traced = traced and world not in ("eager", "fit") and draws.chance(40)
    for _ in range(calls):
        if not (alike and found):
            batch = draws.choice((4, 5, 3, 2, 1, 0))
            if _FEW:
                batch = draws.choice((4, 3, 1, 0))
                size = tuple(draws.choice((6, 5)) for _ in range(rank))
            else:
                size = tuple(_draw_length(draws, rank) for _ in range(rank))
                size = _shorten(size)
        if world == "eager":
            training = draws.choice(choices)
        elif traced:
            training = draws.choice(rules.TRACED)
        found.append((batch, size, training))
    return tuple(found)


def _draw_length(draws: Numbers, rank: int) -> int:
    """Returns an axis of 1 to 40 pixels."""
    return draws.integer(1, draws.choice((8, 16, 40) if rank < 3 else (4, 9)))


def _shorten(size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a size of 1,600 pixels at most."""
    while math.prod(size) > 1600:
        size = tuple(max(1, length // 2) for length in size)
    return size
