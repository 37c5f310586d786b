"""The section on behaviour: how many requests of each kind are met, and what was said to those that no longer are."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from depthgauge.page.escape import escape
from depthgauge.page.layers import reference_of
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.probes.behaviour.settings import Request

TEXT = "Requests as turns of a chat, answered greedily; each is met or not, by what can be read off the answer."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    yield Section("Behaviour", [TEXT, by_kind(measured), *lost(measured, setting)])


def by_kind(measured: Sequence[Measured]) -> Table:
    """The share of requests met, by kind and in all."""
    kinds = list(dict.fromkeys(measured[0].arrays["kinds"].tolist()))
    body = []
    for entry in measured:
        met = entry.arrays["met"].astype(float)
        of_kinds = [met[entry.arrays["kinds"] == kind] for kind in kinds]
        counts = [f"{int(each.sum())} of {len(each)}" for each in of_kinds]
        body.append([escape(entry.label), *counts, cell(level(met, "share", "prompts"))])
    return Table(["requests met", *map(escape, kinds), "in all [95 %]"], body)


def lost(measured: Sequence[Measured], setting: Setting) -> Iterator[Table]:
    """What the reference did as asked and another one does not, with both answers."""
    before = reference_of(measured)
    for entry in measured:
        if len(entry.arrays["met"]) == len(before.arrays["met"]):
            places = np.flatnonzero(before.arrays["met"] & ~entry.arrays["met"])
            if len(places):
                yield lost_table(entry, before, places, setting.testbed.inputs(Request))


def lost_table(entry: Measured, before: Measured, places: NDArray[np.int64], requests: Sequence[Request]) -> Table:
    said = [[str(each.arrays["said"][i]) for each in (before, entry)] for i in places]
    asked = [(requests[i].kind, requests[i].prompt) for i in places]
    rows = [[escape(cell) for cell in (*ask, *says)] for ask, says in zip(asked, said, strict=True)]
    headers = ["kind", "request", f"{escape(before.label)} says", f"{escape(entry.label)} says"]
    return Table(headers, rows, folded=f"{len(rows)} requests that {escape(entry.label)} no longer meets", quotes=True)
