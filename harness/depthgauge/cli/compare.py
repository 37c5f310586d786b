"""depthgauge compare BASELINE CANDIDATE: is what I ship what I trained?"""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command, add_options, options_given
from depthgauge.cli.run import add_run_options, finish, run_options, show, write_beside
from depthgauge.core.errors import HarnessError

OPTIONS = (
    "expect",
    "tasks",
    "include_path",
    "trust_task_code",
    "margin",
    "testbed",
    "adapter_base",
    "last_stage",
    "all_stages",
    "inconclusive",
    "device",
    "dtype",
    "device_map",
    "executor",
    "workers",
    "dry_run",
    "store",
    "no_text",
)
MORE = """Each is a folder, an adapter beside its
base, a name on the hub, or a registered method; BASELINE may be the name of an accepted baseline. Several candidates
are judged one by one, as the checkpoints of one training. Writes DIR/CANDIDATE/report.md and the same as report.html,
report.json and summary.md."""


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "compare", compare, summary="what changed from a baseline to a candidate checkpoint", more=MORE,
        example="depthgauge compare org/base runs/merged --expect=trained --tasks=gsm8k",
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
    from depthgauge.report.outcome import Problem
    from depthgauge.runs.result import Result
    from depthgauge.runs.trajectory import candidates_named, judge_trajectory

    given = options_given(arguments, OPTIONS) | run_options(arguments)
    candidates = candidates_named(arguments.candidates)

    if len(candidates) == 1:
        options = given | {"report_dir": str(arguments.report_dir)}
        return finish(compare_two(arguments.baseline, candidates[0], **options), arguments)
    results: list[Result] = []

    def judge_one(candidate: str, reports: Path) -> int:
        try:
            results.append(compare_two(arguments.baseline, candidate, **given, report_dir=str(reports)))
        except HarnessError as error:  # the others are judged all the same
            problem = Problem(exit_code=error.exit_code, message=f"{candidate}: {error}")
            results.append(Result(problems=(problem,), exit_code=error.exit_code))
        show(results[-1])
        return results[-1].exit_code

    code, page = judge_trajectory([Path(name) for name in candidates], arguments.report_dir, judge_one)
    write_beside(results, arguments)
    print(f"depthgauge: {page or 'no checkpoint was judged'}; exit {code}")
    return code
