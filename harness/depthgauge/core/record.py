"""What report.json holds, as types: written by a run, read again by whatever shows or keeps verdicts elsewhere.

docs/report-json.md describes it; `report/report.schema.json` is made of these types.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depthgauge.core.errors import UsageError
from depthgauge.core.plain import from_plain
from depthgauge.core.result import ClaimResult

SCHEMA = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What ran. `judged` are names; `checkpoints` gives name and fingerprint by role (`candidate`, `baseline`, and the
    pinned baseline by its name), for finished checkpoints alone. `limits` are the options that left claims out,
    `started` a date and time of UTC, `elapsed_s` seconds.
    """

    testbed: str
    judged: tuple[str, ...]
    checkpoints: Mapping[str, tuple[str, str]]
    limits: tuple[str, ...]
    seeds: tuple[int, ...]
    device: str
    dtype: str
    versions: Mapping[str, str]
    started: str
    elapsed_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRecord:
    """A report: every field of every row, what kept claims from being judged, and the ids of those that were not run,
    as a stage before blocked.
    """

    schema: int = SCHEMA
    run: RunRecord
    verdicts: tuple[ClaimResult, ...]
    not_judged: tuple[str, ...]
    not_run: tuple[str, ...]
    exit_code: int


def is_part(new: ReportRecord, old: ReportRecord) -> bool:
    """Whether a report is of the same checkpoints as an older one that says more of them: that has all its claims and
    others, or is whole where this has other claims alone, as a test of a project's own.
    """
    same = ("testbed", "checkpoints", "seeds", "device", "dtype")
    if any(getattr(new.run, name) != getattr(old.run, name) for name in same) or not measured(new) <= measured(old):
        return False
    claims, older = claims_in(new), claims_in(old)
    if not claims or not older or new.not_judged:
        return False
    return claims < older or (claims.isdisjoint(older) and not old.run.limits)


def claims_in(record: ReportRecord) -> set[str]:
    return {row.claim for row in record.verdicts}.union(record.not_run)


def measured(record: ReportRecord) -> set[tuple[int, str]]:
    """Seed and fingerprint of each checkpoint that was judged."""
    return {
        (used.seed, used.checkpoint) for row in record.verdicts for used in row.evidence if used.method == row.method
    }


def read_report(path: Path) -> ReportRecord:
    """Raises: UsageError, in one sentence, for what cannot be read, for a report of another version of depthgauge, and
    for what is no report.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        schema = record["schema"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{path} is no report.json of depthgauge ({error}): name one, or judge again.", code="not-ours"
        ) from error
    if schema != SCHEMA:
        raise UsageError(
            f"{path} has schema {schema!r}, and this version of depthgauge reads {SCHEMA}: judge again, or use the "
            "version that wrote it."
        )
    try:
        return from_plain(ReportRecord, record)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is not as schema {SCHEMA} of report.json says ({error}): judge again.") from error
