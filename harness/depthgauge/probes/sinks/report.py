"""The section on attention sinks."""

from collections.abc import Iterator, Sequence

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.probes.sinks.compute import sink_rate

KINDS = ("natural", "random", "repeated")
TEXT = """A head is a sink on a sequence if its 64 queries give the first token more than 0.3 of their attention on
average (Gu et al. 2025). Even attention gives it 0.074. A repeated token has the same state everywhere, and no place to
stand out."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The share of heads that are sinks, as in table 1 of Gu et al. (2025)."""
    body = [[escape(entry.label), *(f"{sink_rate(entry.arrays[kind]):.1%}" for kind in KINDS)] for entry in measured]
    table = Table(["heads that are sinks", "natural", "random tokens", "one token repeated"], body)
    yield Section("Attention sinks", (TEXT, table))
