"""depthgauge comment SUMMARY: the verdicts as a pull request's comment."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "comment", comment,
        summary="from a workflow on GitHub, write a summary as the pull request's comment",
        example="depthgauge comment reports/merged/summary.md",
    )  # fmt: skip
    parser.add_argument("summaries", type=Path, nargs="+", metavar="SUMMARY", help="summary.md; one comment each")


def comment(arguments: argparse.Namespace) -> int:
    from depthgauge.report.github import comment as write_comment

    for summary in arguments.summaries:
        print(f"depthgauge: {write_comment(summary)}.")
    return 0
