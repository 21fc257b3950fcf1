"""Commands that run Python so that it can be interrupted."""

import sys

# Not only a shell's background jobs ignore SIGINT, but all that they start, too.
_LISTEN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def python(*arguments):
    """Returns a command that runs Python with these arguments."""
    return [sys.executable, "-c", _LISTEN, *arguments]
