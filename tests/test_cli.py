"""The command line: exit codes, messages, and the data behind its pictures."""

import contextlib
import errno
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import keras_msda as msda
from keras_msda import cli, datasets, plot
from keras_msda.cli import _files, _inspect, _parser, _preview, _report, _train
from keras_msda.layers import METHODS
from tests.support import listening

FIELDS = ("images", "partner", "mask", "weight", "mixed", "lam")
# A method of each kind: with masks alone, moved partners, a second pass.
MIXING = ("fmix", "resizemix", "puzzlemix")
# A folder that lets nobody make a file, whoever runs the tests.
REFUSING = "/dev/fd"
# Whole batches alone: another one would be traced anew.
QUICK = ("--epochs", "1", "--limit", "200", "--batch-size", "40", "--floor", "0")


def run_train(out, *arguments):
    return cli.main(["train", "--out", str(out), *QUICK, *arguments])


def build_tiny(shape, classes):
    """Stands for the network where a test is not about it."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3, strides=3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, "softmax"),
        ]
    )


@pytest.fixture
def tiny(monkeypatch):
    """Trains a network of which tracing takes less time."""
    monkeypatch.setattr(_train, "build_backbone", build_tiny)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One quick run of everything, for several tests."""
    out = tmp_path_factory.mktemp("demo") / "results"
    methods = ",".join(["none", "manifold", *MIXING])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_train, "build_backbone", build_tiny)
        assert run_train(out, "--method", methods) == 0
    return out


@pytest.fixture
def photos(tmp_path):
    """Two small pictures of noise."""
    paths = []
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(noise).save(paths[-1])
    return paths


def run_preview(photos, out, *arguments):
    return cli.main(["preview", *map(str, photos), "-o", str(out), *arguments])


# Training.


