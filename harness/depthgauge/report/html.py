"""The same report as one HTML file that asks nothing of the network: to be sorted, filtered, linked to and pointed at.

What a model wrote reaches it escaped twice over: as markdown that renders no HTML, and by a template that escapes.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import number
from depthgauge.page.escape import one_line
from depthgauge.page.section import Grid, Marked, Picture, Section, Table
from depthgauge.report.amounts import claimed, measured_where
from depthgauge.report.markdown import chances, evidence_of, holm
from depthgauge.report.outcome import Problem, by_urgency, shown

TEMPLATE = Path(__file__).with_name("report.html.j2")
SPAN, MARGIN = 100.0, 16.0  # the width of an interval's drawing, and what is left free at each end


def html_of(
    *, title: str, code: int, headline: str, summary: Sequence[str], rows: Sequence[ClaimResult],
    problems: Sequence[Problem], top: Sequence[Section], sections: Sequence[Section], folder: Path,
) -> str:  # fmt: skip
    """The page. `summary` is markdown; `top` are sections above the claims; `folder` holds the pictures that
    sections name.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    environment.filters |= {
        "markdown": markdown,
        "inline": inline,
        "clean": one_line,
        "heat": heat_of,
        "whole": whole_line,
    }
    environment.tests |= {
        "table": lambda part: isinstance(part, Table),
        "picture": lambda part: isinstance(part, Picture),
        "marked": lambda part: isinstance(part, Marked),
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title, code=code, headline=headline, summary=summary,
        claims=[shown_claim(row) for row in by_urgency(rows)], chances=chances(rows) if rows else "",
        outcomes=[str(outcome) for outcome in Outcome if any(row.outcome is outcome for row in rows)],
        informational=sum(not row.required for row in rows), problems=problems, top=top, sections=sections,
        image=lambda name: base64.b64encode((folder / name).read_bytes()).decode(),
    )  # fmt: skip


@cache
def parser() -> Any:
    """Markdown without HTML: a tag in it is text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])


def markdown(text: str) -> Markup:
    return Markup(parser().render(text))


def whole_line(text: str) -> str:
    """As `one_line`, of any length: a headline says what to do in its last words."""
    return one_line(text, longest=None)


def inline(text: str) -> Markup:
    return Markup(parser().renderInline(text))


# -- claims ---


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownClaim:
    """A claim as the page shows it; `order` are the values that its columns are sorted by."""

    row: ClaimResult
    number: int
    verdict: str
    measured: str
    claimed: str
    holm: str
    evidence: str
    interval: Markup | None
    order: tuple[str, ...]


def shown_claim(row: ClaimResult) -> ShownClaim:
    estimate = row.estimate
    return ShownClaim(
        row=row,
        number=row.index,
        verdict=shown(row),
        measured=measured_where(row),
        claimed=claimed(row),
        holm=holm(row),
        evidence=evidence_of(row),
        interval=interval_of(row),
        order=(
            row.claim,
            "" if estimate is None else repr(estimate.point),
            row.region,
            str(list(Outcome).index(row.outcome)),
            "2" if row.holm_p is None else repr(row.holm_p),
        ),
    )


def interval_of(row: ClaimResult) -> Markup | None:
    """The interval of an estimate on its region, as SVG; None where there is none."""
    estimate = row.estimate
    if estimate is None:
        return None
    ends = [end for end in row.bounds if end is not None]
    known = [estimate.low, estimate.high, estimate.point, *ends]
    low, high = min(known), max(known)
    width = high - low or abs(high) or 1.0

    def place(value: float) -> float:
        return round(MARGIN + (SPAN - 2 * MARGIN) * (value - low) / width, 2)

    left = 0.0 if row.bounds[0] is None else place(row.bounds[0])
    right = SPAN if row.bounds[1] is None else place(row.bounds[1])
    measured = f"{number(estimate.point)} from {number(estimate.low)} to {number(estimate.high)}"
    words = f"measured {measured}, claimed {row.region}"
    return Markup(
        '<svg class="interval" viewBox="0 0 {span} 16" role="img" aria-label="{words}"><title>{words}</title>'
        '<rect class="region" x="{left}" y="1" width="{across}" height="14"/>'
        '<line class="{outcome}" x1="{low}" x2="{high}" y1="8" y2="8"/>'
        '<circle class="{outcome}" cx="{point}" cy="8" r="3"/></svg>'
    ).format(
        span=SPAN, words=one_line(words), left=left, across=round(max(0.5, right - left), 2), outcome=row.outcome,
        low=place(estimate.low), high=place(estimate.high), point=place(estimate.point),
    )  # fmt: skip


# -- grids ---

CELL = 14


def heat_of(grid: Grid) -> Markup:
    """A grid as SVG: a square a number, darker for more, each of which says what it is when pointed at."""
    height, width = np.shape(grid.values)
    most = float(np.nanmax(np.abs(grid.values), initial=0)) or 1.0
    squares = Markup("").join(squares_of(grid, most))
    return Markup(
        '<figure><svg class="heat" viewBox="0 0 {w} {h}" style="max-width:{w}px" role="img" aria-label="{title}">'
        "{squares}</svg><figcaption>{title}: {across} across, {down} down; at most {most}</figcaption></figure>"
    ).format(
        w=CELL * width, h=CELL * height, title=one_line(grid.title), squares=squares, most=number(most),
        across=one_line(span_of(grid.columns)), down=one_line(span_of(grid.rows)),
    )  # fmt: skip


def squares_of(grid: Grid, most: float) -> Iterator[Markup]:
    for i, row in enumerate(grid.rows):
        for j, column in enumerate(grid.columns):
            value = float(grid.values[i, j])
            if np.isfinite(value):
                yield Markup(
                    '<rect x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{share}">'
                    "<title>{row}, {column}: {value}</title></rect>"
                ).format(
                    x=CELL * j, y=CELL * i, size=CELL - 1, share=round(0.06 + 0.94 * abs(value) / most, 3),
                    row=one_line(row), column=one_line(column), value=number(value),
                )  # fmt: skip


def span_of(names: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((names[0], names[-1]))) if len(names) else "nothing"
