"""depthgauge card, results, and what is registered besides: the verdicts of a report in another form; and track."""

import argparse
from functools import partial
from pathlib import Path

from depthgauge.cli.arguments import Commands, Parser, add_command
from depthgauge.core.errors import HarnessError, UsageError
from depthgauge.core.registry import EXPORTERS
from depthgauge.report.exporter import Exporter


def add(commands: Commands) -> None:
    for name in EXPORTERS:
        exporter: Exporter = EXPORTERS[name]
        parser = add_command(
            commands, name, partial(export, exporter), summary=exporter.summary, example=exporter.example
        )
        add_report(parser)
        parser.add_argument("file", type=Path, metavar="FILE", help="what is written")
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


def export(exporter: Exporter, arguments: argparse.Namespace) -> int:
    try:
        exporter.write(arguments.report, arguments.file)
    except HarnessError:
        raise
    except Exception as error:  # whatever a third party's exporter raises
        raise UsageError(f"exporter {exporter.name!r} raises {type(error).__name__}: {error}.") from error
    print(f"depthgauge: the verdicts are in {arguments.file}.")
    return 0


def track(arguments: argparse.Namespace) -> int:
    from depthgauge.report.track import track as track_report

    track_report(arguments.report, arguments.to, arguments.project)
    print(f"depthgauge: the verdicts were logged to project {arguments.project} of {arguments.to}.")
    return 0
