"""The section on training logs."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table

SAID_COLUMNS = ("prompt", "paid most", "paid least")
TEXT = "Mean of the first quarter of the steps, to mean of the last."


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """First and last quarter of every log, in the columns that one of them has."""
    logged = dict.fromkeys(name for entry in measured for name in entry.arrays)
    columns = [name for name in logged if name != "step" and not name.startswith("said_")]
    body = [[escape(entry.label), last_step(entry), *(from_to(entry, name) for name in columns)] for entry in measured]
    said = [answers(entry) for entry in measured if "said_prompt" in entry.arrays]
    yield Section("Training", (TEXT, Table(["checkpoint", "steps", *map(escape, columns)], body), *said))


def answers(entry: Measured) -> Table:
    """Of each prompt of the last step, the completion that was paid most and the one that was paid least."""
    prompts, completions, rewards = (entry.arrays[f"said_{column}"] for column in ("prompt", "completion", "reward"))
    body = []
    for prompt in dict.fromkeys(prompts):
        asked = np.flatnonzero(prompts == prompt)
        ends = asked[rewards[asked].argmax()], asked[rewards[asked].argmin()]
        body.append([escape(str(prompt)), *(f"{escape(str(completions[i]))} ({rewards[i]:.3g})" for i in ends)])
    return Table(SAID_COLUMNS, body, folded=f"what {escape(entry.label)} said in its last step", quotes=True)


def last_step(entry: Measured) -> str:
    steps = entry.arrays.get("step", ())
    return f"{steps[-1]:.0f}" if len(steps) else "0"


def from_to(entry: Measured, column: str) -> str:
    values = np.asarray(entry.arrays.get(column, ()), float)
    quarter = max(1, len(values) // 4)
    ends = [part[~np.isnan(part)] for part in (values[:quarter], values[-quarter:])]
    return " to ".join(f"{end.mean():.3g}" for end in ends) if all(map(len, ends)) else "-"
