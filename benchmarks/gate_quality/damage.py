"""What each fault costs by its dose: `python -m benchmarks.gate_quality.damage [--testbed pocket]`.

The mean next-token divergence from the baseline, and the points lost in the task: what a gate must not let pass.
Every fault that has doses is planted at a few places, and each is written down at once in damage.jsonl.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gate_quality.kinds import FAULTS, fixed, on_files
from benchmarks.gate_quality.pairs import COSTS, Pair, baseline_folder, options, planted, record, results
from depthgauge import tasks
from depthgauge.checks.inputs import COMMON
from depthgauge.core.errors import HarnessError
from depthgauge.core.registry import TESTBEDS, load_entry_points
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import prepare_libraries
from depthgauge.probes import divergence
from depthgauge.runs.comparison import joined
from depthgauge.store.folders import Store

PLACES = 3


def planned() -> Iterator[Pair]:
    for name, fault in FAULTS.items():
        if len(fault.doses) > 1 and not on_files(fault):
            yield from (
                Pair(kind=name, dose=dose, seed=seed)
                for dose in fault.doses
                for seed in range(1 if fixed(fault) else PLACES)
            )


def damage(candidate: CheckpointSet, baseline: CheckpointSet, task: str) -> dict[str, float]:
    """Means over texts and items, in nats and points."""
    kl = divergence.mean_kl(candidate, baseline).values.mean()
    lost = (tasks.scores(baseline, task).values - tasks.scores(candidate, task).values).mean()
    return {"kl_nats": round(float(kl), 5), "lost_points": round(float(lost), 2)}


def main() -> None:
    given = options(__doc__).parse_args()
    load_entry_points()
    prepare_libraries(1)
    folder = baseline_folder(given.baseline, 0, given.testbed, given.store)
    with tempfile.TemporaryDirectory() as place:
        both = joined(COMMON, TESTBEDS[given.testbed])
        context = RunContext(testbed=both, store=Store(Path(place) / "store", run="damage"), tell=lambda line: None)
        for pair in planned():
            key = {"testbed": given.testbed, "kind": pair.kind, "dose": pair.dose, "seed": pair.seed}
            if pair.kind == "overflow_weights" or any(key.items() <= one.items() for one in results(COSTS)):
                continue  # what overflows is refused before it can say anything
            with tempfile.TemporaryDirectory() as candidate:
                planted(pair, folder, Path(candidate) / "candidate")
                candidates = (
                    CheckpointSet(name=one.name, folder=one, context=context)
                    for one in (Path(candidate) / "candidate", folder)
                )
                try:
                    found = key | damage(*candidates, given.tasks)
                except HarnessError as error:  # a task in which most options tie, as with logits three times as large
                    print(f"{pair.kind} {pair.dose:g} #{pair.seed} has no cost: {error}", flush=True)
                    continue
            record(COSTS, found)
            print(found, flush=True)


if __name__ == "__main__":
    main()
