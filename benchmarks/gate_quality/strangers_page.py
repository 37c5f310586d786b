"""What the gate said of models that nobody tuned it on, as a part of docs/gate-quality.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.gate_quality.strangers import FIXED, KINDS, LAST
from depthgauge.core.estimate import Scores
from depthgauge.core.verdict import number
from depthgauge.page.tables import markdown
from depthgauge.stats import share

CAUGHT, OPEN = (1, 21), 20
Rows = Sequence[Mapping[str, Any]]
HEAD = """## Models that nobody tuned it on

Made by `python -m benchmarks.gate_quality.strangers`. Tiny baselines of eight families, each trained for some seconds,
and copies of them, judged by `depthgauge.compare` as a user does, the shortcut for equal folders included, without
tasks: what these let pass stands in [power](power.md), by how many answers change. Margins were fixed on {fixed};
{last} are judged once after that. A baseline is the unit: intervals at 95 % count baselines, and speak of new seeds of
these families. The command has judged {pairs} pairs of {baselines} baselines, of the 50 a family that are planned, and
goes on where it stopped.
"""


def text(rows: Rows) -> str:
    """The part of the page; nothing where nothing was judged."""
    if not rows:
        return ""
    head = HEAD.format(
        fixed=", ".join(FIXED), last=", ".join(LAST), pairs=len(rows),
        baselines=len({(one["family"], one["seed"]) for one in rows}),
    )  # fmt: skip
    parts = [head]
    for title, families in (("Families that margins were fixed on", FIXED), ("Families judged once", LAST)):
        chosen = [one for one in rows if one["family"] in families]
        if chosen:
            parts += [f"### {title}\n", harmless_table(chosen), fault_table(chosen)]
    return "\n".join(parts) + "\n"


def harmless_table(rows: Rows) -> str:
    chosen = [one for one in rows if not one["fault"]]
    lines = [
        [name, its[0]["expect"], how_often(its, CAUGHT), how_often(its, (OPEN,)), seconds(its)]
        for name, its in by_kind(chosen).items()
    ]
    lines.append(["all", "", how_often(chosen, CAUGHT), how_often(chosen, (OPEN,)), seconds(chosen)])
    return markdown(("what is harmless", "expected", "blocked", "inconclusive", "seconds, median"), lines) + "\n"


def fault_table(rows: Rows) -> str:
    chosen = [one for one in rows if one["fault"]]
    lines = [
        [name, how_often(its, CAUGHT), how_often(its, (OPEN,)), layers(its), stages(its), seconds(its)]
        for name, its in by_kind(chosen).items()
    ]
    headers = ("fault", "caught", "inconclusive", "layer named first", "seen by", "seconds, median")
    return markdown(headers, lines) + "\n"


def by_kind(rows: Rows) -> dict[str, Rows]:
    found = {kind.name: [one for one in rows if one["kind"] == kind.name] for kind in KINDS}
    return {name: its for name, its in found.items() if its}


def how_often(rows: Rows, codes: Sequence[int]) -> str:
    """'0 of 12 [0, 0.26]', by baseline."""
    if not rows:
        return "-"
    values = np.array([[float(one["exit"] in codes) for one in rows]])
    scores = Scores(
        ids=tuple(f"{one['family']} {one['seed']} {one['kind']}" for one in rows), values=values, unit="share",
        population="baselines", clusters=tuple(f"{one['family']} {one['seed']}" for one in rows),
    )  # fmt: skip
    found = share(scores, estimand="how often")
    return f"{int(values.sum())} of {len(rows)} [{number(found.low)}, {number(found.high)}]"


def layers(rows: Rows) -> str:
    placed = [one for one in rows if one["at"] and one["exit"] in CAUGHT]
    return f"{sum(one['layer'] in one['at'] for one in placed)} of {len(placed)}" if placed else "-"


def stages(rows: Rows) -> str:
    return ", ".join(dict.fromkeys(one["stage"] or "refused" for one in rows if one["exit"] in CAUGHT)) or "-"


def seconds(rows: Rows) -> str:
    return f"{float(np.median([one['seconds'] for one in rows])):.0f}" if rows else "-"
