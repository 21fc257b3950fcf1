"""The places inside a model where features can be mixed."""

import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

import keras

from keras_msda import _checks, _errors
from keras_msda.models import _graphs

#: Name of the place before all layers.
INPUT = "input"


def choose_sites(
    owner: str, model: keras.Model, names: Any, *, mixer: Any
) -> list[_graphs.Step]:
    """Returns the places that names mean, or those that are chosen without names.

    Args:
        owner: Name that an error starts with.
        model: The model.
        names: Of layers, "input" or None; None for the places chosen by default.
        mixer: The mixing layer.
    """
    steps = _graphs.list_steps(model)
    start = _describe_input(model)
    if names is None:
        return _choose_default(owner, steps, start, mixer)
    valid = isinstance(names, (list, tuple)) and bool(names)
    if not valid or not all(name is None or isinstance(name, str) for name in names):
        _errors.fail(
            owner,
            "`layer_names` must be a list of names of layers, one at least.",
            f"layer_names={names!r}",
            'Use for example `layer_names=["input", "block1"]`, or leave it out.',
            TypeError,
        )
    sites = [_find_site(owner, x or INPUT, steps, start) for x in names]
    paths = [site.path for site in sites]
    if len(set(paths)) < len(paths):
        _errors.fail(
            owner,
            "`layer_names` must be different: each is drawn with the same probability.",
            f"layer_names={names!r}",
            "Name each layer once.",
        )
    for site in sites:
        _check_site(owner, site, steps, mixer)
    return sites


def can_mix(shape: Any, mixer: Any) -> bool:
    """Returns whether a mixing layer takes features of a shape."""
    rank = len(shape)
    return bool(_checks.is_image_rank(rank) or (rank == 2 and mixer.uniform_mask))


def _describe_input(model: keras.Model) -> _graphs.Step:
    """Returns the input of a model as an operation before all others."""
    one = model.inputs[0] if len(model.inputs) == 1 else None
    return _graphs.Step(
        path=INPUT,
        shape=None if one is None else tuple(one.shape),
        dtype=None if one is None else str(one.dtype),
        calls=1,
        passed=True,
        trained=False,
        last=False,
    )


def _choose_default(
    owner: str, steps: Sequence[_graphs.Step], start: _graphs.Step, mixer: Any
) -> list[_graphs.Step]:
    """Returns the input and the layers a quarter and half of the way down."""
    hidden = [
        step
        for step in steps
        if step.trained and not step.last and not _find_fault(step, mixer)
    ]
    sites = [] if _find_fault(start, mixer) else [start]
    if hidden:
        sites += {n: hidden[n] for n in (len(hidden) // 4, len(hidden) // 2)}.values()
    if not sites:
        _errors.fail(
            owner,
            f"the backbone has no features that {type(mixer).__name__} can mix.",
            f"layers {_list_names(step.path for step in steps)}",
            "Give the backbone float inputs, or use `MixUpLayer`, which takes features "
            "of any rank from 2 to 5.",
        )
    return sites


def _find_site(
    owner: str, name: str, steps: Sequence[_graphs.Step], start: _graphs.Step
) -> _graphs.Step:
    """Returns the place that a name means."""
    # A layer that a model calls several times is still one place to name.
    found = {x.path: x for x in steps if name in (x.path, x.name)}
    if name == INPUT:
        found[INPUT + "/"] = start  # A layer of this name is another place.
    if name in found and name != INPUT:
        return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        _errors.fail(
            owner,
            "a name in `layer_names` must mean one place.",
            f"{name!r}, which means {_list_names(found)}",
            "Give the whole path, or give the layers different names.",
        )
    paths = [INPUT, *dict.fromkeys(step.path for step in steps)]
    like = difflib.get_close_matches(name, paths, cutoff=0.5)
    like += [x for x in paths if name.lower() in x.lower() and x not in like]
    _errors.fail(
        owner,
        "`layer_names` must be names of layers of the backbone.",
        f"{name!r}",
        f"Names like it: {_list_names(like)}."
        if like
        else f"Its layers are {_list_names(paths)}.",
    )


def _find_fault(site: _graphs.Step, mixer: Any) -> str:
    """Returns which rule a place breaks, or an empty string."""
    if site.shape is None or site.dtype is None:
        return "outputs"
    if site.calls > 1:
        return "calls"
    if not site.passed:
        return "around"
    images = site.path == INPUT and site.dtype == "uint8"
    if not keras.backend.is_float_dtype(site.dtype) and not images:
        return "dtype"
    return "" if can_mix(site.shape, mixer) else "rank"


def _check_site(
    owner: str, site: _graphs.Step, steps: Sequence[_graphs.Step], mixer: Any
) -> None:
    """Checks that features can be mixed at a place."""
    fault = _find_fault(site, mixer)
    if fault == "outputs":
        _fail_outputs(owner, site.path)
    if fault == "calls":
        _errors.fail(
            owner,
            "a layer in `layer_names` must be called once.",
            f"{site.path!r}, which is called {site.calls} times",
            "Name a layer behind it, perhaps a `keras.layers.Identity` that the "
            "backbone has there.",
        )
    if fault == "around":
        _fail_around(owner, site, steps, mixer)
    if fault == "dtype":
        _errors.fail(
            owner,
            "features must be floats, or images of bytes at the input.",
            f"{site.path!r} of dtype {site.dtype}",
            "Leave it out; mix token ids after their `Embedding`.",
        )
    if fault == "rank":
        _fail_rank(owner, site, mixer)
    if not mixer.uniform_mask and site.shape is not None:
        mixer._places(len(site.shape) - 2)  # Raises where `mask_axes` are no axes.


def _fail_outputs(owner: str, path: str) -> NoReturn:
    """Raises the error for several tensors, of which no one is the features."""
    _errors.fail(
        owner,
        "a place in `layer_names` must have one tensor.",
        f"{path!r}, which has several",
        "Name a layer behind that has one output.",
    )


def _fail_around(
    owner: str, site: _graphs.Step, steps: Sequence[_graphs.Step], mixer: Any
) -> NoReturn:
    """Raises the error for features that are only a part of what later layers see."""
    after = [
        step for step in steps[steps.index(site) :] if not _find_fault(step, mixer)
    ]
    remedy = "Name a layer that everything passes through."
    if after:
        remedy = f"The first layer behind that everything passes is {after[0].path!r}."
    _errors.fail(
        owner,
        "all outputs must depend on the inputs through a layer in `layer_names` alone, "
        "or later layers see unmixed features beside the mixed ones.",
        f"{site.path!r}, which a connection leads around",
        remedy,
    )


def _fail_rank(owner: str, site: _graphs.Step, mixer: Any) -> NoReturn:
    """Raises the error for features without the axes that a mask needs."""
    kind = type(mixer).__name__
    if mixer.uniform_mask:
        rule = f"{kind} mixes features of rank 2 to 5, batch first."
        remedy = "Name a layer whose features have such a rank."
    else:
        rule = f"{kind} needs features (batch, *spatial, channels), of rank 3 to 5."
        remedy = "Name a layer that keeps spatial axes, or use `MixUpLayer`."
    shape = _errors.show(site.shape)
    _errors.fail(owner, rule, f"{site.path!r}, whose features are {shape}", remedy)


def _list_names(names: Any, most: int = 12) -> str:
    """Returns the first of some names, quoted."""
    names = list(names)
    shown = ", ".join(repr(name.rstrip("/")) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
