"""Accepted baselines: the checkpoints that a team has accepted, in small JSON files that it keeps in git.

A candidate is compared with the one accepted last, and with the pinned baseline. The pinned baseline stays where it is
while others are accepted after it, so that losses too small to be seen one by one cannot add up unseen.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidComparison, UsageError
from depthgauge.core.outside import check_outside
from depthgauge.core.plain import to_plain
from depthgauge.core.record import read_report
from depthgauge.core.registry import METHODS
from depthgauge.core.result import Outcome
from depthgauge.core.verdict import describe
from depthgauge.sources.find import Source, find
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, Store, usable, write_atomically

FOLDER, SCHEMA = "baselines", 2
NAME = re.compile(r"[\w-]+")
JUDGED_EXITS, REFUTED_EXITS = (0, 20), (1, 21)


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedCheckpoint:
    """A checkpoint as it was named (a folder relative to the project, or a name on the hub), who it is, and why.

    `judged` is what was found of it against the one accepted before: a line a claim; None of the first.
    """

    checkpoint: str
    fingerprint: str
    reason: str
    on: str
    judged: Mapping[str, Any] | None = None

    @property
    def not_testable(self) -> tuple[str, ...]:
        """The claims that the run could not test."""
        said = {} if self.judged is None else self.judged["verdicts"]
        return tuple(claim for claim, verdict in said.items() if verdict.startswith(Outcome.NOT_TESTABLE))


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedBaseline:
    """What later runs compare with; `pinned` is `accepted` until something is accepted after it."""

    accepted: AcceptedCheckpoint
    pinned: AcceptedCheckpoint


def home(start: Path, name: str) -> Path:
    """The folder whose `baselines/` has the name: where one is, or above it; where there is none yet, where one is."""
    if not NAME.fullmatch(name):
        return start
    return next((folder for folder in (start, *start.parents) if path_of(folder, name).is_file()), start)


def path_of(project: Path, name: str) -> Path:
    return project / FOLDER / f"{name}.json"


def read(project: Path, name: str) -> AcceptedBaseline | None:
    """The accepted baseline of that name, or None. Raises: UsageError if its file is not one, or a later version's."""
    path = path_of(project, name)
    if not NAME.fullmatch(name) or not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["schema"] != SCHEMA:
            raise UsageError(
                f"{path} is of schema {fields['schema']!r}, and this version of depthgauge reads {SCHEMA}: use the "
                "version that wrote it, or accept a checkpoint anew."
            )
        return AcceptedBaseline(
            accepted=AcceptedCheckpoint(**fields["accepted"]), pinned=AcceptedCheckpoint(**fields["pinned"])
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{path} is no accepted baseline ({error}): bring it back from git.", code="not-accepted"
        ) from error


def checkpoint_of(accepted: AcceptedCheckpoint, name: str, *, store: Store, project: Path) -> Source:
    """The folder of an accepted checkpoint. Raises: UsageError if it is not available, InvalidComparison if another."""
    source = find(accepted.checkpoint, f"the checkpoint of baseline {name}, ", store=store, start=project)
    assert source.folder is not None  # a method is never accepted
    now = fingerprint(source.folder)
    if now != accepted.fingerprint:
        raise InvalidComparison(
            f"baseline {name!r} accepted {accepted.checkpoint} as {accepted.fingerprint} on {accepted.on}, and it now "
            f"is {now}: put back what was accepted, or accept what is there.",
            code="other-content",
        )
    return Source(name=name, folder=source.folder)


