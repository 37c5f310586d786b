"""Write a testbed's recorded outcomes: train and measure some seeds of its methods, and record what each gave."""

import os
import platform
from pathlib import Path

from depthgauge.api import verify
from depthgauge.core.errors import HarnessError, TrainingFailed, UsageError
from depthgauge.core.outside import check_outside
from depthgauge.core.registry import TESTBEDS, load_entry_points
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.core.verdict import describe
from depthgauge.history.recorded import RecordedOutcomes, base_of, read_recorded_outcomes, write_recorded_outcomes

DECIDED = (0, 1, 20)  # exits of a run that judged its claims


def record_outcomes(name: str, methods: str, seeds: int, store: Path) -> None:
    """Judge the methods with each of the seeds, and write the testbed's recorded outcomes. What the store has is not
    made again.

    Raises: UsageError for a testbed without a record of outcomes, or whose recorded outcomes's place has another file
    or lies in a checkpoint; TrainingFailed if a run could not be judged.
    """
    load_entry_points()
    testbed = TESTBEDS[name]
    if testbed.recorded_outcomes is None:
        raise UsageError(
            f"testbed {name!r} has no recorded outcomes: give it one, recorded outcomes=Path(...), in its registration."
        )
    check_replaceable(testbed.recorded_outcomes)
    check_outside(store, "--store")
    claims: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for seed in range(seeds):
        for row in judged(name, methods, seed, store):
            entry = {"outcome": str(row.outcome), "measured": describe(row.estimate) if row.estimate else ""}
            claims.setdefault(row.claim, {}).setdefault(row.method, {})[str(seed)] = entry
    write_recorded_outcomes(
        testbed.recorded_outcomes, RecordedOutcomes(base=base_of(testbed), machine=machine(), claims=claims)
    )
    print(f"{testbed.recorded_outcomes}: {len(claims)} claims, seeds 0 to {seeds - 1}, on {machine()}")


def check_replaceable(path: Path) -> None:
    """Raises: UsageError unless a record of outcomes can be written there: over one that is there, or where there is
    nothing.
    """
    check_outside(path, "another recorded outcomes= in the testbed's registration")
    if not os.path.lexists(path):
        return
    try:
        read_recorded_outcomes(path)
    except (HarnessError, OSError) as error:
        raise UsageError(f"{path} is no recorded outcomes, and is not replaced: move it away ({error})") from error


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
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({platform.machine()})"
