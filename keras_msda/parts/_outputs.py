"""Labels and sample weights of one output or of several, in one structure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_msda import _errors


def are_labels_several(labels: Any) -> bool:
    """Returns whether labels are of several outputs; those of one may be a list."""
    if isinstance(labels, Mapping):
        return True
    leaves = keras.tree.flatten(labels) if isinstance(labels, (tuple, list)) else ()
    return bool(leaves) and all(map(is_array, leaves))


def are_weights_several(sample_weight: Any) -> bool:
    """Returns whether sample weights are given for each output."""
    if isinstance(sample_weight, Mapping):
        return True
    return isinstance(sample_weight, (tuple, list)) and any(
        value is None or is_array(value) for value in sample_weight
    )


def is_array(value: Any) -> bool:
    """Returns whether a value is a tensor or an array, and no number of a list."""
    return hasattr(value, "shape") and not isinstance(value, np.generic)


def map_labels(function: Callable[..., Any], labels: Any, *settings: Any) -> Any:
    """Calls a function with each output's labels and settings, keeping the structure.

    Args:
        function: Takes the labels of an output and its settings.
        labels: Labels, or a dictionary or tuple of them.
        *settings: Each one for all outputs, or a dictionary or tuple like that of the
            labels; a dictionary may lack some, which get None.
    """
    if not are_labels_several(labels):
        return function(labels, *settings)
    return _map_entries(function, labels, settings)


def map_weights(function: Callable[..., Any], weights: Any, *settings: Any) -> Any:
    """Calls a function with each output's sample weights, which may be None.

    Args:
        function: Takes the weights of an output and its settings.
        weights: Weights, or a dictionary or tuple of them.
        *settings: As in `map_labels`.
    """
    if not are_weights_several(weights):
        return function(weights, *settings)
    return _map_entries(function, weights, settings)


def _map_entries(
    function: Callable[..., Any], values: Any, settings: Sequence[Any]
) -> Any:
    """Calls a function with each entry of a dictionary or tuple."""

    def find(key: Any) -> list[Any]:
        return [_find_setting(setting, key) for setting in settings]

    if isinstance(values, Mapping):
        return {key: function(value, *find(key)) for key, value in values.items()}
    mapped = [function(value, *find(index)) for index, value in enumerate(values)]
    return restore_kind(values, mapped)


def _find_setting(setting: Any, key: Any) -> Any:
    """Returns what a setting says for one output."""
    if isinstance(setting, Mapping):
        return setting.get(key)
    return setting[key] if isinstance(setting, (tuple, list)) else setting


def restore_kind(given: Sequence[Any], entries: list[Any]) -> Any:
    """Returns entries in a list, tuple or named tuple of the kind of the given one."""
    if hasattr(given, "_fields"):
        return type(given)(*entries)
    return list(entries) if isinstance(given, list) else tuple(entries)


def name_outputs(name: str, values: Any) -> Any:
    """Returns what errors call the tensor of each output."""
    if isinstance(values, Mapping):
        return {key: f"{name}[{_errors.quoted(key)}]" for key in values}
    return [f"{name}[{index}]" for index in range(len(values))]


def check_one_output(owner: str, *, name: str, given: Any) -> None:
    """Checks that an argument for labels of one output is not one for several."""
    if isinstance(given, (Mapping, tuple, list)):
        _errors.fail(
            owner,
            f"`{name}` is for several outputs, the labels are for one.",
            f"{name}={given!r}",
            "Give labels as a dictionary or tuple, or one number.",
        )


def check_outputs(owner: str, labels: Any, *, name: str, given: Any) -> None:
    """Checks that an argument for several outputs has the structure of the labels."""
    kinds = (Mapping, (tuple, list))
    fits = any(isinstance(labels, k) and isinstance(given, k) for k in kinds)
    if fits and isinstance(labels, Mapping):
        fits = set(given) <= set(labels)
    elif fits:
        fits = len(given) == len(labels)
    if not fits:
        keys = list(labels) if isinstance(labels, Mapping) else len(labels)
        _errors.fail(
            owner,
            f"several outputs need `{name}` as a dictionary or tuple like the labels.",
            f"{name}={given!r} for the outputs {keys}",
            f'Use for example `{name}={{"class": 10}}`, without the outputs that need '
            "none.",
        )
