"""The section on training logs."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table

SAID_COLUMNS = ("prompt", "paid most", "paid least")
TEXT = "Mean of the first quarter of the steps, to mean of the last."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """First and last quarter of every log, in the columns that one of them has."""
    logged = dict.fromkeys(name for one in measured for name in one.arrays)
    columns = [name for name in logged if name != "step" and not name.startswith("said_")]
    body = [[escape(one.label), last_step(one), *(from_to(one, name) for name in columns)] for one in measured]
    said = [answers(one) for one in measured if "said_prompt" in one.arrays]
    yield Section("Training", (TEXT, Table(["checkpoint", "steps", *map(escape, columns)], body), *said))


def answers(one: Measured) -> Table:
    """Of each prompt of the last step, the completion that was paid most and the one that was paid least."""
    prompts, completions, rewards = (one.arrays[f"said_{column}"] for column in ("prompt", "completion", "reward"))
    body = []
    for prompt in dict.fromkeys(prompts):
        asked = np.flatnonzero(prompts == prompt)
        ends = asked[rewards[asked].argmax()], asked[rewards[asked].argmin()]
        body.append([escape(str(prompt)), *(f"{escape(str(completions[i]))} ({rewards[i]:.3g})" for i in ends)])
    return Table(SAID_COLUMNS, body, folded=f"what {escape(one.label)} said in its last step", quotes=True)


def last_step(one: Measured) -> str:
    steps = one.arrays.get("step", ())
    return f"{steps[-1]:.0f}" if len(steps) else "0"


def from_to(one: Measured, column: str) -> str:
    values = np.asarray(one.arrays.get(column, ()), float)
    quarter = max(1, len(values) // 4)
    ends = [part[~np.isnan(part)] for part in (values[:quarter], values[-quarter:])]
    return " to ".join(f"{end.mean():.3g}" for end in ends) if all(map(len, ends)) else "-"
