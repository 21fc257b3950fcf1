"""`python -m keras_msda inspect`: its tables, its picture, its refusals."""

import re

import numpy as np
import pytest
from PIL import Image

import keras_msda as msda
from keras_msda import analysis, cli, plot
from keras_msda.cli import _inspect
from tests.support.figures import shown


def run(capsys, *arguments):
    """Returns what a run that succeeds prints."""
    assert cli.main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def numbers(text, start):
    """Returns the numbers of the first line that starts with some words."""
    (line, *_) = [line for line in text.splitlines() if line.startswith(start)]
    found = re.findall(r"-?\d+\.\d+", line.removeprefix(start))
    return [float(number) for number in found]


def by_distance(offsets, distances):
    return analysis.by_distance(offsets).value[distances]


def test_the_tables_are_those_of_the_analysis(capsys):
    text = run(capsys, "--method", "hmix", "--box-ratio", "0.75", "--size", "8x10")
    layer = msda.HMixLayer(box_ratio=0.75)
    moments = analysis.mask_moments(layer, (8, 10), draws=2)
    mean = moments.mean
    # Four digits are printed.
    expected = [mean.min(), mean.mean(), mean.max(), mean.mean(), 12**-0.5]
    printed = numbers(text, "hmix    ")
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-5)
    found = analysis.regularization_coefficients(layer, (8, 10))
    for form, offsets in (("exact", found.second), ("paper's", found.paper)):
        values = by_distance(offsets, [0, 1, 2, 4, 8])
        *printed, average, percent = numbers(text, f"hmix    {form}")
        np.testing.assert_allclose(printed, values, rtol=0, atol=5.1e-5)
        # Weights are lambda: nothing is lost or won against MixUp.
        np.testing.assert_allclose([average, percent], [1 / 6, 100], atol=5.1e-5)


def test_the_deviation_is_that_of_weights_that_are_drawn(capsys):
    text = run(capsys, "--method", "gmix,cutmix", "--size", "12", "--alpha", "2")
    for name, layer in (
        ("gmix", msda.GMixLayer(2.0)),
        ("cutmix", msda.CutMixLayer(2.0)),
    ):
        weight = analysis.mask_set(layer, (12, 12), draws=20_000, seed=1).weight
        mean, deviation = numbers(text, f"{name:<8}")[3:5]
        # Five standard errors of 20,000 draws; that of a deviation is below.
        error = 5 * weight.std() / 20_000**0.5
        np.testing.assert_allclose(mean, weight.mean(), rtol=0, atol=error)
        np.testing.assert_allclose(deviation, weight.std(), rtol=0, atol=error)


def test_methods_come_in_one_order_with_those_that_are_drawn_marked(capsys):
    text = run(capsys, "--method", "fmix,mixup", "--method", "hmix", "--size", "6")
    heads = re.findall(r"^(\w+) +\d\.\d", text, re.MULTILINE)
    assert heads == ["mixup", "hmix", "fmix"]
    forms = re.findall(r"^(\w+) +(exact|drawn|error|paper's) ", text, re.MULTILINE)
    assert forms == [
        ("mixup", "exact"),
        ("mixup", "paper's"),
        ("hmix", "exact"),
        ("hmix", "paper's"),
        ("fmix", "drawn"),
        ("fmix", "error"),
        ("fmix", "paper's"),
    ]
    assert "1000 draws, error of E[M] <= 0.02" in text


@pytest.mark.parametrize(
    ("arguments", "layer", "settings"),
    [
        (["--border", "wrap"], msda.CutMixLayer(border="wrap"), {}),
        (["--alpha", "2,1"], msda.CutMixLayer((2.0, 1.0)), {}),
        (["--lam", "0.3"], msda.CutMixLayer(), {"lam": 0.3}),
    ],
    ids=["border", "alpha", "lam"],
)
def test_arguments_reach_the_layer_and_its_moments(capsys, arguments, layer, settings):
    text = run(capsys, "--method", "cutmix", "--size", "6x7", *arguments)
    mean = analysis.mask_moments(layer, (6, 7), draws=2, **settings).mean
    expected = [mean.min(), mean.mean(), mean.max()]
    printed = numbers(text, "cutmix  ")[:3]
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-5)
    found = analysis.regularization_coefficients(layer, (6, 7))
    printed = numbers(text, "cutmix  exact")[:4]
    expected = by_distance(found.second, [0, 1, 2, 4])
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-5)