def accept(
    start: Path,
    name: str,
    checkpoint: str,
    reason: str,
    *,
    store: Store,
    report: Path,
    pin: bool = False,
    force: bool = False,
) -> AcceptedBaseline:
    """Make a checkpoint what later runs compare with; with `pinned` the pinned baseline moves there, too.

    The first needs no report. Any later one needs the `report` of its whole run against the accepted baseline as it
    stands.

    Raises: UsageError without a reason, under CI, for a method, without that report, or if it has a REFUTED claim,
    required or not, without `force`; where another file is in the accepted baseline's place, or that is in a
    checkpoint's folder; StoreUnusable if the file cannot be written.
    """
    if os.environ.get("CI"):
        raise UsageError(
            "a checkpoint is accepted by somebody who can be asked for the reason, and CI is set here.", code="in-ci"
        )
    if not reason.strip() or not NAME.fullmatch(name) or name in METHODS:
        raise UsageError(
            f"an accepted baseline has a name of letters and digits that is no method's, got {name!r}, and a "
            f"reason, got "
            f"{reason!r}."
        )
    project = home(start, name)
    check_outside(path_of(project, name), "cd")
    source = find(checkpoint, "the checkpoint ", store=store, start=start)
    if source.folder is None:
        raise UsageError(f"{checkpoint} is a method: accept the folder of one of its checkpoints.")
    now = fingerprint(source.folder)
    with store.exclusive(f"baseline-{name}"):
        before = read(project, name)
        judged = None
        if before is not None:
            judged = judgement(report, now, before, force)
        last = AcceptedCheckpoint(
            checkpoint=named_in(project, start, checkpoint), fingerprint=now, reason=reason.strip(),
            on=date.today().isoformat(), judged=judged,
        )  # fmt: skip
        baseline = AcceptedBaseline(accepted=last, pinned=last if before is None or pin else before.pinned)
        path = path_of(project, name)
        with usable(path.parent, "cd", NO_SPACE | FORBIDDEN):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(
                path, json.dumps({"schema": SCHEMA} | to_plain(baseline), indent=1, ensure_ascii=False) + "\n"
            )
    return baseline


def named_in(project: Path, start: Path, checkpoint: str) -> str:
    """How a checkpoint is named in a file that others read: a folder of the project relative to it."""
    folder = Path(start, os.path.expanduser(checkpoint)).resolve()
    if not folder.is_dir():
        return checkpoint
    inside = folder.is_relative_to(project.resolve())
    return f"./{folder.relative_to(project.resolve()).as_posix()}" if inside else str(folder)


def judgement(report: Path, now: str, before: AcceptedBaseline, force: bool) -> dict[str, Any]:
    """What a report says of a checkpoint against an accepted baseline.

    Raises: UsageError if it is of others, of a part of the claims, or of a run that was not finished or REFUTED.
    """
    try:
        record = read_report(report)
    except UsageError as error:
        raise UsageError(f"{error} It is what --report names, of a run with --baseline.") from error
    compared = [fingerprint for _, fingerprint in record.run.checkpoints.values()]
    code, part = record.exit_code, [*record.run.limits, *record.not_judged]
    wanted = [now, *dict.fromkeys((before.accepted.fingerprint, before.pinned.fingerprint))]
    if compared != wanted:
        raise UsageError(
            f"{report} compared {', '.join(compared) or 'nothing'}, and what is to be accepted is {now} against "
            f"{' and '.join(wanted[1:])}: judge it with --baseline first."
        )
    check_judged(code, part)
    refuted = [row.claim for row in record.verdicts if row.outcome is Outcome.REFUTED]
    if (refuted or code in REFUTED_EXITS) and not force:
        reason = f"refuted {', '.join(refuted)}" if refuted else f"ended with exit {code}"
        raise UsageError(
            f"the run against the accepted baseline {reason}: fix the checkpoint, or say with --force that it is "
            f"accepted "
            "nevertheless."
        )
    figures = {
        row.claim: f"{row.outcome}: {describe(row.estimate) if row.estimate else row.reason}" for row in record.verdicts
    }
    return {
        "baseline": before.accepted.fingerprint,
        "exit_code": code,
        "verdicts": figures,
        "versions": record.run.versions,
    }


def check_judged(code: int, part: list[str]) -> None:
    """Raises: UsageError unless all was judged."""
    if part:
        raise UsageError(
            f"the run against the accepted baseline judged a part of the claims ({part[0]}): judge all of them."
        )
    if code not in (*JUDGED_EXITS, *REFUTED_EXITS):
        raise UsageError(
            f"the run against the accepted baseline ended with exit {code}, and not with a verdict: judge again."
        )
