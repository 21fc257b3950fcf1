"""Files of others run no code, nothing uses the network, and memory stays bounded."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from PIL import Image

import keras_msda as msda
from keras_msda.datasets import _picture_folders, _pictures
from keras_msda.experiments import _config

ROOT = Path(msda.__file__).parents[1]
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for path in sorted((ROOT / "keras_msda").rglob("*.py"))
}
#: Modules that run what a file says, start programs or use the network.
UNSAFE_MODULES = set(
    "pickle marshal shelve dill cloudpickle joblib subprocess socket ssl http urllib "
    "requests ftplib smtplib xmlrpc ctypes code runpy".split()
)
#: Functions that run what a file or a text says.
UNSAFE_CALLS = set(
    "eval exec __import__ os.system os.popen yaml.load_all yaml.unsafe_load "
    "yaml.full_load torch.load keras.config.enable_unsafe_deserialization".split()
)


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def is_unsafe(call):
    """Returns whether a call runs what it reads."""
    name = ast.unparse(call.func)
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    if name in UNSAFE_CALLS or options.get("safe_mode") == "False":
        return True
    if name == "yaml.load":
        return [ast.unparse(x) for x in call.args[1:]] != ["_Loader"]
    return options.get("allow_pickle", "False") != "False" or "shell" in options


# Code in files


def test_no_module_unpickles_starts_programs_or_connects():
    found = {name: UNSAFE_MODULES & set(imported(tree)) for name, tree in TREES.items()}
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_no_call_runs_what_it_reads():
    found = {name: list(filter(is_unsafe, calls(tree))) for name, tree in TREES.items()}
    assert {name: list(map(ast.unparse, x)) for name, x in found.items() if x} == {}


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "yaml.load(x)",
        "yaml.load(x, yaml.Loader)",
        "np.load(x, allow_pickle=True)",
        "keras.saving.load_model(x, safe_mode=False)",
        "os.system(x)",
    ],
)
def test_such_calls_would_be_found(line):
    assert any(map(is_unsafe, calls(ast.parse(line))))


def test_configs_are_read_by_the_safe_loader():
    assert issubclass(_config._Loader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{place}]",
        "!!python/object/new:os.mkdir {{args: [{place}]}}",
        "{{? !!python/object/apply:os.mkdir [{place}] : 1}}",
        "!!python/name:os.mkdir",
        "!!python/module:os",
    ],
)
def test_a_config_runs_no_code(text, tmp_path):
    path, place = tmp_path / "a.yaml", tmp_path / "made"
    path.write_text("title: " + text.format(place=place))
    with pytest.raises(ValueError, match=r"a\.yaml is not valid YAML"):
        _config.read_config(path)
    assert not place.exists()


def test_an_error_about_a_huge_value_of_few_lines_is_short(tmp_path):
    # Ten to the twelfth words, in Python a hundred references.
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 12):
        lines.append(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]")
    path = tmp_path / "a.yaml"
    nested = "\n  ".join(lines)
    path.write_text(f"title:\n  {nested}\n")
    with pytest.raises(ValueError, match="title: must be a text") as caught:
        _config.read_config(path)
    assert len(str(caught.value)) < 1000


def layer_with_lambda():
    return msda.FMixLayer(spectrum=lambda frequency: 1 / (frequency + 0.1), seed=1)


def model_of(layer, loss):
    flat = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((4, 4, 1)), layer, *flat])
    model.compile("sgd", loss)
    return model


@pytest.mark.long
@pytest.mark.parametrize("where", ["spectrum", "loss", "member"])
def test_a_file_with_a_lambda_is_refused_until_the_user_trusts_it(where, tmp_path):
    layer = layer_with_lambda() if where != "loss" else msda.HMixLayer(seed=1)
    if where == "member":
        layer = msda.RandomMixLayer([msda.MixUpLayer(), layer], seed=1)
    loss = (lambda y, p: keras.ops.mean(p - y, -1)) if where == "loss" else "mse"
    model = model_of(layer, layer.loss(loss))
    path = tmp_path / "model.keras"
    with pytest.warns(UserWarning, match="lambda"):
        model.save(path)
    with pytest.raises(ValueError, match=r"Python lambda.*safe_mode=False"):
        keras.saving.load_model(path)
    loaded = keras.saving.load_model(path, safe_mode=False)
    images = np.random.default_rng(1).random((4, 4, 4, 1)).astype("float32")
    found = [np.asarray(m.layers[0](images, training=True)) for m in (model, loaded)]
    np.testing.assert_array_equal(*found)


@pytest.mark.long
def test_a_function_without_a_name_trains():
    # TensorFlow takes no scope with the name "<lambda>".
    layer = msda.HMixLayer(seed=1)
    model = model_of(layer, layer.loss(lambda y, p: keras.ops.mean((p - y) ** 2, -1)))
    images, labels = np.ones((4, 4, 4, 1), "float32"), np.ones((4, 1), "float32")
    assert np.isfinite(model.fit(images, labels, verbose=0).history["loss"][0])


# A process that is watched


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """What a process says that was watched while it mixed and read a picture."""
    folder = tmp_path_factory.mktemp("watched")
    head_of(folder / "large.png", 10_000, 10_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.guarded", str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc"
)


@linux
@pytest.mark.processes
@pytest.mark.slow
def test_neither_import_nor_layers_connect_start_programs_or_unpickle(watched):
    assert watched["found"] == {"import": [], "layers": []}
    assert set(watched["names"]) == set(msda.layers.METHODS)


@linux
@pytest.mark.processes
@pytest.mark.slow
def test_a_picture_larger_than_the_memory_is_told(watched):
    expected = r"large\.png is too large for the memory that is free\. Save it with"
    assert re.search(expected, watched["said"])


# Pictures


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def head_of(path, width, height, *chunks):
    """Writes a PNG of 32 bits a pixel that has a size and hardly any pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(b"\0" * 64))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def read_status(field):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", text)[0])


