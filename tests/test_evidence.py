"""The page of evidence says what the committed lines say."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from keras_msda.experiments import _config

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "benchmarks" / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def evidence():
    """The program that writes the page."""
    path = ROOT / "benchmarks" / "evidence.py"
    spec = importlib.util.spec_from_file_location("evidence", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.whole
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_can_be_read(path):
    config = _config.read_config(path)
    assert len(config.seeds) >= 5
    assert next(iter(config.methods)) == "none"


def test_pages_are_those_of_the_lines(evidence):
    for page in evidence.PAGES:
        text = page.read_text(encoding="utf-8")
        assert evidence.fill(text) == text, f"run benchmarks/evidence.py: {page.name}"


def test_a_difference_is_that_of_a_paired_test(evidence):
    path = ROOT / "benchmarks" / "experiments" / "results" / "fashion_1k.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    seeds = sorted({x["seed"] for x in lines if x["row"] == "fmix"})
    both = [
        [
            next(
                x["scores"]["occlusion"]["0.2"]
                for x in lines
                if (x["row"], x["seed"]) == (row, seed)
            )
            for seed in seeds
        ]
        for row in ("fmix", "none")
    ]
    interval = stats.ttest_rel(*both).confidence_interval(0.95)
    found = evidence.read_results("fashion_1k")
    (rows,) = found.lines.values()
    difference = evidence.compare(rows, "fmix", "none", ("occlusion", "0.2"))
    ends = (difference.mean - difference.reach, difference.mean + difference.reach)
    assert_allclose(ends, interval, rtol=1e-9)
    assert difference.number == len(seeds) >= 3


def test_a_second_run_agrees_with_the_first(evidence):
    gains = list(evidence.list_repeated("fashion_1k"))
    assert len(gains) == 8
    for row, first, again in gains:
        assert abs(first.mean - again.mean) <= first.reach, row


def test_the_rank_correlation_has_an_interval_around_it(evidence):
    rng = np.random.default_rng(0)
    strength = rng.uniform(size=40)
    gain = strength + rng.normal(0, 0.2, 40)
    points = [
        evidence.Point(None, "", x, y) for x, y in zip(strength, gain, strict=True)
    ]
    rho, low, high = evidence.correlate(points)
    assert_allclose(rho, stats.spearmanr(strength, gain).statistic, rtol=1e-12)
    # SciPy's bootstrap, with other draws.
    expected = stats.bootstrap(
        (strength, gain),
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # 2,000 draws know the ends to about two hundredths.
    assert_allclose((low, high), expected, atol=0.05)


def test_text_outside_the_markers_stays(evidence):
    text = "before\n<!-- gains -->\nold\n<!-- end of gains -->\nafter\n"
    filled = evidence.fill(text)
    assert filled.startswith("before\n<!-- gains -->\n|")
    assert filled.endswith("|\n<!-- end of gains -->\nafter\n")
    assert "\nold\n" not in filled
