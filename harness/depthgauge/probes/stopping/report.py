"""The section on answers that end: how many do, after how many tokens, and those that no longer do."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import reference_of
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion

TEXT = f"Short questions, answered greedily in at most {TOKENS} tokens."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    yield Section("Answers that end", [TEXT, shares(measured), *endless(measured, setting)])


def shares(measured: Sequence[Measured]) -> Table:
    body = [
        [escape(entry.label), cell(level(entry.arrays["ended"].astype(float), "share", "prompts")), length(entry)]
        for entry in measured
    ]
    return Table(["checkpoint", "answers that end [95 %]", "tokens of the median one that does"], body)


def length(entry: Measured) -> str:
    lengths = entry.arrays["tokens"][entry.arrays["ended"]]
    return number(float(np.median(lengths))) if len(lengths) else "-"


def endless(measured: Sequence[Measured], setting: Setting) -> Iterator[Table]:
    """What ended with the reference and does not with another one, with both answers."""
    before, questions = reference_of(measured), setting.testbed.inputs(ShortQuestion)
    for entry in measured:
        if len(entry.arrays["ended"]) != len(before.arrays["ended"]):
            continue
        places = np.flatnonzero(before.arrays["ended"] & ~entry.arrays["ended"])
        said = [[questions[i].request, *(str(each.arrays["said"][i]) for each in (before, entry))] for i in places]
        if said:
            headers = ["question", f"{escape(before.label)} says", f"{escape(entry.label)} says"]
            folded = f"{len(said)} answers of {escape(entry.label)} that no longer end"
            yield Table(headers, [[escape(text) for text in row] for row in said], folded=folded, quotes=True)
