"""The section on the floor of divergence."""

from collections.abc import Iterator, Sequence

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.probes.floor.readings import SAID

TEXT = """How far a checkpoint diverges from itself where nothing about it has changed: mean KL of the next token, in
nats. What lies within it cannot be told from no change."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The three floors of each checkpoint."""
    body = [
        [escape(baseline.label), *(number(float(baseline.arrays[cause].mean())) for cause in SAID)]
        for baseline in measured
    ]
    yield Section("The floor", (TEXT, Table(["checkpoint", *SAID.values()], body)))
