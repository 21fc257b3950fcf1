"""What a path leads to, found out without opening it."""

import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def special_kind(path: Path) -> str:
    """Returns in words what a path is if it is not a file, and "" for a file.

    To open a pipe would wait for ever, so this comes first.

    Args:
        path: The path, which must exist.

    Raises:
        OSError: If there is no such path, or it cannot be followed.
    """
    mode = path.stat().st_mode
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")
