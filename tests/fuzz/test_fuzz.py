"""Random calls against the reference, few of them: `.ci/run` also runs `make fuzz`."""

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
from tests.fuzz.summary import Summary, name_cases

QUICK = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def failures(case):
    return [x.words for x in runs.check_case(case) if x.kind == "failure"]


# Calls of one case share a layer, so that 10 cases are up to 50 calls.
@pytest.mark.slow
@QUICK
@given(st.data())
def test_any_eager_call_equals_the_reference_or_is_refused(data):
    case = draw_case(Examples(data), "eager", runs.CALLS)
    assert not failures(case), case


@pytest.mark.slow
@pytest.mark.parametrize("world", [x for x in worlds.SHARES if "unknown" in x])
def test_any_call_elsewhere_equals_the_reference_or_is_refused(world):
    index = next(i for i in range(1000) if runs.make_case(0, i).world == world)
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


def count_failures(cases=30):
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
    def call(case, layer, given, index):
        found = right(case, layer, given, index)
        given[0][0][...] = 7
        return found

    right = worlds.call_eagerly
    monkeypatch.setattr(worlds, "call_eagerly", call)
    assert any("inputs changed" in words for words in failures(plain_case()))


def test_a_refusal_after_a_draw_is_found(monkeypatch):
    def call(_, layer, *rest):
        layer._next_seed(np.zeros(len(rest)))
        raise ValueError("CutMixLayer: no. Received: x. Give y.")

    monkeypatch.setattr(worlds, "call_eagerly", call)
    assert any("used up a draw" in words for words in failures(plain_case()))


def plain_case():
    """Returns an eager case of images of float32 and their labels."""
    return next(
        case
        for case in (runs.make_case(2, i) for i in range(300))
        if case.world == "eager"
        and case.form == "arguments"
        and case.parts["images"]["dtype"] == "float32"
        and case.calls[0][0] > 1
    )


# The summary.


def result(index, *outcomes):
    return {"index": index, "seconds": 3.0, "outcomes": [list(x) for x in outcomes]}


EQUAL = "eager", "mixup", "equal", ""
ERROR = "eager", "mixup", "error", "a rule."
WRONG = "XLA", "hmix", "failure", "wrong"


def test_a_summary_counts_and_goes_on_where_it_stopped(tmp_path):
    summary = Summary(5, 4, "abc")
    assert_equal([summary.take(2), summary.take(2)], [(0, 2), (2, 4)])
    summary.add(result(2, EQUAL))
    summary.add(result(0, EQUAL, ERROR, EQUAL))
    path = tmp_path / "fuzz.json"
    summary.save(path)
    again = Summary(5, 5, "abc")
    again.load(path)
    assert_equal(again.report(), summary.report())
    assert_equal([again.take(2), again.take(2)], [(1, 2), (3, 5)])
    found = json.loads(path.read_text())
    assert_equal((found["calls"], found["finished"]), (4, [[0, 1], [2, 3]]))
    assert_equal((found["worlds"]["eager"]["error"], found["seconds"]), (1, 6))
    assert_equal(found["errors"], {"a rule.": 1})
    again.add(result(1, EQUAL))
    assert again.take(2) is None


def test_what_has_failed_is_run_again(tmp_path):
    summary = Summary(5, 9, "abc")
    summary.take(3)
    for index, kind in enumerate((EQUAL, WRONG, EQUAL)):
        summary.add(result(index, EQUAL, kind))
    (failure,) = summary.failures
    assert failure["command"].endswith("python -m tests.fuzz --only 5:1")
    path = tmp_path / "fuzz.json"
    summary.save(path)
    again = Summary(5, 9, "abc")
    again.load(path)
    assert_equal((again.calls, again.failures, again.take(9)), (4, [], (1, 2)))
    assert "XLA" not in again.report()["worlds"]


def test_counts_of_other_cases_are_refused(tmp_path):
    names = [name_cases(runs.make_case, seed) for seed in (5, 5, 6)]
    assert names[0] == names[1] != names[2]
    path = tmp_path / "fuzz.json"
    Summary(5, 4, names[0]).save(path)
    with pytest.raises(ValueError, match="other cases"):
        Summary(5, 4, names[2]).load(path)
