"""The section on confident errors."""

from collections.abc import Iterator, Sequence

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge_suites.articles.confident_errors.settings import CONFIDENT

TEXT = f"""Of the probability of all options of a science item, the share of the chosen one. A confident error has
{CONFIDENT} or more of it, and is wrong."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """How often each checkpoint is sure and wrong, and how sure it is at all."""
    headers = [
        "options chosen",
        "confident errors",
        "of its errors, confident",
        "mean share, right",
        "mean share, wrong",
    ]
    body = [[escape(entry.label), *cells(entry)] for entry in measured]
    yield Section("Confident errors", (" ".join(TEXT.split()), Table(headers, body)))


def cells(entry: Measured) -> Iterator[str]:
    share, right = entry.arrays["share"], entry.arrays["right"]
    errors = (share >= CONFIDENT) & ~right
    yield cell(level(errors.astype(float), "share", "items"))
    yield f"{errors.sum()} of {(~right).sum()}"
    for chosen in (right, ~right):
        yield f"{np.mean(share[chosen]):.3f}" if chosen.any() else "-"
