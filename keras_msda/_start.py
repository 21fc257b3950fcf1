"""Whether this process is the command line, and what it does before it works.

The first module to be imported. It imports nothing that takes time.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
#: What the script that pip installs is called.
_SCRIPTS = ("keras-msda", "keras-msda.exe", "keras-msda-script.py")
# Lines that TensorFlow writes, in the forms of Abseil and of its own.
_LOG = (
    rb"WARNING: All log messages before absl::|[IWE]\d{4} [\d:.]+ +\d+ \S+\] |"
    rb"\d{4}-\d\d-\d\d [\d:.]+: [IWE] "
)


class _Terminal:
    """Where standard error goes in the end, while lines are left out or not."""

    file = 2


def is_command_line() -> bool:
    """Returns whether this process was started to run the command line.

    Those that the command line starts were not, though their `sys.argv` is the same.
    """
    # What Python itself was given, in place of the first of the program's arguments.
    program = "".join(sys.orig_argv[-len(sys.argv) :][:1])
    if sys.argv[:1] == ["-m"]:  # As long as Python looks for the module.
        return program.removeprefix("-m") == "keras_msda"
    return os.path.basename(program) in _SCRIPTS  # noqa: PTH119 (pathlib takes time)


def is_worker() -> bool:
    """Returns whether the command line has started this process by multiprocessing."""
    folder, name = os.path.split("".join(sys.argv[:1]))
    package = os.path.basename(folder) == "keras_msda"  # noqa: PTH119
    main = name in _SCRIPTS or (package and name == "__main__.py")
    return main and sys.orig_argv[-1:] == ["--multiprocessing-fork"]


def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Ends the process after Ctrl-C.

    An exception would not do: modules that are being imported can catch it.
    """
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(_Terminal.file, b"keras-msda: interrupted\n")
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt, for work that leaves something behind.

    Yields:
        Nothing.
    """
    if signal.getsignal(signal.SIGINT) is not leave:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, leave)


def finish() -> None:
    """Ignores Ctrl-C from now on: all is done, and Python takes its time to end."""
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves out the lines that TensorFlow logs while it is imported.

    `TF_CPP_MIN_LOG_LEVEL` works only after that, in TensorFlow 2.19 to 2.21. All else
    on standard error is written a little later.

    Yields:
        Nothing.
    """
    if not (COMMAND_LINE or WORKER):
        yield
        return
    import re
    import tempfile

    with tempfile.TemporaryFile() as held:
        _Terminal.file = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(_Terminal.file, 2)
            os.close(_Terminal.file)
            _Terminal.file = 2
            held.seek(0)
            lines = [line for line in held if not re.match(_LOG, line)]
            os.write(2, b"".join(lines))


def _prepare() -> None:
    """Handles Ctrl-C from now on, and keeps TensorFlow's log off the terminal."""
    # Not where the shell ignores Ctrl-C, as for a program in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    # Errors among it, such as of a machine without a GPU. Real ones are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


#: Whether to import what a command needs, and no more.
COMMAND_LINE = is_command_line()
WORKER = is_worker()
#: Entered by the first import of a worker, and left once all are done.
IMPORTING = contextlib.ExitStack()
if COMMAND_LINE:
    _prepare()
if WORKER:
    IMPORTING.enter_context(quiet())