@pytest.mark.long
def test_draws_and_seed_reach_what_is_drawn(capsys):
    arguments = ("--method", "fmix", "--size", "6", "--decay-power", "1")
    few, again, other, many = (
        run(capsys, *arguments, "--draws", draws, "--seed", seed)
        for draws, seed in (("20", "1"), ("20", "1"), ("20", "2"), ("2000", "1"))
    )
    assert few == again
    assert few != other
    assert "20 draws" in few
    # A tenth, up to the noise of an error that 20 draws tell.
    ratio = np.divide(numbers(few, "fmix    error"), numbers(many, "fmix    error"))
    assert 5 < ratio[0] < 20
    layer = msda.FMixLayer(decay_power=1.0)
    found = analysis.regularization_coefficients(layer, (6, 6), draws=20, seed=1)
    printed = numbers(few, "fmix    drawn")[:3]
    expected = by_distance(found.second, [0, 1, 2])
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-5)


@pytest.mark.parametrize(
    ("size", "shape"),
    [("5", (5, 5)), ("5x4", (5, 4)), ("3X4x5", (3, 4, 5)), ("7x", (7,))],
)
def test_sizes(capsys, size, shape):
    text = run(capsys, "--method", "mixup", "--size", size)
    assert text.startswith(f"{'x'.join(map(str, shape))} pixels, lambda ~ Beta(1, 1)\n")


