"""depthgauge calibrate BASELINE --as=CANDIDATE: what rounding does to a baseline, before a candidate is judged."""

import argparse

from depthgauge.cli.arguments import Commands, add_command, add_options, options_given

OPTIONS = ("twins", "testbed", "device", "dtype", "store")
MORE = """Copies of BASELINE are rounded in memory
as the candidate is, tensor by tensor on its own scales and zero points, and a coin decides what lies near a tie. What
they are off by, layer by layer and head by head, is kept in the store, where 'compare BASELINE CANDIDATE
--expect=quantized' reads it: other candidates on the same scales are then judged without making it again."""


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "calibrate", calibrate, summary="measure what rounding, and nothing else, does to a baseline",
        more=MORE,
        example="depthgauge calibrate org/base --as=runs/int4\n"
        "  depthgauge calibrate org/base --as=int4-g32 --twins=20",
    )  # fmt: skip
    parser.add_argument("baseline", metavar="BASELINE", help="a folder, or a name on the hub")
    parser.add_argument(
        "--as", dest="rounded_as", required=True, metavar="NAME",
        help="a quantised checkpoint on whose scales and zero points twins are rounded, or a rule: int4-g32 (4 bits, a "
        "scale for 32 weights), int4-g128-asym, int8 (a scale for each row)",
    )  # fmt: skip
    add_options(parser, OPTIONS)


def calibrate(arguments: argparse.Namespace) -> int:
    from depthgauge.core.registry import load_entry_points
    from depthgauge.runs.calibrate import calibrate as make_twins
    from depthgauge.runs.config import options_from

    load_entry_points()
    options = options_from(options_given(arguments, OPTIONS))
    for line in make_twins(options, arguments.baseline, arguments.rounded_as, print).lines:
        print(line)
    return 0