@pytest.mark.slow
def test_every_row_is_in_the_results(demo):
    results = json.loads((demo / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == ["none", *MIXING, "manifold"]
    assert (results["train_images"], results["test_images"]) == (160, 40)
    for row in results["rows"]:
        assert 0 <= row["accuracy"] <= 1
        assert row["loss"] > 0
        assert row["seconds"] > 0


@pytest.mark.slow
def test_the_picture_is_one(demo):
    with Image.open(demo / "picture.png") as picture:
        picture.load()
    assert min(picture.size) > 400


@pytest.mark.slow
@pytest.mark.parametrize("method", MIXING)
def test_the_saved_mask_has_the_printed_weight_as_its_mean(demo, method):
    saved = np.load(demo / "plans.npz")
    means = saved[f"{method}_mask"].mean((1, 2))
    np.testing.assert_allclose(means, saved[f"{method}_weight"], rtol=0, atol=1e-6)
    panels = plot.Panels(method, *(saved[f"{method}_{field}"] for field in FIELDS))
    for sample, axes in enumerate(plot.panel_figure([panels]).axes[3:12:4]):
        printed = float(axes.get_title().removeprefix("mix\nweight "))
        np.testing.assert_allclose(means[sample], printed, rtol=0, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("method", MIXING)
def test_the_saved_mix_is_mix_images_of_the_originals(demo, method):
    saved = np.load(demo / "plans.npz")
    values = {field: saved[f"{method}_{field}"] for field in FIELDS}
    layer, share = METHODS[method].layer(), values["mask"][..., None]
    plan = msda.MixPlan(values["partner"], values["mask"], values["weight"])
    mixed = msda.mix_images(values["images"], plan, data_format="channels_last")
    other = values["images"][values["partner"]]
    by_hand = share * values["images"] + (1 - share) * other
    # How images are moved is not saved: what does not move is left.
    seen = share == 1 if layer.moves_partner else share >= 0
    seen = seen & (not layer.moves_own)
    for expected, atol in ((mixed, 0), (by_hand, 1e-6)):
        expected = np.where(seen, expected, values["mixed"])
        np.testing.assert_allclose(values["mixed"], expected, rtol=0, atol=atol)
    # Mixed with somebody else, and in a part that lambda asked for.
    assert (values["partner"] != np.arange(3)).all()
    lam = (0.3, 0.5, 0.7) if layer.has_lam else (np.nan,) * 3
    np.testing.assert_allclose(values["lam"], lam, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_pictures_originals_are_training_pictures(demo):
    parts = datasets.split(datasets.load(), seed=0, limit=200)
    first = [np.flatnonzero(parts.train_labels == label)[0] for label in range(3)]
    np.testing.assert_array_equal(
        np.load(demo / "plans.npz")["fmix_images"],
        (parts.train_images[first] / 255).astype(np.float32),
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["model", "pipeline"])
def test_a_row_learns_in_either_place(tmp_path, capsys, place):
    arguments = ("--in", place, "--epochs", "4", "--limit", "1500", "--floor", "0.6")
    assert run_train(tmp_path, "--method", "hmix", *arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rows"][0]["accuracy"] >= 0.7
    assert results["settings"]["place"] == place
    printed = capsys.readouterr().out
    assert re.search(r"^hmix +\d+\.\d\d% +\d\.\d{4}$", printed, re.MULTILINE)
    assert "\nThese digits are easy" in printed
    assert printed.endswith(f"\nThe picture is in {tmp_path / 'picture.png'}.\n")


@pytest.mark.slow
@pytest.mark.xla
@pytest.mark.usefixtures("tiny")
def test_xla_compiles_the_step(tmp_path, monkeypatch):
    compiled = []
    original = keras.Model.compile

    def spy(model, *given, **settings):
        compiled.append(settings["jit_compile"])
        original(model, *given, **settings)

    monkeypatch.setattr(keras.Model, "compile", spy)
    assert run_train(tmp_path, "--method", "cutmix", "--jit") == 0
    assert compiled == [True]
    row = json.loads((tmp_path / "results.json").read_text())["rows"][0]
    assert row["method"] == "cutmix"
    assert np.isfinite(row["loss"])


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_every_row_starts_from_the_same_weights(tmp_path, monkeypatch):
    seen = []
    original = _train._train_row

    def spy(method, backbone, *rest):
        seen.append([weights.copy() for weights in backbone.get_weights()])
        return original(method, backbone, *rest)

    monkeypatch.setattr(_train, "_train_row", spy)
    assert run_train(tmp_path, "--method", "none,mixup") == 0
    assert len(seen) == 2
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_one_seed_gives_one_result(tmp_path):
    for out in ("one", "two"):
        assert run_train(tmp_path / out, "--method", "gmix", "--seed", "5") == 0
    rows = [
        json.loads((tmp_path / out / "results.json").read_text())["rows"][0]
        for out in ("one", "two")
    ]
    assert rows[0]["accuracy"] == rows[1]["accuracy"]
    np.testing.assert_allclose(rows[0]["loss"], rows[1]["loss"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_row_under_the_floor_is_named_and_exits_with_1(tmp_path, capsys):
    assert run_train(tmp_path, "--method", "none", "--floor", "1") == 1
    assert re.search(
        r"none: accuracy .* under the floor of 100.00%", capsys.readouterr().out
    )
    assert (tmp_path / "results.json").is_file()


def test_the_floor_is_reached_exactly_and_not_by_nan():
    row = _report.Row("fmix", 0.9, 0.1, 1.0)
    assert _report.judge([row], 0.9) == 0
    assert _report.judge([row], 0.91) == 1
    assert _report.judge([row._replace(accuracy=float("nan"))], 0.0) == 1


def test_the_table_has_a_line_per_row():
    rows = [
        _report.Row("none", 0.98765, 0.05, 3.0),
        _report.Row("hmix", 0.9, 0.25, 4.0),
    ]
    lines = _report.format_table(rows).splitlines()
    assert lines[0].split() == ["method", "accuracy", "loss"]
    assert lines[1].split() == ["none", "98.77%", "0.0500"]
    assert lines[2].split() == ["hmix", "90.00%", "0.2500"]


def test_the_time_left_is_that_of_the_rows_to_come():
    assert _report.estimate_left(0, 12, 0.0) == ""
    assert _report.estimate_left(2, 12, 14.0) == ", about 70 s left"
    assert _report.estimate_left(1, 12, 60.0) == ", about 11 min left"


def test_the_network_has_the_promised_size():
    model = _train.build_backbone((28, 28, 1), 10)
    assert 50_000 <= model.count_params() <= 100_000


class Interrupting(keras.callbacks.Callback):
    """Interrupts in the second step."""

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        if batch:
            raise KeyboardInterrupt


def interrupt_fit(monkeypatch, number):
    """Interrupts the call of `fit` that has this number, in its second step."""
    original, calls = keras.Model.fit, itertools.count(1)

    def fit(*given, **settings):
        if next(calls) == number:
            settings["callbacks"] = [Interrupting()]
        return original(*given, **settings)

    monkeypatch.setattr(keras.Model, "fit", fit)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_an_interrupt_keeps_what_was_finished(tmp_path, monkeypatch, capsys):
    interrupt_fit(monkeypatch, 3)
    assert run_train(tmp_path, "--method", "none,hmix,fmix") == 130
    printed = capsys.readouterr().out
    assert "Interrupted. Finished rows: none, hmix." in printed
    assert re.search(r"^hmix +\d", printed, re.MULTILINE)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["none", "hmix"]
    assert (tmp_path / "picture.png").is_file()
    names = np.load(tmp_path / "plans.npz").files
    assert sorted(names) == sorted(f"hmix_{field}" for field in FIELDS)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_an_interrupt_in_the_first_row_leaves_nothing(tmp_path, monkeypatch, capsys):
    interrupt_fit(monkeypatch, 1)
    assert run_train(tmp_path, "--method", "none") == 130
    assert capsys.readouterr().out.endswith("\nInterrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_training_says_so(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    assert run_train(tmp_path) == 130
    assert capsys.readouterr().err == "keras-msda: interrupted\n"


@pytest.mark.processes
@pytest.mark.slow
def test_ctrl_c_in_mid_training_leaves_the_finished_row(tmp_path):
    arguments = ("train", "--out", str(tmp_path), "--method", "none,cutmix")
    few = ("--epochs", "2", "--limit", "1000", "--floor", "0")
    process = subprocess.Popen(
        listening.python("-um", "keras_msda", *arguments, *few),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        # The second row is through its first epoch.
        if "[2/2]" in line:
            next(line for line in process.stdout if re.match(r"\d+/\d+", line))
            process.send_signal(signal.SIGINT)
            break
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Finished rows: none." in printed
    assert "Traceback" not in errors
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["none"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--method", "cutmx"], "unknown method 'cutmx', known are all, none, mixup"),
        (["--epochs", "0"], "whole number from 1 to .*, got '0'"),
        (["--epochs", "two"], "got 'two'"),
        (["--seed", "-1"], "expected one argument|whole number from 0"),
        (["--seed", "4294967296"], "got '4294967296'"),
        (["--batch-size", "1"], "whole number from 2"),
        (["--floor", "90"], r"number in \[0, 1\], got '90'"),
        (["--floor", "nan"], "got 'nan'"),
        (["--in", "layer"], "invalid choice: 'layer'"),
        (["--seed", "9" * 5000], "got '9999"),
        (["--floor", "inf"], "got 'inf'"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_wrong_argument_of_train_is_one_line(capsys, arguments, expected):
    with pytest.raises(SystemExit) as left:
        cli.main(["train", *arguments])
    assert left.value.code == 2
    errors = capsys.readouterr().err
    assert re.search(expected, errors)
    assert errors.count("\n") == 1


def test_no_command_is_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 2
    assert "train | preview" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [[], ["train"], ["preview"], ["inspect"], ["experiment"]]
)
def test_help_is_printed(capsys, command):
    with pytest.raises(SystemExit) as left:
        cli.main([*command, "--help"])
    assert left.value.code == 0
    assert "usage: keras-msda" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"keras-msda {msda.__version__}\n"


def forbid_training(monkeypatch):
    def fail(*_):
        raise AssertionError("the output must be checked before the data are read")

    monkeypatch.setattr(datasets, "load", fail)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("none/results", "parent .*none does not exist"),
        ("file/results", "parent .*file does not exist"),
        ("file", "cannot write in the output folder .*file"),
    ],
)
def test_a_wrong_output_folder_is_found_first(
    tmp_path, monkeypatch, capsys, folder, expected
):
    forbid_training(monkeypatch)
    (tmp_path / "file").write_text("")
    assert run_train(tmp_path / folder) == 2
    errors = capsys.readouterr().err
    assert re.search(expected, errors)
    assert errors.count("\n") == 1


def test_an_output_folder_that_refuses_writing_is_found_first(monkeypatch, capsys):
    forbid_training(monkeypatch)
    for folder in (REFUSING, f"{REFUSING}/results"):
        assert run_train(folder) == 2
        assert f"cannot write in the output folder {folder}" in capsys.readouterr().err


def test_unknown_data_are_one_line(tmp_path, capsys):
    assert run_train(tmp_path, "--data", "no-such") == 2
    errors = capsys.readouterr().err
    assert "Received: 'no-such'" in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_user_s_folder_of_pictures_is_trained_on(tmp_path, capsys):
    generator = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for number in range(10):
            size = (12, 12) if number else (24, 24)
            values = generator.integers(0, 128, (*size, 3), np.uint8) + 127 * label
            Image.fromarray(values).save(tmp_path / name / f"{number}.png")
    out = tmp_path.parent / f"{tmp_path.name}-out"
    arguments = ("--data", str(tmp_path), "--method", "none,cutmix")
    assert run_train(out, *arguments) == 0
    printed = capsys.readouterr()
    assert "2 of 20 pictures were resized to 12x12" in printed.err
    assert "digits" not in printed.out
    assert re.search(r"\[2/2\] cutmix, about \d+ s left", printed.out)
    assert np.load(out / "plans.npz")["cutmix_images"].shape == (2, 12, 12, 3)


# The preview.


def test_the_preview_prints_lambda_and_weight(photos, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert run_preview(photos, out, "--lam", "0.25", "--method", "mixup,hmix") == 0
    captured = capsys.readouterr()
    assert "MixUp   lambda 0.25  weight 0.25" in captured.out
    assert "HMix    lambda 0.25" in captured.out
    assert "CutMix" not in captured.out
    assert captured.err == ""
    with Image.open(out) as picture:
        assert picture.size[0] > 800


@pytest.mark.long
def test_the_preview_mixes_the_first_picture_with_the_second(photos, monkeypatch):
    rows = []
    original = plot.panel_figure
    monkeypatch.setattr(
        plot,
        "panel_figure",
        lambda given, **kw: rows.extend(given) or original(given, **kw),
    )
    assert run_preview(photos, photos[0].with_name("out.png")) == 0
    first, second = (np.asarray(Image.open(path)) / 255 for path in photos)
    methods = METHODS.values()
    assert [row.name for row in rows] == [method.label for method in methods]
    for row, method in zip(rows, methods, strict=True):
        if method.layer().moves_partner:
            continue
        share = row.mask[0][..., None]
        expected = share * first + (1 - share) * second
        np.testing.assert_allclose(row.mixed[0], expected, rtol=0, atol=1e-6)


@pytest.mark.long
def test_another_size_is_resized_and_said(photos, tmp_path, capsys):
    Image.new("RGB", (7, 50), "red").save(photos[1])
    assert run_preview(photos, tmp_path / "out.png") == 0
    errors = capsys.readouterr().err
    assert "1.png: resized from 7x50 to 30x20, as 0.png" in errors
    assert errors.count("\n") == 1


@pytest.mark.long
def test_large_pictures_are_made_smaller_and_it_is_said(photos, tmp_path, capsys):
    assert run_preview(photos, tmp_path / "out.png", "--size", "15") == 0
    errors = capsys.readouterr().err
    assert "0.png: resized from 30x20 to 15x10" in errors
    assert "1.png: resized from 30x20 to 15x10" in errors
    assert ", as" not in errors


def test_grey_alpha_and_sixteen_bits_go_together(photos, tmp_path, capsys):
    Image.fromarray(np.full((20, 30), 65535, np.uint16)).save(photos[0])
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(photos[1])
    assert run_preview(photos, tmp_path / "out.png", "--method", "cutmix") == 0
    errors = capsys.readouterr().err
    assert "0.png: 16 bits were scaled to 8" in errors
    assert "1.png: transparency was laid on white" in errors


@pytest.mark.parametrize("content", [b"", b"not a picture", b"half"])
def test_a_broken_picture_is_one_line(photos, tmp_path, capsys, content):
    whole = photos[1].read_bytes()
    photos[1].write_bytes(whole[: len(whole) // 2] if content == b"half" else content)
    assert run_preview(photos, tmp_path / "out.png") == 2
    errors = capsys.readouterr().err
    assert re.match(r"keras-msda: error: .*1\.png cannot be read", errors)
    assert errors.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_a_missing_picture_is_one_line(photos, tmp_path, capsys):
    photos[0].unlink()
    assert run_preview(photos, tmp_path / "out.png") == 2
    errors = capsys.readouterr().err
    assert re.search(r"0\.png: No such file", errors)
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none/out.png", "folder .*none does not exist"),
        ("0.png/out.png", "does not exist"),
        ("out.txt", r"must end in one of \.png"),
        ("out", r"must end in one of \.png"),
        ("0.png", "would replace an input"),
        ("folder.png", "is a folder"),
    ],
)
def test_a_wrong_output_file_is_found_first(photos, tmp_path, capsys, name, expected):
    (tmp_path / "folder.png").mkdir()
    photos[1].unlink()  # Reading it would be an error, too.
    assert run_preview(photos, tmp_path / name) == 2
    errors = capsys.readouterr().err
    assert re.search(expected, errors)
    assert errors.count("\n") == 1


def test_an_output_that_refuses_writing_is_found_first(photos, capsys):
    photos[1].unlink()
    assert run_preview(photos, f"{REFUSING}/out.png") == 2
    assert f"cannot write the output {REFUSING}/out.png" in capsys.readouterr().err


def test_checking_the_output_leaves_no_trace(photos, tmp_path):
    kept = tmp_path / "old.png"
    kept.write_bytes(b"old")
    photos[1].write_bytes(b"broken")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run_preview(photos, kept) == 2
    assert run_preview(photos, tmp_path / "new.png") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert kept.read_bytes() == b"old"


@pytest.mark.parametrize("lam", ["-0.1", "1.5", "half"])
def test_a_wrong_lambda_is_one_line(photos, tmp_path, capsys, lam):
    with pytest.raises(SystemExit) as left:
        run_preview(photos, tmp_path / "out.png", f"--lam={lam}")
    assert left.value.code == 2
    assert f"must be a number in [0, 1], got '{lam}'" in capsys.readouterr().err


def test_missing_extras_name_the_remedy(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "keras_msda.cli._preview", raising=False)
    monkeypatch.delattr(cli, "_preview", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for name in [name for name in sys.modules if name.startswith("keras_msda.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(msda, "plot", raising=False)
    assert run_preview(photos, tmp_path / "out.png") == 2
    errors = capsys.readouterr().err
    assert "pip install 'keras_msda[demo]'" in errors
    assert errors.count("\n") == 1


# What is no file, and what cannot be written.


@pytest.fixture
def odd(tmp_path):
    """A folder of things that are no pictures, each named as one."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder.png").mkdir()
    (folder / "device.png").symlink_to("/dev/zero")
    with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
    return folder


ODD = {
    "pipe.png": "is a pipe",
    "loop.png": "symbolic links",
    "folder.png": "is a folder",
    "device.png": "device",
    "socket.png": "socket",
}


def only_line(capsys):
    """Returns what was said, one line on the errors' side."""
    errors = capsys.readouterr().err
    assert errors.startswith("keras-msda: error: ")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", [0, 1])
def test_an_input_that_is_no_file_is_one_line(photos, odd, capsys, name, place):
    photos[place] = odd / name
    assert run_preview(photos, odd / "out.png") == 2
    errors = only_line(capsys)
    assert ODD[name] in errors
    assert name in errors
    assert not (odd / "out.png").exists()


@pytest.mark.parametrize("name", ODD)
def test_an_output_that_is_no_file_is_one_line(photos, odd, monkeypatch, capsys, name):
    monkeypatch.setattr(_preview, "preview", None)
    monkeypatch.setattr(_inspect, "examine", None)
    for command in (["preview", *map(str, photos)], ["inspect"]):
        assert cli.main([*command, "-o", str(odd / name)]) == 2
        errors = only_line(capsys)
        assert ODD[name] in errors
        assert name in errors


@pytest.mark.parametrize("name", ["results.json", "plans.npz", "picture.png"])
def test_a_result_that_cannot_be_replaced_is_found_before_training(
    tmp_path, monkeypatch, capsys, name
):
    forbid_training(monkeypatch)
    os.mkfifo(tmp_path / name)
    assert run_train(tmp_path) == 2
    assert f"{name}: it is a pipe" in only_line(capsys)


@pytest.mark.parametrize("link", ["link_to", "symlink_to"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_link_to_an_input_is_not_overwritten(photos, tmp_path, capsys, link, place):
    before = photos[place].read_bytes()
    out = tmp_path / "other.png"
    if link == "link_to":
        out.hardlink_to(photos[place])
    else:
        out.symlink_to(photos[place])
    assert run_preview(photos, out) == 2
    assert "would replace an input" in only_line(capsys)
    assert photos[place].read_bytes() == before


def fill_the_disk(monkeypatch, ending):
    """Lets files of an ending be begun, but not be written to the end."""

    def full(path, *_, **__):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"begun")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if ending == ".npz":
        monkeypatch.setattr(np, "savez_compressed", full)
    elif ending == ".json":
        monkeypatch.setattr("pathlib.Path.write_text", full)
    else:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, x: full(x))


def fake_rows(*_):
    yield _report.Row("mixup", 1.0, 0.1, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("results.json", []),
        ("plans.npz", ["results.json"]),
        ("picture.png", ["plans.npz", "results.json"]),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_half_file(
    tmp_path, monkeypatch, capsys, name, left
):
    monkeypatch.setattr(_train, "_rows", fake_rows)
    fill_the_disk(monkeypatch, os.path.splitext(name)[1])  # noqa: PTH122
    assert run_train(tmp_path) == 2
    errors = only_line(capsys)
    assert f"cannot write {tmp_path / name}: No space left on device" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_full_disk_leaves_the_drawing_of_before(
    photos, tmp_path, monkeypatch, capsys
):
    fill_the_disk(monkeypatch, ".png")
    out = tmp_path / "out.png"
    out.write_bytes(b"of before")
    assert run_preview(photos, out, "--method", "mixup") == 2
    assert f"cannot write {out}: No space left" in only_line(capsys)
    assert out.read_bytes() == b"of before"
    assert len(list(tmp_path.iterdir())) == 3
    arguments = ("--size", "4", "--method", "mixup", "-o", str(out))
    assert cli.main(["inspect", *arguments]) == 2
    assert f"cannot write {out}: No space left" in only_line(capsys)
    assert out.read_bytes() == b"of before"


def test_an_interrupted_file_is_taken_away(tmp_path):
    def write():
        with _files.replacing(tmp_path / "a") as part:
            part.write_text("begun")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "link.png").symlink_to("real.png")
    with _files.replacing(tmp_path / "link.png") as part:
        assert part.suffix == ".png"
        part.write_text("whole")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_text() == "whole"


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    ("target", "code", "said"),
    [("/dev/full", 2, "No space left on device"), ("pipe", 141, None)],
)
def test_an_output_that_takes_nothing_more_is_no_failed_floor(target, code, said):
    # Once in a process of its own: Python flushes once more when it exits.
    command = [sys.executable, "-m", "keras_msda", "inspect", "--size", "2"]
    command += ["--method", "mixup"]
    if target == "pipe":
        read, write = os.pipe()
        os.close(read)
        output = os.fdopen(write, "wb")
    else:
        output = open(target, "wb")  # noqa: PTH123
    with output:
        run = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    assert run.returncode == code
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    if said:
        assert f"keras-msda: error: the output: {said}\n" in run.stderr


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def starve(*_):
        raise MemoryError

    monkeypatch.setattr(_inspect, "examine", starve)
    assert cli.main(["inspect"]) == 2
    assert "not enough memory" in only_line(capsys)


def test_a_name_that_no_terminal_can_show_is_written(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(_preview, "preview", lambda *_, **__: [])
    assert run_preview(photos, tmp_path / os.fsdecode(b"\xff.png")) == 0


def test_all_methods_are_the_default_where_they_can_mix():
    everything = ("none", *METHODS, "manifold")
    assert _parser.train_methods() == everything
    assert _parser.train_methods("pipeline") == everything[:-1]


def test_features_are_not_mixed_in_a_pipeline(tmp_path, capsys):
    assert run_train(tmp_path, "--method", "manifold", "--in", "pipeline") == 2
    assert "inside a model" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
