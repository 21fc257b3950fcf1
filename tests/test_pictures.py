"""Reading picture files of every common kind."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_msda.datasets import _pictures


def saved(path, picture, **options):
    picture.save(path, **options)
    return path


def gradient(mode="L"):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return Image.fromarray(values).convert(mode)


def test_grey_stays_grey(tmp_path):
    read = _pictures.read_picture(saved(tmp_path / "a.png", gradient()))
    assert read.image.mode == "L"
    np.testing.assert_array_equal(np.asarray(read.image), np.asarray(gradient()))
    assert read.notes == ()


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "LAB", "P"])
def test_colour_of_any_kind_becomes_rgb(tmp_path, mode):
    picture = Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode)
    suffix = "png" if mode in ("RGB", "P") else "tif"
    read = _pictures.read_picture(saved(tmp_path / f"a.{suffix}", picture))
    assert read.image.mode == "RGB"
    np.testing.assert_allclose(np.asarray(read.image), 255, rtol=0, atol=1)


def test_one_bit_becomes_grey(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("1", (3, 3), 1))
    np.testing.assert_array_equal(
        np.asarray(_pictures.read_picture(path).image), np.full((3, 3), 255)
    )


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 12850, 65535]], np.uint16)
    path = saved(tmp_path / "a.png", Image.fromarray(values))
    read = _pictures.read_picture(path)
    np.testing.assert_array_equal(np.asarray(read.image), [[0, 1, 50, 255]])
    assert read.notes == ("16 bits were scaled to 8",)


def test_pixels_beyond_sixteen_bits_are_told(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[0, 70000]], np.int32)))
    with pytest.raises(ValueError, match=r"a\.tif .*Received: 0 to 70000"):
        _pictures.read_picture(path)


def test_floating_point_is_told(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.ones((2, 2), np.float32)))
    with pytest.raises(ValueError, match=r"a\.tif has floating-point"):
        _pictures.read_picture(path)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (200, 0, 0, 51), (244, 204, 204)),
        ("LA", (0, 51), 204),
    ],
)
def test_transparency_lies_on_white(tmp_path, mode, color, expected):
    path = saved(tmp_path / "a.png", Image.new(mode, (2, 2), color))
    read = _pictures.read_picture(path)
    assert read.image.getpixel((0, 0)) == expected
    assert read.notes == ("transparency was laid on white",)


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", picture, transparency=0)
    read = _pictures.read_picture(path)
    np.testing.assert_array_equal(
        np.asarray(read.image), [[[255, 255, 255], [40, 50, 60]]]
    )


def test_exif_turns_the_picture(tmp_path):
    picture = Image.new("L", (4, 2), 0)
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned a quarter clockwise.
    path = saved(tmp_path / "a.png", picture, exif=exif)
    image = _pictures.read_picture(path).image
    assert image.size == (2, 4)
    assert image.getpixel((1, 0)) == 255


def test_the_first_frame_of_several_counts(tmp_path):
    frames = [Image.new("L", (3, 3), value) for value in (9, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert _pictures.read_picture(path).image.convert("L").getpixel((0, 0)) == 9


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp", "tif"])
def test_a_cut_off_file_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"a\.{suffix} cannot be read"):
        _pictures.read_picture(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8"])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read"):
        _pictures.read_picture(path)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        _pictures.read_picture(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        _pictures.read_picture(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("size", "largest", "expected"),
    [
        ((640, 480), 64, (64, 48)),
        ((30, 20), 64, (30, 20)),
        ((1000, 1), 10, (10, 1)),
    ],
)
def test_sizes_are_fitted_and_never_enlarged(size, largest, expected):
    assert _pictures.fit_size(size, largest) == expected


def test_the_error_does_not_speak_of_python_objects(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match="it is not a picture") as caught:
        _pictures.read_picture(path)
    assert "<_io" not in str(caught.value)


def head_of(path, width, height):
    """Writes a picture that is only as large as it says."""
    saved(path, Image.new("1", (8, 8)))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


def test_a_picture_that_is_too_large_is_not_called_damaged(tmp_path):
    path = head_of(tmp_path / "a.png", 20_000, 20_000)
    expected = "a.png is too large: 400 megapixels, of 179 at most. Save it"
    with pytest.raises(ValueError, match=expected):
        _pictures.read_picture(path)


def test_a_large_picture_is_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    read = _pictures.read_picture(saved(tmp_path / "a.png", gradient()))
    assert read.image.size == (16, 16)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_no_picture_and_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"a.png is a .*{kind}.*, not a picture"):
        _pictures.read_picture(path)
