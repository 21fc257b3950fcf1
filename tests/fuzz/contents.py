"""The arrays of a case's batches, and the nests that hold them."""

import collections
import dataclasses
import functools
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from tests.fuzz import rules

Contents = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Rows:
    """An entry of ragged boxes or keypoints.

    Attributes:
        values: Shape `(batch, n, ...)`.
        lengths: How many of the n rows each sample has.
    """

    values: np.ndarray
    lengths: np.ndarray

    @property
    def dtype(self) -> Any:
        """Dtype of the values."""
        return self.values.dtype


class Listed(np.ndarray):
    """An array that is given as a list of numbers."""


class Given(NamedTuple):
    """A batch as a layer is given it.

    Attributes:
        contents: The parts of the batch.
        second: Those of a second one that holds the partners, or None.
        indices: Of partners, or None.
    """

    contents: Contents
    second: Contents | None = None
    indices: Any = None

    def nests(self, form: str) -> tuple[Any, Any]:
        """Returns the arguments of a call, and `partner`."""
        if self.second is None:
            return assemble(form, self.contents), self.indices
        return assemble(form, self.contents), wrap(form, assemble(form, self.second))

    def joined(self) -> Contents:
        """Returns the parts of both batches as those of one."""
        if self.second is None:
            return self.contents
        return {key: join(x, self.second[key]) for key, x in self.contents.items()}


#: Dtypes of what is refused as images.
NO_IMAGES = ("complex64", "S1")


@functools.cache
def make_class(*fields: str) -> Any:
    """Returns a user's own kind of inputs, a named tuple."""
    return collections.namedtuple("Inputs", fields)


