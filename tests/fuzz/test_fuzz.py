"""Random calls against the reference: by hypothesis, and as `make fuzz` draws them."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_equal

from keras_msda import plans
from keras_msda.parts import _forms
from tests.fuzz import runs, worlds
from tests.fuzz.draws import Examples
from tests.fuzz.strategies import draw_case
from tests.fuzz.summary import Summary

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def failures(case):
    return [x.words for x in runs.check_case(case) if x.kind == "failure"]


# Calls of one case share a layer, so that 25 cases are up to 125 calls.
@pytest.mark.slow
@QUICK
@given(st.data())
def test_any_eager_call_equals_the_reference_or_is_refused(data):
    case = draw_case(Examples(data), "eager", runs.CALLS)
    assert not failures(case), case


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "cases"),
    [(world, 1 if world in ("XLA", "fit") else 2) for world in worlds.SHARES][1:],
)
def test_any_call_elsewhere_equals_the_reference_or_is_refused(world, cases):
    numbers = (i for i in range(1000) if runs.make_case(0, i).world == world)
    for _, index in zip(range(cases), numbers, strict=False):
        assert not failures(runs.make_case(0, index)), f"--only 0:{index}"


def test_a_number_makes_its_case_again():
    first, second = (runs.make_case(3, 17) for _ in range(2))
    assert_equal(repr(first), repr(second))
    assert repr(runs.make_case(3, 18)) != repr(first)


# Controls: a library that is wrong is found out.


def take_wrong_partner(mixed_by):
    """Returns a function of a plan with the partners of the next sample."""

    def mix(x, plan, *rest, **options):
        if plan.partner is not None:
            plan = plan._replace(partner=plan.partner[::-1])
        return mixed_by(x, plan, *rest, **options)

    return mix


def count_failures(cases=60):
    made = [runs.make_case(1, i) for i in range(cases)]
    return sum(bool(failures(case)) for case in made if case.world == "eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mix_images", "mix_labels", "mix_sample_weights"])
def test_a_wrong_partner_is_found(name, monkeypatch):
    monkeypatch.setattr(plans, name, take_wrong_partner(getattr(plans, name)))
    assert count_failures() > 1


@pytest.mark.slow
def test_the_weight_of_the_other_label_is_found(monkeypatch):
    def pack(labels, plan, num_classes=None):
        return right(labels, plan._replace(weight=1.0 - plan.weight), num_classes)

    right = _forms.pack_labels
    monkeypatch.setattr(_forms, "pack_labels", pack)
    assert count_failures() > 0


def test_inputs_that_change_are_found(monkeypatch):
    def call(case, layer, nest, index):
        found = right(case, layer, nest, index)
        if isinstance(nest[0], np.ndarray) and nest[0].dtype == "float32":
            nest[0][...] = 7
        return found

    right = worlds.call_eagerly
    monkeypatch.setattr(worlds, "call_eagerly", call)
    made = (runs.make_case(2, i) for i in range(300))
    plain = next(
        case
        for case in made
        if case.world == "eager"
        and case.form == "arguments"
        and case.parts["images"]["dtype"] == "float32"
        and case.calls[0][0] > 1
    )
    assert any("inputs changed" in words for words in failures(plain))


# The summary.


def test_a_summary_counts_and_goes_on_where_it_stopped(tmp_path):
    summary = Summary(5, 4)
    assert_equal(summary.take(2), (0, 2))
    summary.add(
        {
            "index": 1,
            "seconds": 3.0,
            "outcomes": [
                ["eager", "mixup", "equal", ""],
                ["eager", "mixup", "error", "a rule."],
                ["XLA", "hmix", "failure", "wrong"],
            ],
        }
    )
    summary.finish((0, 2))
    path = tmp_path / "fuzz.json"
    summary.save(path)
    again = Summary(5, 4)
    again.load(path)
    assert_equal(again.report(), summary.report())
    assert_equal(again.take(2), (2, 4))
    found = json.loads(path.read_text())
    assert_equal((found["calls"], found["cases"]), (3, 2))
    assert_equal(found["worlds"]["eager"]["error"], 1)
    assert_equal(found["errors"], {"a rule.": 1})
    (failure,) = found["failures"]
    assert failure["command"].endswith("python -m tests.fuzz --only 5:1")
    again.add({"index": 2, "seconds": 0, "outcomes": [["map", "gmix", "equal", ""]]})
    assert again.take(2) is None
