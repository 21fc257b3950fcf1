"""Finds out before any work whether its results can be written."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


def make_folder(folder: Path) -> Path:
    """Makes a folder for results, unless it is there, and tries to write in it.

    Args:
        folder: Its parent must exist, so that a typing mistake makes no tree.

    Returns:
        The same folder.

    Raises:
        OSError: When it cannot be made or written in.
    """
    if not folder.exists() and not folder.parent.is_dir():
        raise OSError(f"the output folder's parent {folder.parent} does not exist.")
    try:
        folder.mkdir(exist_ok=True)
        _try_writing(folder)
    except OSError as error:
        reason = error.strerror
        raise OSError(
            f"cannot write in the output folder {folder}: {reason}"
        ) from error
    return folder


def check_picture(path: Path, inputs: Sequence[Path]) -> Path:
    """Tries whether a picture can be written, and leaves no trace.

    Args:
        path: The file; one that exists must be writable.
        inputs: Files that it must not replace.

    Returns:
        The same path.

    Raises:
        ValueError: When its name is that of no picture or of an input.
        OSError: When it could not be written.
    """
    if path.is_dir():
        raise ValueError(f"the output {path} is a folder. Give the name of a file.")
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(
            f"the output's name must end in one of {', '.join(PICTURE_SUFFIXES)}. "
            f"Received: {path}"
        )
    if path.resolve() in [given.resolve() for given in inputs]:
        raise ValueError(f"the output {path} would replace an input.")
    if not path.parent.is_dir():
        raise OSError(f"the output's folder {path.parent} does not exist.")
    try:
        if path.exists():
            path.open("ab").close()
        else:
            _try_writing(path.parent)
    except OSError as error:
        raise OSError(f"cannot write the output {path}: {error.strerror}") from error
    return path


def _try_writing(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