def as_dtype(name: str) -> np.dtype[Any]:
    """Returns NumPy's dtype of a name, bfloat16 too."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def channels_first(case: Any) -> bool:
    """Returns whether the channels stand before the spatial axes."""
    return case.arguments.get("data_format") == "channels_first"  # type: ignore[no-any-return]


def move_channels(case: Any, values: np.ndarray) -> np.ndarray:
    """Returns arrays with channels last in the layout of the layer."""
    return np.moveaxis(values, -1, 1) if channels_first(case) else values


def make_contents(case: Any, index: int, *more: int) -> Contents:
    """Returns the parts of one batch, with channels where the layer has them.

    Args:
        case: What the batch holds.
        index: Number of the call.
        *more: Seed of another batch of the same shapes.
    """
    batch, size, _ = case.calls[index]
    rng = np.random.default_rng([case.seed, index, *more])
    found = {"images": _make_images(case, rng, batch, size)}
    if case.parts["saliency"]:
        found["saliency"] = rng.random((batch, *size), np.float32)
    if "labels" in case.parts:
        found["labels"] = _make_labels(case, rng, batch)
    if "sample_weight" in case.parts:
        found["sample_weight"] = _make_weights(case.parts["sample_weight"], rng, batch)
    return found | _make_entries(case, rng, batch, size)


def _make_entries(
    case: Any, rng: np.random.Generator, batch: int, size: tuple[int, ...]
) -> Contents:
    """Returns what only inputs of several entries hold."""
    parts, found = case.parts, Contents()
    if spec := parts.get("segmentation_masks"):
        found["segmentation_masks"] = _make_masks(case, spec, rng, batch, size)
    if spec := parts.get("bounding_boxes"):
        form = case.arguments["bounding_box_format"]
        found["bounding_boxes"] = _make_boxes(spec, rng, batch, size, form)
    if spec := parts.get("keypoints"):
        found["keypoints"] = _make_points(spec, rng, batch, size)
    for number, spec in enumerate(parts.get("extra", ())):
        found[f"extra{number}"] = _make_extra(case, spec, rng, batch, size)
    if parts.get("rest"):
        found["id"] = np.array([f"name{i}" for i in range(batch)], "S")
        found["count"] = rng.integers(2**62, 2**63 - 1, batch)
    return found


def _make_images(
    case: Any, rng: np.random.Generator, batch: int, size: tuple[int, ...]
) -> np.ndarray:
    spec = case.parts["images"]
    shape, dtype = (batch, *size, spec["channels"]), spec["dtype"]
    if dtype == "bool":
        images = rng.random(shape) < 0.5
    elif dtype in ("uint8", "int32"):
        images = rng.integers(0, 256, shape).astype(dtype)
    else:
        images = (rng.normal(size=shape) * 100).astype(as_dtype(dtype))
        if case.arguments.get("dtype") == "uint8" and dtype not in NO_IMAGES:
            images = np.abs(images)
        elif spec["odd"] and images.size:
            odd = images.reshape(-1)
            odd[rng.integers(images.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return move_channels(case, images)


def _make_labels(case: Any, rng: np.random.Generator, batch: int) -> Any:
    labels = case.parts["labels"]
    if "outputs" not in labels:
        return _make_output(labels, rng, batch)
    found = {k: _make_output(x, rng, batch) for k, x in labels["outputs"].items()}
    return found if labels["nest"] is dict else tuple(found.values())


def _make_output(
    output: dict[str, Any], rng: np.random.Generator, batch: int
) -> np.ndarray:
    shape, kind = rules.label_shape(output, batch), output["kind"]
    classes = output["classes"]
    if kind in ("ids", "float ids", "bool ids"):
        values = rng.integers(0, classes, shape)
        if output["outside"] and batch and kind != "bool ids":
            values.reshape(-1)[rng.integers(batch)] = classes
    elif kind == "set":
        values = rng.random(shape) < 0.4
    elif kind == "soft":
        values = rng.dirichlet(np.ones(classes), batch)
    else:
        values = rng.normal(size=shape) * 10 + 0.123
    return as_listed(output, values.astype(as_dtype(output["dtype"])))


def _make_weights(spec: dict[str, Any], rng: np.random.Generator, batch: int) -> Any:
    def make() -> np.ndarray:
        values = rng.integers(0 if spec["zeros"] else 1, 4, batch).astype("float64")
        if spec["dtype"] != "int32":
            values = values * 0.75
        values = values.astype(as_dtype(spec["dtype"]))
        return as_listed(spec, values[:, None] if spec["column"] else values)

    if "nest" not in spec:
        return make()
    found = {k: None if k == spec["without"] else make() for k in ("kind", "age")}
    return found if spec["nest"] is dict else tuple(found.values())


def _make_masks(
    case: Any,
    spec: dict[str, Any],
    rng: np.random.Generator,
    batch: int,
    size: tuple[int, ...],
) -> np.ndarray:
    shape = (batch, *size, spec["channels"] or 1)
    if "int" in spec["dtype"]:
        values = rng.integers(0, 6, shape)  # Two of them are no class.
    else:
        values = rng.random(shape)
    values = values.astype(spec["dtype"])
    if spec["channels"] is None:
        return values[..., 0]  # type: ignore[no-any-return]
    return move_channels(case, values)


def _make_boxes(
    spec: dict[str, Any],
    rng: np.random.Generator,
    batch: int,
    size: tuple[int, ...],
    form: str,
) -> Contents:
    """Returns boxes, some of which leave the image."""
    rows = (batch, spec["rows"])
    height, width = (*size, 1, 1)[:2] if len(size) < 3 else size[:2]
    x, y = (
        np.sort(rng.random((*rows, 2)) * length * 1.2 - 0.1 * length, -1)
        for length in (width, height)
    )
    if form.startswith("rel_"):
        x, y, form = x / width, y / height, form[4:]
    ends = {
        "xyxy": (x[..., 0], y[..., 0], x[..., 1], y[..., 1]),
        "yxyx": (y[..., 0], x[..., 0], y[..., 1], x[..., 1]),
        "xywh": (x[..., 0], y[..., 0], np.ptp(x, -1), np.ptp(y, -1)),
        "center_xywh": (x.mean(-1), y.mean(-1), np.ptp(x, -1), np.ptp(y, -1)),
        "center_yxhw": (y.mean(-1), x.mean(-1), np.ptp(y, -1), np.ptp(x, -1)),
    }[form]
    boxes = {"boxes": np.stack(ends, -1).astype(spec["dtype"])}
    return _make_rows(spec, rng, rows, boxes)


def _make_rows(
    spec: dict[str, Any],
    rng: np.random.Generator,
    rows: tuple[int, int],
    places: Contents,
) -> Contents:
    """Returns places and what else each box or keypoint has: a label, perhaps more."""
    labels = rng.integers(-1, 5, rows).astype(spec["label_dtype"])
    found: Contents = places | {"labels": labels}
    if spec["weights"]:
        found["weights"] = rng.choice([0.5, 1.0, 2.0], rows).astype("float32")
    if spec["more"]:
        found["area"] = rng.random((*rows, 2))
        found["difficult"] = rng.integers(0, 9, rows)
    if spec["ragged"]:
        lengths = rng.integers(0, rows[1] + 1, rows[0])
        return {key: Rows(values, lengths) for key, values in found.items()}
    return found


def _make_points(
    spec: dict[str, Any], rng: np.random.Generator, batch: int, size: tuple[int, ...]
) -> Contents:
    rows = (batch, spec["rows"])
    points = rng.random((*rows, len(size))) * 1.2 - 0.1
    points = points * np.array(size[::-1])
    return _make_rows(spec, rng, rows, {"points": points.astype(spec["dtype"])})


def _make_extra(
    case: Any,
    spec: dict[str, Any],
    rng: np.random.Generator,
    batch: int,
    size: tuple[int, ...],
) -> np.ndarray:
    shape: tuple[int, ...] = {
        "view": (batch, *size, 2),
        "coarse": (batch, *map(rules.coarse_length, size), 2),
        # Of another rank than the images.
        "row": (batch, *[1] * (len(size) == 0), 3),
        "number": (batch,),
    }[spec["kind"]]
    values = rng.integers(0, 99, shape) if "int" in spec["dtype"] else None
    if values is None:
        values = rng.normal(size=shape) * 10
    values = values.astype(as_dtype(spec["dtype"]))
    return move_channels(case, values) if spec["kind"] in ("view", "coarse") else values


# Given partners.


def make_given(case: Any, index: int) -> Given:
    """Returns the batch of a call and the partners that are given, if any are."""
    kind = case.partner and case.partner["kind"]
    batches = [make_contents(case, index)]
    if kind == "batch":
        batches.append(make_contents(case, index, 1))
    for contents in batches:
        if case.world in ("XLA", "jit"):
            contents.pop("id", None)  # XLA has no strings.
        if case.world == "jit":
            contents.pop("count", None)  # Nor has JAX integers of 64 bits.
    return Given(
        *batches, indices=make_indices(case, index) if kind == "indices" else None
    )


def make_indices(case: Any, index: int) -> np.ndarray:
    """Returns a partner for each sample, perhaps one beyond the batch."""
    batch, spec = case.calls[index][0], case.partner
    rng = np.random.default_rng([case.seed, index, 2])
    found = rng.integers(0, max(batch, 1), batch)
    if spec["outside"] and batch:
        found[rng.integers(batch)] = rng.choice([-1, batch])
    return as_listed(spec, found.astype(spec["dtype"]))


def as_listed(spec: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Returns an array, marked if it is to be given as a list."""
    # A list of nothing does not say what it has nothing of.
    return values.view(Listed) if spec.get("listed") and len(values) else values


