"""The console command. One file a command: each adds its parser, and opens what it needs when it runs."""

import io
import os
import sys

from depthgauge.cli import (
    accept,
    calibrate,
    claims,
    comment,
    compare,
    export,
    fetch,
    fingerprint,
    history,
    record,
    store,
    verify,
)
from depthgauge.cli.arguments import Parser
from depthgauge.core.errors import HarnessError
from depthgauge.core.installed import version
from depthgauge.core.registry import load_entry_points

INTERRUPTED_EXIT = 130  # 128 and the number of SIGINT, as shells give it
COMMANDS = {
    "compare": compare,
    "verify": verify,
    "calibrate": calibrate,
    "record": record,
    "fetch": fetch,
    "accept": accept,
    "fingerprint": fingerprint,
    "comment": comment,
    "history": history,
    "claims": claims,
    "store": store,
    "card": export,
    "results": export,
    "track": export,
}


def parser(command: str = "") -> Parser:
    """The parser of a command, or of all where none of ours has this name: a package may bring one."""
    if command not in COMMANDS:
        load_entry_points()
    top = Parser(
        prog="depthgauge",
        description="White-box regression tests for model checkpoints.",
        epilog="example:\n  depthgauge compare BASELINE CANDIDATE\n\n'depthgauge COMMAND --help' has its options.",
    )
    top.add_argument("--version", action="version", version=f"depthgauge {version('depthgauge')}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values()):
        module.add(commands)
    return top


def main() -> None:
    # No process of a run looks for modules where it was started, which may be a checkpoint's folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows another, and no traceback
            stream.reconfigure(errors="replace")
    arguments = parser(*sys.argv[1:2]).parse_args()
    try:
        sys.exit(arguments.run(arguments))
    except HarnessError as error:
        print(f"depthgauge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("depthgauge: interrupted; what was measured is kept.", file=sys.stderr)
        sys.exit(INTERRUPTED_EXIT)
