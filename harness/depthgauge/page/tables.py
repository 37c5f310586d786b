"""Cells of tables: numbers with their intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Population, Profiles, Scores
from depthgauge.core.verdict import number
from depthgauge.stats import exactly, mean, share
from depthgauge.stats.columns import Bands, simultaneous


def markdown(headers: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return tabulate(body, headers=headers, tablefmt="github", disable_numparse=True)


def level(values: np.ndarray, unit: str, population: Population) -> Estimate:
    """A mean with its interval: exact for points of 0 or 100 and shares of 0 or 1, else Student's t.

    Values that do not vary have no width: they are known, as how a word is cut is known.
    """
    ids, whole = tuple(map(str, range(len(values)))), {"points": 100.0, "share": 1.0}.get(unit)
    if whole is not None and np.isin(values, (0.0, whole)).all():
        exact = share(Scores(ids=ids, values=values[None] / whole, unit="share", population=population), estimand=unit)
        return replace(exact, unit=unit, point=whole * exact.point, low=whole * exact.low, high=whole * exact.high)
    if np.ptp(values) == 0:
        return exactly(values[:1].astype(float), estimand=unit, unit=unit)
    return mean(Scores(ids=ids, values=values[None].astype(float), unit=unit, population=population), estimand=unit)


def cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.low == estimate.high:
        return number(estimate.point)
    return f"{number(estimate.point)} [{number(estimate.low)}, {number(estimate.high)}]"


def profiles_of(values_NC: NDArray[np.floating], unit: str) -> Profiles:
    """Values (units, columns) of one checkpoint, for statistics over columns."""
    units, columns = values_NC.shape
    return Profiles(
        ids=tuple(map(str, range(units))), columns=tuple(map(str, range(columns))),
        values=values_NC[None].astype(float), unit=unit, population="prompts",
    )  # fmt: skip


def bands(profiles: Profiles) -> Bands | None:
    """Simultaneous intervals, or None where nothing varies."""
    try:
        return simultaneous(profiles, estimand="profile")
    except StatisticUndefined:
        return None
