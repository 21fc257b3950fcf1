"""Writes the pages of the reference: one for each layer, one for each other group."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import navigation
from navigation import REFERENCE, Page

from keras_msda import layers

#: What `MixLayer` documents for all layers: calls first, then the hooks of a method.
METHODS = ("call", "mix", "sample", "sample_masks", "replay", "loss", "accuracy")
SETTINGS = ("alpha", "probability", "draws_lam")
HOOKS = ("sample_params", "mask", "mask_weight", "place", "move", "move_own")


class Group(NamedTuple):
    """A page of the reference that is not about one layer.

    Attributes:
        name: Of the file.
        title: Of the page.
        module: Where the names are, below `keras_msda`, or "".
        names: What it describes; None for all public names of the module.
    """

    name: str
    title: str
    module: str = ""
    names: tuple[str, ...] | None = None


GROUPS = (
    Group("losses", "Losses and metrics", names=("MixedLoss", "MixedAccuracy")),
    Group(
        "models",
        "Models",
        names=("ManifoldMixing", "SaliencyMixing", "loss_saliency", "strip"),
    ),
    Group(
        "plans",
        "Plans",
        names=(
            "MixPlan",
            "MovedMixPlan",
            "mix_images",
            "mix_labels",
            "mix_segmentation_masks",
            "mix_bounding_boxes",
            "mix_keypoints",
        ),
    ),
    Group(
        "pipelines",
        "Pipelines, schedules, presets",
        names=("mixing", "MixSchedule", "mix_from_timm", "MixWarning"),
    ),
    Group("masks", "Masks", "masks"),
    Group("analysis", "Analysis", "analysis"),
    Group("plot", "Plots", "plot"),
    Group("datasets", "Data sets", "datasets"),
    Group("methods", "The list of methods", "layers", ("METHODS", "Method")),
    Group("testing", "Tests of a layer", "testing"),
    Group(
        "sampling",
        "Random numbers",
        "sampling",
        (
            "beta_table",
            "sample_lam",
            "sample_uniform",
            "sample_normal",
            "sample_partners",
            "sample_similar_partners",
            "Pairing",
        ),
    ),
)


def layer_names() -> list[str]:
    """Returns the names of all layers, the base class last."""
    methods = [method.layer.__name__ for method in layers.METHODS.values()]
    return [*methods, "RandomMixLayer", "MixLayer"]


def names_of(group: Group) -> list[tuple[str, str]]:
    """Returns the module and the name of what a page describes."""
    module = f"keras_msda.{group.module}".rstrip(".")
    if group.names is not None:
        return [(module, name) for name in group.names]
    return [(module, name) for name in importlib.import_module(module).__all__]


def pages() -> list[Page]:
    """Returns the pages of the reference, as the navigation lists them."""
    found = [Page(f"{REFERENCE}/layers.rst", "Layers", 0)]
    found += [Page(f"{REFERENCE}/{name}.rst", "", 1) for name in layer_names()]
    return found + [
        Page(f"{REFERENCE}/{group.name}.rst", group.title, 0) for group in GROUPS
    ]


def texts() -> dict[str, str]:
    """Returns the reStructuredText of each page: path -> text."""
    made = {"layers": _overview()}
    made |= {name: _layer_page(name) for name in layer_names()}
    made |= {group.name: _group_page(group) for group in GROUPS}
    return {f"{REFERENCE}/{name}.rst": text for name, text in made.items()}


def write() -> None:
    """Writes the pages that are new or have changed, and removes others."""
    folder = navigation.ROOT / REFERENCE
    folder.mkdir(exist_ok=True)
    made = texts()
    for path in folder.glob("*.rst"):
        if path.relative_to(navigation.ROOT).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        path = navigation.ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def summary(value: Any) -> str:
    """Returns the first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _heading(title: str, mark: str = "=") -> str:
    return f"{title}\n{mark * len(title)}\n\n"


def _rows(entries: list[tuple[str, str]]) -> str:
    """Returns a list of references with what each is."""
    return "".join(f"- {role}: {words}\n" for role, words in entries) + "\n"


def _overview() -> str:
    entries = [
        (f":doc:`{name}`", summary(getattr(layers, name))) for name in layer_names()
    ]
    return (
        _heading("Layers")
        + "Each page has all arguments of its layer: its own, and those that all "
        "layers share.\n\n" + _rows(entries)
    )


def _layer_page(name: str) -> str:
    if name == "MixLayer":
        return _base_page()
    methods = [
        (
            f":py:meth:`{m} <keras_msda.MixLayer.{m}>`",
            summary(getattr(layers.MixLayer, m)),
        )
        for m in METHODS
    ]
    return (
        _heading(name)
        + f".. currentmodule:: keras_msda\n\n.. autoclass:: {name}\n\n"
        + _heading("Methods", "-")
        + "Those of every mixing layer:\n\n"
        + _rows(methods)
    )


def _base_page() -> str:
    def documented(names: tuple[str, ...], kind: Callable[[str], str]) -> str:
        return "".join(f".. {kind(n)}:: MixLayer.{n}\n\n" for n in names)

    def method(_name: str) -> str:
        return "automethod"

    return (
        _heading("MixLayer")
        + ".. currentmodule:: keras_msda\n\n.. autoclass:: MixLayer\n\n"
        + _heading("Methods", "-")
        + documented(METHODS, method)
        + _heading("Properties", "-")
        + documented(SETTINGS, lambda _: "autoproperty")
        + _heading("Hooks of a method", "-")
        + documented(HOOKS, method)
    )


def _group_page(group: Group) -> str:
    text = _heading(group.title)
    found = names_of(group)
    module = found[0][0]
    if group.module and group.names is None:
        text += f"{inspect.getdoc(importlib.import_module(module))}\n\n"
    text += f".. currentmodule:: {module}\n\n"
    return text + "".join(_entry(module, name) for _, name in found)


def _entry(module: str, name: str) -> str:
    """Returns the directive that describes a public name."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, Exception) else "class"
        return f".. auto{kind}:: {name}\n   :members:\n\n"
    if callable(value):
        return f".. autofunction:: {name}\n\n"
    shown = repr(value)
    value_line = f"   :value: {shown}\n" if len(shown) < 72 else ""
    return f".. py:data:: {name}\n{value_line}\n   {comment_above(module, name)}\n\n"


def comment_above(module: str, name: str) -> str:
    """Returns the comment above a constant, in whichever file of a module it is."""
    for loaded, source in sorted(sys.modules.items()):
        if f"{loaded}.".startswith(f"{module}.") and vars(source).get("__file__"):
            text = Path(source.__file__).read_text(encoding="utf-8")
            above = re.search(rf"((?:^#:.*\n)+)^{name}\b", text, re.M)
            if above:
                lines = above[1].splitlines()
                return " ".join(line.removeprefix("#:").strip() for line in lines)
    raise LookupError(f"{module}.{name} has no comment that starts with '#:'.")
