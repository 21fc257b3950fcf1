"""Finds out before any work whether results can be written, and writes them whole."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_msda.datasets._paths import special_kind

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the name of a new file that takes the place of `path` once it is whole.

    Where writing fails or is interrupted, what was there before stays as it was.

    Args:
        path: A file; where it is a link, what it leads to.
    """
    target = Path(os.path.realpath(path))
    # The same ending: writers of pictures go by it.
    part = target.with_name(f".{os.getpid()}.part{target.suffix}")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        # The user never chose the name of the part.
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path, names: Sequence[str]) -> Path:
    """Makes a folder for results, unless it is there, and tries to write in it.

    Args:
        folder: Its parent must exist, so that a typing mistake makes no tree.
        names: Of the files that will be written; what has such a name must be a file.

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
        kinds = {name: _kind_or_none(folder / name) for name in names}
    except OSError as error:
        reason = error.strerror
        raise OSError(
            f"cannot write in the output folder {folder}: {reason}"
        ) from error
    for name, kind in kinds.items():
        if kind:
            raise OSError(f"cannot write the output {folder / name}: it is {kind}.")
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
    if not path.parent.is_dir():
        raise OSError(f"the output's folder {path.parent} does not exist.")
    kind = _try_replacing(path)
    if kind:
        raise ValueError(f"the output {path} is {kind}. Give the name of a file.")
    # By what they are and not by name: a hard link is the input, too.
    if any(_is_same(path, given) for given in inputs):
        raise ValueError(f"the output {path} would replace an input.")
    return path


def _try_replacing(path: Path) -> str | None:
    """Tries whether a file can be made or replaced, and returns what is there now."""
    try:
        kind = _kind_or_none(path)
        if kind == "":
            path.open("ab").close()
        if not kind:
            _try_writing(Path(os.path.realpath(path)).parent)
    except OSError as error:
        raise OSError(f"cannot write the output {path}: {error.strerror}") from error
    return kind


def _kind_or_none(path: Path) -> str | None:
    """Returns `special_kind`, or None where there is nothing."""
    try:
        return special_kind(path)
    except FileNotFoundError:
        return None


def _is_same(path: Path, other: Path) -> bool:
    """Returns whether both are one file; what cannot be read is told later."""
    with contextlib.suppress(OSError):
        return path.samefile(other)
    return False


def _try_writing(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
