"""The arguments of each command: names, readers, defaults and help.

Nothing here imports Keras or NumPy, so that help and errors come at once.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from keras_msda import __version__, _errors, _methods
from keras_msda.cli import _card, _readers

_TRAIN_HELP = "train a small network with and without mixing, and compare"
_TRAIN = (
    "Trains a small convolutional network on real pictures, without mixing and with "
    "each method, from the same initial weights. Prints a table and writes "
    "results.json, plans.npz and picture.png. Exit codes: 0 for success, 1 if a row "
    "stays below the floor, 2 for a wrong argument or input or an output that cannot "
    "be written, 130 after an interrupt."
)
_PREVIEW_HELP = "draw what each method makes of pictures of your own"
_PREVIEW = (
    "Draws two pictures, the mask and the mix, one row per method. The second picture "
    "is resized to the size of the first. Of a folder, some pairs are drawn at random "
    "and shown beside each other."
)
_INSPECT_HELP = "show what masks are on average, and what they regularise"
_INSPECT = (
    "Prints the expected mask, the mean and standard deviation of the label weight, "
    "and the coefficients by which each method regularises products of input "
    "gradients, by distance. They are exact if the distribution of the masks is known, "
    "and estimated from drawn masks if not. Masks that depend on the images are those "
    "of equally salient pixels, and partners count as unmoved. An option that only "
    "some of the methods have is passed to those."
)
_EXPERIMENT_HELP = "train with several seeds and methods, and compare with intervals"
_EXPERIMENT = (
    "Does all runs that a YAML file asks for and that are not done yet, in processes. "
    "Writes NAME.jsonl, one line for each run, NAME.md and NAME.png. The same command "
    "goes on after an interrupt. Exit codes: 0 for success, 2 for a wrong argument or "
    "input or an output that cannot be written, 130 after an interrupt."
)
# How own options of methods are read. Others whose defaults are floats are read as
# floats, and the rest cannot be given.
_OWN: dict[str, dict[str, Any]] = {
    "border": {"choices": ("clip", "clip_odd", "wrap", "inside")},
    "box_ratio": {"type": _readers.read_share},
    "grid": {"type": _readers.integer_reader(1, bits=8)},
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Prints the line and leaves with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Writes help; argparse would say nothing if that fails."""
        if file is sys.stdout is not None:
            file.write(message)
        else:
            super()._print_message(message, file)


def build_parser() -> Parser:
    """Builds the parser of all commands.

    Returns:
        A parser whose result has the attribute `command`, the name of the command.
    """
    parser = Parser(
        prog="keras-msda",
        description="Mixed sample data augmentation for Keras: try it, or look at it.",
    )
    version = f"%(prog)s {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = (
        ("train", _add_train, _TRAIN_HELP, _TRAIN),
        ("preview", _add_preview, _PREVIEW_HELP, _PREVIEW),
        ("inspect", _add_inspect, _INSPECT_HELP, _INSPECT),
        ("experiment", _add_experiment, _EXPERIMENT_HELP, _EXPERIMENT),
        ("card", _card.add_arguments, _card.HELP, _card.DESCRIPTION),
    )
    metavar = " | ".join(name for name, *_ in commands)
    group = parser.add_subparsers(required=True, dest="command", metavar=metavar)
    for name, add, words, text in commands:
        add(group.add_parser(name, help=words, description=text))
    return parser


def known_methods() -> Mapping[str, Any]:
    """Returns all methods by name, with their `name` and `options`.

    They are those of `keras_msda.layers.METHODS`, which may have more of them than the
    package; as long as nobody has imported it, they are the package's own.
    """
    registry = sys.modules.get("keras_msda.layers.registry")
    if registry is None:
        return {line.name: line for line in _methods.LINES}
    methods: Mapping[str, Any] = registry.METHODS
    return methods


def train_methods(place: str = "model") -> tuple[str, ...]:
    """Returns the methods that `train` knows.

    "none" stands for no mixing, and "manifold" for mixing features, inside a model.

    Args:
        place: "model" or "pipeline".
    """
    return ("none", *known_methods(), *(("manifold",) if place == "model" else ()))


def own_options() -> dict[str, dict[str, Any]]:
    """Returns the methods' own options that `inspect` takes, and how they are read."""
    found = dict(_OWN)
    for method in known_methods().values():
        for name, default in method.options.items():
            if isinstance(default, float):
                found.setdefault(name, {"type": float})
    return found


def read_own_options(options: argparse.Namespace) -> Mapping[str, Any]:
    """Returns the methods' own options that were given, with their values."""
    values = {name: getattr(options, name) for name in own_options()}
    return {name: value for name, value in values.items() if value is not None}


