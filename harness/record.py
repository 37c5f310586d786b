"""Write a testbed's ledger: train and measure some seeds of its methods, and record what each gave."""

import platform
from pathlib import Path

from depthgauge.claims import describe
from depthgauge.errors import TrainingFailed, UsageError
from depthgauge.judging import verify
from depthgauge.ledger import Ledger, base_of, write_ledger
from depthgauge.registry import TESTBEDS, load_entry_points
from depthgauge.types import Outcome, Row

DECIDED = (0, 1, 20)  # exits of a run that judged its claims


def record_ledger(name: str, methods: str, seeds: int, store: Path) -> None:
    """Judge the methods with each of the seeds, and write the testbed's ledger. What the store has is not made again.

    Raises: UsageError for a testbed without a ledger; TrainingFailed if a run could not be judged.
    """
    load_entry_points()
    testbed = TESTBEDS[name]
    if testbed.ledger is None:
        raise UsageError(f"testbed {name!r} has no ledger: give it one, ledger=Path(...), in its registration.")
    claims: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for seed in range(seeds):
        for row in judged(name, methods, seed, store):
            entry = {"outcome": str(row.outcome), "measured": describe(row.estimate) if row.estimate else ""}
            claims.setdefault(row.claim, {}).setdefault(row.method, {})[str(seed)] = entry
    write_ledger(testbed.ledger, Ledger(base=base_of(testbed), machine=machine(), claims=claims))
    print(f"{testbed.ledger}: {len(claims)} claims, seeds 0 to {seeds - 1}, on {machine()}")


def judged(testbed: str, methods: str, seed: int, store: Path) -> list[Row]:
    """The verdicts of one seed that are not NOT_TESTABLE. Raises: TrainingFailed where there is none."""
    result = verify(methods, testbed=testbed, first_seed=seed, store=str(store))
    print(result)
    if result.exit_code not in DECIDED:
        raise TrainingFailed(f"seed {seed} on {testbed!r} ended with exit {result.exit_code}: nothing is recorded.")
    kept = [row for row in result.rows if row.outcome is not Outcome.NOT_TESTABLE]
    if not kept:
        raise TrainingFailed(f"seed {seed} on {testbed!r} was not judged: nothing is recorded.")
    return kept


def machine() -> str:
    """The processor that a ledger's numbers are from: other ones round sums otherwise."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({platform.machine()})"
