"""Write a testbed's recorded outcomes: train and measure some seeds of its methods, and record what each gave."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from depthgauge.api import verify
from depthgauge.core.errors import HarnessError, TrainingFailed, UsageError
from depthgauge.core.outside import check_outside
from depthgauge.core.registry import TESTBEDS, load_entry_points
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import describe
from depthgauge.history.recorded import RecordedOutcomes, base_of, read_recorded_outcomes, write_recorded_outcomes
from depthgauge.runs.session import chosen_methods

Claims = dict[str, dict[str, dict[str, Mapping[str, str]]]]  # claim -> method -> seed -> outcome and measured
DECIDED = (0, 1, 20)  # exits of a run that judged its claims


def record_outcomes(name: str, methods: str, seeds: int, store: Path) -> None:
    """Judge the methods with each of the seeds, and write the testbed's recorded outcomes. What the store has is not
    made again, and what is recorded of other methods stays.

    Raises: UsageError for a testbed without a record of outcomes, or whose recorded outcomes's place has another file
    or lies in a checkpoint; TrainingFailed if a run could not be judged.
    """
    load_entry_points()
    testbed = TESTBEDS[name]
    if testbed.recorded_outcomes is None:
        raise UsageError(
            f"testbed {name!r} has no recorded outcomes: give it one, recorded_outcomes=Path(...), in its registration."
        )
    before = replaceable(testbed.recorded_outcomes)
    check_outside(store, "--store")
    same = (before.base, before.machine) == (base_of(testbed), machine())
    asked = chosen_methods(methods, testbed)
    claims = {} if methods == "all" and not same else kept(before, asked, base_of(testbed), testbed.recorded_outcomes)
    for seed in range(seeds):
        for row in judged(name, methods, seed, store):
            entry = {"outcome": str(row.outcome), "measured": describe(row.estimate) if row.estimate else ""}
            claims.setdefault(row.claim, {}).setdefault(row.method, {})[str(seed)] = entry
    write_recorded_outcomes(
        testbed.recorded_outcomes, RecordedOutcomes(base=base_of(testbed), machine=machine(), claims=claims)
    )
    print(f"{testbed.recorded_outcomes}: {len(claims)} claims, seeds 0 to {seeds - 1}, on {machine()}")


def kept(before: RecordedOutcomes, asked: Sequence[str], base: str, path: Path) -> Claims:
    """What is recorded of methods that are not asked now.

    Raises: UsageError where that is of another base or machine: one record speaks of one.
    """
    others = {
        claim: {method: {**entry} for method, entry in methods.items() if method not in asked}
        for claim, methods in before.claims.items()
    }
    names = sorted({method for methods in others.values() for method in methods})
    for what, was, now in (("base", before.base, base), ("machine", before.machine, machine())):
        if names and was != now:
            raise UsageError(
                f"{path} records {', '.join(names)} of {what} {was!r}, and this is {now!r}: record all methods anew, "
                "or move it away."
            )
    return {claim: methods for claim, methods in others.items() if methods}


def replaceable(path: Path) -> RecordedOutcomes:
    """The record of outcomes that stands there; empty where there is none. Raises: UsageError for what is none."""
    check_outside(path, "another recorded_outcomes= in the testbed's registration")
    if not os.path.lexists(path):
        return RecordedOutcomes()
    try:
        return read_recorded_outcomes(path)
    except (HarnessError, OSError) as error:
        raise UsageError(
            f"{path} is no recorded outcomes, and is not replaced: move it away ({error})", code="not-ours"
        ) from error


def judged(testbed: str, methods: str, seed: int, store: Path) -> list[ClaimResult]:
    """The verdicts of one seed that are not NOT_TESTABLE. Raises: TrainingFailed where there is none."""
    result = verify(methods, testbed=testbed, first_seed=seed, store=str(store), suites=["all"])
    print(result)
    if result.exit_code not in DECIDED:
        raise TrainingFailed(f"seed {seed} on {testbed!r} ended with exit {result.exit_code}: nothing is recorded.")
    kept = [row for row in result.rows if row.outcome is not Outcome.NOT_TESTABLE]
    if not kept:
        raise TrainingFailed(f"seed {seed} on {testbed!r} was not judged: nothing is recorded.")
    return kept


def machine() -> str:
    """The processor that a record of outcomes's numbers are from: other ones round sums otherwise."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({platform.machine()})"
