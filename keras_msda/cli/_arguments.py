"""Readers of the command line's arguments: from a word to a value, or one line why not.

What is wrong leaves with exit code 2.
"""

import argparse
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Leaves with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def method_list(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Makes the reader of a comma list of methods.

    Args:
        known: All of them, which "all" stands for.
    """

    def read(text: str) -> tuple[str, ...]:
        names = tuple(name.strip().lower() for name in text.split(","))
        for name in names:
            if name not in (*known, "all"):
                raise argparse.ArgumentTypeError(
                    f"unknown method {name!r}, known are all, {', '.join(known)}"
                )
        return known if "all" in names else names

    return read


def chosen(
    given: list[tuple[str, ...]] | None, known: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns the methods asked for, each once, in the order of the tables."""
    names = [name for group in given or [known] for name in group]
    return tuple(name for name in known if name in names)


def whole(minimum: int, *, bits: int = 32) -> Callable[[str], int]:
    """Makes the reader of a whole number.

    Args:
        minimum: The least one.
        bits: How many it may have; NumPy and TensorFlow take seeds of 32.
    """

    def read(text: str) -> int:
        # So many digits are too many anyway, and Python does not read thousands.
        valid = text.isdecimal() and len(text) < 100
        if not valid or not minimum <= int(text) < 2**bits:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {minimum} to 2^{bits} - 1, got {text!r}"
            )
        return int(text)

    return read


def share(text: str) -> float:
    """Reads a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}")
    return value


def size(text: str) -> tuple[int, ...]:
    """Reads spatial lengths; a single one is that of a square."""
    parts = text.lower().split("x")
    single = len(parts) == 2 and not parts[1]
    lengths = parts[:1] if single else parts
    if len(lengths) > 3 or not all(_is_length(x) for x in lengths):
        raise argparse.ArgumentTypeError(
            f"must be like 32, 32x48, 8x8x8 or 64x, got {text!r}"
        )
    numbers = tuple(int(length) for length in lengths)
    return numbers * 2 if len(parts) == 1 else numbers


def _is_length(text: str) -> bool:
    return text.isdecimal() and len(text) < 100 and int(text) > 0


def alpha(text: str) -> tuple[float, float]:
    """Reads one parameter of lambda's law, or two."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value < 1e6 for value in values):
        raise argparse.ArgumentTypeError(
            f"must be a positive number or two like 2,1, got {text!r}"
        )
    return values[0], values[-1]
