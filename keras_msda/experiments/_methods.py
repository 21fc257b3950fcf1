"""The rows of an experiment: what a config's options mean, and their layers."""

import inspect
from collections.abc import Mapping
from typing import Any

from keras_msda import _errors
from keras_msda.experiments import _rules
from keras_msda.layers import METHODS, MixUpLayer, RandomMixLayer
from keras_msda.models import SaliencyMixing

#: Rows that are no layer alone: no mixing, a random choice, and mixed features.
OTHERS = ("none", "random", "manifold")
#: Arguments that all layers have, without those that the experiment sets.
_SHARED = ("alpha", "probability", "per", "pairing", "bandwidth", "jit_compile")
#: Arguments of the first pass of PuzzleMix, which are those of `SaliencyMixing`.
PASS_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(SaliencyMixing).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)


def read_methods(place: str, given: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Checks the rows of a config by building their layers.

    Args:
        place: File and key.
        given: Options by row.

    Returns:
        By row: options with the name of the method under "method".

    Raises:
        ValueError: If a method or an option is unknown, or a value is wrong.
    """
    found = {}
    for row, options in given.items():
        if not isinstance(row, str):
            _rules.fail_key(place, "names of rows must be texts", row)
        found[row] = _read_method(f"{place}: {row}", row, options)
    same = [row for row in found if list(found.values()).count(found[row]) > 1]
    if same:
        rule = "rows must differ in their options, or they train the same twice"
        _rules.fail_key(place, rule, ", ".join(same))
    return found


def make_layer(method: Mapping[str, Any], *, seed: int, **shared: Any) -> Any:
    """Makes the mixing layer of a row.

    Args:
        method: Options with the name of the method under "method".
        seed: Seed of its draws.
        **shared: Further arguments of the layer.

    Returns:
        The layer; None without mixing.

    Raises:
        ValueError: If an option is wrong.
        TypeError: If it is of the wrong kind.
    """
    name = method["method"]
    left_out = ("method", "layer_names", "of", *PASS_OPTIONS)
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in method.items()
        if key not in left_out
    }
    options |= {"seed": seed, **shared}
    if name == "none":
        return None
    if name == "random":
        members = [make_layer(member, seed=seed) for member in method["of"]]
        return RandomMixLayer(members, **options)
    if name == "manifold":
        return MixUpLayer(**{"alpha": 2.0, **options})
    return METHODS[name].layer(**options)


def _read_method(place: str, row: str, given: Any) -> dict[str, Any]:
    """Returns the options of a row with its method's name."""
    options = {} if given is None else given
    if not isinstance(options, Mapping):
        _rules.fail_key(place, "must be a mapping of options, such as {}", given)
    name = options.get("method", row)
    known = [*OTHERS, *METHODS]
    if not isinstance(name, str) or name not in known:
        rule = "unknown method, name one by `method`"
        _rules.fail_key(place, rule, name, _rules.nearest(name, known))
    _rules.check_keys(place, options, ["method", *_list_options(name)])
    found = {"method": name, **options}
    if name == "random":
        found["of"] = _read_members(f"{place}: of", options.get("of"))
    _build(place, found)
    return found


def _read_members(place: str, given: Any) -> list[dict[str, Any]]:
    """Returns the members of a random choice, each as the options of a row."""
    if not isinstance(given, list) or not given:
        rule = "must be a list of methods, such as [mixup, cutmix]"
        _rules.fail_key(place, rule, given)
    found = []
    for member in given:
        options = {"method": member} if isinstance(member, str) else member
        named = isinstance(options, Mapping) and options.get("method") in METHODS
        if not named:
            name = options.get("method") if isinstance(options, Mapping) else options
            remedy = _rules.nearest(name, METHODS)
            _rules.fail_key(place, "unknown method", name, remedy)
        found.append(_read_method(place, "", options))
    return found


def _build(place: str, method: Mapping[str, Any]) -> None:
    """Builds the layer, whose own checks find what is wrong."""
    try:
        layer = make_layer(method, seed=0, targets="pair")
    except (TypeError, ValueError) as error:
        _errors.fail_file(f"{place}: {error}", cause=error)
    passed = [name for name in PASS_OPTIONS if name in method]
    if passed and not getattr(layer, "weight_needs_images", False):
        _rules.fail_key(place, "belongs to methods with two passes", passed[0])


def _list_options(name: str) -> list[str]:
    """Returns the names of the options that a method has."""
    if name == "none":
        return []
    if name == "random":
        return ["of", "weights", *(x for x in _SHARED if x != "alpha")]
    if name == "manifold":
        return ["layer_names", *METHODS["mixup"].options, *_SHARED]
    layer, own = METHODS[name].layer, METHODS[name].options
    shared = [x for x in _SHARED if x != "alpha" or layer.has_lam]
    return [*own, *shared, *(PASS_OPTIONS if layer.weight_needs_images else ())]
