"""The page that says what was tried to break the library."""

import pytest

from benchmarks import evidence, trust


def test_the_page_is_that_of_the_results():
    text = trust.PAGE.read_text(encoding="utf-8")
    filled = evidence.fill(text, trust.SECTIONS)
    assert filled == text, "run python -m benchmarks.trust"
    for name in trust.SECTIONS:
        assert f"<!-- {name} -->" in text


@pytest.mark.parametrize("name", trust.BACKENDS)
def test_no_failure_of_fuzzing_is_open(name):
    found = trust.read(f"fuzz_{name}")
    assert found["failures"] == []
    assert not any(x["failure"] for x in found["worlds"].values())


def test_no_killed_training_differed():
    trainings = [
        x for place in trust.read("kills")["trainings"].values() for x in place
    ]
    assert sum(x["kills"] for x in trainings) >= 20
    assert all(x["weights equal"] for x in trainings)
    assert not any(x["steps with other mixes"] for x in trainings)


def test_an_hour_of_training_stayed_flat():
    soaked = trust.read("soak")
    assert soaked["minutes"] >= 60
    assert all(row["verdict"].startswith("PASS") for row in soaked["verdicts"])


def test_the_largest_growth_of_both_places_is_told():
    medians = {
        "pipeline: memory, last third / first third": 1.002,
        "pipeline: step / step without mixing, last third / first third": 0.99,
        "pipeline: traces after the warm-up": 1,
        "model: memory, last third / first third": 1.001,
        "model: step / step without mixing, last third / first third": 1.007,
        "model: traces after the warm-up": 2,
    }
    verdicts = [{"name": name, "median": median} for name, median in medians.items()]
    growth, traces = trust.summarize_soak({"verdicts": verdicts})
    assert growth == "memory +0.2%, step +0.7%"
    assert traces == 3
