"""The command line: its arguments, its exit codes, and nothing that computes.

0 is success, 1 a row under the floor, 2 a wrong argument or input, 130 an interrupt.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from keras_msda import __version__, _files, _methods

MIXING = tuple(_methods.LAYERS)
METHODS = ("none", *MIXING)


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
    try:
        return int(options.job(options))
    except KeyboardInterrupt:
        print("keras-msda: interrupted", file=sys.stderr)
        return 130


def _run_train(options: argparse.Namespace) -> int:
    """Checks and reads everything, then trains."""
    start = time.perf_counter()
    try:
        out = _files.make_folder(options.out)
        from keras_msda import _report, _train, datasets

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
        methods=_chosen(options.method, METHODS),
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
        from keras_msda import _preview

        images, notes = _preview.read_pair(options.first, options.second, options.size)
    except (OSError, ValueError, ImportError) as error:
        return _fail(error)
    for note in notes:
        print(f"keras-msda: {note}", file=sys.stderr)
    rows = _preview.preview(
        images,
        out,
        methods=_chosen(options.methods, MIXING),
        lam=options.lam,
        seed=options.seed,
    )
    for row in rows:
        print(f"{row.name:<7} lambda {row.lam[0]:.2f}  weight {row.weight[0]:.2f}")
    print(f"The picture is in {out}.")
    return 0


def _fail(error: Exception) -> int:
    """Says in one line what is wrong with the input."""
    print(f"keras-msda: error: {' '.join(_words(error).split())}", file=sys.stderr)
    return 2


def _words(error: Exception) -> str:
    """Returns what to say, with the remedy where Python does not know it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        return f"{error}. Use `pip install 'keras_msda[demo]'`."
    return str(error)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Leaves with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="keras-msda",
        description="Mixed sample data augmentation for Keras: try it, or look at it.",
    )
    version = f"%(prog)s {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="train | preview")
    _add_train(commands.add_parser("train", help=_TRAIN_HELP, description=_TRAIN))
    _add_preview(
        commands.add_parser("preview", help=_PREVIEW_HELP, description=_PREVIEW)
    )
    return parser


_TRAIN_HELP = "train a small network with and without mixing, and compare"
_TRAIN = (
    "Trains a small convolutional network on real pictures, without mixing and with "
    "each method, from the same initial weights. Prints a table and writes "
    "results.json, plans.npz and picture.png. Exit codes: 0, 1 where a row stays under "
    "the floor, 2 for a wrong argument or input, 130 after an interrupt."
)
_PREVIEW_HELP = "draw what each method makes of two pictures of your own"
_PREVIEW = (
    "Draws two pictures, the mask and the mix, a method a row. The second picture is "
    "resized to the first."
)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--method",
        action="append",
        metavar="NAME[,NAME]",
        type=_method_list(METHODS),
        help=f"all (default) or some of {', '.join(METHODS)}; may be repeated",
    )
    add("--epochs", type=_whole(1), default=8, help="passes (default %(default)s)")
    add(
        "--in",
        dest="place",
        choices=("model", "pipeline"),
        default="model",
        help="mix inside the model or in the tf.data pipeline (default %(default)s)",
    )
    add("--jit", action="store_true", help="compile the training step with XLA")
    add("--seed", type=_whole(0), default=0, help="default %(default)s")
    add(
        "--data",
        metavar="NAME|FOLDER",
        help="mnist-5k (default; 5,000 digits, shipped), fashion-mnist, mnist, "
        "cifar10, a folder of idx files or one with a folder of pictures a class",
    )
    add(
        "--limit",
        type=_whole(0),
        default=5000,
        help="pictures taken, four fifths of them for training (default %(default)s); "
        "0 takes all",
    )
    add("--batch-size", type=_whole(2), default=64, help="default %(default)s")
    add(
        "--out",
        type=Path,
        default=Path("msda-demo"),
        metavar="FOLDER",
        help="where the results go (default ./%(default)s)",
    )
    add(
        "--floor",
        type=_share,
        default=0.9,
        help="test accuracy that every row must reach (default %(default)s)",
    )
    parser.set_defaults(job=_run_train)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", type=Path, metavar="A", help="the first picture")
    add("second", type=Path, metavar="B", help="the second picture")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="the drawing")
    add(
        "--methods",
        action="append",
        metavar="NAME[,NAME]",
        type=_method_list(MIXING),
        help=f"all (default) or some of {', '.join(MIXING)}; may be repeated",
    )
    add(
        "--lam",
        type=_share,
        default=0.5,
        help="lambda, the share of A (default %(default)s)",
    )
    add("--seed", type=_whole(0), default=0, help="of the masks (default %(default)s)")
    add(
        "--size",
        type=_whole(1),
        default=512,
        help="longest side; larger pictures are made smaller (default %(default)s)",
    )
    parser.set_defaults(job=_run_preview)


def _method_list(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Makes the reader of a comma list of methods."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(name.strip().lower() for name in text.split(","))
        for name in names:
            if name not in (*known, "all"):
                raise argparse.ArgumentTypeError(
                    f"unknown method {name!r}, known are all, {', '.join(known)}"
                )
        return known if "all" in names else names

    return read


def _chosen(
    given: list[tuple[str, ...]] | None, known: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns the methods asked for, each once, in the order of the tables."""
    names = [name for group in given or [known] for name in group]
    return tuple(name for name in known if name in names)


def _whole(minimum: int) -> Callable[[str], int]:
    """Makes the reader of a whole number."""

    def read(text: str) -> int:
        # NumPy and TensorFlow take seeds of 32 bits.
        if not text.isdecimal() or not minimum <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {minimum}, got {text!r}"
            )
        return int(text)

    return read


def _share(text: str) -> float:
    """Reads a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}")
    return value
