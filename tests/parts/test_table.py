"""The table of parts: what every part has, and that a new one is one line."""

import inspect

import numpy as np
import pytest

from keras_msda import plans
from keras_msda.parts import (
    PARTS,
    Settings,
    _part,
    _table,
    check_parts,
    mix_parts,
    structures,
)

EVERY_PART = [*PARTS.values(), _table.EXTRA]


@pytest.mark.parametrize("method", ["check", "mix"])
@pytest.mark.parametrize("part", EVERY_PART, ids=lambda part: part.__name__)
def test_every_part_has_the_functions_of_the_protocol(part, method):
    expected = inspect.signature(getattr(_part.Part, method)).parameters
    found = inspect.signature(getattr(part, method)).parameters
    assert list(found) == [name for name in expected if name != "self"]


def test_the_keys_of_a_dictionary_are_those_of_the_table():
    assert ("images", *PARTS) == (*structures.KEYS, "saliency")


class Names:
    """A part of one's own: a name for each image, that of the partner appended."""

    def check(self, key, context, *, owner):
        return [f"{owner}.{name}" for name in context.parts[key]]

    def mix(self, key, context, *, plan):
        names = context.parts[key]
        return [f"{own}+{names[j]}" for own, j in zip(names, plan.partner, strict=True)]


def test_a_line_in_the_table_adds_a_part(monkeypatch):
    monkeypatch.setitem(PARTS, "names", Names())
    plan = plans.MixPlan(np.array([1, 0]), None, np.array([0.75, 0.5], "float32"))
    layout = plans.Layout(2, (4, 4), "channels_last")
    inputs = {"names": ["a", "b"], "unknown": "left alone"}
    checked = check_parts("o", inputs, layout=layout, settings=Settings())
    assert list(checked) == ["names"]
    mixed = mix_parts(
        checked | {"images": "left alone"}, plan, layout=layout, settings=Settings()
    )
    assert mixed == {"names": ["o.a+o.b", "o.b+o.a"], "images": "left alone"}
