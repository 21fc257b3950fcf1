"""Reads one picture file of any common kind, as a person sees it.

Every picture comes out as 8 bits, grey or RGB, upright and opaque.
"""

import re
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_msda import _errors

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
)
# What Pillow raises for bytes that it cannot read.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zipfile.BadZipFile,
)


# For these Pillow starts another program, or asks Windows to draw.
_NOT_READ = frozenset(("EPS", "WMF"))


class Picture(NamedTuple):
    """An opened picture.

    Attributes:
        image: The picture, of mode "L" or "RGB".
        notes: What was changed, in words for a user.
    """

    image: Image.Image
    notes: tuple[str, ...]


def read_picture(path: Path | zipfile.Path) -> Picture:
    """Reads a picture completely.

    Args:
        path: A file that Pillow can read, or one inside a zip file.

    Returns:
        The first frame, turned as its EXIF orientation says, transparency on white,
        16-bit grey scaled to 8 bits.

    Raises:
        ValueError: If the file is not a picture, is cut off or is too large.
        OSError: If there is no such file or it cannot be read.
    """
    if isinstance(path, Path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # Opening a pipe would wait for ever.
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            _errors.fail_file(f"{path} is {kind}, not a picture.")
    with path.open("rb") as file:
        try:
            return _convert(_load(file, path), path)
        except MemoryError as error:
            words = f"{path} is too large for the memory that is free."
            _errors.fail_file(f"{words} Save it with fewer pixels.", cause=error)


def _load(file: IO[bytes], path: Path | zipfile.Path) -> Image.Image:
    """Reads all of an opened file, and turns the picture upright."""
    with warnings.catch_warnings():
        # Warns of a picture that is large but can be read. It is made smaller later,
        # with a note.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            opened = Image.open(file, formats=_list_formats())
            opened.load()
            return ImageOps.exif_transpose(opened)
        except Image.DecompressionBombError as error:
            _errors.fail_file(_too_large(path, error), cause=error)
        except _DAMAGE as error:
            # Pillow's own message would name a file object, which does not help.
            unknown = isinstance(error, UnidentifiedImageError)
            reason = "not a picture" if unknown else f"damaged or cut off ({error})"
            _errors.fail_file(f"{path} cannot be read: it is {reason}.", cause=error)


def _list_formats() -> list[str]:
    """Returns the formats that Pillow itself decodes, the common ones first."""
    Image.init()
    return [name for name in Image.ID if name not in _NOT_READ]


def _too_large(path: Path | zipfile.Path, error: Exception) -> str:
    """Returns the message for a picture that Pillow refuses to open."""
    # Pillow's message: "Image size (N pixels) exceeds limit of N pixels, ...".
    numbers = [int(number) / 1e6 for number in re.findall(r"\d+", str(error))]
    if len(numbers) == 2:
        size = f"{numbers[0]:.0f} megapixels, of {numbers[1]:.0f} at most"
    else:
        size = str(error)
    return f"{path} is too large: {size}. Save it with fewer pixels."


def fit_size(size: tuple[int, int], largest: int) -> tuple[int, int]:
    """Shrinks a (width, height) so that no side is longer than `largest`."""
    scale = min(1.0, largest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _convert(image: Image.Image, path: Path | zipfile.Path) -> Picture:
    """Converts any of Pillow's modes to grey or RGB."""
    if image.mode == "F":
        _errors.fail_file(
            f"{path} has floating-point pixels, whose white is unknown. Save it with 8 "
            "or 16 bits."
        )
    if image.mode == "I" or image.mode.startswith("I;"):
        return Picture(_from_sixteen_bits(image, path), ("16 bits were scaled to 8",))
    if image.has_transparency_data:
        return Picture(_on_white(image), ("transparency was laid on white",))
    grey = image.mode in ("1", "L")
    return Picture(image.convert("L" if grey else "RGB"), ())


def _from_sixteen_bits(image: Image.Image, path: Path | zipfile.Path) -> Image.Image:
    """Scales 0..65535 to 0..255; Pillow's `convert` would clip at 255."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        _errors.fail_file(
            f"{path} has pixels outside of 16 bits. Received: {values.min()} to "
            f"{values.max()}. Save it with 8 or 16 bits."
        )
    # A quotient is never nearer than 1/514 to a half, which float32 tells apart.
    scaled = np.divide(values, 257, dtype=np.float32)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Lays a transparent picture on white; a grey one stays grey."""
    grey = image.mode in ("1", "L", "LA", "La")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, layer).convert("L" if grey else "RGB")
