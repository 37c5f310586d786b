"""How cost grows with checkpoints and workers, into docs/scale.md: python -m benchmarks.scale [--store=DIR]

Seconds of jobs are those on record in a store (`times.jsonl`), of this testbed alone; what workers do with them is
simulated. Judging is measured for real: a thousand checkpoints whose measurements are copies of one's, each with the
key that it would have.
"""

import argparse
import heapq
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from depthgauge import METHODS, TESTBEDS
from depthgauge.api import Runner
from depthgauge.core.plain import digest
from depthgauge.core.registry import load_entry_points
from depthgauge.core.result import ClaimResult
from depthgauge.history.gated_runs import FILE, GatedRun, append, figure_of
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.page.tables import markdown
from depthgauge.report.trend import write_trend
from depthgauge.runs.config import Options
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store, read_manifest, write_manifest
from depthgauge.store.measurements import ARRAYS, KIND
from depthgauge.store.times import FILE as TIMES

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
CHECKPOINTS, MEASUREMENTS = 1_000, 50
SUITES = tuple(
    f"depthgauge_suites.{name}"
    for name in (
        "articles.test_attention",
        "articles.test_capability",
        "circuits.test_circuits",
        "articles.test_entropy",
        "articles.test_noise_trace",
        "layer_papers.test_skill_paths",
        "articles.test_tokenization",
        "articles.test_training_health",
        "layer_papers.test_transformer_factors",
        "articles.test_weights",
    )
)
PROCESSES = 2  # that judge
ROUNDS = 2  # of a plan: what a checkpoint is asked, and what it is compared with
SIZES, WORKERS = (1, 10, 100, 1_000), (1, 2, 8, 32, 256)

PAGE_TEXT = """# How cost grows

Made by `python -m benchmarks.scale` on the store of this project's runs.

## Judging many checkpoints

{many} Each measurement is read and checked against its checksum once, whatever number of claims asks for it; a control
is judged once for all checkpoints; resamples of as many units are drawn once. Checkpoints are directories of their own
content here, small ones: the hash that names a checkpoint reads every byte of it, once a process.

## Measuring on many workers

Simulated from the seconds that {jobs} measurements of small models took here: half of them took less than {median:.1f}
s, the longest {longest:.0f} s. A worker takes {start:.0f} s before it measures. Two rounds of a plan, {measurements}
measurements a checkpoint; each worker takes the longest job that is left.

{table}
What bounds it: with few jobs, the start of a worker in each round; with many workers, the longest job. Measurements of
a model of billions of weights take minutes, and a worker's start is then nothing: the rows of 100 and 1,000 checkpoints
are the ones to scale by.

What a store of 1,000 checkpoints would hold: 50,000 measurements of {kilobytes:.0f} kB on average (over {entries}) are
{gigabytes:.1f} GB, in 150,000 files; the checkpoints themselves come on top. Jobs of a round are written once for all
its workers, and a worker asks for the list of what is taken only where it finds a job taken.
"""


def measured_seconds(store: Path) -> list[float]:
    """What each measurement took; trainings are left out. Raises: SystemExit where nothing is on record."""
    if not (store / TIMES).is_file():
        sys.exit(f"{store} has no {TIMES}: measure something first, as by pytest suites/ --executor=local.")
    lines = [json.loads(line) for line in (store / TIMES).read_text().splitlines()]
    return [seconds for work, _, seconds in lines if not work.startswith("training ")]


