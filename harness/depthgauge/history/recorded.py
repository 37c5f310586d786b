"""The record of a testbed: what the checkpoints of several training seeds gave, on one machine.

A training on another machine gives other weights, and now and then another verdict; what some recorded seed gave is no
surprise. The record names its seeds, its machine and its base, and speaks of no other base.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidComparison
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import Testbed
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import write_atomically

Entry = Mapping[str, Mapping[str, str]]  # seed -> outcome and measured numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedOutcomes:
    """Claim -> method -> seed -> what was found."""

    base: str = ""
    machine: str = ""
    claims: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)

    def outcomes(self, claim: str, method: str) -> tuple[Outcome, ...]:
        """What each recorded seed gave, in the order of the seeds; empty where nothing is recorded."""
        entry = self.claims.get(claim, {}).get(method, {})
        return tuple(Outcome(entry[seed]["outcome"]) for seed in sorted(entry, key=int))


def recorded_outcomes_of(testbed: Testbed) -> RecordedOutcomes:
    """The testbed's recorded outcomes; an empty one where it has none, or its base is no longer the recorded one.

    Raises: InvalidComparison if the file is not a record of outcomes.
    """
    if testbed.recorded_outcomes is None or not testbed.recorded_outcomes.is_file():
        return RecordedOutcomes()
    recorded = read_recorded_outcomes(testbed.recorded_outcomes)
    return recorded if recorded.base == base_of(testbed) else RecordedOutcomes()


def of_another_base(testbed: Testbed) -> str:
    """A sentence where the testbed's recorded outcomes are of another base, and so say nothing here; else empty."""
    path = testbed.recorded_outcomes
    if path is None or not path.is_file() or (was := read_recorded_outcomes(path).base) == (now := base_of(testbed)):
        return ""
    return (
        f"{path} records outcomes of base {was}, and the base here is {now}: no failure is known; 'depthgauge record "
        f"{testbed.name}' records them anew"
    )


def read_recorded_outcomes(path: Path) -> RecordedOutcomes:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        outcomes = RecordedOutcomes(base=data["base"], machine=data["machine"], claims=data["claims"])
        for claim, methods in outcomes.claims.items():
            for method in methods:
                outcomes.outcomes(claim, method)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidComparison(
            f"the recorded outcomes {path} is not base, machine and claims, each claim -> method -> seed -> "
            f"outcome and measured: "
            "move it away, and write it anew with 'depthgauge record'."
        ) from error
    return outcomes


def base_of(testbed: Testbed) -> str:
    """The fingerprint that a record of outcomes is bound to; empty where methods start from fresh weights."""
    return fingerprint(testbed.base) if isinstance(testbed.base, Path) else ""


def write_recorded_outcomes(path: Path, recorded_outcomes: RecordedOutcomes) -> None:
    """One line a seed, so that a change can be read as a diff."""
    claims = {
        claim: {
            method: {
                seed: recorded_outcomes.claims[claim][method][seed]
                for seed in sorted(recorded_outcomes.claims[claim][method], key=int)
            }
            for method in sorted(recorded_outcomes.claims[claim])
        }
        for claim in sorted(recorded_outcomes.claims)
    }
    text = json.dumps(
        {"base": recorded_outcomes.base, "machine": recorded_outcomes.machine, "claims": claims}, indent=1
    )
    write_atomically(path, text + "\n")
