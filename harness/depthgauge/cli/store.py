"""depthgauge store ls, verify, gc, push, pull: what the store holds."""

import argparse
import math
from pathlib import Path

from depthgauge.cli.arguments import Commands, Parser, add_command, add_store, folder, opened
from depthgauge.core.numbers import not_negative, positive


def add(commands: Commands) -> None:
    from depthgauge.store.folders import KINDS

    summary = "what the store holds: ls, verify, gc, push, pull"
    parent = commands.add_parser(
        "store", help=summary, description=f"{summary.capitalize()}.", epilog="examples:\n  depthgauge store ls"
    )
    below = parent.add_subparsers(required=True, metavar="COMMAND")
    parsers = [
        add_command(
            below, "ls", ls, summary="what is there, how large it is, and when it was last used",
            example="depthgauge store ls",
        ),
        add_command(
            below, "verify", verify, summary="read every byte, and name what differs from its checksum; exit 1 if any",
            example="depthgauge store verify",
        ),
        collector(below),
    ]  # fmt: skip
    for name, run, text in (
        ("push", push, "send what is not there yet to another folder, or an address such as s3://bucket/store"),
        ("pull", pull, "bring what is not here yet from there"),
    ):
        parser = add_command(below, name, run, summary=text, example=f"depthgauge store {name} s3://bucket/store")
        parser.add_argument("address", metavar="ADDRESS", help="a folder, or what fsspec opens")
        parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="default: all")
        parsers.append(parser)
    for parser in parsers:
        add_store(parser)


def collector(below: Commands) -> Parser:
    parser = add_command(
        below, "gc", gc, example="depthgauge store gc --unused-days=7 --delete",
        summary="what no report and no accepted baseline names and no run has used for a while; --delete deletes it",
    )  # fmt: skip
    parser.add_argument("--unused-days", type=not_negative, default=30, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--most-gib", type=positive, default=math.inf, metavar="N",
        help="and what was used the longest ago, until no more than this is left (default: no limit)",
    )  # fmt: skip
    for name in ("reports", "baselines"):
        parser.add_argument(f"--{name}", type=folder, default=Path(name), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--delete", action="store_true", help="delete it; without, it is listed alone")
    return parser


def ls(arguments: argparse.Namespace) -> int:
    from depthgauge.store.inventory import contents

    print(contents(opened(arguments)))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    from depthgauge.store.inventory import damaged

    damaged_entries = list(damaged(opened(arguments)))
    print("\n".join(damaged_entries) or "every entry is as it was written")
    return 1 if damaged_entries else 0


def gc(arguments: argparse.Namespace) -> int:
    from depthgauge.history.unused import collect

    store = opened(arguments)
    collected = collect(
        store, arguments.reports, arguments.baselines, arguments.unused_days, delete=arguments.delete,
        most_gib=arguments.most_gib,
    )  # fmt: skip
    print(collected)
    return 0


def push(arguments: argparse.Namespace) -> int:
    from depthgauge.store.remote import push as send

    print(f"{send(opened(arguments), arguments.address, print, arguments.kind)} entries sent to {arguments.address}")
    return 0


def pull(arguments: argparse.Namespace) -> int:
    from depthgauge.store.remote import pull as bring

    count = bring(opened(arguments), arguments.address, print, arguments.kind)
    print(f"{count} entries brought from {arguments.address}")
    return 0
