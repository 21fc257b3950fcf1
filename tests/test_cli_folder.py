"""The preview of a folder: which pairs it draws, how, and what it refuses."""

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_msda import _errors, cli
from keras_msda.cli import _parser, _photos, _preview
from keras_msda.layers import METHODS
from keras_msda.plot import _pairs


@pytest.fixture
def folder(tmp_path):
    """Seven pictures of three sizes: in two folders of classes, and beside these."""
    root = tmp_path / "photos"
    names = ["a.png", "cats/b.png", "cats/c.JPG", "cats/d.png", "dogs/e.png"]
    for number, name in enumerate([*names, "dogs/f.png", "dogs/small/g.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        size = [(8, 6), (6, 8), (8, 8)][number % 3]
        noise = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(noise).save(root / name)
    (root / "notes.txt").write_text("Not a picture.")
    (root / "cats" / ".hidden.png").write_text("Not a picture.")
    (root / ".cache").mkdir()
    (root / ".cache" / "x.png").write_text("Not a picture.")
    return root


def preview(*arguments):
    return cli.main(["preview", *map(str, arguments)])


def only_line(capsys):
    """Returns what was said, one line on the errors' side."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-msda: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


# What is drawn.


@pytest.mark.parametrize("number", range(2, 9))
def test_all_pairs_are_drawn_once_and_pictures_as_evenly_as_can_be(number):
    found = [Path(str(place)) for place in range(number)]
    pairs = _photos._draw_pairs(found, 100, seed=3)
    assert {frozenset(pair) for pair in pairs} == {
        frozenset(pair) for pair in itertools.combinations(found, 2)
    }
    assert len(pairs) == number * (number - 1) // 2
    for count in range(1, len(pairs) + 1):
        assert pairs[:count] == _photos._draw_pairs(found, count, seed=3)
    apart = Counter(path for pair in pairs[: number // 2] for path in pair)
    assert set(apart.values()) == {1}
    if number % 2 == 0:
        once_more = Counter(path for pair in pairs[: number - 1] for path in pair)
        assert max(once_more.values()) <= 2


def test_the_seed_draws_the_pairs():
    found = [Path(str(place)) for place in range(20)]
    drawn = [_photos._draw_pairs(found, 3, seed=seed) for seed in range(5)]
    assert len({tuple(pairs) for pairs in drawn}) == 5
    firsts = [_photos._draw_pairs(found, 1, seed=x)[0][0] for x in range(200)]
    # Each is the first of 10 pairs on average.
    assert len(set(firsts)) > 15


def test_pictures_of_a_folder_and_those_below_are_mixed(folder, monkeypatch, capsys):
    seen = {}
    original = _pairs.pairs_figure

    def record(rows, names):
        seen.update(rows=rows, names=names, figure=original(rows, names))
        return seen["figure"]

    monkeypatch.setattr(_pairs, "pairs_figure", record)
    out = folder.parent / "out.png"
    arguments = ("--method", "mixup,hmix", "--count", "4", "--lam", "0.25")
    assert preview(folder, "-o", out, *arguments, "--seed", "5") == 0
    drawn = [[panels.name for panels in row] for row in seen["rows"]]
    assert drawn == [["MixUp"] * 4, ["HMix"] * 4]
    for names, mixup, hmix in zip(seen["names"], *seen["rows"], strict=True):
        opened = [Image.open(folder / name).convert("RGB") for name in names]
        first, second = (np.asarray(x.resize(opened[0].size)) / 255 for x in opened)
        for panels in (mixup, hmix):
            share = panels.mask[0][..., None]
            expected = share * first + (1 - share) * second
            np.testing.assert_allclose(panels.mixed[0], expected, rtol=0, atol=1e-6)
    masks = [panels.mask[0] for panels in seen["rows"][1]]
    assert len({mask.tobytes() for mask in masks}) == 4
    captured = capsys.readouterr()
    pairs = [f"pair {i}: {a}, {b}" for i, (a, b) in enumerate(seen["names"], 1)]
    mixup = "MixUp   lambda 0.25  weight 0.25 0.25 0.25 0.25"
    hmix = " ".join(f"{panels.weight[0]:.2f}" for panels in seen["rows"][1])
    lines = [*pairs, mixup, f"HMix    lambda 0.25  weight {hmix}"]
    assert captured.out.splitlines() == [*lines, f"The picture is in {out}."]
    assert re.fullmatch(r"keras-msda: \d of 8 pictures were resized\n", captured.err)
    with Image.open(out) as picture:
        assert picture.size[0] > 800


def test_the_figure_has_each_picture_once_above_its_masks_and_mixes(folder):
    pairs, _ = _photos.read_folder(
        folder, 8, count=2, seed=0, out=folder.parent / "out.png"
    )
    out = folder.parent / "out.png"
    settings = {"methods": ("mixup", "resizemix"), "lam": 0.5, "seed": 0}
    rows = _preview.preview(pairs, out, **settings)
    figure = _pairs.pairs_figure(rows, [("a.png", "b.png"), ("x" * 50, "c.png")])
    *panels, bar = figure.axes
    titles = [axes.get_title() for axes in panels]
    assert titles[:2] == ["A\na.png", "B\nb.png"]
    assert re.fullmatch("A\n…x{10,30}", titles[2])
    assert titles[4:8] == ["λ = 0.50", "weight 0.50"] * 2
    weights = [f"weight {x.weight[0]:.2f}" for x in rows[1]]
    assert titles[8:] == ["", weights[0], "", weights[1]]
    assert "share of the image under “A”" in bar.get_ylabel()
    np.testing.assert_array_equal(panels[0].images[0].get_array(), rows[0][0].images[0])
    np.testing.assert_array_equal(panels[11].images[0].get_array(), rows[1][1].mixed[0])
    assert [panels[x].get_ylabel() for x in (4, 8)] == ["MixUp", "ResizeMix"]


def test_two_pictures_make_one_pair_and_a_number_beyond_it_is_said(tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        Image.new("L", (6, 4), 100 * number).save(photos / f"{number}.png")
    out = tmp_path / "out.svg"
    assert preview(photos, "-o", out, "--method", "cutmix") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("pair 1: 0.png, 1.png\nCutMix ")
    assert captured.err == ""
    assert preview(photos, "-o", out, "--method", "mixup", "--count", "2") == 0
    said = "keras-msda: 2 pictures have no 2 pairs; drawn: 1\n"
    assert capsys.readouterr().err == said


# What is refused.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["photos/a.png"], "a.png is not a folder. Give two pictures, or a folder"),
        (["photos/notes.txt"], "notes.txt is not a folder. Give two pictures"),
        (["photos/none.png"], "none.png: No such file"),
        (["empty"], "there is no picture in the folder .*empty. Give two or more"),
        (["photos/dogs/small"], "only one picture in the folder .*small"),
        (["photos", "photos/a.png"], "photos is a folder, not a picture"),
        (["photos/a.png", "photos"], "photos is a folder, not a picture"),
        (["photos/a.png", "photos/cats/b.png", "--count", "2"], "--count belongs to a"),
    ],
)
def test_wrong_pictures_are_one_line(folder, monkeypatch, capsys, given, expected):
    (folder.parent / "empty").mkdir()
    monkeypatch.chdir(folder.parent)
    assert preview(*given, "-o", "out.png") == 2
    assert re.search(expected, only_line(capsys))
    assert not Path("out.png").exists()


def test_a_damaged_picture_of_a_folder_is_named(folder, capsys):
    for path in folder.rglob("[a-g].*"):
        path.write_text("Not a picture.")
    assert preview(folder, "-o", folder.parent / "out.png") == 2
    assert re.search(r"[a-g]\.\w+ cannot be read", only_line(capsys))


@pytest.mark.parametrize("name", ["out.png", "cats/out.jpg", "a.png"])
def test_the_drawing_is_none_of_the_pictures(folder, monkeypatch, capsys, name):
    before = (folder / "a.png").read_bytes()
    monkeypatch.chdir(folder)
    assert preview(".", "-o", name) == 2
    assert "would be one of the pictures" in only_line(capsys)
    assert (folder / "a.png").read_bytes() == before


def test_a_link_does_not_lead_to_one_of_the_pictures(folder, capsys):
    out = folder.parent / "out.png"
    out.hardlink_to(folder / "dogs" / "e.png")
    assert preview(folder, "-o", out) == 2
    assert "would replace an input" in only_line(capsys)


@pytest.mark.parametrize("count", ["0", "-1", "16", "two"])
def test_a_wrong_number_of_pairs_is_one_line(folder, capsys, count):
    with pytest.raises(SystemExit) as left:
        preview(folder, "-o", "out.png", "--count", count)
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


# One name for an option.


def test_options_are_called_alike(capsys):
    parser = _parser.build_parser()
    commands = {
        "train": [],
        "preview": ["a.png", "b.png"],
        "inspect": [],
        "experiment": ["a.yaml"],
    }
    for name, arguments in commands.items():
        for option in ("-o", "--out"):
            options = parser.parse_args([name, *arguments, option, "x.png"])
            assert options.out == Path("x.png")
        if name != "experiment":
            options = parser.parse_args(
                [name, "--method", "hmix", "-o", "x", *arguments]
            )
            assert options.methods == [("hmix",)]
        with pytest.raises(SystemExit):
            parser.parse_args([name, "--help"])
        assert "--methods" not in capsys.readouterr().out


def test_a_deprecated_option_works_and_warns_once_of_its_end(capsys, tmp_path):
    _errors.warn_deprecated.cache_clear()
    given = ["preview", str(tmp_path / "no.png"), "b", "-o", str(tmp_path / "c.png")]
    given += ["--methods", "hmix", "--methods", "fmix", "--method", "mixup"]
    options = _parser.build_parser().parse_args
    with pytest.warns(FutureWarning, match="will be removed in 0.4") as found:
        assert options(given).methods == [("hmix",), ("fmix",), ("mixup",)]
    assert len(found) == 1
    _errors.warn_deprecated.cache_clear()
    assert cli.main(given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "keras-msda: warning: preview: `--methods` is deprecated and will be removed "
        "in 0.4. Use `--method`."
    )
    assert len(lines) == 2


def test_methods_of_the_registry_are_options_of_preview():
    assert set(METHODS) == set(_parser.known_methods())
