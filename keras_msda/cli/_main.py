"""Runs the commands, and turns failures into one line and an exit code.

0 is success, 1 a row below the floor, 2 a wrong argument or input or an output that
cannot be written, 130 an interrupt, and 141 a pipe whose reader has left.

A command imports what it needs once its arguments are known to be right, and before it
does anything that Ctrl-C may not cut short: see `_start`.
"""

import argparse
import contextlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_msda import _errors, _start
from keras_msda.cli import _card, _parser, _readers

#: What `train` writes.
RESULTS = ("results.json", "plans.npz", "picture.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name; those of the process by default.

    Returns:
        The exit code.

    Example:
        >>> from keras_msda import cli
        >>> cli.main(["preview", "no.png", "no.jpg", "-o", "out.png"])
        2
    """
    if hasattr(sys.stdout, "reconfigure"):
        # Names of files may hold characters that the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            options = _parse(arguments)
            return _COMMANDS[options.command](options)
        finally:
            # Find out now whether the output can be written, that of --help too.
            print(end="", flush=True)
    except KeyboardInterrupt:
        print("keras-msda: interrupted", file=sys.stderr)
        return _start.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return 141
    except (OSError, MemoryError) as error:
        _drop_output()
        return _report_error(error)
    finally:
        _start.finish()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the arguments; prints warnings without the line of code they are from."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        options = _parser.build_parser().parse_args(arguments)
    for warning in found:
        print(f"keras-msda: warning: {warning.message}", file=sys.stderr)
    return options


def _drop_output() -> None:
    """Drops text that standard output did not take: Python would complain at exit."""
    try:
        print(end="", flush=True)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_train(options: argparse.Namespace) -> int:
    """Checks and reads everything, then trains."""
    start = time.perf_counter()
    known = _parser.train_methods(options.place)
    methods = _readers.merge_methods(options.methods, known)
    try:
        _check_place(options.methods or [], known)
        from keras_msda import datasets
        from keras_msda.cli import _files

        out = _files.make_folder(options.out, RESULTS)
        with _start.quiet():
            dataset = datasets.load(options.data)
            from keras_msda import _backend
            from keras_msda.cli import _report, _train

            _backend.get_pipeline_ops()  # TensorFlow, beside another backend too.
        limit = options.limit or None
        parts = datasets.split(dataset, seed=options.seed, limit=limit)
    except (OSError, ValueError, ImportError) as error:
        return _report_error(error)
    _print_notes(dataset.notes)
    print(
        f"{dataset.name}: {len(parts.train_labels)} pictures for training, "
        f"{len(parts.test_labels)} for testing; mixed in the {options.place}",
        flush=True,
    )
    settings = _report.Settings(
        methods=methods,
        epochs=options.epochs,
        place=options.place,
        jit=options.jit,
        seed=options.seed,
        batch_size=options.batch_size,
        floor=options.floor,
        out=out,
    )
    with _start.interruptible():
        return _train.train(dataset, parts, settings, start=start)


def _check_place(given: Sequence[Sequence[str]], known: Sequence[str]) -> None:
    """Checks that methods that were named can mix in the place that was asked for.

    Args:
        given: What every use of the option named.
        known: The methods of the place.
    """
    everything = _parser.train_methods()
    groups = [group for group in given if tuple(group) != everything]
    for method in sorted({name for group in groups for name in group} - set(known)):
        _errors.fail(
            "--method",
            f"{method} mixes features, and so inside a model.",
            "--in pipeline",
            "Leave --in pipeline out.",
        )


def _run_preview(options: argparse.Namespace) -> int:
    """Checks the output, reads the pictures, then draws."""
    methods = _readers.merge_methods(options.methods, tuple(_parser.known_methods()))
    given = [path for path in (options.first, options.second) if path]
    try:
        from keras_msda.cli import _files, _photos

        out = _files.check_picture(options.out, given)
        if _check_given(given, options.count):
            pairs, notes = _photos.read_folder(
                given[0], options.size, count=options.count, seed=options.seed, out=out
            )
        else:
            pairs, notes = _photos.read_two(given, options.size)
        with _start.quiet():
            from keras_msda.cli import _preview
    except (OSError, ValueError, ImportError) as error:
        return _report_error(error)
    _print_notes(notes)
    rows = _preview.preview(
        pairs, out, methods=methods, lam=options.lam, seed=options.seed
    )
    if len(given) == 1:
        for number, pair in enumerate(pairs, 1):
            print(f"pair {number}: {', '.join(pair.names)}")
    print(_preview.format_rows(rows))
    print(f"The picture is in {out}.")
    return 0


def _check_given(given: Sequence[Path], count: int | None) -> bool:
    """Returns whether a folder was given, and checks that two pictures were if not."""
    alone = len(given) == 1
    if alone and not stat.S_ISDIR(given[0].stat().st_mode):
        _errors.fail_file(
            f"{given[0]} is not a folder. Give two pictures, or a folder of pictures."
        )
    if count is not None and not alone:
        _errors.fail_file("--count belongs to a folder of pictures. Leave it out.")
    return alone


def _run_inspect(options: argparse.Namespace) -> int:
    """Checks everything, then computes, prints and draws."""
    methods = _readers.merge_methods(options.methods, tuple(_parser.known_methods()))
    own = _parser.read_own_options(options)
    try:
        _parser.check_own_options(own, methods)
        from keras_msda.cli import _files

        out = options.out and _files.check_picture(options.out, ())
        with _start.quiet():
            from keras_msda.cli import _inspect, _inspect_tables

        settings = _inspect.Settings(
            methods=methods,
            shape=options.size,
            alpha=options.alpha,
            own=own,
            lam=options.lam,
            draws=options.draws,
            seed=options.seed,
        )
        layers = _inspect.make_layers(settings)
    except (OSError, ValueError, ImportError) as error:
        return _report_error(error)
    rows = _inspect.examine(layers, settings)
    print(_inspect_tables.format_rows(rows, settings))
    if out:
        _inspect.draw(rows, settings, out)
        print(f"The picture is in {out}.")
    return 0


def _run_experiment(options: argparse.Namespace) -> int:
    """Checks the config, then does what it asks for."""
    try:
        options.config.stat()  # Before Keras is imported, which takes seconds.
        with _start.quiet():
            from keras_msda.cli import _experiment

        with _start.interruptible():
            return _experiment.run(options)
    except (OSError, ValueError, ImportError) as error:
        return _report_error(error)


def _run_card(options: argparse.Namespace) -> int:
    """Prints the page of a method."""
    try:
        _card.run(options.name)
    except (OSError, ValueError) as error:
        return _report_error(error)
    return 0


_COMMANDS = {
    "train": _run_train,
    "preview": _run_preview,
    "inspect": _run_inspect,
    "experiment": _run_experiment,
    "card": _run_card,
}


def _print_notes(notes: Sequence[str]) -> None:
    """Prints what was done to the pictures, apart from the results."""
    for note in notes:
        print(f"keras-msda: {note}", file=sys.stderr)


def _report_error(error: Exception) -> int:
    """Prints in one line what is wrong with the input, and returns the exit code."""
    text = " ".join(_describe(error).split())
    print(f"keras-msda: error: {text}", file=sys.stderr)
    return 2


def _describe(error: Exception) -> str:
    """Returns what is wrong, with a remedy that Python does not know."""
    if isinstance(error, OSError) and error.strerror:
        place = "the output" if error.filename is None else error.filename
        return f"{place}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory for it."
    if isinstance(error, ModuleNotFoundError):
        return f"{error}. Use `pip install 'keras_msda[demo]'`."
    return str(error)
