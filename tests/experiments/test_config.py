"""Configs: what they mean, and what is wrong with them in one line."""

import re

import pytest

from keras_msda import CutMixLayer, MixUpLayer, RandomMixLayer
from keras_msda.experiments import _config, _methods

METHODS = {
    "unknown method": ("{none: {}, mixupp: {}}", "mixupp.*Did you mean mixup"),
    "no method by a row's own name": ("{Best: {alpha: 1}}", "Best.*unknown method"),
    "unknown option": ("{cutmix: {boarder: wrap}}", "cutmix: .*boarder.*mean border"),
    "option of none": ("{none: {alpha: 1}}", "none: unknown key.*alpha"),
    "alpha of the wrong kind": ("{mixup: {alpha: much}}", "mixup: MixUp.*alpha.*much"),
    "alpha out of range": ("{mixup: {alpha: -1}}", "mixup: MixUp.*alpha.*-1"),
    "alpha where there is none": ("{resizemix: {alpha: 1}}", "resizemix.*alpha"),
    "what we set": ("{mixup: {targets: soft}}", "mixup: unknown key.*targets"),
    "options that are a number": ("{mixup: 3}", "mixup: must be a mapping.*3"),
    "random of nothing": ("{random: {}}", "random: of: must be a list"),
    "random of unknown": ("{random: {of: [mixup, cutmux]}}", "of: .*cutmux.*cutmix"),
    "random of salient": ("{random: {of: [puzzlemix]}}", "random: RandomMix.*Puzzle"),
    "the same twice": ("{mixup: {}, again: {method: mixup}}", "differ.*mixup, again"),
    "no row of none": ("{mixup: {}}\nrecommend: true", "recommend: needs a row"),
    "row of another kind": ("{3: {method: mixup}}", "must be texts.*3"),
}
VALUES = {
    "unknown key": ({"epoch": 3}, r"unknown key.*epoch.*mean epochs"),
    "missing": ({"title": ""}, "title: is required"),
    "wrong type": ({"epochs": "many"}, "epochs: must be a whole number from 1.*many"),
    "truth for a number": ({"epochs": "true"}, "epochs: must be .*True"),
    "no whole number": ({"batch_size": 2.5}, "batch_size: .*2.5"),
    "number as a text": ({"weight_decay": "5e-4"}, "weight_decay: .*5e-4.*5.0e-4"),
    "out of range": ({"wrong_labels": 1.0}, r"wrong_labels: .*\[0, 1\).*1.0"),
    "empty list": ({"seeds": "[]"}, r"seeds: must be a list, of one at least.*\[\]"),
    "duplicates": ({"seeds": "[1, 2, 1]"}, "seeds: must have each value once.*1 twice"),
    "no list of seeds": ({"seeds": 3}, "seeds: must be a list.*3"),
    "unknown network": ({"network": "resnet9"}, "network: .*resnet9.*mean resnet8"),
    "unknown schedule": ({"schedule": "linear"}, "schedule: must be cosine.*linear"),
    "steps that fall": ({"schedule": "{at: [0.7, 0.5], factor: 0.1}"}, "schedule"),
    "unknown score": ({"scores": "{fgms: [1]}"}, "scores: unknown.*fgms.*mean fgsm"),
    "level out of range": ({"scores": "{blur: [0]}"}, "scores: blur: .*0"),
    "no levels": ({"scores": "{blur: []}"}, "scores: blur: must be a list"),
    "warm-up too long": ({"warmup_epochs": 2}, "warmup_epochs: .*at most the 1 epochs"),
    "no published source": ({"published": "{rows: {none: 1}}"}, "published: source"),
    "published row unknown": (
        {"published": "{source: x, rows: {nonne: 1}}"},
        "published: rows: unknown.*nonne.*mean none",
    ),
    "published out of range": (
        {"published": "{source: x, rows: {none: 767}}"},
        "rows: none: .*per cent.*767",
    ),
}


def check_error(path, pattern):
    with pytest.raises(ValueError, match=pattern) as caught:
        _config.read_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}")
    assert re.search("[Rr]eceived", message)
    assert "\n" not in message


@pytest.mark.whole
@pytest.mark.parametrize("case", VALUES)
def test_a_wrong_value_is_told_by_its_key(case, write_config):
    changes, pattern = VALUES[case]
    check_error(write_config(**changes), pattern)


