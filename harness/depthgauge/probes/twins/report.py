"""The section on twins: what rounding does to each layer, and what the candidate does. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table

SHOWN = 5
TEXT = """Twins are copies of the baseline on the candidate's own scales and zero points, in which a coin decides what
lies near a tie between two levels. A layer's error is how far it moves the residual stream of the baseline, over its
length; each layer is given what the baseline's was given, so that an error counts where it is made. Below 1 a candidate
is better than its twins, which is no fault."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The layers and heads that stand out most beside twins."""
    twins = [copy for copy in measured if copy.arrays["jumps"].ndim == 2]
    copies = [copy for copy in measured if copy.arrays["jumps"].ndim == 1]
    body = [row for copy in copies for other in twins[:1] for row in rows_of(copy, other)]
    headers = ["checkpoint", "place", "error", "error of its twins", "times its twins"]
    spread = [
        [escape(copy.label), str(len(copy.arrays["jumps"])), ends(copy.arrays["divergence"]),
         ends(100 * copy.arrays["jumps"].mean(axis=0))]
        for copy in twins
    ]  # fmt: skip
    yield Section(
        "Twins",
        (TEXT, Table(["baseline", "twins", "KL of the next token, nats", "errors of layers, %"], spread),
         *([Table(headers, body)] if body else [])),
    )  # fmt: skip


def rows_of(copy: Measured, twins: Measured) -> list[list[str]]:
    """The places with the largest errors beside their twins', the largest first."""
    places = {"next token, nats": (float(copy.arrays["divergence"]), twins.arrays["divergence"])}
    places |= {f"layer {at}": (size, twins.arrays["jumps"][:, at]) for at, size in enumerate(copy.arrays["jumps"])}
    for layer, head in np.argwhere(np.isfinite(copy.arrays["heads"])):
        places[f"layer {layer} head {head}"] = (
            copy.arrays["heads"][layer, head],
            twins.arrays["heads"][:, layer, head],
        )
    ratios = {place: own / mean for place, (own, others) in places.items() if (mean := float(np.mean(others))) > 0}
    most = sorted(ratios, key=lambda place: -ratios[place])[:SHOWN]
    return [
        [escape(copy.label), place, number(float(places[place][0])), ends(places[place][1]), number(ratios[place])]
        for place in most
    ]


def ends(values: np.ndarray) -> str:
    return f"{number(float(np.min(values)))} to {number(float(np.max(values)))}"
