"""The registry of methods, and that one more line in it is known everywhere."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_msda as msda
from keras_msda import analysis, cli, layers, plot, testing
from keras_msda.layers import METHODS, Method
from keras_msda.layers.base import MixLayer
from keras_msda.masks import Mask
from keras_msda.plot import style

NAMES = ["mixup", "cutmix", "hmix", "gmix", "fmix"]
NAMES += ["gridmix", "smoothmix", "resizemix", "saliencymix", "puzzlemix"]
COLOR = "#7f3c8d"


class VerticalSplitLayer(MixLayer):
    """Shows the own image left of a cut, and the partner right of it.

    Args:
        alpha: Parameters of lambda, the share at the left.
        least: Least share at the left.
        **kwargs: Shared arguments.
    """

    symmetric = False

    def __init__(self, alpha=1.0, *, least=0.0, **kwargs):
        super().__init__(alpha, **kwargs)
        self.least = least

    def sample_params(self, lam, size, *, seed):  # noqa: ARG002
        width = keras.ops.cast(size[-1], "float32")
        return keras.ops.round(keras.ops.maximum(lam, self.least) * width)

    def mask(self, params, size):
        column = keras.ops.arange(size[-1], dtype="float32")
        shape = (-1, *[1] * (len(size) - 1), size[-1])
        left = keras.ops.reshape(column < params[:, None], shape)
        return Mask(0.0 * params, 0.0 * params + 1.0, (left,))

    def mask_weight(self, params, size):
        return params / keras.ops.cast(size[-1], "float32")

    def get_config(self):
        return super().get_config() | {"least": self.least}


@pytest.fixture
def split(monkeypatch):
    """The registry has one method more."""
    method = Method(VerticalSplitLayer, "Nobody, 2026", "https://example.org", COLOR)
    monkeypatch.setitem(METHODS, method.name, method)
    return method


def train(out, *arguments):
    common = ("--epochs", "1", "--limit", "50", "--batch-size", "20", "--floor", "0")
    common = (*common, "--method", "verticalsplit", "--out", str(out))
    return cli.main(["train", *common, *arguments])


def inspect(capsys, *arguments):
    assert cli.main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def test_the_laws_hold_for_one_more_method():
    worlds = ("eager", "graph", "pipeline")
    layer = VerticalSplitLayer(least=0.25, seed=1)
    laws = testing.check_layer(layer, sizes=((5,), (4, 6)), worlds=worlds)
    assert {law for law, _ in laws} >= {"weight", "blend"}


# The registry itself.


def test_every_layer_but_the_random_choice_is_a_method():
    exported = [getattr(layers, name) for name in layers.__all__]
    kinds = {x for x in exported if isinstance(x, type) and issubclass(x, MixLayer)}
    kinds -= {MixLayer, layers.RandomMixLayer}
    assert {method.layer for method in METHODS.values()} == kinds


def test_names_and_labels_are_those_of_the_classes():
    assert list(METHODS) == NAMES
    labels = [method.label for method in METHODS.values()]
    assert labels[:5] == ["MixUp", "CutMix", "HMix", "GMix", "FMix"]
    assert labels[5:9] == ["GridMix", "SmoothMix", "ResizeMix", "SaliencyMix"]
    assert labels[9:] == ["PuzzleMix"]
    for name, method in METHODS.items():
        assert method.name == name
        assert getattr(msda, f"{method.label}Layer") is method.layer


def test_options_are_what_a_layer_does_not_share():
    assert {name: method.options for name, method in METHODS.items()} == {
        "mixup": {},
        "cutmix": {
            "border": None,
            "ratio_range": None,
            "ratio_endpoint": True,
            "exact_weight": True,
        },
        "hmix": {"box_ratio": 0.5, "border": "clip"},
        "gmix": {"border": "clip"},
        "fmix": {"decay_power": 3.0, "max_soft": 0.0, "spectrum": "isotropic"},
        "gridmix": {"grid": 4, "exact_count": True},
        "smoothmix": {"sigma_range": (0.25, 0.5)},
        "resizemix": {"scale_range": (0.1, 0.8)},
        "saliencymix": {"border": "inside"},
        "puzzlemix": {
            "blocks": (2, 4, 8, 16),
            "labels": 3,
            "smoothness": 1.2,
            "data_smoothness": 0.5,
            "prior": 0.2,
            "transport": True,
            "transport_cost": 0.8,
            "iterations": 100,
        },
    }


def test_papers_have_an_address_and_colours_differ():
    for method in METHODS.values():
        assert re.search(r", 20\d\d$", method.paper)
        assert re.fullmatch(r"https://[a-z.]+/\S+", method.url)
    assert len({method.color for method in METHODS.values()}) == len(METHODS)


# One line more.


def test_the_made_up_method_mixes_as_it_says():
    layer = VerticalSplitLayer(pairing="roll", least=0.5)
    images = np.random.default_rng(0).random((3, 4, 8, 1), "float32")
    plan = layer.sample(3, (4, 8), seed=(1, 2), lam=[0.2, 0.6, 1.0])
    mixed = msda.mix_images(images, plan, data_format="channels_last")
    for row, left in enumerate((4, 5, 8)):
        expected = np.concatenate(
            [images[row, :, :left], images[row - 1, :, left:]], axis=1
        )
        np.testing.assert_array_equal(mixed[row], expected)
    np.testing.assert_allclose(plan.weight, [4 / 8, 5 / 8, 1], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("place", ["model", "pipeline"])
@pytest.mark.usefixtures("split")
def test_train_knows_it(tmp_path, capsys, place):
    assert train(tmp_path, "--in", place) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["verticalsplit"]
    printed = capsys.readouterr().out
    assert re.search(r"^verticalsplit  +\d+\.\d\d% ", printed, re.MULTILINE)
    saved = np.load(tmp_path / "plans.npz")
    # Digits are 28 pixels wide, and lambda is 0.3, 0.5 and 0.7.
    columns = np.array([8, 14, 20])
    expected = np.arange(28) < columns[:, None, None]
    mask = np.broadcast_to(expected, (3, 28, 28))
    np.testing.assert_array_equal(saved["verticalsplit_mask"], mask)
    weight = saved["verticalsplit_weight"]
    np.testing.assert_allclose(weight, columns / 28, rtol=1e-6)


@pytest.mark.usefixtures("split")
def test_train_runs_it_with_all(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"some of none, {', '.join(NAMES)}, verticalsplit, manifold;" in printed


@pytest.mark.long
@pytest.mark.usefixtures("split")
def test_preview_knows_it(tmp_path, capsys):
    paths = [tmp_path / name for name in ("a.png", "b.png", "out.png")]
    for path, value in zip(paths, (50, 250), strict=False):
        Image.new("L", (10, 6), value).save(path)
    first, second, out = map(str, paths)
    assert cli.main(["preview", first, second, "-o", out, "--lam", "0.42"]) == 0
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in lines[:-1]]
    assert labels == [method.label for method in METHODS.values()]
    # 4 of 10 columns.
    assert lines[-2].split() == ["VerticalSplit", "lambda", "0.42", "weight", "0.40"]


@pytest.mark.usefixtures("split")
def test_inspect_knows_it_and_its_own_option(capsys):
    arguments = ("--method", "verticalsplit,mixup", "--size", "4x8")
    text = inspect(capsys, *arguments, "--lam", "0.1", "--least", "0.25")
    assert text.startswith("4x8 pixels, lambda ~ Beta(1, 1), least 0.25\n")
    lines = [x.split() for x in text.splitlines() if x.startswith("verticalsplit")]
    # Least, mean and most of the mask, then mean and deviation of the weight.
    assert lines[0][1:6] == ["0.0000", "0.2500", "1.0000", "0.2500", "0.0000"]
    assert [line[1] for line in lines[1:]] == ["drawn", "error", "paper's"]
    layer = VerticalSplitLayer(least=0.25)
    found = analysis.regularization_coefficients(layer, (4, 8), draws=1000, seed=0)
    expected = analysis.by_distance(found.second).value[[0, 1, 2, 4, 8]]
    printed = [float(number) for number in lines[1][2:7]]
    np.testing.assert_allclose(printed, expected, rtol=0, atol=5.1e-5)


@pytest.mark.usefixtures("split")
def test_its_option_belongs_to_it_alone(capsys):
    assert cli.main(["inspect", "--method", "mixup", "--least", "0.5"]) == 2
    assert "--least belongs to verticalsplit." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["inspect", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "of verticalsplit (default 0.0)" in printed
    assert "of hmix (default 0.5)" in printed


def test_without_it_there_is_no_such_method_or_option(capsys):
    for arguments in (["--method", "verticalsplit"], ["--least", "0.5"]):
        with pytest.raises(SystemExit):
            cli.main(["inspect", *arguments])
        assert re.search("unknown method|unrecognized", capsys.readouterr().err)


@pytest.mark.usefixtures("split")
def test_figures_draw_it_in_its_colour():
    names = ("another", *(method.label for method in METHODS.values()))
    lines = style.lines_of(names)
    assert {name: lines[name].color for name in names[1:]} == {
        method.label: method.color for method in METHODS.values()
    }
    assert len({line.color for line in lines.values()}) == len(names)
    assert len({line.marker for line in lines.values()}) == len(names)
    layer = VerticalSplitLayer()
    found = analysis.regularization_coefficients(layer, (4, 4), draws=10)
    figure = plot.coefficients({"VerticalSplit": found})
    assert {line.get_color() for line in figure.axes[0].lines} == {COLOR}
    images = np.zeros((2, 4, 4, 1), np.uint8)
    figure = plot.mixes(images, [VerticalSplitLayer(pairing="roll")], lam=0.5)
    assert figure.axes[0].get_ylabel() == "VerticalSplit"


def test_a_mask_of_it_is_drawn_as_any_other():
    found = analysis.mask_set(VerticalSplitLayer(), (2, 4), lam=0.5, draws=3)
    expected = np.broadcast_to([1.0, 1.0, 0.0, 0.0], (len(found.mask), 2, 4))
    np.testing.assert_array_equal(found.mask, expected)


@pytest.mark.usefixtures("split")
def test_recommend_compares_it():
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype("float32")
    found = analysis.recommend(model, images, np.arange(4) % 2, draws=50, verbose=0)
    rows = {row.name: row for row in found.methods}
    left_out = {"SmoothMix", "ResizeMix", "SaliencyMix", "PuzzleMix"}
    assert set(rows) == {method.label for method in METHODS.values()} - left_out
    layer = VerticalSplitLayer()
    expected = analysis.regularization_coefficients(layer, (6, 6), draws=50, seed=0)
    center = tuple(length // 2 for length in expected.second.shape)
    np.testing.assert_allclose(rows["VerticalSplit"].zero, expected.second[center])
