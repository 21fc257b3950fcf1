"""Tables and pictures, from lines whose numbers are known."""

import re

import numpy as np
import pytest
from scipy import stats

from keras_msda.experiments import _config, _pictures, _statistics, _tables

NONE = {0: 0.50, 1: 0.52, 2: 0.51}
GAINS = {"mixup": {0: 0.03, 1: 0.035, 2: 0.028}, "cutmix": {0: 0.01, 1: -0.02, 2: 0}}


@pytest.fixture
def config(write_config):
    path = write_config(
        seeds="[0, 1, 2]", published="{source: A paper, rows: {mixup: 76.5}}"
    )
    path.write_text(path.read_text() + "  cutmix:\n")
    return _config.read_config(path)


def accuracy(run):
    return NONE[run.seed] + GAINS.get(run.row, {}).get(run.seed, 0)


@pytest.fixture
def lines(config, make_lines):
    return make_lines(config, accuracy)


def cells(text, name):
    row = re.search(rf"^\| {re.escape(name)} .*$", text, re.MULTILINE)[0]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_rows_have_means_and_students_intervals(config, lines):
    text = _tables.format_tables(config, lines, "command")
    heads, none, mixup = (cells(text, x) for x in ("method", "none", "mixup"))
    assert heads[:4] == ["method", "accuracy", "NLL", "ECE"]
    assert heads[4:] == ["FGSM 4/255", "noise 0.1", "gain", "published"]
    values = np.array(list(NONE.values())) * 100
    reach = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert none[1] == f"{values.mean():.2f} ± {reach:.2f}"
    assert none[4] == f"{values.mean() / 2:.2f} ± {reach / 2:.2f}"
    assert none[6:] == ["", ""]
    gains = np.array(list(GAINS["mixup"].values())) * 100
    reach = stats.t.ppf(0.975, 2) * stats.sem(gains)
    assert mixup[6] == f"**{gains.mean():+.2f} ± {reach:.2f}**"
    assert mixup[7] == "76.5"


def test_a_sentence_says_what_an_interval_allows(config, lines):
    text = _tables.format_tables(config, lines, "command")
    assert "- mixup: higher than without mixing." in text
    assert "- cutmix: no difference shown." in text
    assert "**" not in cells(text, "cutmix")[6]
    assert "- none" not in text


def test_a_method_that_is_worse_is_told(config, make_lines):
    worse = make_lines(config, lambda run: NONE[run.seed] - 0.1 * (run.row == "mixup"))
    worse[1]["scores"]["accuracy"] += 0.001  # Or the interval has no width.
    text = _tables.format_tables(config, worse, "command")
    assert "- mixup: lower than without mixing." in text


def test_gains_are_paired_by_seed(config, lines):
    # A seed that the row without mixing lacks is in the mean, and in no difference.
    some = [x for x in lines if (x["row"], x["seed"]) != ("none", 2)]
    rows = {x.name: x for x in _statistics.summarize(config, some, config.groups[0])}
    assert rows["mixup"].scores["accuracy"].number == 3
    assert rows["mixup"].gain.number == 2
    np.testing.assert_allclose(rows["mixup"].gain.mean, 0.0325)


def test_one_seed_has_no_interval_and_says_so(write_config, make_lines):
    config = _config.read_config(write_config(seeds="[4]"))
    text = _tables.format_tables(config, make_lines(config), "command")
    assert "There is one seed, so there are no intervals" in text
    assert "±" not in text
    assert "**" not in text


def test_a_group_without_lines_says_so(config):
    text = _tables.format_tables(config, [], "command")
    assert "0 of 9 runs" in text
    assert "No run has finished yet." in text


def test_each_group_has_its_own_table(write_config, make_lines):
    config = _config.read_config(write_config(wrong_labels="[0, 0.2]"))
    lines = make_lines(config, lambda run: 0.9 - run.group.wrong_labels)
    text = _tables.format_tables(config, lines, "command")
    clean, wrong = text.split("\n## ")[1:]
    assert wrong.startswith(
        "mnist-5k, resnet8, 64 training images, 20% of the labels wrong\n"
    )
    assert cells(clean, "none")[1].startswith("90.00")
    assert cells(wrong, "none")[1].startswith("70.00")


def test_what_is_not_finite_is_a_dash(config, lines):
    lines[0]["scores"]["nll"] = None
    text = _tables.format_tables(config, lines, "command")
    assert cells(text, "none")[2] == "-"


def test_the_command_makes_the_numbers_again(config, lines):
    for line in lines:
        line["versions"] = {**line["versions"], "workers": 2}
        line["place"] = "cub"
    config = config._replace(path=_config.Path("configs/small.yaml"))
    found = _tables.find_command(config, lines, out="there")
    assert found == (
        "python -m keras_msda experiment configs/small.yaml --workers 2 "
        "--data cub=PATH --out there"
    )


def test_pictures_show_gains_with_intervals_and_attacks(config, lines):
    groups = _tables.list_groups(config, lines)
    figure = _pictures.draw_gains(config.title, groups)
    left, right = figure.axes
    bars = {
        x.get_text(): bar
        for x, bar in zip(left.get_yticklabels(), left.containers, strict=True)
    }
    assert list(bars) == ["mixup", "cutmix"]
    gain = groups[0][1][1].gain
    point, _, (bar,) = bars["mixup"]
    np.testing.assert_allclose(np.array(point.get_xdata(), float), [100 * gain.mean])
    ends = bar.get_segments()[0][:, 0]
    np.testing.assert_allclose(
        ends, 100 * np.array([gain.mean - gain.reach, gain.mean + gain.reach])
    )
    curves = {line.get_label(): line for line in right.lines}
    assert set(curves) == {"none", "mixup", "cutmix"}
    np.testing.assert_allclose(curves["none"].get_xdata(), [0, 4])
    np.testing.assert_allclose(curves["none"].get_ydata(), [51, 25.5])


def test_pictures_of_many_rows_show_the_gains_alone(config, lines):
    ((group, rows),) = _tables.list_groups(config, lines)[:1]
    many = [rows[0], *(rows[1]._replace(name=f"row {k}") for k in range(12))]
    (gains,) = _pictures.draw_gains(config.title, [(group, many)]).axes
    assert [x.get_text() for x in gains.get_yticklabels()] == [x.name for x in many[1:]]
    few = _pictures.draw_gains(config.title, [(group, many[:12])])
    assert len(few.axes) == 2
