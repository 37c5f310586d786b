"""What the gate said of one checkpoint after the other: a line a run, in a file beside the reports."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from depthgauge.core.errors import UsageError
from depthgauge.core.record import ReportRecord
from depthgauge.core.result import ClaimResult, Outcome

FILE = "history.jsonl"


@dataclass(frozen=True, slots=True)
class Figure:
    """What one claim came to: its estimate in its unit, None where there was none, the claimed bounds, the verdict."""

    point: float | None
    low: float | None
    high: float | None
    unit: str
    bounds: tuple[float | None, float | None]
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedRun:
    """One run about a change. `baseline` is its name, or that of the accepted baseline."""

    started: str
    checkpoint: str
    fingerprint: str
    baseline: str
    exit_code: int
    claims: Mapping[str, Figure]


def gated_run(record: ReportRecord) -> GatedRun:
    """The line of a run about a change."""
    candidate, fingerprint = record.run.checkpoints["candidate"]
    return GatedRun(
        started=record.run.started,
        checkpoint=candidate,
        fingerprint=fingerprint,
        baseline=record.run.checkpoints["baseline"][0],
        exit_code=record.exit_code,
        claims={row.claim: figure_of(row) for row in record.verdicts},
    )


def figure_of(row: ClaimResult) -> Figure:
    estimate = row.estimate
    if estimate is None:
        return Figure(None, None, None, "", row.bounds, row.outcome)
    return Figure(estimate.point, estimate.low, estimate.high, estimate.unit, row.bounds, row.outcome)


def append(path: Path, run: GatedRun) -> None:
    """Add a line in one write, after whatever a killed run left: a line is never joined to half of another.

    Raises: as `check_history`.
    """
    check_history(path)
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        broken = file.read(1) not in (b"", b"\n")
        file.write((b"\n" if broken else b"") + json.dumps(asdict(run)).encode() + b"\n")


def check_history(path: Path) -> None:
    """Raises: UsageError if a file is there that has lines, and no run among them: it is somebody else's."""
    if not os.path.lexists(path):
        return
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        whole = (line for line in file if line.endswith("\n") and line.strip())  # half a line is what a kill left
        first = next(whole, None)
        if first is None or parsed(first) or any(map(parsed, whole)):
            return
    raise UsageError(f"{path} is no history of depthgauge's runs, and is not added to: move it away.", code="not-ours")


def read(path: Path) -> tuple[list[GatedRun], list[int]]:
    """The runs of a file, and the numbers of the lines that are none. Raises: UsageError if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; a run with --baseline writes it.") from error
    runs = [(number, parsed(line)) for number, line in enumerate(lines, 1) if line.strip()]
    return [run for _, run in runs if run is not None], [number for number, run in runs if run is None]


def parsed(line: str) -> GatedRun | None:
    try:
        fields = json.loads(line)
        claims = {
            name: Figure(**claim | {"bounds": tuple(claim["bounds"])}) for name, claim in fields.pop("claims").items()
        }
        run = GatedRun(**fields, claims=claims)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    words = (run.started, run.checkpoint, run.fingerprint, run.baseline)
    return run if all(isinstance(word, str) for word in words) and isinstance(run.exit_code, int) else None


def traced(runs: Sequence[GatedRun]) -> Iterator[tuple[str, list[tuple[int, Figure]]]]:
    """Each claim with an estimate in at least two runs: the numbers of those runs, and what it came to."""
    for name in dict.fromkeys(name for run in runs for name in run.claims):
        points = [(i, run.claims[name]) for i, run in enumerate(runs) if name in run.claims]
        points = [(i, figure) for i, figure in points if figure.point is not None]
        if len(points) > 1:
            yield name, points


def first_refuted(points: Sequence[tuple[int, Figure]]) -> int | None:
    return next((i for i, figure in points if figure.outcome == Outcome.REFUTED), None)
