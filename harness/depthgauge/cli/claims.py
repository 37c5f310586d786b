"""depthgauge claims: every claim, its source, and what is on record of it."""

import argparse

from depthgauge.cli.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "claims", claims, summary="print every claim of the suites, its source, and what is on record of it",
        example="depthgauge claims > docs/claims.md",
    )  # fmt: skip
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="a suite, or a module of claims; default: all")


def claims(arguments: argparse.Namespace) -> int:
    from depthgauge.api import CHECKS
    from depthgauge.core.registry import SUITES, load_entry_points
    from depthgauge.history.catalogue import catalogue

    load_entry_points()
    print(catalogue(arguments.suites or [CHECKS, *SUITES]), end="")
    return 0
