"""A claim, and the region in which its estimate must lie."""

import math
import re
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

TWICE = "@2m"  # the dose of a control whose corruption moves what the claim reads by its dose: twice the margin


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """The values for which a claim holds, in the unit of its estimate; an open end excludes the bound itself."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a region needs low < high, got {self.low} and {self.high}")

    def contains(self, low: float, high: float) -> bool:
        """Whether every value of the interval lies in the region."""
        return (low > self.low if self.open_low else low >= self.low) and (
            high < self.high if self.open_high else high <= self.high
        )

    def disjoint(self, low: float, high: float) -> bool:
        """Whether no value of the interval lies in the region."""
        return (high <= self.low if self.open_low else high < self.low) or (
            low >= self.high if self.open_high else low > self.high
        )

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Both ends; None where there is none."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return low, high

    def as_wide_as(self, margin: float) -> "Region":
        """The region with its ends that far from 0. Raises: ValueError where an end lies at 0, which is no margin."""
        if 0 in (self.low, self.high):
            raise ValueError(f"{self} allows no margin")
        low, high = (math.copysign(margin if math.isfinite(end) else math.inf, end) for end in (self.low, self.high))
        return replace(self, low=low, high=high)

    def __str__(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "any value"
        if self.high == math.inf:
            return f"{'>' if self.open_low else '>='} {self.low:g}"
        if self.low == -math.inf:
            return f"{'<' if self.open_high else '<='} {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a claim about change may be from no change at all, for a project of its own: in the unit of the claim."""

    value: float
    unit: str
    reason: str

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise ValueError(f"a margin lies above 0, got {self.value}")
        if not self.unit or not self.reason:
            raise ValueError(f"a margin of {self.value} needs its unit and a reason")


def in_words(value: float, unit: str) -> str:
    """As a statement names a bound: a share in per cent, anything else with the first word of its unit."""
    return f"{100 * value:g} %" if unit == "share" else f"{value:g} {unit.partition(' ')[0]}"


class Expectation(StrEnum):
    """What is expected of a candidate: to equal the baseline within margins, to be a trained successor of it, or a
    quantised copy.
    """

    EQUAL = "equal"
    TRAINED = "trained"
    QUANTIZED = "quantized"


class Stage(IntEnum):
    """What a claim about change looks at, in the order of cost: a stage that blocks ends the run."""

    FILES = 0
    WEIGHTS = 1
    INTERNALS = 2
    GENERATION = 3
    TASKS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement about a method's checkpoint that an interval can refute.

    `about` names the methods it speaks of (empty: every trained method). `control` is a method that must refute it,
    with a dose after @ where it has one: 2m is twice the claim's margin, whichever it is given (`negative_control`).
    `testbed` names the only one it speaks of, as a method's does. An informational claim is shown, and fails
    nothing. `stage` orders claims about change, and `expect` names the one expectation that they belong to, if not all.
    `by_bits` are bounds for quantised weights, each with the least bits that it holds for, ascending; fewer bits than
    the first has are held to that. An `absolute` claim says by itself whether a candidate is good enough: where such
    claims are judged and none is supported, the run is inconclusive.
    """

    id: str
    statement: str
    citation: str
    published: str
    region: Region
    unit: str
    control: str
    rationale: str
    about: tuple[str, ...] = ()
    testbed: str | None = None
    required: bool = True
    stage: Stage = Stage.INTERNALS
    expect: Expectation | None = None
    by_bits: tuple[tuple[float, float], ...] = ()
    absolute: bool = False

    @property
    def negative_control(self) -> str:
        """The control with its dose in numbers: 'zero_mlp@2m' is 'zero_mlp@0.1' where the margin is .05.

        Raises: ValueError where the claim has no margin.
        """
        if not self.control.endswith(TWICE):
            return self.control
        margin = next((abs(end) for end in self.region.bounds if end), None)
        if margin is None:
            raise ValueError(
                f"the control {self.control!r} of {self.id!r} stands at a margin, and {self.region} has none"
            )
        return f"{self.control.removesuffix(TWICE)}@{2 * margin:g}"

    def for_bits(self, bits: float) -> "Claim":
        """The same claim with the bound for weights of so many bits, if it has bounds by bits."""
        if not self.by_bits:
            return self
        bound = next((bound for least, bound in reversed(self.by_bits) if least <= bits), self.by_bits[0][1])
        upper = math.isfinite(self.region.high)
        return replace(self, region=replace(self.region, high=bound) if upper else replace(self.region, low=bound))

    def within(self, margin: Margin) -> "Claim":
        """The same claim with another margin and its reason. Raises: ValueError if it has none, or in another unit."""
        if margin.unit != self.unit:
            raise ValueError(f"the margin of {self.id!r} is in {self.unit!r}, got {margin.value} {margin.unit!r}")
        region = self.region.as_wide_as(margin.value)
        return replace(self, region=region, rationale=margin.reason, statement=self.stated_with(margin.value))

    def stated_with(self, margin: float) -> str:
        """The statement with this margin in the place of the bound that it names, '5 %' of a share, '6 times'; where it
        names none, behind it.
        """
        bound = next(abs(end) for end in (self.region.high, self.region.low) if math.isfinite(end))
        own, new = (in_words(value, self.unit) for value in (bound, margin))
        parts = re.split(rf"(?<![\d.]){re.escape(own)}", self.statement)
        return new.join(parts) if len(parts) == 2 else f"{self.statement}; here the margin is {new}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """Claims that belong together, by a name; `modules` are the modules or packages that hold them."""

    name: str
    summary: str
    modules: tuple[str, ...]