def makespan_s(jobs: Sequence[float], workers: int, start_s: float) -> float:
    """Seconds until the last job is done: each worker starts once, and takes the longest that is left."""
    free = [start_s] * min(workers, len(jobs))
    for seconds in sorted(jobs, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def start_seconds() -> float:
    """What a process takes before it measures: the interpreter, torch, and transformers."""
    began = time.monotonic()
    os.system(f"{sys.executable} -c 'import torch, transformers, lm_eval.evaluator'")
    return time.monotonic() - began


def simulated(seconds: Sequence[float], start_s: float) -> Iterator[list[str]]:
    draw = np.random.default_rng(0)
    for size in SIZES:
        rounds = [draw.choice(seconds, size * MEASUREMENTS // ROUNDS) for _ in range(ROUNDS)]
        times = [sum(makespan_s(jobs, workers, start_s) for jobs in rounds) for workers in WORKERS]
        yield [f"{size:,}", f"{size * MEASUREMENTS:,}", *(clock(one) for one in times)]


def clock(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds > 10 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def planted(place: Path, source: Store, template: Path, keys: Sequence[str], number: int) -> Iterator[Path]:
    """Checkpoints of contents of their own, with copies of the template's measurements in a store at `place`."""
    for name in range(number):
        folder = place / "checkpoints-of-somebody" / f"checkpoint-{name}"
        shutil.copytree(template, folder, copy_function=os.link)
        config = json.loads((folder / "config.json").read_text()) | {"copy": name}
        (folder / "config.json").unlink()
        (folder / "config.json").write_text(json.dumps(config))
        for key in keys:
            plant(place, source.folder(KIND, key), fingerprint(folder))
        yield folder


def plant(place: Path, measured: Path, checkpoint: str) -> None:
    description = read_manifest(measured).description | {"checkpoint": checkpoint}
    entry = place / "store" / KIND / digest(description)
    entry.mkdir(parents=True)
    os.link(measured / ARRAYS, entry / ARRAYS)
    write_manifest(entry, KIND, description)


def judged(place: Path, folders: Sequence[Path], runner: Runner) -> tuple[int, float, float]:
    """Verdicts, and the seconds of judging all and of writing their report."""
    began, runs = time.monotonic(), []
    for folder, found in zip(folders, runner.run_all(folders, processes=PROCESSES), strict=True):
        assert not found.problems, found.problems
        runs.append(run_of(folder, found.rows))
    told = time.monotonic()
    for run in runs:
        append(place / FILE, run)
    write_trend(place / FILE)
    return sum(len(run.claims) for run in runs), told - began, time.monotonic() - told


def run_of(folder: Path, rows: Sequence[ClaimResult]) -> GatedRun:
    return GatedRun(
        started="", checkpoint=folder.name, fingerprint="", baseline="", exit_code=0,
        claims={row.claim: figure_of(row) for row in rows},
    )  # fmt: skip


def judge_many(source: Store, place: Path) -> list[str]:
    """A thousand checkpoints held to the claims of pocket's suites, from synthetic measurements, without a model."""
    template = trained(source)
    rows = runner_at(source.root).run(template).rows
    keys = sorted({used.key for row in rows for used in row.evidence if used.method.startswith("adopted-")})
    folders = list(planted(place, source, template, keys, CHECKPOINTS))
    for kind in ("checkpoints", KIND):
        lend(source.root / kind, place / "store" / kind)
    verdicts, judging_s, report_s = judged(place, folders, runner_at(place / "store"))
    kibibytes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory = (kibibytes[0] + PROCESSES * kibibytes[1]) / 2**20
    opened = "torch was imported" if "torch" in sys.modules else "torch was not imported"
    return [
        f"{verdicts:,} verdicts on {CHECKPOINTS:,} checkpoints, {len(rows)} claims each, in {PROCESSES} processes: "
        f"**{judging_s:.0f} s** to judge and {report_s:.0f} s to write the page and its picture (asked for: 60 s of "
        f"both), at most {memory:.2f} GiB together (asked for: 1 GB); {opened}. "
        f"A verdict takes {1000 * PROCESSES * judging_s / verdicts:.1f} ms of a process.",
    ]


def runner_at(store: Path) -> Runner:
    options = Options(method="depthscaled", suites=",".join(SUITES), store=str(store))
    return Runner(options=options, tell=lambda line: None)


def trained(store: Store) -> Path:
    """The checkpoint that is copied. Raises: SystemExit where the store has none."""
    load_entry_points()
    testbed = TESTBEDS[METHODS["depthscaled"].testbed or "pocket"]
    context = RunContext(testbed=testbed, store=store, tell=lambda line: None)
    candidate = CheckpointSet.of(METHODS["depthscaled"], (0,), context)
    if not candidate.cached(0):
        sys.exit("benchmarks.scale judges copies of a trained checkpoint: run 'make eval' first.")
    return candidate.checkpoints[0].folder


def lend(entries: Path, place: Path) -> None:
    """Controls and what they were measured by, as they are."""
    place.mkdir(parents=True, exist_ok=True)
    for entry in entries.iterdir():
        if not (place / entry.name).exists():
            (place / entry.name).symlink_to(entry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s")
    store = Store(parser.parse_args().store.resolve(), run="scale")
    seconds = measured_seconds(store.root)
    with tempfile.TemporaryDirectory(dir=store.root) as place:
        many = judge_many(store, Path(place))
    start_s = start_seconds()  # opens torch in a child, whose memory would count above
    headers = ["checkpoints", "jobs", *(f"{count} worker{'s' * (count > 1)}" for count in WORKERS)]
    size = sum(path.stat().st_size for path in (store.root / KIND).rglob("*") if path.is_file())
    entries = len(list((store.root / KIND).iterdir()))
    text = PAGE_TEXT.format(
        many="\n".join(many), table=markdown(headers, list(simulated(seconds, start_s))), measurements=MEASUREMENTS,
        jobs=len(seconds), median=np.median(seconds), longest=max(seconds), start=start_s, entries=entries,
        kilobytes=size / entries / 1e3, gigabytes=size / entries * CHECKPOINTS * MEASUREMENTS / 1e9,
    )  # fmt: skip
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
