"""Numbers as people say them: shares in per cent, one difference and two differences, and what a claim allows."""

from depthgauge.core.estimate import Estimate
from depthgauge.core.result import ClaimResult
from depthgauge.core.verdict import number

REQUIRES = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than"}


def amount(value: float, unit: str) -> str:
    """'5 %' for a share of 0.05, '1 difference', '3.25 points'."""
    if unit == "share":
        return f"{number(100 * value)} %"
    return f"{number(value)} {unit[:-1] if value == 1 and unit.endswith('s') else unit}"


def measured(estimate: Estimate) -> str:
    """An estimate with its interval, or that it is exact."""
    if estimate.exact:
        return f"{amount(estimate.point, estimate.unit)} exactly"
    scale, unit = (100, "%") if estimate.unit == "share" else (1, estimate.unit)
    point, low, high = (number(scale * value) for value in (estimate.point, estimate.low, estimate.high))
    return f"{point} [{low}, {high}] {unit}"


def measured_where(row: ClaimResult) -> str:
    """As `measured`, with the layer or file that it is of; '-' where nothing was measured."""
    if row.estimate is None:
        return "-"
    return f"{measured(row.estimate)}, {row.estimate.where}" if row.estimate.where else measured(row.estimate)


def claimed(row: ClaimResult) -> str:
    """The region of a claim in words: 'at most 5 %', 'more than 0 points', 'between -1 and 1 nats'."""
    low, high = row.bounds
    comparison, _, rest = row.region.partition(" ")
    if comparison not in REQUIRES or (low is None) == (high is None):
        return row.region if low is None or high is None else between(low, high, row.region)
    bound = high if low is None else low
    assert bound is not None
    unit = rest.partition(" ")[2]
    if bound == 0 and comparison == "<=" and unit.endswith("s"):
        return f"no {unit}"
    return f"{REQUIRES[comparison]} {amount(bound, unit)}"


def between(low: float, high: float, region: str) -> str:
    """A region with two ends; its unit is what follows 'LOW to HIGH' in its text."""
    unit = region.split(" ", 3)[3]
    scale, unit = (100, "%") if unit == "share" else (1, unit)
    return f"between {number(scale * low)} and {number(scale * high)} {unit}"
