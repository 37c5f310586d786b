"""What the commands' parsers share: exit 4 for bad usage, checked numbers and folders, the options of a run."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from depthgauge.core.errors import USAGE_EXIT
from depthgauge.runs.config import DEFAULT_FOLDERS, OPTIONS

if TYPE_CHECKING:
    from depthgauge.store.folders import Store

Run = Callable[[argparse.Namespace], int]


class Commands(Protocol):
    """What `add_subparsers` gives."""

    def add_parser(self, name: str, **kwargs: Any) -> "Parser": ...


class Parser(argparse.ArgumentParser):
    """Takes no abbreviated option, and ends in exit 4 where the command cannot be carried out as given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs})

    def error(self, message: str) -> NoReturn:
        print(f"depthgauge: {message}; '{self.prog} --help' lists what it takes.", file=sys.stderr)
        sys.exit(USAGE_EXIT)


def add_command(commands: Commands, name: str, run: Run, *, summary: str, example: str, more: str = "") -> Parser:
    """A command with its help: a line, further text, and an example that can be pasted."""
    text = f"{summary[0].upper()}{summary[1:]}.{f' {more}' if more else ''}"
    command = commands.add_parser(name, help=summary, description=text, epilog=f"examples:\n  {example}")
    command.set_defaults(run=run)
    return command


def add_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Options of a run, as pytest has them."""
    for option in OPTIONS:
        if option.name in names:
            parser.add_argument(option.spelled, dest=option.name, **option.attributes)


def options_given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The options of these names that a parser took, by the fields of `Options`."""
    return {name: getattr(arguments, name) for name in names}


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=folder, default=Path(DEFAULT_FOLDERS["store"]), metavar="DIR", help="default: %(default)s"
    )


def opened(arguments: argparse.Namespace) -> "Store":
    from depthgauge.store.remote import store_at

    return store_at(arguments.store, run="command")


def folder(text: str) -> Path:
    """Raises: ArgumentTypeError for no name, and for an address, whose entries are brought by `store pull`."""
    if not text:
        raise argparse.ArgumentTypeError("names no folder: give one, or leave the option out")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is no folder: bring what is there by 'depthgauge store pull {text}'")
    return Path(text)
