"""What each key of a config may hold, and how an error names it."""

import difflib
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from keras_msda import _errors
from keras_msda.experiments._networks import NETWORKS

OPTIMIZERS = ("sgd", "adam", "adamw")
AUGMENTATIONS = ("none", "flip", "crop_flip")
#: Stands for a key without a default.
REQUIRED: Any = object()


class Rule(NamedTuple):
    """What a value must be, in words, and whether a value is so."""

    words: str
    holds: Callable[[Any], bool]


class Key(NamedTuple):
    """A key of a config.

    Attributes:
        rule: Of its value, or of each of its values.
        default: What it is if the config lacks it.
        several: "no" for one value, "may" for one or a list, "must" for a list.
    """

    rule: Rule
    default: Any = REQUIRED
    several: str = "no"


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite real number."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def is_whole(value: Any, least: int = 1, *, below: int = 2**31) -> bool:
    """Returns whether a value is an integer in a range."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and least <= value < below


def _one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)
    return Rule(
        f"one of {', '.join(known)}", lambda v: isinstance(v, str) and v in known
    )


def _whole(least: int, *, or_null: bool = False) -> Rule:
    words = f"a whole number from {least}" + (", or null" if or_null else "")
    return Rule(words, lambda v: (or_null and v is None) or is_whole(v, least))


def _number(words: str, holds: Callable[[Any], bool]) -> Rule:
    return Rule(words, lambda v: is_number(v) and holds(v))


def _is_schedule(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value in ("cosine", "constant")
    at: Any = value.get("at")
    listed = isinstance(at, list) and bool(at) and all(map(is_number, at))
    if set(value) != {"at", "factor"} or not listed or not is_number(value["factor"]):
        return False
    rising = all(x < y for x, y in zip([0, *at], [*at, 1], strict=True))
    return rising and 0 < value["factor"]


_TEXT = Rule("a text", lambda v: isinstance(v, str) and bool(v.strip()))
_SWITCH = Rule("true or false", lambda v: isinstance(v, bool))
_MAPPING = Rule("a mapping", lambda v: isinstance(v, Mapping))
_FULL = Rule("a mapping of rows", lambda v: isinstance(v, Mapping) and bool(v))
_SCHEDULE = Rule(
    "cosine, constant, or {at: [rising shares of the epochs], factor: number}",
    _is_schedule,
)
_DEVICES = Rule("all, or null for one", lambda v: v is None or v == "all")

#: The levels of each robustness score.
SCORES = {
    "fgsm": _number("a number in (0, 255], in 1/255", lambda v: 0 < v <= 255),
    "occlusion": _number("a share of the area in (0, 1]", lambda v: 0 < v <= 1),
    "noise": _number("a standard deviation in (0, 1]", lambda v: 0 < v <= 1),
    "blur": _number("a sigma of pixels in (0, 100]", lambda v: 0 < v <= 100),
}
DEFAULT_SCORES = {
    "fgsm": (1, 2, 4, 8),
    "occlusion": (0.1, 0.2, 0.4),
    "noise": (0.05, 0.1, 0.2),
    "blur": (0.5, 1, 2),
}
KEYS = {
    "title": Key(_TEXT),
    "data": Key(_TEXT, several="may"),
    "image_size": Key(_whole(1, or_null=True), None),
    "train_images": Key(_whole(1, or_null=True), None, several="may"),
    "test_images": Key(_whole(1, or_null=True), None),
    "robust_images": Key(_whole(1), 2000),
    "wrong_labels": Key(
        _number("a share in [0, 1)", lambda v: 0 <= v < 1), 0, several="may"
    ),
    "network": Key(_one_of(NETWORKS), "resnet8", several="may"),
    "epochs": Key(_whole(1), 30),
    "batch_size": Key(_whole(2), 50),
    "optimizer": Key(_one_of(OPTIMIZERS), "sgd"),
    "learning_rate": Key(_number("a positive number", lambda v: v > 0), 0.1),
    "weight_decay": Key(_number("a number from 0", lambda v: v >= 0), 0.0005),
    "schedule": Key(_SCHEDULE, "cosine"),
    "warmup_epochs": Key(_number("a number from 0", lambda v: v >= 0), 1),
    "augment": Key(_one_of(AUGMENTATIONS), "none"),
    "jit_compile": Key(_SWITCH, False),
    "mixed_precision": Key(_SWITCH, False),
    "devices": Key(_DEVICES, None),
    "seeds": Key(_whole(0), (0, 1, 2, 3, 4), several="must"),
    "methods": Key(_FULL),
    "scores": Key(_MAPPING, DEFAULT_SCORES),
    "recommend": Key(_SWITCH, False),
    "published": Key(_MAPPING, None),
}


def nearest(name: Any, known: Iterable[str]) -> str:
    """Returns a remedy: what is known, with the nearest name."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"{hint}Known: {', '.join(names)}."


def fail_key(place: str, rule: str, received: Any, remedy: str = "") -> NoReturn:
    """Raises an error about a key of a config.

    Args:
        place: File and key, as "a.yaml: epochs".
        rule: What must be so.
        received: The value there.
        remedy: What to do, or what is known.
    """
    number = isinstance(received, str) and _reads_as_number(received)
    if number and not remedy:
        remedy = "YAML takes it for a text: write 0.0005 or 5.0e-4, without quotes."
    text = f"{place}: {rule}. Received: {_show(received)}. {remedy}"
    _errors.fail_file(text.strip())


def _show(value: Any) -> str:
    """Returns a value in Python's form, its beginning where it is long."""
    # A few lines of YAML with references can hold a billion words.
    form = reprlib.Repr()
    form.maxlevel, form.maxlist, form.maxdict = 3, 12, 12
    form.maxstring = form.maxother = form.maxlong = 200
    text = form.repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_keys(place: str, given: Mapping[Any, Any], known: Iterable[str]) -> None:
    """Checks that all keys are known.

    Args:
        place: File, and the key that holds the mapping.
        given: The mapping.
        known: Names of the keys that it may have.

    Raises:
        ValueError: For the first key that is not known.
    """
    names = list(known)
    for name in given:
        if name not in names:
            fail_key(place, "unknown key", name, nearest(name, names))


def read_value(place: str, value: Any, key: Key) -> Any:
    """Checks a value, and returns it, a list as a tuple.

    Args:
        place: File and key.
        value: What the file holds.
        key: What it may hold.

    Returns:
        The value; where the key may have several, a tuple.

    Raises:
        ValueError: If it is not what the key may hold.
    """
    if key.several == "no":
        return _read_one(place, value, key.rule)
    if key.several == "may" and not isinstance(value, list):
        value = [value]
    if not isinstance(value, list) or not value:
        fail_key(place, f"must be a list, of one at least, of {key.rule.words}", value)
    values = tuple(_read_one(place, each, key.rule) for each in value)
    twice = [each for number, each in enumerate(values) if each in values[:number]]
    if twice:
        fail_key(place, f"must have each value once, and has {twice[0]!r} twice", value)
    return values


def _read_one(place: str, value: Any, rule: Rule) -> Any:
    if not rule.holds(value):
        if isinstance(value, str) and rule.words.startswith("one of "):
            names = rule.words.removeprefix("one of ").split(", ")
            fail_key(place, "unknown name", value, nearest(value, names))
        fail_key(place, f"must be {rule.words}", value)
    return value
