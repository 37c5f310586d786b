"""The console command: `depthgauge compare OLD NEW`, and what else needs no pytest project."""

import argparse
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from depthgauge.errors import USAGE_EXIT, HarnessError, UsageError
from depthgauge.numbers import not_negative, positive, whole
from depthgauge.record import record_ledger
from depthgauge.registry import load_entry_points
from depthgauge.report.track import TRACKERS
from depthgauge.trajectory import checkpoints_of, is_pattern, judge_trajectory
from depthgauge.types import Task

if TYPE_CHECKING:
    from depthgauge.store.folders import Store

SUITES = "depthgauge.suites"
# Where they are installed they take half a second each run, and no claim uses them.
WITHOUT = ("-p", "no:hypothesispytest", "-p", "no:anyio")
COMPARE_HELP = """What changed from OLD to NEW: two checkpoints of one language model, each a folder, an adapter beside
its base, a name on the hub, or a registered method. Writes reports/NEW/report.md; the exit code gates.

Further options are pytest's: --exam=TASK, --margin=EXAM=POINTS, --dtype=bfloat16, --testbed=NAME, -n 2, -k NAME ..."""


def pytest(arguments: Sequence[str]) -> int:
    """Run pytest on the shipped suites in a process of its own; its exit code."""
    return subprocess.call([sys.executable, "-m", "pytest", "--pyargs", *WITHOUT, *arguments])


def compare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    named = [f"{SUITES}.test_change", "--against", arguments.old]
    if not is_pattern(arguments.new):
        return pytest([*named, "--checkpoint", arguments.new, f"--report-dir={arguments.report_dir}", *rest])

    def judge_one(folder: Path, reports: Path) -> int:
        return pytest([*named, "--checkpoint", str(folder.resolve()), f"--report-dir={reports}", *rest])

    code, page = judge_trajectory(checkpoints_of(arguments.new), arguments.report_dir, judge_one)
    print(f"depthgauge: {page or 'no checkpoint was judged'}; exit {code}")
    return code


