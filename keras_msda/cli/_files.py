"""Checks before any work that results can be written, and writes files whole."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_msda import _errors, _start
from keras_msda.datasets._paths import special_kind

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the name of a new file, which replaces `path` once it is complete.

    If writing fails or is interrupted, the old file stays as it was.

    Args:
        path: The file to replace; of a link, the file that it leads to.

    Yields:
        The name to write to.

    Raises:
        OSError: If the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    # The same suffix, from which Matplotlib knows the format.
    part = target.with_name(f".{os.getpid()}.part{target.suffix}")
    with _start.interruptible():
        try:
            yield part
            part.replace(target)
        except OSError as error:
            # Names the path that the user gave, and not that of the part.
            _errors.fail_file(
                f"cannot write {path}: {error.strerror or error}", OSError, cause=error
            )
        finally:
            part.unlink(missing_ok=True)


def make_folder(folder: Path, names: Sequence[str]) -> Path:
    """Makes a folder for results, unless it exists, and tries to write in it.

    Args:
        folder: The folder. Its parent must exist, so that a typing mistake does not
            make a tree of folders.
        names: Names of the files that will be written. Whatever has such a name now
            must be a file.

    Returns:
        The same folder.

    Raises:
        OSError: If the folder cannot be made or written in.
    """
    if not folder.exists() and not folder.parent.is_dir():
        _errors.fail_file(
            f"the output folder's parent {folder.parent} does not exist.", OSError
        )
    try:
        folder.mkdir(exist_ok=True)
        _try_writing(folder)
        kinds = {name: _kind_or_none(folder / name) for name in names}
    except OSError as error:
        reason = error.strerror
        _errors.fail_file(
            f"cannot write in the output folder {folder}: {reason}",
            OSError,
            cause=error,
        )
    for name, kind in kinds.items():
        if kind:
            _errors.fail_file(
                f"cannot write the output {folder / name}: it is {kind}.", OSError
            )
    return folder


def check_picture(path: Path, inputs: Sequence[Path]) -> Path:
    """Checks that a picture can be written, and leaves no trace.

    Args:
        path: The file to write; if it exists, it must be writable.
        inputs: Files that it must not replace.

    Returns:
        The same path.

    Raises:
        ValueError: If the name is not that of a picture, or is that of an input.
        OSError: If the file cannot be written.
    """
    if path.is_dir():
        _errors.fail_file(f"the output {path} is a folder. Give the name of a file.")
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        _errors.fail_file(
            f"the output's name must end in one of {', '.join(PICTURE_SUFFIXES)}. "
            f"Received: {path}"
        )
    if not path.parent.is_dir():
        _errors.fail_file(f"the output's folder {path.parent} does not exist.", OSError)
    kind = _try_replacing(path)
    if kind:
        _errors.fail_file(f"the output {path} is {kind}. Give the name of a file.")
    # Compares files and not names, since a hard link is the input too.
    if any(_is_same(path, given) for given in inputs):
        _errors.fail_file(f"the output {path} would replace an input.")
    return path


def _try_replacing(path: Path) -> str | None:
    """Tries to make or replace a file, and returns what kind of thing is there now."""
    try:
        kind = _kind_or_none(path)
        if kind == "":
            path.open("ab").close()
        if not kind:
            _try_writing(Path(os.path.realpath(path)).parent)
    except OSError as error:
        _errors.fail_file(
            f"cannot write the output {path}: {error.strerror}", OSError, cause=error
        )
    return kind


def _kind_or_none(path: Path) -> str | None:
    """Returns `special_kind` of a path, or None if nothing is there."""
    try:
        return special_kind(path)
    except FileNotFoundError:
        return None


def _is_same(path: Path, other: Path) -> bool:
    """Returns whether both are the same file; reading them comes later."""
    with contextlib.suppress(OSError):
        return path.samefile(other)
    return False


def _try_writing(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
