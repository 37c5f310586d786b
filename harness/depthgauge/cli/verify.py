"""depthgauge verify METHOD: is the checkpoint that I trained better, and sane inside?"""

import argparse
from functools import partial

from depthgauge.cli.arguments import Commands, add_command, add_options, options_given
from depthgauge.cli.run import add_run_options, finish, report_dir, run_options

OPTIONS = (
    "checkpoint",
    "testbed",
    "suites",
    "base_model",
    "seeds",
    "first_seed",
    "inconclusive",
    "device",
    "dtype",
    "device_map",
    "launcher",
    "processes",
    "executor",
    "workers",
    "dry_run",
    "store",
    "no_text",
)


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "verify", verify, summary="whether the claims about a registered method hold",
        more="What the store\nlacks is trained. 'pytest suites/ --method=METHOD' judges the same within a project.",
        example="depthgauge verify METHOD --testbed=NAME --seeds=3\n"
        "  depthgauge verify mine --testbed=ours --conftest=conftest.py --dry-run",
    )  # fmt: skip
    parser.add_argument("method", metavar="METHOD", nargs="?", help="one, several with commas, or all")
    add_options(parser, OPTIONS)
    add_run_options(parser)


def verify(arguments: argparse.Namespace) -> int:
    from depthgauge.api import verify as verify_method
    from depthgauge.runs.session import asked_names

    options = options_given(arguments, OPTIONS) | run_options(arguments) | {"report_dir": str(report_dir(arguments))}
    options["suites"] = asked_names(options["suites"] or "")
    return finish(partial(verify_method, arguments.method, **options), arguments)