def judge(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    return pytest([SUITES, f"--method={arguments.method}", *rest])


def ledger(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    record_ledger(arguments.testbed, arguments.method, arguments.seeds, arguments.store, [SUITES, *rest])
    return 0


def fetch(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.exams.tasks import fetch as fetch_task

    for name in arguments.tasks:
        fetch_task(Task(name=name, path=arguments.exam_path))
        print(f"{name} is in the cache")
    return 0


def fingerprint(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.models.folder import fingerprint as fingerprint_of
    from depthgauge.references import home, read
    from depthgauge.sources import find

    load_entry_points()
    accepted = read(home(Path.cwd(), arguments.checkpoint), arguments.checkpoint)
    if accepted is not None:
        print(accepted.last.fingerprint)
        return 0
    source = find(arguments.checkpoint, "the checkpoint", store=opened(arguments), start=Path.cwd())
    if source.folder is None:
        raise UsageError(f"{arguments.checkpoint} is a method, which has no files yet: name a folder or a hub name.")
    print(fingerprint_of(source.folder))
    return 0


def accept(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.references import accept as accept_checkpoint
    from depthgauge.references import home, path_of

    load_entry_points()  # so that the name of a method is known for one
    start, name = Path.cwd(), arguments.name
    found = accept_checkpoint(
        start, name, arguments.checkpoint, arguments.reason, store=opened(arguments),
        report=arguments.report or report_on(arguments.checkpoint), anchor=arguments.anchor, force=arguments.force,
    )  # fmt: skip
    where = "which is the anchor" if found.anchor == found.last else f"beside the anchor of {found.anchor.on}"
    path, last = path_of(home(start, name), name), found.last
    print(f"{path}: {last.checkpoint} ({last.fingerprint}), {where}; keep it in git")
    if last.not_testable:
        print(f"not testable, so that nothing is known of it: {', '.join(last.not_testable)}")
    return 0


def report_on(checkpoint: str) -> Path:
    """Where a run from here left its report on a checkpoint."""
    from depthgauge.report.folder import report_folder
    from depthgauge.sources import folder_named

    found = folder_named(checkpoint, Path.cwd())
    name = checkpoint.replace("/", "--") if found is None else found.name
    return report_folder(Path("reports"), name, found).path / "report.json"


def comment(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.report.github import comment as write_comment

    for summary in arguments.summaries:
        print(f"depthgauge: {write_comment(summary)}.")
    return 0


def history(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.report.trend import write_trend

    print(f"depthgauge: {write_trend(arguments.history)}")
    return 0


def card(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.report.card import write_card

    write_card(arguments.report, arguments.card)
    print(f"depthgauge: the verdicts are in {arguments.card}.")
    return 0


def results(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.report.results import write_results

    write_results(arguments.report, arguments.file)
    print(f"depthgauge: the verdicts are in {arguments.file}.")
    return 0


def track(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.report.track import track as track_report

    track_report(arguments.report, arguments.to, arguments.project)
    print(f"depthgauge: the verdicts were logged to project {arguments.project} of {arguments.to}.")
    return 0


def store_ls(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.store.inventory import contents

    print(contents(opened(arguments)))
    return 0


def store_verify(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.store.inventory import damaged

    found = list(damaged(opened(arguments)))
    print("\n".join(found) or "every entry is as it was sealed")
    return 1 if found else 0


def store_gc(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.store.inventory import collect

    store = opened(arguments)
    print(
        collect(
            store, arguments.reports, arguments.references, arguments.unused_days, delete=arguments.delete,
            most_gib=arguments.most_gib,
        )
    )  # fmt: skip
    return 0


def store_push(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.store.remote import push

    print(f"{push(opened(arguments), arguments.address, print, arguments.kind)} entries sent to {arguments.address}")
    return 0


def store_pull(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.store.remote import pull

    print(
        f"{pull(opened(arguments), arguments.address, print, arguments.kind)} entries brought from {arguments.address}"
    )
    return 0


def opened(arguments: argparse.Namespace) -> "Store":
    from depthgauge.store.remote import store_at

    return store_at(arguments.store, run="command")


def claims(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    from depthgauge.catalogue import catalogue

    load_entry_points()
    print(catalogue(arguments.suites), end="")
    return 0


def folder(text: str) -> Path:
    """Raises: ArgumentTypeError for no name, and for an address, whose entries are brought by `store pull`."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no folder: give one, or leave the option out")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is no folder: bring what is there by 'depthgauge store pull {text}'")
    return Path(text)


class Parser(argparse.ArgumentParser):
    """A command line that is not understood is exit 4, as it is for pytest."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_EXIT, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="depthgauge", description="White-box regression tests for model checkpoints.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "compare", help="what changed from OLD to NEW", description=COMPARE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    one.add_argument("old", metavar="OLD", help="the checkpoint that is known")
    one.add_argument("new", metavar="NEW", help="the checkpoint that is judged; or 'run/checkpoint-*', one by one")
    one.add_argument("--report-dir", type=folder, default=Path("reports"), metavar="DIR", help="default: %(default)s")
    one.set_defaults(run=compare)
    one = commands.add_parser("judge", help="judge a registered method; further options are pytest's")
    one.add_argument("method", metavar="METHOD", help="one, several with commas, or all")
    one.set_defaults(run=judge)
    one = commands.add_parser("ledger", help="record what several training seeds give on a testbed; resumes")
    one.add_argument("testbed", metavar="TESTBED")
    one.add_argument("--method", default="all", metavar="NAMES", help="default: all that the testbed trains")
    one.add_argument("--seeds", type=whole(1), default=5, metavar="N", help="default: %(default)s")
    one.add_argument("--store", type=folder, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s")
    one.set_defaults(run=ledger)
    one = commands.add_parser("fetch", help="bring the data of lm-eval tasks into the cache, where there is a network")
    one.add_argument("tasks", nargs="+", metavar="TASK")
    one.add_argument("--exam-path", type=Path, metavar="DIR", help="a folder of tasks beside lm-eval's own")
    one.set_defaults(run=fetch)
    one = commands.add_parser("accept", help="make a checkpoint the reference that --against=NAME compares with")
    one.add_argument("name", metavar="NAME", help="of the reference: references/NAME.json")
    one.add_argument("checkpoint", metavar="CHECKPOINT", help="a folder, an adapter beside its base, or a hub name")
    one.add_argument("--reason", required=True, metavar="TEXT", help="why, for whoever reads the file's history")
    one.add_argument("--report", type=Path, metavar="FILE", help="of its run against NAME (default: in reports/)")
    one.add_argument("--anchor", action="store_true", help="move the anchor there, too")
    one.add_argument("--force", action="store_true", help="accept what the run against NAME refuted")
    one.add_argument("--store", type=folder, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s")
    one.set_defaults(run=accept)
    one = commands.add_parser("fingerprint", help="print the hash that names a checkpoint, as a key for a CI's cache")
    one.add_argument("checkpoint", metavar="NAME", help="a folder, an adapter beside its base, or a name on the hub")
    one.add_argument("--store", type=folder, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s")
    one.set_defaults(run=fingerprint)
    one = commands.add_parser(
        "comment", help="from a workflow on GitHub, write a summary as the pull request's comment"
    )
    one.add_argument(
        "summaries", type=Path, nargs="+", metavar="SUMMARY", help="reports/NEW/summary.md; one comment each"
    )
    one.set_defaults(run=comment)
    one = commands.add_parser("history", help="draw what the gate said of one checkpoint after the other")
    one.add_argument(
        "history", type=Path, nargs="?", default=Path("reports/history.jsonl"), metavar="FILE",
        help="a line a run, which runs with --against write (default: %(default)s)",
    )  # fmt: skip
    one.set_defaults(run=history)
    one = commands.add_parser("claims", help="print every claim of the suites, its source, and what is on record of it")
    one.add_argument("suites", nargs="?", default=SUITES, metavar="PACKAGE", help="default: %(default)s")
    one.set_defaults(run=claims)
    add_store_commands(commands.add_parser("store", help="what the store holds: ls, verify, gc, push, pull"))
    one = commands.add_parser("card", help="write the verdicts of a report into a model card, for the hub")
    one.add_argument("report", type=Path, metavar="REPORT", help="reports/NEW/report.json")
    one.add_argument("card", type=Path, metavar="CARD", help="the README.md of a model; made if there is none")
    one.set_defaults(run=card)
    one = commands.add_parser("results", help="write the verdicts of a report as a result file of lm-eval")
    one.add_argument("report", type=Path, metavar="REPORT", help="reports/NEW/report.json")
    one.add_argument("file", type=Path, metavar="FILE", help="as results.json")
    one.set_defaults(run=results)
    one = commands.add_parser("track", help="log the verdicts of a report to trackio or wandb: a table, and figures")
    one.add_argument("report", type=Path, metavar="REPORT", help="reports/NEW/report.json")
    one.add_argument("--to", choices=TRACKERS, default=TRACKERS[0], help="default: %(default)s")
    one.add_argument("--project", default="depthgauge", metavar="NAME", help="default: %(default)s")
    one.set_defaults(run=track)
    return top


def add_store_commands(store: argparse.ArgumentParser) -> None:
    from depthgauge.store.folders import KINDS

    commands = store.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("ls", store_ls, "what is there, how large it is, and when it was last used"),
        ("verify", store_verify, "read every byte, and name what differs from its seal; exit 1 if something does"),
        ("gc", store_gc, "what no report and no reference names and no run has used for a while; --delete deletes it"),
        ("push", store_push, "send what is not there yet to another folder, or an address such as s3://bucket/store"),
        ("pull", store_pull, "bring what is not here yet from there"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        if run in (store_push, store_pull):
            one.add_argument("address", metavar="ADDRESS", help="a folder, or what fsspec opens")
            one.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="default: all")
        if run is store_gc:
            one.add_argument("--unused-days", type=not_negative, default=30, metavar="N", help="default: %(default)s")
            one.add_argument(
                "--most-gib", type=positive, default=math.inf, metavar="N",
                help="and what was used the longest ago, until no more than this is left (default: no limit)",
            )  # fmt: skip
            one.add_argument(
                "--reports", type=folder, default=Path("reports"), metavar="DIR", help="default: %(default)s"
            )
            one.add_argument(
                "--references", type=folder, default=Path("references"), metavar="DIR", help="default: %(default)s"
            )
            one.add_argument("--delete", action="store_true", help="delete it; without, it is listed alone")
        one.add_argument(
            "--store", type=folder, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s"
        )
        one.set_defaults(run=run)


def main() -> None:
    top = parser()
    arguments, rest = top.parse_known_args()
    if rest and arguments.run not in (compare, judge, ledger):  # which hand them on to pytest
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        sys.exit(arguments.run(arguments, rest))
    except HarnessError as error:
        print(f"depthgauge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
