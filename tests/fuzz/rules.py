"""What must be refused, by the documents: nothing else may raise an error."""

from typing import Any

from keras_msda.layers import METHODS

#: Worlds that know ranks alone when they trace.
UNKNOWN = ("graph, unknown shapes", "map, unknown shapes")
#: Methods whose mask is the same at every pixel.
UNIFORM = ("mixup",)
#: Methods for which `targets="own"` has the same expected loss.
SYMMETRIC = ("mixup", "gmix", "fmix", "gridmix")
#: Methods whose masks depend on the saliency of the images.
SALIENT = ("saliencymix", "puzzlemix")

#: `training` as a tensor that a world traces.
TRACED = ("traced False", "traced True")


def methods(case: Any) -> list[tuple[str, dict[str, Any]]]:
    """Returns the methods of a case with their own arguments."""
    return list(case.members) or [(case.method, case.arguments)]


# Constructors.


def refuse_layer(case: Any) -> str | None:
    """Returns why the layer cannot be made."""
    given = case.arguments
    own = [_refuse_own(name, arguments, case) for name, arguments in methods(case)]
    found = [_refuse_partners(given), _refuse_targets(given), *own]
    return next((reason for reason in found if reason), None)


def _refuse_partners(given: dict[str, Any]) -> str | None:
    pairing = given.get("pairing", "shuffle")
    one_way = ("roll", "derangement", "label_similarity")
    if given.get("per") == "pair" and pairing in one_way:
        return "pairs need mutual partners"
    if (given.get("bandwidth") is None) == (pairing == "label_similarity"):
        return "bandwidth belongs to label_similarity"
    return None


def _refuse_targets(given: dict[str, Any]) -> str | None:
    targets = given.get("targets", "soft")
    smoothing = given.get("label_smoothing", 0.0)
    if smoothing and targets in ("pair", "union"):
        return "smoothing belongs to soft labels"
    if smoothing and given.get("num_classes") is None:
        return "smoothing needs num_classes"
    if given.get("fold") and targets == "own":
        return "lambda of own targets cannot be folded"
    return None


def _refuse_own(name: str, arguments: dict[str, Any], case: Any) -> str | None:
    if case.arguments.get("targets") == "own" and name not in SYMMETRIC:
        return "own targets need symmetric masks"
    if case.members:
        if name in SALIENT or name == "resizemix":
            return "no choice among methods that need saliency or move"
    elif case.arguments.get("fold") and not METHODS[name].layer.has_lam:
        return "there is no lambda to fold"
    if name == "gmix" and arguments.get("border") == "inside":
        return "bumps cannot be placed inside"
    if arguments.get("ratio_range") is not None:
        return _refuse_range(arguments, case)
    return None


def _refuse_range(arguments: dict[str, Any], case: Any) -> str | None:
    """Boxes of drawn sides lie inside and have no lambda."""
    if arguments.get("border") not in (None, "inside"):
        return "boxes of drawn sides lie inside"
    if not arguments.get("exact_weight", True):
        return "drawn sides have no lambda"
    if case.arguments.get("fold") and not case.members:
        return "drawn sides have no lambda to fold"
    return None


# Calls.


def mixes(case: Any, training: Any) -> bool:
    """Returns whether a call mixes: images alone only if told to."""
    if not case.plain or training in (True, "tensor", TRACED[1]):
        return True
    return training is None and case.form != "images"


def may_mix(case: Any, training: Any) -> bool:
    """Returns whether a call mixes for some value of a traced `training`."""
    return training in TRACED or mixes(case, training)


def refuse_call(case: Any, batch: int, size: tuple[int, ...], training: Any) -> Any:
    """Returns why a call cannot be done, None if it can."""
    found = (
        _refuse_nothing(case),
        _refuse_partner(case),
        _refuse_lists(case, batch),
        _refuse_images(case, size),
        *(
            refuse_output(case, output, classes, batch, size)
            for output, classes in list_outputs(case)
        ),
        _refuse_similar(case, training),
        _refuse_masks(case),
        *(
            _refuse_extra(case, extra, size, training)
            for extra in case.parts.get("extra", ())
        ),
        _refuse_objects(case, size, training),
        _refuse_weightless(case, training),
    )
    return next((reason for reason in found if reason), None)


def _refuse_nothing(case: Any) -> str | None:
    mixed = ("labels", "segmentation_masks", "bounding_boxes", "keypoints", "extra")
    if case.form == "images" or any(case.parts.get(name) for name in mixed):
        return None
    return "a dictionary holds something that is mixed"


def _refuse_lists(case: Any, batch: int) -> str | None:
    labels = case.parts.get("labels", {})
    listed = any(x.get("listed") for x in labels.get("outputs", {}).values())
    if labels.get("nest") is tuple and listed and batch:
        return "a tuple of outputs has no lists"
    return None


def _refuse_partner(case: Any) -> str | None:
    if case.partner is None:
        return None
    # A choice among methods shares its draws, unless it is told otherwise.
    if case.arguments.get("per") == "pair" or case.arguments.get("groups", 1) != 1:
        return "per pair and groups are about drawn partners"
    return None


