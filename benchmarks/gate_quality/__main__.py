"""How often the gate is wrong: `python -m benchmarks.gate_quality BASELINE [--testbed pocket]`, or `make gate-quality`.

Harmless rewritings of BASELINE, and faults planted in it by growing doses, are judged as `depthgauge compare` judges
them; so are healthy successors, the testbed's methods after each other. Every pair that is judged is written down at
once in quality.jsonl, beside this file: the command goes on where it was stopped, and writes docs/gate-quality.md with
its plot from all that is there.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.gate_quality import page
from benchmarks.gate_quality.judged import Judged, judged, session_of
from benchmarks.gate_quality.kinds import FAULTS, HARMLESS, RESAMPLES, fixed, on_files
from benchmarks.gate_quality.pairs import JUDGED, Pair, baseline_folder, options, planted, record, results
from benchmarks.gate_quality.resampled import OF_EACH, RESAMPLED, resampled
from benchmarks.gate_quality.successors import SUCCESSOR, successors
from depthgauge.core.claim import Expectation
from depthgauge.core.registry import load_entry_points
from depthgauge.models.load import prepare_libraries
from depthgauge.store.folders import Store

PLACES, PLACES_AT_THE_DOSE = 5, 20
SLICE = {
    "skip_layer": (1,), "zero_mlp": (1, 0.1), "shrink_mlp_norm": (1, 0.1), "zero_attention": (1, 0.1),
    "swap_layers": (1, 3), "duplicate_layer": (1, 3), "zero_heads": (1, 3), "noise_in_one_layer": (0.1, 0.3),
    "overflow_weights": (1, 30),
}  # fmt: skip
UNREAD = ("add_sliding_window",)  # which SmolLM2's family does not know


def planned(testbed: str) -> Iterator[Pair]:
    return whole_table(testbed) if testbed == "pocket" else a_slice()


def a_slice() -> Iterator[Pair]:
    """Where the whole table would take days: faults that one layer has, at two doses, and those in the files."""
    in_files = {name: fault.doses[:1] for name, fault in FAULTS.items() if on_files(fault) and name not in UNREAD}
    for name, doses in (SLICE | in_files).items():
        places = range(1 if fixed(FAULTS[name]) else PLACES)
        yield from (Pair(kind=name, dose=dose, seed=seed) for dose in doses for seed in places)


def whole_table(testbed: str) -> Iterator[Pair]:
    """What is to be judged, as it comes: harmless ones, each fault at a few places, then more at the dose it needs."""
    for name, count in HARMLESS.items():
        yield from (Pair(kind=name, dose=1, seed=seed) for seed in range(count))
    yield from (Pair(kind=RESAMPLED, dose=1, seed=seed) for seed in range(RESAMPLES))
    yield from (Pair(kind=SUCCESSOR, dose=1, seed=place) for place in range(len(successors(testbed))))
    for name, fault in FAULTS.items():
        for dose in fault.doses:
            yield from (Pair(kind=name, dose=dose, seed=seed) for seed in range(1 if fixed(fault) else PLACES))
    for name, fault in FAULTS.items():
        dose = page.smallest_caught(results(JUDGED), testbed, name)
        if dose is not None and not fixed(fault):
            yield from (Pair(kind=name, dose=dose, seed=seed) for seed in range(PLACES, PLACES_AT_THE_DOSE))


def judged_pair(
    pair: Pair, baseline: Path, candidate: Path, store: Store, given: argparse.Namespace
) -> tuple[list[int], Judged]:
    """The layers at fault, and what the gate says; `candidate` is where a copy of `baseline` is changed."""
    if pair.kind == SUCCESSOR:
        folders = [baseline_folder(*one, given.testbed, given.store) for one in successors(given.testbed)[pair.seed]]
        both = session_of(folders[1], folders[0], store, given.testbed, (given.tasks,), Expectation.TRAINED)
        return [], judged(both)
    if pair.kind == RESAMPLED:
        planted(replace(pair, kind="round_stochastically", seed=pair.seed // OF_EACH), baseline, candidate)
        with resampled(pair.draw):
            found = judged(session_of(candidate, baseline, store, given.testbed, (given.tasks,)))
        shutil.rmtree(candidate)
        return [], found
    at = planted(pair, baseline, candidate)
    found = judged(session_of(candidate, baseline, store, given.testbed, (given.tasks,)))
    shutil.rmtree(candidate)
    return at, found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--only", default="", help="kinds to judge, with commas (default: all)")
    given = parser.parse_args()
    load_entry_points()
    prepare_libraries(1)
    baseline = baseline_folder(given.baseline, 0, given.testbed, given.store)
    only = [kind for kind in given.only.split(",") if kind]
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place) / "store", run="quality")
        for pair in planned(given.testbed):
            key = {"testbed": given.testbed, "kind": pair.kind, "dose": pair.dose, "seed": pair.seed}
            if (only and pair.kind not in only) or any(key.items() <= one.items() for one in results(JUDGED)):
                continue
            at, found = judged_pair(pair, baseline, Path(place) / "candidate", store, given)
            line = key | {"at": at} | asdict(found)
            record(JUDGED, line)
            print(
                f"{pair.kind} {pair.dose:g} #{pair.seed}: exit {found.exit}, {found.claim}, {found.seconds:.1f} s",
                flush=True,
            )
    page.write(results(JUDGED))


if __name__ == "__main__":
    main()
