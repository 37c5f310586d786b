"""What the two commands share that judge: their further options, and what they print in the end."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthgauge.cli.arguments import Parser, folder
from depthgauge.runs.config import DEFAULT_FOLDERS

if TYPE_CHECKING:
    from depthgauge.runs.result import Result


def add_run_options(parser: Parser) -> None:
    parser.add_argument(
        "--report-dir", type=folder, default=Path(DEFAULT_FOLDERS["report_dir"]), metavar="DIR",
        help="where reports are written (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--claims", metavar="IDS", default="", help="judge these claims alone, by their ids with commas (default: all)."
    )
    parser.add_argument(
        "--conftest", metavar="FILE", type=Path,
        help="a conftest.py of yours that registers methods, testbeds and probes, or gives margins; it is run.",
    )  # fmt: skip
    parser.add_argument("--junit-xml", type=Path, metavar="FILE", help="write the verdicts as JUnit's XML, too.")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress, only what the run came to.")


def run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `compare` and `verify`."""
    options: dict[str, Any] = {"claims": tuple(filter(None, (part.strip() for part in arguments.claims.split(","))))}
    if arguments.junit_xml is not None:
        from depthgauge.report.junit import check_junit

        check_junit(arguments.junit_xml)  # before anything is judged
    if arguments.quiet:
        options["tell"] = silent
    if arguments.conftest is not None:
        from depthgauge.runs.conftests import load_conftest

        options["margins"] = load_conftest(arguments.conftest)
    return options


def silent(_: str) -> None: ...


def finish(result: "Result", arguments: argparse.Namespace) -> int:
    """Print what a run came to, and write what was asked for beside its report; its exit code."""
    show(result)
    write_beside([result], arguments)
    return result.exit_code


def show(result: "Result") -> None:
    from depthgauge.runs.result import lines_of

    for line in lines_of(result, annotated=os.environ.get("GITHUB_ACTIONS") == "true"):
        print(line)


def write_beside(results: "Sequence[Result]", arguments: argparse.Namespace) -> None:
    """JUnit's file of all results, where it is asked for."""
    from depthgauge.report.junit import write_junit

    if arguments.junit_xml is not None:
        rows = [row for result in results for row in result.rows]
        write_junit(arguments.junit_xml, rows, [problem for result in results for problem in result.problems])
