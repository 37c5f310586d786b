"""What the two commands share that judge: their further options, and what they print in the end."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthgauge.cli.arguments import Parser, folder
from depthgauge.core.errors import USAGE_EXIT, HarnessError
from depthgauge.runs.config import DEFAULT_FOLDERS

if TYPE_CHECKING:
    from depthgauge.runs.result import Result


def add_run_options(parser: Parser) -> None:
    parser.add_argument(
        "--report-dir", type=folder, metavar="DIR",
        help=f"where reports are written (default: {DEFAULT_FOLDERS['report_dir']}).",
    )  # fmt: skip
    parser.add_argument(
        "--claims", metavar="IDS", default="", help="judge these claims alone, by their ids with commas (default: all)."
    )
    parser.add_argument(
        "--conftest", metavar="FILE", type=Path,
        help="a conftest.py of yours that registers methods, testbeds and probes, or gives margins; it is run.",
    )  # fmt: skip
    parser.add_argument("--junit-xml", type=Path, metavar="FILE", help="write the verdicts as JUnit's XML, too.")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the one sentence that says what happened.")
    parser.add_argument("--open", action="store_true", help="open the HTML report in a browser.")


def run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """As keywords of `compare` and `verify`."""
    options: dict[str, Any] = {"claims": tuple(filter(None, (part.strip() for part in arguments.claims.split(","))))}
    if arguments.junit_xml is not None:
        from depthgauge.report.junit import check_junit

        check_junit(arguments.junit_xml)  # before anything is judged
    if arguments.conftest is not None:
        from depthgauge.runs.conftests import load_conftest

        options["margins"] = load_conftest(arguments.conftest)
    return options


def finish(judge: "Callable[..., Result]", arguments: argparse.Namespace) -> int:
    """Judge, print what the run came to, and write what was asked for beside its report; its exit code."""
    result = judged(judge, quiet=arguments.quiet)
    if result.problems and not result.rows and not result.reports:
        result = with_pages(result, arguments)
    show(result, quiet=arguments.quiet)
    write_beside([result], arguments)
    if arguments.open:
        open_pages(result.reports)
    return result.exit_code


def open_pages(pages: "Sequence[Path]") -> None:
    """Show reports in the user's browser, as HTML where there is such a page."""
    import webbrowser

    for page in pages:
        html = page.with_suffix(".html")
        shown = html if html.is_file() else page
        if not webbrowser.open(shown.resolve().as_uri()):
            print(f"depthgauge: --open has no browser here: open {shown} yourself.", file=sys.stderr)


def judged(judge: "Callable[..., Result]", name: str = "", *, quiet: bool) -> "Result":
    """The result of a run, whose progress is shown; of one that is refused, its sentence, as `name` where it is one of
    several.
    """
    from depthgauge.cli.progress import shown
    from depthgauge.runs.result import refusal

    try:
        with shown(quiet=quiet) as progress:
            return judge(tell=progress.tell, advance=progress.advance)
    except HarnessError as error:
        return refusal(error, name)


def with_pages(result: "Result", arguments: argparse.Namespace) -> "Result":
    """The result of a refused checkpoint with pages that say why; a command that cannot be carried out has none."""
    from depthgauge.report.folder import report_folder
    from depthgauge.runs.write_report import write_refused
    from depthgauge.sources.find import folder_named

    if result.exit_code == USAGE_EXIT:
        return result
    judged = str(getattr(arguments, "checkpoint", None) or getattr(arguments, "candidates", [""])[0])
    folder = folder_named(judged, Path.cwd())
    name = folder.name if folder is not None else judged.replace("/", "--")
    with suppress(HarnessError):  # what is wrong with the checkpoint comes before what is wrong with the folder
        page = write_refused(report_folder(report_dir(arguments), name, folder), str(result.headline), result.exit_code)
        return replace(result, reports=(page,))
    return result


def report_dir(arguments: argparse.Namespace) -> Path:
    """Where reports go: as the command line says, or the pyproject.toml of this folder, or the default."""
    from depthgauge.runs.config import settings_of

    return arguments.report_dir or Path(settings_of(Path.cwd()).get("report_dir", DEFAULT_FOLDERS["report_dir"]))


def show(result: "Result", *, quiet: bool = False) -> None:
    """Print what a run came to; quietly, what happened and no more."""
    from depthgauge.runs.result import lines_of

    stream = sys.stderr if result.problems and not result.rows else sys.stdout
    colour = (stream.isatty() or "FORCE_COLOR" in os.environ) and not os.environ.get("NO_COLOR")
    if quiet and result.headline is not None:
        print(result.headline, file=stream)
        return
    for line in lines_of(result, annotated=os.environ.get("GITHUB_ACTIONS") == "true", colour=colour):
        print(line, file=stream)


def write_beside(results: "Sequence[Result]", arguments: argparse.Namespace) -> None:
    """JUnit's file of all results, where it is asked for."""
    from depthgauge.report.junit import write_junit

    if arguments.junit_xml is not None:
        rows = [row for result in results for row in result.rows]
        problems = [problem for result in results for problem in result.problems]
        write_junit(arguments.junit_xml, rows, problems, [str(result.headline or result.note) for result in results])
