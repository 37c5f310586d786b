"""depthgauge record TESTBED: record what several training seeds give."""

import argparse

from depthgauge.cli.arguments import Commands, add_command, add_store
from depthgauge.core.numbers import whole


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "record", record, summary="record what several training seeds give on a testbed; resumes",
        example="depthgauge record TESTBED --seeds=5",
    )  # fmt: skip
    parser.add_argument("testbed", metavar="TESTBED")
    parser.add_argument("--method", default="all", metavar="NAMES", help="default: all that the testbed trains")
    parser.add_argument("--seeds", type=whole(1), default=5, metavar="N", help="default: %(default)s")
    add_store(parser)


def record(arguments: argparse.Namespace) -> int:
    from depthgauge.record import record_outcomes

    record_outcomes(arguments.testbed, arguments.method, arguments.seeds, arguments.store)
    return 0
