"""depthgauge accept NAME CHECKPOINT: what later candidates are compared with."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command, add_store, opened


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "accept", accept, summary="make a checkpoint the accepted baseline that 'compare NAME' compares with",
        example="depthgauge accept prod runs/week-23 --reason='better at gsm8k, nothing lost'",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="of the accepted baseline: baselines/NAME.json")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a folder, an adapter beside its base, or a hub name")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for whoever reads the file's history")
    parser.add_argument("--report", type=Path, metavar="FILE", help="of its run against NAME (default: in reports/)")
    parser.add_argument("--pin", action="store_true", help="move the pinned baseline there, too")
    parser.add_argument("--force", action="store_true", help="accept what the run against NAME refuted")
    add_store(parser)


def accept(arguments: argparse.Namespace) -> int:
    from depthgauge.core.registry import load_entry_points
    from depthgauge.history.accepted import accept as accept_checkpoint
    from depthgauge.history.accepted import home, path_of

    load_entry_points()  # so that the name of a method is known for one
    start, name = Path.cwd(), arguments.name
    accepted = accept_checkpoint(
        start, name, arguments.checkpoint, arguments.reason, store=opened(arguments),
        report=arguments.report or report_on(arguments.checkpoint), pin=arguments.pin, force=arguments.force,
    )  # fmt: skip
    where = (
        "which is the pinned baseline"
        if accepted.pinned == accepted.accepted
        else (f"beside the pinned baseline of {accepted.pinned.on}")
    )
    path, last = path_of(home(start, name), name), accepted.accepted
    print(f"{path}: {last.checkpoint} ({last.fingerprint}), {where}; keep it in git")
    if Path(last.checkpoint).is_absolute():
        print(f"{last.checkpoint} lies outside this project, and is stored by its absolute path: others need it there")
    if last.not_testable:
        print(f"not testable, so that nothing is known of it: {', '.join(last.not_testable)}")
    return 0


def report_on(checkpoint: str) -> Path:
    """Where a run from here left its report on a checkpoint."""
    from depthgauge.report.folder import report_folder
    from depthgauge.sources.find import folder_named

    name = folder_named(checkpoint, Path.cwd())
    called = name.name if name is not None else checkpoint.replace("/", "--")
    return report_folder(Path("reports"), called, name).path / "report.json"
