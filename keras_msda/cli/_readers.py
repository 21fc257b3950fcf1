"""Readers of arguments: each turns a word into a value, or says why it cannot.

argparse turns the reason into one line and exit code 2.
"""

import argparse
from collections.abc import Callable


def method_reader(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Makes the reader of a list of methods, separated by commas.

    Args:
        known: Names of all methods, for which "all" stands.
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


def merge_methods(
    given: list[tuple[str, ...]] | None, known: tuple[str, ...]
) -> tuple[str, ...]:
    """Returns each method asked for once, in the order of the registry.

    Args:
        given: What every use of the option named; None asks for all.
        known: Names of all methods.
    """
    names = [name for group in given or [known] for name in group]
    return tuple(name for name in known if name in names)


def integer_reader(minimum: int, *, bits: int = 32) -> Callable[[str], int]:
    """Makes the reader of an integer.

    Args:
        minimum: The least integer allowed.
        bits: The integer must be below 2^bits; NumPy and TensorFlow take seeds of 32
            bits.
    """

    def read(text: str) -> int:
        # Python refuses to read integers of thousands of digits.
        valid = text.isdecimal() and len(text) < 100
        if not valid or not minimum <= int(text) < 2**bits:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {minimum} to 2^{bits} - 1, got {text!r}"
            )
        return int(text)

    return read


def read_share(text: str) -> float:
    """Reads a number in [0, 1]."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}")
    return value


def read_size(text: str) -> tuple[int, ...]:
    """Reads spatial lengths; a single number is the side of a square."""
    parts = text.lower().split("x")
    one_axis = len(parts) == 2 and not parts[1]
    lengths = parts[:1] if one_axis else parts
    if len(lengths) > 3 or not all(_is_length(length) for length in lengths):
        raise argparse.ArgumentTypeError(
            f"must be like 32, 32x48, 8x8x8 or 64x, got {text!r}"
        )
    numbers = tuple(int(length) for length in lengths)
    return numbers * 2 if len(parts) == 1 else numbers


def _is_length(text: str) -> bool:
    return text.isdecimal() and len(text) < 100 and int(text) > 0


def read_alpha(text: str) -> tuple[float, float]:
    """Reads one or two parameters of lambda's Beta distribution."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value < 1e6 for value in values):
        raise argparse.ArgumentTypeError(
            f"must be a positive number or two like 2,1, got {text!r}"
        )
    return values[0], values[-1]


def read_place(text: str) -> tuple[str, str]:
    """Reads a name and a path."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"must be like NAME=PATH, got {text!r}")
    return name, path