def join(first: Any, second: Any) -> Any:
    """Returns a nest of arrays followed by those of another one like it."""
    if isinstance(first, Rows):
        values = np.concatenate([first.values, second.values])
        return Rows(values, np.concatenate([first.lengths, second.lengths]))
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second])
    if isinstance(first, dict):
        return {key: join(value, second[key]) for key, value in first.items()}
    if first is None:
        return None
    return tuple(map(join, first, second))


# Nests.


def assemble(form: str, contents: Contents) -> tuple[Any, ...]:
    """Returns the arguments of a call: one nest, or images, labels and weights."""
    labels = [contents[x] for x in ("labels", "sample_weight") if x in contents]
    rest = {x: y for x, y in contents.items() if x not in ("labels", "sample_weight")}
    if form == "images":
        return (contents["images"],)
    if form == "dictionary":
        return (contents,)
    if form == "dictionary and labels":
        return (rest, *labels)
    if form == "named tuple":
        return (make_class(*rest)(**rest), *labels)
    if form in ("tuple inputs", "list inputs"):
        nest = tuple if form == "tuple inputs" else list
        return (nest(rest.values()), *labels)
    return (contents["images"], *labels)


def wrap(form: str, arguments: tuple[Any, ...]) -> Any:
    """Returns the one nest that holds the arguments of a call."""
    if len(arguments) == 1:
        return arguments[0]
    return list(arguments) if form == "list" else arguments
