"""depthgauge fingerprint NAME: the hash of all that is read of a checkpoint."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command, add_store, opened
from depthgauge.core.errors import UsageError


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "fingerprint", fingerprint,
        summary="print the hash that names a checkpoint, as a key for a CI's cache",
        example="depthgauge fingerprint org/base",
    )  # fmt: skip
    parser.add_argument("checkpoint", metavar="NAME", help="a folder, an adapter beside its base, or a hub name")
    add_store(parser)


def fingerprint(arguments: argparse.Namespace) -> int:
    from depthgauge.core.registry import load_entry_points
    from depthgauge.history.accepted import home, read
    from depthgauge.sources.find import find
    from depthgauge.sources.folder import fingerprint as fingerprint_of

    load_entry_points()
    accepted = read(home(Path.cwd(), arguments.checkpoint), arguments.checkpoint)
    if accepted is not None:
        print(accepted.accepted.fingerprint)
        return 0
    source = find(arguments.checkpoint, "the checkpoint ", store=opened(arguments), start=Path.cwd())
    if source.folder is None:
        raise UsageError(f"{arguments.checkpoint} is a method, which has no files yet: name a folder or a hub name.")
    print(fingerprint_of(source.folder))
    return 0