@pytest.mark.whole
@pytest.mark.parametrize("case", METHODS)
def test_a_wrong_method_is_told_by_its_row(case, write_config):
    methods, pattern = METHODS[case]
    path = write_config()
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([*lines[: lines.index("methods:")], f"methods: {methods}"])
    )
    check_error(path, pattern)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("[a, b]", r"must be a mapping of keys\. Received: \['a', 'b'\]"),
        ("title: x\ntitle: y", "line 2: the key 'title' is there twice"),
        ("title: [", "is not valid YAML"),
        ("title: x\nmethods: {mixup: {}, mixup: {}}", "'mixup' is there twice"),
        (
            "a: !!python/object/apply:os.getcwd []",
            "is not valid YAML.*could not determine",
        ),
    ],
)
def test_what_is_no_config_is_told(text, pattern, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"bad.yaml.*{pattern}"):
        _config.read_config(path)


def test_runs_are_all_combinations_with_seeds_together(write_config):
    path = write_config(
        data="[mnist-5k, fashion-mnist]", train_images="[64, null]", wrong_labels=0.2
    )
    runs = _config.read_config(path).list_runs()
    assert len(runs) == 2 * 2 * 2 * 2
    assert len(set(map(str, runs))) == len(runs)
    first = [(run.row, run.seed) for run in runs[:4]]
    assert first == [("none", 0), ("mixup", 0), ("none", 1), ("mixup", 1)]
    assert {run.group.train_images for run in runs} == {64, None}
    assert {run.group.wrong_labels for run in runs} == {0.2}


def test_defaults_are_filled_in(small):
    settings = small.settings
    assert (settings["optimizer"], settings["learning_rate"]) == ("sgd", 0.1)
    assert settings["scores"] == {"fgsm": (4,), "noise": (0.1,)}
    assert small.groups == (_config.Group("mnist-5k", "resnet8", 64, 0),)
    assert small.name == "small"


def test_a_check_does_each_row_of_each_network_once(write_config):
    path = write_config(epochs=50, train_images="[1000, null]", wrong_labels="[0, 0.1]")
    small = _config.shrink(_config.read_config(path))
    runs = small.list_runs()
    assert [(run.row, run.seed) for run in runs] == [("none", 0), ("mixup", 0)]
    assert runs[0].group[2:] == (100, 0.1)
    assert runs[0].settings["epochs"] == 1
    assert runs[0].settings["test_images"] == 20


def test_a_check_makes_large_images_smaller(write_config):
    shrunk = [
        _config.shrink(_config.read_config(write_config(image_size=side)))
        for side in (224, 32)
    ]
    assert [config.settings["image_size"] for config in shrunk] == [64, 32]


def test_options_reach_the_layer():
    layer = _methods.make_layer(
        {"method": "cutmix", "border": "wrap", "alpha": 0.3}, seed=4, targets="pair"
    )
    assert isinstance(layer, CutMixLayer)
    assert (layer.border, layer.alpha, layer.seed) == ("wrap", 0.3, 4)
    assert layer.targets == "pair"


def test_a_random_choice_has_its_members_and_their_options(write_config):
    path = write_config()
    text = path.read_text() + "  mix: {method: random, of: [mixup, "
    path.write_text(text + "{method: cutmix, alpha: 2.0}], weights: [1, 3]}\n")
    config = _config.read_config(path)
    layer = _methods.make_layer(config.methods["mix"], seed=0, targets="pair")
    assert isinstance(layer, RandomMixLayer)
    assert [type(x) for x in layer.layers] == [MixUpLayer, CutMixLayer]
    assert layer.layers[1].alpha == 2.0
    assert layer.weights_of_layers == [1, 3]


def test_manifold_has_the_papers_alpha():
    layer = _methods.make_layer({"method": "manifold"}, seed=0)
    assert layer.alpha == 2.0
    layer = _methods.make_layer({"method": "manifold", "alpha": 0.5}, seed=0)
    assert layer.alpha == 0.5


def test_gradients_are_measured_without_mixing_alone(write_config):
    config = _config.read_config(write_config(recommend="true"))
    runs = {run.row: run for run in config.list_runs()}
    assert runs["none"].settings["recommend"] is True
    assert runs["mixup"].settings["recommend"] is False


def test_a_pair_of_alphas_is_a_list():
    layer = _methods.make_layer({"method": "mixup", "alpha": [2, 1]}, seed=0)
    assert layer.alpha == (2, 1)