def test_the_picture_has_the_references_too(capsys, tmp_path, monkeypatch):
    figures = []
    original = plot.moments_and_coefficients
    monkeypatch.setattr(
        plot,
        "moments_and_coefficients",
        lambda *given: figures.append(original(*given)) or figures[-1],
    )
    out = tmp_path / "out.png"
    arguments = ("--method", "hmix", "--border", "wrap", "--size", "6", "-o", str(out))
    assert f"The picture is in {out}." in run(capsys, *arguments)
    axes = figures[0].axes
    layers = {
        "MixUp": msda.MixUpLayer(),
        "CutMix": msda.CutMixLayer(border="wrap"),
        "HMix": msda.HMixLayer(border="wrap"),
    }
    mean = analysis.mask_moments(layers["HMix"], (6, 6), draws=2).mean
    np.testing.assert_allclose(shown(axes[0]), mean, rtol=1e-12)
    curves = {line.get_label(): line.get_ydata() for line in axes[-1].lines}
    for name, layer in layers.items():
        found = analysis.regularization_coefficients(layer, (6, 6))
        expected = analysis.by_distance(found.second).value
        np.testing.assert_allclose(curves[name], expected, rtol=1e-12)
    with Image.open(out) as picture:
        assert min(picture.size) > 400


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--box-ratio", "0.5", "--method", "cutmix"], "--box-ratio belongs to hmix"),
        (["--border", "wrap", "--method", "mixup,fmix"], "to cutmix, hmix, gmix"),
        (["--max-soft", "0.1", "--method", "gmix"], "--max-soft belongs to fmix"),
        (["--border", "inside", "--method", "gmix"], "border='inside'"),
        (["--max-soft", "0.7", "--method", "fmix"], "max_soft=0.7"),
        (["--max-soft", "nan", "--method", "fmix"], "max_soft=nan"),
        (["--decay-power", "inf", "--method", "fmix"], "decay_power=inf"),
        (["--decay-power", "nan", "--method", "fmix"], "decay_power=nan"),
        (["--size", "512"], "minutes.*--size 512x512.*smaller size"),
        (["--size", "200", "--method", "hmix"], "hmix would take minutes"),
        (["--size", "513x", "--method", "mixup"], "mixup would take minutes"),
        (["--size", "512", "--method", "fmix"], "minutes"),
        (["-o", "none/out.png"], "does not exist"),
        (["-o", "out.txt"], "must end in one of"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(
    capsys, monkeypatch, arguments, expected
):
    monkeypatch.setattr(_inspect, "examine", None)
    assert cli.main(["inspect", *arguments]) == 2
    errors = capsys.readouterr().err
    assert re.search(expected, errors)
    assert errors.count("\n") == 1


def test_hmix_may_be_larger_where_its_boxes_are_not_cut():
    common = {"methods": ("hmix",), "shape": (224, 224), "alpha": (1.0, 1.0)}
    settings = _inspect.Settings(
        **common, own={"border": "wrap"}, lam=None, draws=None, seed=0
    )
    assert list(_inspect.make_layers(settings)) == ["hmix"]


def test_fewer_masks_are_drawn_of_large_images():
    settings = _inspect.Settings(("fmix",), (8, 8), (1.0, 1.0), {}, None, None, 0)
    for shape, draws in (((64, 64), 1000), ((128, 128), 256), ((256, 256), 100)):
        assert _inspect._draws(settings._replace(shape=shape)) == draws
    assert _inspect._draws(settings._replace(draws=7)) == 7


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--method", "none"], "unknown method 'none', known are all, mixup"),
        (["--size", "0"], "like 32, 32x48, 8x8x8 or 64x, got '0'"),
        (["--size", "2x2x2x2"], "got '2x2x2x2'"),
        (["--size", "x"], "got 'x'"),
        (["--size", "4xx"], "got '4xx'"),
        (["--alpha", "0"], "positive number or two like 2,1, got '0'"),
        (["--alpha", "1,2,3"], "got '1,2,3'"),
        (["--alpha", "nan"], "got 'nan'"),
        (["--lam", "2"], r"number in \[0, 1\], got '2'"),
        (["--box-ratio", "-1"], "expected one argument|got '-1'"),
        (["--border", "round"], "invalid choice: 'round'"),
        (["--draws", "1"], r"whole number from 2 to 2\^32 - 1, got '1'"),
        (["--alpha", "inf"], "got 'inf'"),
        (["--lam", "nan"], "got 'nan'"),
        (["--seed", "2147483648"], r"to 2\^31 - 1, got '2147483648'"),
        (["--size", "9" * 5000], "got '9999"),
    ],
)
def test_a_wrong_argument_is_one_line(capsys, arguments, expected):
    with pytest.raises(SystemExit) as left:
        cli.main(["inspect", *arguments])
    assert left.value.code == 2
    errors = capsys.readouterr().err
    assert re.search(expected, errors)
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("alpha", "mean", "deviation"),
    [
        ("200,20", "0.9091", "0.0193"),
        ("20,200", "0.0909", "0.0193"),
        ("300", "0.5000", "0.0204"),
        ("400", "0.5000", "0.0177"),
        ("999999", "0.5000", "0.0004"),
    ],
)
def test_a_peaked_alpha_has_its_mean_and_deviation(capsys, alpha, mean, deviation):
    arguments = ["--size", "4", "--method", "mixup,hmix", "--alpha", alpha]
    assert cli.main(["inspect", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "nan" not in printed
    for method in ("mixup", "hmix"):
        line = re.search(rf"^{method} .*  exact$", printed, re.MULTILINE)[0].split()
        assert line[-3:] == [mean, deviation, "exact"]


def test_the_least_alpha_has_no_ratio_but_an_answer(capsys):
    arguments = ["--size", "4", "--method", "mixup", "--alpha", "1e-320"]
    assert cli.main(["inspect", *arguments]) == 0
    assert "nan" not in capsys.readouterr().out
