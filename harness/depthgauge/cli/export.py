"""depthgauge card, results, track: the verdicts of a report for a model card, for lm-eval's readers, for a tracker."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, Parser, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "card", card, summary="write the verdicts of a report into a model card, for the hub",
        example="depthgauge card reports/merged/report.json runs/merged/README.md",
    )  # fmt: skip
    add_report(parser)
    parser.add_argument("card", type=Path, metavar="CARD", help="the README.md of a model; made if there is none")
    parser = add_command(
        commands, "results", results, summary="write the verdicts of a report as a result file of lm-eval",
        example="depthgauge results reports/merged/report.json results.json",
    )  # fmt: skip
    add_report(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="as results.json")
    parser = add_command(
        commands, "track", track, summary="log the verdicts of a report to trackio or wandb: a table, and figures",
        example="depthgauge track reports/merged/report.json --to=trackio --project=ours",
    )  # fmt: skip
    add_report(parser)
    from depthgauge.report.track import TRACKERS

    parser.add_argument("--to", choices=TRACKERS, default=TRACKERS[0], help="default: %(default)s")
    parser.add_argument("--project", default="depthgauge", metavar="NAME", help="default: %(default)s")


def add_report(parser: Parser) -> None:
    parser.add_argument("report", type=Path, metavar="REPORT", help="reports/CANDIDATE/report.json")


def card(arguments: argparse.Namespace) -> int:
    from depthgauge.report.card import write_card

    write_card(arguments.report, arguments.card)
    print(f"depthgauge: the verdicts are in {arguments.card}.")
    return 0


def results(arguments: argparse.Namespace) -> int:
    from depthgauge.report.results import write_results

    write_results(arguments.report, arguments.file)
    print(f"depthgauge: the verdicts are in {arguments.file}.")
    return 0


def track(arguments: argparse.Namespace) -> int:
    from depthgauge.report.track import track as track_report

    track_report(arguments.report, arguments.to, arguments.project)
    print(f"depthgauge: the verdicts were logged to project {arguments.project} of {arguments.to}.")
    return 0