def peak_of(call):
    """Returns by how many bytes a call raises the peak of this process."""
    Path("/proc/self/clear_refs").write_text("5")
    before = read_status("VmRSS")
    call()
    return read_status("VmHWM") - before


SIDE = 1500
#: Pillow itself stores up to 4 bytes a pixel, and turning or blending makes copies.
MOST_BYTES = 24
KINDS = {
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "tif": ["CMYK", "LAB", "I", "YCbCr"],
    "jpg": ["L", "RGB", "CMYK"],
    "webp": ["RGB", "RGBA"],
    "gif": ["P"],
}


def picture(mode, side=SIDE):
    dtype = {"I;16": np.uint16, "I": np.int32}.get(mode)
    if dtype:
        return Image.fromarray(np.zeros((side, side), dtype))
    return Image.new("RGB", (side, side), (200, 100, 0)).convert(mode)


@linux
@pytest.mark.parametrize(
    ("suffix", "mode"), [(suffix, mode) for suffix in KINDS for mode in KINDS[suffix]]
)
def test_a_picture_takes_a_few_bytes_a_pixel(suffix, mode, tmp_path):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    settings = {} if suffix == "gif" else {"exif": exif}
    picture(mode).save(path, **settings)
    assert peak_of(lambda: _pictures.read_picture(path)) < MOST_BYTES * SIDE**2


@linux
@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_one_frame_is_kept(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    frames = [Image.new("RGB", (600, 600), (n, 0, 0)) for n in range(40)]
    settings = {"append_images": frames[1:], "save_all": True}
    frames[0].save(path, **settings)
    assert peak_of(lambda: _pictures.read_picture(path)) < 2 * MOST_BYTES * 600**2


@linux
@pytest.mark.long
def test_a_folder_takes_the_memory_of_one_of_its_pictures(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for n in range(10):
            picture("RGB").save(tmp_path / label / f"{n}.png")
    picture("RGB", 999).resize((999, 333)).save(tmp_path / "a" / "other.png")
    read = _picture_folders.read_class_folders
    # All of them would be 20 times 4 bytes a pixel.
    assert peak_of(lambda: read(tmp_path)) < MOST_BYTES * SIDE**2


def test_a_picture_of_another_size_is_resized_once(tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "a").mkdir()
    for n, size in enumerate([(100, 80), (100, 80), (150, 90), (20, 10)]):
        values = rng.integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(values).save(tmp_path / "a" / f"{n}.png")
    found = _picture_folders.read_class_folders(tmp_path)
    for n, image in enumerate(found.images):
        with Image.open(tmp_path / "a" / f"{n}.png") as opened:
            np.testing.assert_array_equal(image, np.asarray(opened.resize((64, 51))))
    assert found.notes == ("4 of 4 pictures were resized to 64x51",)


def test_memory_that_runs_out_is_one_line(tmp_path, monkeypatch):
    def fail(_):
        raise MemoryError

    monkeypatch.setattr(_pictures.ImageOps, "exif_transpose", fail)
    picture("L", 4).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is too large for the memory"):
        _pictures.read_picture(tmp_path / "a.png")


def test_a_text_that_unpacks_to_much_is_refused(tmp_path):
    text = b"a\0\0" + zlib.compress(bytes(200 * 2**20), 9)
    head_of(tmp_path / "a.png", 8, 8, chunk(b"zTXt", text))

    def read():
        with pytest.raises(ValueError, match=r"a\.png cannot be read"):
            _pictures.read_picture(tmp_path / "a.png")

    peak = peak_of(read)
    assert peak < 60 * 2**20


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_program_for_a_printer_is_no_picture(suffix, tmp_path):
    # Pillow would start Ghostscript, whatever the name of the file.
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n"
    )
    with pytest.raises(ValueError, match="it is not a picture"):
        _pictures.read_picture(path)
