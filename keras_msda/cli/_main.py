"""The command line: its arguments, its exit codes, and nothing that computes.

0 is success, 1 a row under the floor, 2 a wrong argument or input or an output that
cannot be written, 130 an interrupt, 141 a reader of the output that has left.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_msda import __version__, _methods
from keras_msda.cli import _arguments, _files

MIXING = tuple(_methods.LAYERS)
METHODS = ("none", *MIXING)
#: Arguments that only some of the layers have, which `inspect` hands on.
OWN = ("border", "box_ratio", "decay_power", "max_soft")

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
    options = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        # Names of files may hold what the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = int(options.job(options))
        print(end="", flush=True)  # What cannot be written is told here, not later.
    except KeyboardInterrupt:
        print("keras-msda: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except (OSError, MemoryError) as error:
        _drop_output()
        return _fail(error)
    return code


def _drop_output() -> None:
    """Lets go of what the standard output did not take, or Python complains at exit."""
    try:
        print(end="", flush=True)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_train(options: argparse.Namespace) -> int:
    """Checks and reads everything, then trains."""
    start = time.perf_counter()
    try:
        out = _files.make_folder(options.out, RESULTS)
        from keras_msda import datasets
        from keras_msda.cli import _report, _train

        dataset = datasets.load(options.data)
        limit = options.limit or None
        parts = datasets.split(dataset, seed=options.seed, limit=limit)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    for note in dataset.notes:
        print(f"keras-msda: {note}", file=sys.stderr)
    print(
        f"{dataset.name}: {len(parts.train_labels)} pictures for training, "
        f"{len(parts.test_labels)} for testing; mixed in the {options.place}",
        flush=True,
    )
    settings = _report.Settings(
        methods=_arguments.chosen(options.method, METHODS),
        epochs=options.epochs,
        place=options.place,
        jit=options.jit,
        seed=options.seed,
        batch_size=options.batch_size,
        floor=options.floor,
        out=out,
    )
    return _train.train(dataset, parts, settings, start=start)


def _run_preview(options: argparse.Namespace) -> int:
    """Checks the output, reads the pictures, then draws."""
    try:
        out = _files.check_picture(options.out, (options.first, options.second))
        from keras_msda.cli import _preview

        images, notes = _preview.read_pair(options.first, options.second, options.size)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    for note in notes:
        print(f"keras-msda: {note}", file=sys.stderr)
    rows = _preview.preview(
        images,
        out,
        methods=_arguments.chosen(options.methods, MIXING),
        lam=options.lam,
        seed=options.seed,
    )
    for row in rows:
        print(f"{row.name:<7} lambda {row.lam[0]:.2f}  weight {row.weight[0]:.2f}")
    print(f"The picture is in {out}.")
    return 0


def _run_inspect(options: argparse.Namespace) -> int:
    """Checks everything, then computes, prints and draws."""
    try:
        out = options.out and _files.check_picture(options.out, ())
        from keras_msda.cli import _inspect

        own = {name: getattr(options, name) for name in OWN}
        settings = _inspect.Settings(
            methods=_arguments.chosen(options.method, MIXING),
            shape=options.size,
            alpha=options.alpha,
            own={name: value for name, value in own.items() if value is not None},
            lam=options.lam,
            draws=options.draws,
            seed=options.seed,
        )
        layers = _inspect.make_layers(settings)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    rows = _inspect.examine(layers, settings)
    print(_inspect.format_rows(rows, settings))
    if out:
        _inspect.draw(rows, settings, out)
        print(f"The picture is in {out}.")
    return 0


def _fail(error: Exception) -> int:
    """Says in one line what is wrong with the input."""
    print(f"keras-msda: error: {' '.join(_words(error).split())}", file=sys.stderr)
    return 2


def _words(error: Exception) -> str:
    """Returns what to say, with the remedy where Python does not know it."""
    if isinstance(error, OSError) and error.strerror:
        place = "the output" if error.filename is None else error.filename
        return f"{place}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory for it."
    if isinstance(error, ModuleNotFoundError):
        return f"{error}. Use `pip install 'keras_msda[demo]'`."
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = _arguments.Parser(
        prog="keras-msda",
        description="Mixed sample data augmentation for Keras: try it, or look at it.",
    )
    version = f"%(prog)s {__version__}"
    parser.add_argument("--version", action="version", version=version)
    names = "train | preview | inspect"
    commands = parser.add_subparsers(required=True, metavar=names)
    _add_train(commands.add_parser("train", help=_TRAIN_HELP, description=_TRAIN))
    _add_preview(
        commands.add_parser("preview", help=_PREVIEW_HELP, description=_PREVIEW)
    )
    _add_inspect(
        commands.add_parser("inspect", help=_INSPECT_HELP, description=_INSPECT)
    )
    return parser


_TRAIN_HELP = "train a small network with and without mixing, and compare"
_TRAIN = (
    "Trains a small convolutional network on real pictures, without mixing and with "
    "each method, from the same initial weights. Prints a table and writes "
    "results.json, plans.npz and picture.png. Exit codes: 0, 1 where a row stays under "
    "the floor, 2 for a wrong argument or input or an output that cannot be written, "
    "130 after an interrupt."
)
_PREVIEW_HELP = "draw what each method makes of two pictures of your own"
_PREVIEW = (
    "Draws two pictures, the mask and the mix, a method a row. The second picture is "
    "resized to the first."
)
_INSPECT_HELP = "tell what masks are on average, and what they regularise"
_INSPECT = (
    "Prints the expected mask, the law of the label weight and the coefficients by "
    "which each method regularises products of input gradients, by distance; exact "
    "where the law of the masks is known, else drawn. An argument that only some of "
    "the methods have is given to those."
)


def _add_methods(add: Callable[..., Any], name: str, known: tuple[str, ...]) -> None:
    add(
        name,
        action="append",
        metavar="NAME[,NAME]",
        type=_arguments.method_list(known),
        help=f"all (default) or some of {', '.join(known)}; may be repeated",
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_methods(add, "--method", METHODS)
    add(
        "--epochs",
        type=_arguments.whole(1),
        default=8,
        help="passes (default %(default)s)",
    )
    add(
        "--in",
        dest="place",
        choices=("model", "pipeline"),
        default="model",
        help="mix inside the model or in the tf.data pipeline (default %(default)s)",
    )
    add("--jit", action="store_true", help="compile the training step with XLA")
    add("--seed", type=_arguments.whole(0), default=0, help="default %(default)s")
    add(
        "--data",
        metavar="NAME|FOLDER",
        help="mnist-5k (default; 5,000 digits, shipped), fashion-mnist, mnist, "
        "cifar10, a folder of idx files or one with a folder of pictures a class",
    )
    add(
        "--limit",
        type=_arguments.whole(0),
        default=5000,
        help="pictures taken, four fifths of them for training (default %(default)s); "
        "0 takes all",
    )
    add(
        "--batch-size", type=_arguments.whole(2), default=64, help="default %(default)s"
    )
    add(
        "--out",
        type=Path,
        default=Path("msda-demo"),
        metavar="FOLDER",
        help="where the results go (default ./%(default)s)",
    )
    add(
        "--floor",
        type=_arguments.share,
        default=0.9,
        help="test accuracy that every row must reach (default %(default)s)",
    )
    parser.set_defaults(job=_run_train)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="the first picture")
    add("second", type=Path, metavar="B", help="the second picture")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="the drawing")
    _add_methods(add, "--methods", MIXING)
    add(
        "--lam",
        type=_arguments.share,
        default=0.5,
        help="lambda, the share of A (default %(default)s)",
    )
    add(
        "--seed",
        type=_arguments.whole(0),
        default=0,
        help="of the masks (default %(default)s)",
    )
    add(
        "--size",
        type=_arguments.whole(1),
        default=512,
        help="longest side; larger pictures are made smaller (default %(default)s)",
    )
    parser.set_defaults(job=_run_preview)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_methods(add, "--method", MIXING)
    add(
        "--size",
        type=_arguments.size,
        default=(32, 32),
        metavar="N|NxN",
        help="spatial lengths: 32 for 32x32 (default), 32x48, 8x8x8; 64x for one axis",
    )
    add(
        "--alpha",
        type=_arguments.alpha,
        default=(1.0, 1.0),
        help="one number or A,B (1)",
    )
    add(
        "--lam",
        type=_arguments.share,
        help="lambda of E[M] and of the weight (default its law)",
    )
    add(
        "--border",
        choices=("clip", "clip_odd", "wrap", "inside"),
        help="of cutmix, hmix and gmix (clip_odd: cutmix and hmix)",
    )
    add("--box-ratio", type=_arguments.share, help="of hmix (default 0.5)")
    add("--decay-power", type=float, help="of fmix (default 3)")
    add("--max-soft", type=float, help="of fmix (default 0)")
    add(
        "--draws",
        type=_arguments.whole(2),
        help="masks drawn (default 100 to 1000, by size)",
    )
    add(
        "--seed",
        type=_arguments.whole(0, bits=31),
        default=0,
        help="of the draws (default %(default)s)",
    )
    add(
        "-o", "--out", type=Path, metavar="FILE", help="also draws it into this picture"
    )
    parser.set_defaults(job=_run_inspect)
