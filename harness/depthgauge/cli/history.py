"""depthgauge history: what the gate said of one checkpoint after the other."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "history", history, summary="draw what the gate said of one checkpoint after the other",
        example="depthgauge history reports/history.jsonl",
    )  # fmt: skip
    parser.add_argument(
        "history", type=Path, nargs="?", default=Path("reports/history.jsonl"), metavar="FILE",
        help="a line a comparison, which 'compare' writes (default: %(default)s)",
    )  # fmt: skip


def history(arguments: argparse.Namespace) -> int:
    from depthgauge.report.trend import write_trend

    print(f"depthgauge: {write_trend(arguments.history)}")
    return 0
