"""One process of several that go through the same jobs, each taking what no other has taken.

    python -P -m depthgauge.executors.worker JOBS SHA256 NUMBER

The list of jobs is JSON in the store, which others may write, too. So its hash comes by the command line, and a list
that was changed is refused. The files of a project's own that a worker loads are named in it.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from depthgauge.core.errors import CorruptEntry, HarnessError, StoreUnusable, UsageError
from depthgauge.core.plain import digest
from depthgauge.core.registry import FILES, load_entry_points, load_files
from depthgauge.executors.written import (
    from_json,
    job_from_json,
    job_to_json,
    testbed_from_json,
    testbed_to_json,
    to_json,
)
from depthgauge.measure.context import Job, RunContext
from depthgauge.models.load import THREADS
from depthgauge.runs.progress import append
from depthgauge.store.folders import NO_SPACE, usable, write_atomically
from depthgauge.store.remote import store_at

TAKEN, OVER = "", "over"  # what a job's mark says: begun by a worker, and tried to its end
DONE, STOPPED = "done", "stopped: "  # how a worker's log ends
FILE = "jobs.json"


class Order(NamedTuple):
    """What one worker is started with: the list of jobs, its hash, and which of them to begin with."""

    jobs: Path
    sha256: str
    number: int

    @property
    def command(self) -> list[str]:
        """Without the working directory on the path: what lies there is not imported."""
        return [sys.executable, "-P", "-m", __name__, str(self.jobs), self.sha256, str(self.number)]


def orders(
    jobs: Sequence[Job], context: RunContext, place: Path, log: Path, *, workers: int, threads: int
) -> list[Order]:
    """The jobs are written once, for all workers to read. Raises: UsageError for what cannot be written."""
    probes: dict[str, Any] = {}
    written = [job_to_json(job, probes) for job in jobs]
    testbed = testbed_to_json(context.testbed)
    text = json.dumps(
        {
            "store": context.store.place, "run": context.store.run, "told": str(log), "threads": threads,
            "paths": sys.path, "files": FILES, "testbed": testbed, "placement": to_json(context.placement),
            "launch": to_json(context.launch), "probes": probes, "jobs": written,
        }
    )  # fmt: skip
    write_atomically(place / FILE, text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return [Order(place / FILE, sha256, number) for number in range(workers)]


def work(path: Path, sha256: str, number: int) -> str:
    """Do what is free; why it could not go on, or nothing. What a job raises is kept by the store.

    Raises: CorruptEntry for another list of jobs than the worker was started for.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CorruptEntry(f"{path} is not the list of jobs that this worker was started for: run again.")
    asked = json.loads(data)
    sys.path.extend(folder for folder in asked["paths"] if folder not in sys.path)
    load_entry_points()
    try:
        load_files(asked["files"])
    except UsageError as error:
        return str(error)
    os.environ[THREADS] = str(asked["threads"])
    log = Path(asked["told"])
    context = RunContext(
        testbed=testbed_from_json(asked["testbed"]), placement=from_json(asked["placement"]),
        launch=from_json(asked["launch"]), store=store_at(asked["store"], run=asked["run"]),
        tell=lambda line: append(log, line),
    )  # fmt: skip
    try:
        for job in free(asked["jobs"], number, path.parent):
            carry_out(job, asked["probes"], context)
            with usable(context.store.root, "--store", NO_SPACE):
                (path.parent / digest(job["description"])).write_text(OVER, encoding="utf-8")
    except StoreUnusable as error:
        return str(error)
    return ""


def carry_out(job: Mapping[str, Any], probes: Mapping[str, Any], context: RunContext) -> None:
    """Make what a job asks for; what cannot be built of it has failed. Raises: StoreUnusable."""
    try:
        make = job_from_json(job, probes, context)
    except StoreUnusable:
        raise
    except HarnessError as error:
        context.store.remember_failure(job["kind"], digest(job["description"]), str(error))
        return
    try:
        make()
    except StoreUnusable:
        raise
    except HarnessError:
        pass


def free(jobs: Sequence[Mapping[str, Any]], first: int, place: Path) -> Iterator[Mapping[str, Any]]:
    """The jobs from a number on and around that no other worker has taken. A mark in `place` says which are.

    A mark is made by creating a file that must not exist, which holds on network file systems, too. Where it could not
    be seen by another machine, a job is done twice, and the store keeps the first.
    """
    taken = set[str]()
    for job in (*jobs[first:], *jobs[:first]):
        key = digest(job["description"])
        if key in taken:
            continue
        try:
            (place / key).touch(exist_ok=False)
        except FileExistsError:
            taken = set(os.listdir(place))  # one question for all, where thousands of jobs are taken
            continue
        yield job


def main(arguments: Sequence[str]) -> None:
    """The last line of the log says how it ended, and the exit code whether it could go on."""
    path, sha256, number = arguments
    try:
        stopped = work(Path(path), sha256, int(number))
    except HarnessError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
    print(f"{STOPPED}{stopped}" if stopped else DONE, flush=True)
    sys.exit(UsageError.exit_code if stopped else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
