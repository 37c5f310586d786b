"""The page of a history: what the gate said of each checkpoint, and how every claim's figure went over them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from depthgauge.core.errors import UsageError
from depthgauge.core.verdict import number
from depthgauge.history.gated_runs import Figure, GatedRun, first_refuted, read, traced
from depthgauge.page.escape import escape
from depthgauge.page.layers import grid_of, plain, whole_numbers
from depthgauge.page.section import Picture, Section, Table
from depthgauge.page.style import PALETTE, write_picture
from depthgauge.report.folder import ReportFolder
from depthgauge.report.markdown import page_of
from depthgauge.report.outcome import word
from depthgauge.store.folders import write_atomically

PICTURE, PAGE = "history.png", "history.md"
BESIDE = 8  # runs that fit beside one another
ACROSS, PANEL = 3, (4.2, 2.3)  # panels in a row, and the inches of one
COLOURS, OPEN = {"SUPPORTED": PALETTE[3], "REFUTED": PALETTE[2]}, PALETTE[6]
Traced = Sequence[tuple[str, list[tuple[int, Figure]]]]


def write_trend(history: Path) -> Path:
    """Write history.md and history.png into a folder beside a history.jsonl; the page's path.

    Raises: UsageError if the file cannot be read, or has no run; as `ReportFolder.make`.
    """
    runs, broken = read(history)
    if not runs:
        raise UsageError(
            f"{history} has no run: judge a checkpoint with --baseline, which writes a line there.", code="empty"
        )
    folder = ReportFolder(history.with_suffix(""), history.name).make()
    claims = list(traced(runs))
    summary = [f"{len(runs)} runs, the last: {word(runs[-1].exit_code)}.", latest(runs)]
    parts: list[Any] = [f"Left out, as they are no runs: lines {', '.join(map(str, broken))}."] if broken else []
    if claims:
        rows, columns = panels_for(claims)
        size = (columns * PANEL[0], rows * PANEL[1])
        picture = Picture(PICTURE, "Every claim's figure over the runs", size, partial(draw, claims, len(runs)), ())
        write_picture(folder / PICTURE, picture)
        parts += [picture, claims_table(claims, runs)]
    beside = [Section("Side by side", [side_by_side(runs)])] if 1 < len(runs) <= BESIDE else []
    sections = [*beside, Section("Claims", parts), Section("Runs", [runs_table(runs)])]
    page = page_of(title="History", summary=summary, parts=sections)
    write_atomically(folder / PAGE, page)
    return folder / PAGE


def latest(runs: Sequence[GatedRun]) -> str:
    return f"{escape(runs[-1].checkpoint)} against {escape(runs[-1].baseline)}."


def claims_table(claims: Traced, runs: Sequence[GatedRun]) -> Table:
    """How far each claim's figure went, and when it was refuted first."""
    body = []
    for name, points in claims:
        when, (_, last) = first_refuted(points), points[-1]
        refuted = "-" if when is None else f"run {when + 1}, {escape(runs[when].checkpoint)}"
        body.append([escape(name), number(points[0][1].point or 0.0), with_interval(last), last.outcome, refuted])
    return Table(["claim", "first run", "last run [95 %]", "verdict", "refuted first"], body)


def side_by_side(runs: Sequence[GatedRun]) -> Table:
    """Every claim's verdict and figure, a column a checkpoint."""
    claims = list(dict.fromkeys(name for run in runs for name in run.claims))
    body = [[escape(name), *(cell_of(run.claims.get(name)) for run in runs)] for name in claims]
    exits = ["**came to**", *(f"**{word(run.exit_code)}**" for run in runs)]
    return Table(["claim", *(escape(run.checkpoint) for run in runs)], [exits, *body])


def cell_of(figure: Figure | None) -> str:
    if figure is None:
        return "not run"
    return figure.outcome if figure.point is None else f"{figure.outcome}, {with_interval(figure)}"


def with_interval(figure: Figure) -> str:
    numbers = (figure.point, figure.low, figure.high)
    point, low, high = (number(value if value is not None else float("nan")) for value in numbers)
    return f"{point} [{low}, {high}] {escape(figure.unit)}"


def runs_table(runs: Sequence[GatedRun]) -> Table:
    body = [
        [str(i), run.started, escape(run.checkpoint), f"`{run.fingerprint}`", escape(run.baseline),
         f"{run.exit_code}, {word(run.exit_code)}"]
        for i, run in enumerate(runs, 1)
    ]  # fmt: skip
    return Table(["run", "started", "checkpoint", "fingerprint", "baseline", "exit"], body)


def panels_for(claims: Traced) -> tuple[int, int]:
    """Rows and columns."""
    columns = min(ACROSS, len(claims))
    return -(-len(claims) // columns), columns


def draw(claims: Traced, runs: int, figure: Any) -> None:
    """A panel a claim: each run's interval in the colour of its verdict, and the claimed bounds as lines."""
    rows, columns = panels_for(claims)
    panels = [axes for row in grid_of(figure, rows, columns) for axes in row]
    for axes, (name, points) in zip(panels, claims, strict=False):
        axes.axis("on")
        for bound in points[-1][1].bounds:
            if bound is not None:
                axes.axhline(bound, color="black", linewidth=0.8, linestyle="--")
        for outcome in sorted({point.outcome for _, point in points}):
            alike = [(i + 1, point.point, point.low, point.high) for i, point in points if point.outcome == outcome]
            run, point, low, high = np.array(alike, float).T
            colour = COLOURS.get(outcome, OPEN)
            ends = np.stack([low, high, np.full_like(low, np.nan)], axis=1)  # one line with gaps: they are many
            axes.plot(np.repeat(run, 3), ends.ravel(), color=colour)
            axes.plot(run, point, "o", color=colour)
        axes.set(title=plain(name), ylabel=plain(points[0][1].unit), xlim=(0.5, runs + 0.5))
        whole_numbers(axes.xaxis)
    for axes in panels[max(0, len(claims) - columns) : len(claims)]:
        axes.set_xlabel("run")
