"""depthgauge compare BASELINE CANDIDATE: is what I ship what I trained?"""

import argparse
from functools import partial
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command, add_options, options_given
from depthgauge.cli.run import add_run_options, finish, judged, open_pages, report_dir, run_options, show, write_beside

OPTIONS = (
    "expect",
    "allow",
    "tasks",
    "include_path",
    "trust_task_code",
    "margin",
    "twins",
    "testbed",
    "adapter_base",
    "last_stage",
    "all_stages",
    "inconclusive",
    "device",
    "dtype",
    "device_map",
    "as_run",
    "launcher",
    "processes",
    "executor",
    "workers",
    "dry_run",
    "store",
    "no_text",
)
MORE = """Each is a folder, an adapter beside its
base, a name on the hub, or a registered method; BASELINE may be the name of an accepted baseline. Several candidates
are judged one by one and shown side by side. Writes DIR/CANDIDATE/report.md and the same as report.html,
report.json and summary.md. Options may stand in [tool.depthgauge] of the pyproject.toml in this folder."""


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "compare", compare, summary="what changed from a baseline to a candidate checkpoint", more=MORE,
        example="depthgauge compare org/base runs/merged --expect=trained --tasks=gsm8k\n"
        "  depthgauge compare base quantised --all-stages --open\n"
        "  depthgauge compare org/base 'run/checkpoint-*' --last-stage=weights\n"
        "  depthgauge compare prod candidate --junit-xml=junit.xml --inconclusive=warn",
    )  # fmt: skip
    parser.add_argument("baseline", metavar="BASELINE", help="the checkpoint that is known")
    parser.add_argument(
        "candidates",
        metavar="CANDIDATE",
        nargs="+",
        help="what is judged; several, or 'run/checkpoint-*'",
    )
    add_options(parser, OPTIONS)
    add_run_options(parser)


def compare(arguments: argparse.Namespace) -> int:
    from depthgauge.api import compare as compare_two
    from depthgauge.report.outcome import word
    from depthgauge.runs.result import Result
    from depthgauge.runs.trajectory import candidates_named, judge_trajectory

    given = options_given(arguments, OPTIONS) | run_options(arguments)
    candidates = candidates_named(arguments.candidates)

    if len(candidates) == 1:
        options = given | {"report_dir": str(report_dir(arguments))}
        return finish(partial(compare_two, arguments.baseline, candidates[0], **options), arguments)
    results: list[Result] = []

    def judge_one(candidate: str, reports: Path) -> int:
        judge = partial(compare_two, arguments.baseline, candidate, **given, report_dir=str(reports))
        results.append(judged(judge, candidate, quiet=arguments.quiet))
        show(results[-1], quiet=arguments.quiet)
        return results[-1].exit_code

    code, page = judge_trajectory([Path(name) for name in candidates], report_dir(arguments), judge_one)
    write_beside(results, arguments)
    accepted = sum(result.exit_code == 0 for result in results)
    print(f"{word(code).capitalize()}: {accepted} of {len(results)} candidates are accepted; exit {code}: {page or ''}")
    if arguments.open and page is not None:
        open_pages([page])
    return code
