"""Numbers of the command line, checked as they are read: before a file is opened, and long before one is written."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """Reads a whole number. It raises: ArgumentTypeError for what is none, or less than `least`."""

    def read(text: str) -> int:
        try:
            count = int(text)
        except ValueError:
            raise ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if count < least:
            raise ArgumentTypeError(f"must be at least {least}, got {text}")
        return count

    return read


def positive(text: str) -> float:
    """A number above 0. Raises: ArgumentTypeError for anything else, infinity included."""
    value = number(text)
    if value <= 0:
        raise ArgumentTypeError(f"must be above 0, got {text}")
    return value


def not_negative(text: str) -> float:
    """A number of 0 or more. Raises: as `positive`."""
    value = number(text)
    if value < 0:
        raise ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"must be a number, got {text!r}")
    return value
