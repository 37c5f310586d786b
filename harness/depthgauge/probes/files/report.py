"""The section on files."""

from collections.abc import Iterator, Sequence

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.probes.files.probe import ADDED, IN_ALL

MOST = 40  # differences of a part that are listed
TEXT = "As transformers reads both folders; what re-saving may change without changing what is computed is left out."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Every difference, part by part, unless there is none."""
    body = [
        [escape(entry.label), part, escape(difference)]
        for entry in measured
        for part in entry.arrays
        if not part.endswith((IN_ALL, ADDED))
        for difference in listed(entry.arrays[part], int(entry.arrays[f"{part} {IN_ALL}"]))
    ]
    if body:
        yield Section("Files", (TEXT, Table(["checkpoint", "part", "difference"], body)))


def listed(first: Sequence[str], in_all: int) -> list[str]:
    shown = [str(each) for each in first[:MOST]]
    return shown if in_all == len(shown) else [*shown, f"and {in_all - len(shown):,} more"]
