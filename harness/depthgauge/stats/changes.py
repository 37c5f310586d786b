"""How many units changed by more than a margin: shares, whose exact intervals hold where nothing changed at all.

A mean of changes has no interval where all are equal, as where two checkpoints say the same; a share always has one.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from depthgauge.core.errors import InvalidComparison
from depthgauge.core.estimate import Estimate, Profiles, Scores
from depthgauge.stats.columns import difference
from depthgauge.stats.exact import exactly
from depthgauge.stats.levels import LEVEL, share


def share_beyond(sizes: Scores, margin: float, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The share of units whose size is above the margin, in the unit of the sizes, with its exact interval."""
    return share(indicator(sizes, sizes.values > margin), estimand=estimand, level=level)


def share_changed(
    candidate: Scores, baseline: Scores, margin: float, *, estimand: str, level: float = LEVEL
) -> Estimate:
    """The share of units that changed by more than the margin from the baseline's scores, up or down.

    Raises: InvalidComparison if the two sides were not measured on the same units.
    """
    if (candidate.ids, candidate.unit) != (baseline.ids, baseline.unit):
        raise InvalidComparison(
            f"{estimand}: the two sides were not measured on the same {candidate.population}.", code="other-units"
        )
    return share_beyond(
        replace(candidate, values=np.abs(candidate.values - baseline.values), right=None),
        margin,
        estimand=estimand,
        level=level,
    )


def share_beyond_anywhere(sizes: Profiles, margin: float, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The share of units whose size is above the margin in some column, and the column that is the first of most.

    Columns are in the order in which a change travels, as layers are: the first names where it began.
    """
    above = sizes.values > margin
    scores = Scores(
        ids=sizes.ids, values=above.any(axis=2).astype(float), unit=sizes.unit, population=sizes.population,
        clusters=sizes.clusters,
    )  # fmt: skip
    estimate = share(indicator(scores, above.any(axis=2)), estimand=estimand, level=level)
    if not above.any():
        return estimate
    firsts = above.argmax(axis=2)[above.any(axis=2)]
    return replace(estimate, where=f"first at layer {sizes.columns[int(np.bincount(firsts).argmax())]}")


def share_changed_anywhere(candidate: Profiles, baseline: Profiles, margin: float, *, estimand: str) -> Estimate:
    """As `share_beyond_anywhere`, of the sizes of changes. Raises: InvalidComparison as `difference`."""
    change = difference(candidate, baseline)
    return share_beyond_anywhere(replace(change, values=np.abs(change.values)), margin, estimand=estimand)


def greatest_exactly(sizes: Profiles, *, estimand: str, level: float = LEVEL) -> Estimate:
    """The largest of sizes that are known without error, as of weights, and where it is.

    Columns that are not there, NaN, are left out. Raises: StatisticUndefined if none is.
    """
    values = sizes.values[:, 0]
    estimate = exactly(np.fmax.reduce(values, axis=1), estimand=estimand, unit=sizes.unit, level=level)
    return replace(estimate, where=sizes.columns[int(np.nanargmax(values[0]))])


def counted(count: int, first: str, *, estimand: str, unit: str = "differences") -> Estimate:
    """How many of something one checkpoint has, known exactly, and the first of them."""
    return replace(exactly(np.array([float(count)]), estimand=estimand, unit=unit), where=first)


def indicator(scores: Scores, true: Any) -> Scores:
    return replace(scores, values=true.astype(float), unit="share", right=1.0)