def _refuse_images(case: Any, size: tuple[int, ...]) -> str | None:
    if case.parts["images"]["dtype"] in ("complex64", "S1"):
        return "images are real numbers"
    if not size and any(name not in UNIFORM for name, _ in methods(case)):
        return "rows are for MixUp"
    axes = case.arguments.get("mask_axes")
    if axes is None:
        return None
    first = 2 if case.arguments.get("data_format") == "channels_first" else 1
    if any(not first <= axis < first + len(size) for axis in axes):
        return "mask_axes are spatial axes"
    return None


def list_outputs(case: Any) -> list[tuple[dict[str, Any], int | None]]:
    """Returns the settings of each output's labels and its number of classes."""
    labels = case.parts.get("labels")
    counts = case.arguments.get("num_classes")
    if labels is None:
        return []
    if "outputs" not in labels:
        return [(labels, counts)]
    if isinstance(counts, tuple):
        counts = dict(zip(labels["outputs"], counts, strict=True))
    return [(x, (counts or {}).get(name)) for name, x in labels["outputs"].items()]


def label_shape(output: dict[str, Any], batch: int) -> tuple[int, ...]:
    """Returns the shape of an output's labels."""
    kind, classes = output["kind"], output["classes"]
    if kind in ("soft", "set"):
        return (batch, classes)
    if kind == "rows":
        return (batch, 5, classes)
    return (batch, 1) if output["column"] else (batch,)


def refuse_output(
    case: Any,
    output: dict[str, Any],
    classes: int | None,
    batch: int,
    size: tuple[int, ...],
) -> str | None:
    """Returns why the labels of an output cannot be mixed."""
    shape = label_shape(output, batch)
    integers = output["kind"] == "ids"
    if classes is None and integers and _target(case) in ("soft", "union"):
        return "ids need num_classes"
    if classes is not None and len(shape) > 1 and shape[1:] != (1,):
        return "labels are encoded already"
    if classes is not None and batch and case.world == "eager":
        if output["kind"] == "real":
            return "ids are whole numbers"
        if output["outside"] and output["kind"] != "bool ids":
            return "ids are below num_classes"
    uniform = all(name in UNIFORM for name, _ in methods(case))
    per_pixel = (
        size and shape[1 : 1 + len(size)] == size and len(shape) > 1 + (len(size) == 1)
    )
    if per_pixel and not uniform and case.world not in UNKNOWN:
        return "labels of each pixel have their own key"
    return None


def _target(case: Any) -> str:
    return case.arguments.get("targets", "soft")  # type: ignore[no-any-return]


def _refuse_similar(case: Any, training: Any) -> str | None:
    if case.arguments.get("pairing") != "label_similarity":
        return None
    if not may_mix(case, training):
        return None
    labels = case.parts.get("labels")
    if labels is None or "outputs" in labels:
        return "label_similarity needs labels in one array"
    return None


def _refuse_masks(case: Any) -> str | None:
    masks = case.parts.get("segmentation_masks")
    if masks is None:
        return None
    mode = case.arguments["segmentation"]
    integers = "int" in masks["dtype"]
    if mode == "blend" and integers:
        return "integer masks cannot be blended"
    if isinstance(mode, int) and (not integers or masks["channels"] == 3):
        return "numbers of classes are for class indices"
    return None


def _refuse_extra(
    case: Any, extra: dict[str, Any], size: tuple[int, ...], training: Any
) -> str | None:
    full = extra["kind"] == "view"
    if extra["kind"] == "coarse":
        full = tuple(map(coarse_length, size)) == size
    if "int" in extra["dtype"] and not full:
        return "integers cannot be averaged"
    if (
        extra["kind"] == "coarse"
        and not full
        and may_mix(case, training)
        and _moves(case)
    ):
        return "parts that move have no coarser grid"
    return None


def _moves(case: Any) -> bool:
    """Returns whether pixels of the partner are moved."""
    return any(
        name == "resizemix"
        or (name == "puzzlemix" and arguments.get("transport", True))
        for name, arguments in methods(case)
    )


def coarse_length(length: int) -> int:
    """Returns the length of a coarser grid: a divisor of an axis."""
    return next(length // k for k in (4, 3, 2, 5, 7, length) if length % k == 0)


def _refuse_objects(case: Any, size: tuple[int, ...], training: Any) -> str | None:
    boxes, points = (case.parts.get(x) for x in ("bounding_boxes", "keypoints"))
    if any(spec and "uint" in spec["dtype"] for spec in (boxes, points)):
        return "places of padding are -1"
    if boxes is not None and len(size) != 2:
        return "boxes need two spatial axes"
    moved = any(
        name == "puzzlemix" and arguments.get("transport", True)
        for name, arguments in methods(case)
    )
    if (boxes or points) and moved and may_mix(case, training):
        return "boxes cannot follow parts that move"
    return None


def _refuse_weightless(case: Any, training: Any) -> str | None:
    """Images alone are for a loss inside a model, which does not see them."""
    if case.form != "images" or not may_mix(case, training) or not case.plain:
        return None
    if case.partner:  # No loss knows given partners.
        return None
    for name, arguments in methods(case):
        clipped = name == "saliencymix" and arguments.get("border") == "clip"
        if name == "puzzlemix" or clipped:
            return "label weights need the images"
    return None
