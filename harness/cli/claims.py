"""depthgauge claims: every claim, its source, and what is on record of it."""

import argparse

from depthgauge.cli.arguments import Commands, add_command


def add(commands: Commands) -> None:
    from depthgauge.judging import CHECKS, SUITES

    parser = add_command(
        commands, "claims", claims, summary="print every claim of the suites, its source, and what is on record of it",
        example="depthgauge claims > docs/claims.md",
    )  # fmt: skip
    parser.add_argument("suites", nargs="*", default=[CHECKS, SUITES], metavar="PACKAGE", help="default: all")


def claims(arguments: argparse.Namespace) -> int:
    from depthgauge.catalogue import catalogue
    from depthgauge.registry import load_entry_points

    load_entry_points()
    print(catalogue(arguments.suites), end="")
    return 0
