"""The verdicts on a terminal of any width, with colour and box characters where it has them."""

import io
import shutil
import sys
from collections.abc import Iterator, Sequence

from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.page.escape import one_line
from depthgauge.report.outcome import HEADERS, by_urgency, verdict_cells

NARROW = 72  # columns, below which each claim is a paragraph
NO_TERMINAL = (160, 24)  # columns and lines, as in a log
STYLES = {
    Outcome.SUPPORTED: "green", Outcome.REFUTED: "bold red", Outcome.INCONCLUSIVE: "yellow",
    Outcome.NOT_TESTABLE: "dim",
}  # fmt: skip


def columns() -> int:
    return shutil.get_terminal_size(NO_TERMINAL).columns


def claims_table(rows: Sequence[ClaimResult], width: int, *, colour: bool = False) -> str:
    """The required claims, failures first: a line each, or a paragraph each where the terminal is narrow."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, color_system="standard" if colour else None)
    if width < NARROW:
        for text in paragraphs(rows):
            console.print(text, highlight=False)
    else:
        console.print(table_of(rows, width), highlight=False)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def table_of(rows: Sequence[ClaimResult], width: int) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    longest = max(len(row.claim) for row in rows)
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    table = Table(box=box.SIMPLE_HEAD if unicode else box.ASCII2, pad_edge=False, show_edge=not unicode)
    for name in HEADERS:
        table.add_column(name, overflow="fold", no_wrap=name == HEADERS[0] and longest < width / 2)
    for row, (*cells, verdict) in zip(by_urgency(rows), verdict_cells(rows), strict=True):
        table.add_row(*(Text(one_line(cell)) for cell in cells), Text(verdict, style=STYLES[row.outcome]))
    return table


def paragraphs(rows: Sequence[ClaimResult]) -> Iterator[object]:
    from rich.text import Text

    for row, (claim, measured, claimed, verdict) in zip(by_urgency(rows), verdict_cells(rows), strict=True):
        yield Text.assemble((verdict, STYLES[row.outcome]), f" {claim}")
        yield Text(f"  {one_line(measured)}; {claimed} claimed")
