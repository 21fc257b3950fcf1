"""What a path is, before anybody opens it."""

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
    """Returns in words what a path is that is no file, and "" for a file.

    Args:
        path: Must exist. Pipes are told before they are opened, which would wait for
            ever.

    Raises:
        OSError: When there is no such path, or none that can be followed.
    """
    mode = path.stat().st_mode
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")