def check_own_options(given: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Checks that one of the methods has each of the own options that were given.

    Args:
        given: The options, from `read_own_options`.
        methods: Names of the methods.

    Raises:
        ValueError: If an option belongs to none of them.
    """
    for name in given:
        takers = [x.name for x in known_methods().values() if name in x.options]
        if not set(methods) & set(takers):
            option = option_name(name)
            _errors.fail(
                "inspect",
                f"{option} belongs to {', '.join(takers)}.",
                f"{option} with --method {','.join(methods)}",
                f"Leave it out, or add --method {takers[0]}.",
            )


def option_name(name: str) -> str:
    """Returns how an argument of a layer is written on the command line."""
    return f"--{name.replace('_', '-')}"


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_methods(parser, train_methods())
    _add_training(parser)
    _add_seed(parser, "seed of split, weights, order and mixing")
    _add_data(parser)
    add = parser.add_argument
    add(
        "-o",
        "--out",
        type=Path,
        default=Path("msda-demo"),
        metavar="FOLDER",
        help="folder for the results (default ./%(default)s)",
    )
    add(
        "--floor",
        type=_readers.read_share,
        default=0.9,
        help="test accuracy that every row must reach (default %(default)s)",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Adds which pictures, and how many of them."""
    add = parser.add_argument
    add(
        "--data",
        metavar="NAME|FOLDER",
        help="mnist-5k (default; 5,000 digits, included), fashion-mnist, mnist, "
        "cifar10, cifar100, a folder of idx files, or a folder or zip file with one "
        "folder of pictures per class",
    )
    add(
        "--limit",
        type=_readers.integer_reader(0),
        default=5000,
        help="number of pictures, four fifths of them for training (default "
        "%(default)s); 0 takes all",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Adds how long, where and how the network is trained."""
    add = parser.add_argument
    add(
        "--epochs",
        type=_readers.integer_reader(1),
        default=8,
        help="passes over the training pictures (default %(default)s)",
    )
    add(
        "--batch-size",
        type=_readers.integer_reader(2),
        default=64,
        help="pictures per step (default %(default)s)",
    )
    add(
        "--in",
        dest="place",
        choices=("model", "pipeline"),
        default="model",
        help="mix inside the model or in the tf.data pipeline (default %(default)s)",
    )
    add("--jit", action="store_true", help="compile the training step with XLA")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", type=Path, metavar="A|FOLDER", help="the first picture, or a folder")
    add("second", type=Path, metavar="B", nargs="?", help="the second picture")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="the drawing")
    _add_methods(parser, tuple(known_methods()), deprecated="--methods")
    add(
        "--count",
        type=_readers.integer_reader(1, bits=4),
        help="number of pairs of a folder (default 3)",
    )
    add(
        "--lam",
        type=_readers.read_share,
        default=0.5,
        help="lambda, the share of A (default %(default)s)",
    )
    _add_seed(parser, "seed of the masks and of the pairs")
    add(
        "--size",
        type=_readers.integer_reader(1),
        default=512,
        help="longest side; larger pictures are made smaller (default %(default)s)",
    )


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_methods(parser, tuple(known_methods()))
    add = parser.add_argument
    add(
        "--size",
        type=_readers.read_size,
        default=(32, 32),
        metavar="N|NxN",
        help="spatial lengths: 32 for 32x32 (default), 32x48, 8x8x8; 64x for one axis",
    )
    add(
        "--alpha",
        type=_readers.read_alpha,
        default=(1.0, 1.0),
        help="lambda is Beta(alpha, alpha), or Beta(A, B) for A,B, where there is a "
        "lambda (default 1)",
    )
    add(
        "--lam",
        type=_readers.read_share,
        help="lambda of E[M] and of the weight (default: drawn from its distribution)",
    )
    _add_own_options(parser)
    add(
        "--draws",
        type=_readers.integer_reader(2),
        help="number of masks to draw (default 100 to 1000, by size)",
    )
    _add_seed(parser, "seed of the draws", bits=31)
    add("-o", "--out", type=Path, metavar="FILE", help="also draw them, to this file")


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="a YAML file, see docs")
    add(
        "-o",
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder for the results (default: results, beside the config)",
    )
    add(
        "--workers",
        type=_readers.integer_reader(1, bits=10),
        default=1,
        help="processes that train at the same time and share the cores (default "
        "%(default)s)",
    )
    add(
        "--data",
        action="append",
        dest="places",
        default=[],
        type=_readers.read_place,
        metavar="NAME=PATH",
        help="folder or zip file of a data set that the config names; may be repeated",
    )
    add(
        "--row",
        action="append",
        dest="rows",
        default=[],
        metavar="NAME",
        help="do the runs of this row alone (default: of all rows); may be repeated",
    )
    _add_modes(parser)


def _add_modes(parser: argparse.ArgumentParser) -> None:
    """Adds what may be done instead of all runs."""
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--check",
        action="store_true",
        help="do each row once, quickly, on few images, and keep nothing",
    )
    modes.add_argument(
        "--tables",
        action="store_true",
        help="write tables and picture anew from the lines that there are",
    )


def _add_methods(
    parser: argparse.ArgumentParser,
    known: tuple[str, ...],
    *,
    deprecated: str | None = None,
) -> None:
    """Adds `--method`, and perhaps its name in 0.1, which the help leaves out."""
    read = _readers.method_reader(known)

    def read_deprecated(text: str) -> tuple[str, ...]:
        _errors.warn_deprecated("preview", f"`{deprecated}`", "`--method`", end="0.4")
        return read(text)

    words = f"all (default) or some of {', '.join(known)}; may be repeated"
    given = [("--method", read, words)]
    if deprecated:
        given.append((deprecated, read_deprecated, argparse.SUPPRESS))
    for option, reader, text in given:
        parser.add_argument(
            option,
            dest="methods",
            action="append",
            metavar="NAME[,NAME]",
            type=reader,
            help=text,
        )


def _add_seed(parser: argparse.ArgumentParser, words: str, *, bits: int = 32) -> None:
    parser.add_argument(
        "--seed",
        type=_readers.integer_reader(0, bits=bits),
        default=0,
        help=f"{words} (default %(default)s)",
    )


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that only some of the methods have."""
    methods = known_methods().values()
    for name, settings in own_options().items():
        takers = {m.name: m.options[name] for m in methods if name in m.options}
        first = next((x for x in takers.values() if x is not None), None)
        groups: dict[Any, list[str]] = {}
        for method, default in takers.items():
            groups.setdefault(first if default is None else default, []).append(method)
        words = (f"{', '.join(each)} (default {x})" for x, each in groups.items())
        parser.add_argument(
            option_name(name), help=f"of {', '.join(words)}", **settings
        )
