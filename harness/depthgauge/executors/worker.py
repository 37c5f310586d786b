"""One process of several that go through the same jobs, each taking what no other has taken."""

import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cloudpickle

from depthgauge.core.errors import HarnessError, StoreUnusable, UsageError
from depthgauge.core.method import Launch
from depthgauge.core.registry import load_entry_points
from depthgauge.core.testbed import Testbed
from depthgauge.measure.context import Job, RunContext
from depthgauge.models.load import THREADS, Placement
from depthgauge.runs.progress import append
from depthgauge.store.folders import NO_SPACE, Store, usable

TAKEN, OVER = "", "over"  # what a job's mark says: begun by a worker, and tried to its end


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """Goes through the jobs of a round, from its own number on and around. A mark in `place` says which are taken.

    A mark is made by creating a file that must not exist, which holds on network file systems, too. Where it could not
    be seen by another machine, a job is done twice, and the store keeps the first.
    """

    number: int  # of this one among all: the job that it begins with
    threads: int
    place: Path
    store: Store
    told: Path
    testbed: Testbed
    placement: Placement
    launch: Launch | None

    def work(self, jobs: Sequence[Job]) -> str:
        """Do what is free; why it could not go on, or nothing. What a job raises is kept by the store."""
        load_entry_points()
        os.environ[THREADS] = str(self.threads)
        context = RunContext(
            testbed=self.testbed, placement=self.placement, launch=self.launch, store=self.store,
            tell=lambda line: append(self.told, line),
        )  # fmt: skip
        try:
            for job in self.free(jobs):
                try:
                    job.make(context)
                except StoreUnusable:
                    raise
                except HarnessError:
                    pass
                with usable(self.store.root, "--store", NO_SPACE):
                    (self.place / job.key).write_text(OVER)
        except StoreUnusable as error:
            return str(error)
        return ""

    def free(self, jobs: Sequence[Job]) -> Iterator[Job]:
        taken = set[str]()
        for job in (*jobs[self.number :], *jobs[: self.number]):
            if job.key in taken:
                continue
            try:
                (self.place / job.key).touch(exist_ok=False)
            except FileExistsError:
                taken = set(os.listdir(self.place))  # one question for all, where thousands of jobs are taken
                continue
            yield job


class Packed(NamedTuple):
    """A worker as bytes, the same for every engine, the file that its jobs are in, and where modules are found."""

    worker: bytes
    jobs: Path
    paths: tuple[str, ...]


def packed(workers: Sequence[Worker], jobs: Sequence[Job], place: Path) -> list[Packed]:
    """The jobs are written once, for all of them to read. Raises: UsageError for what cannot be sent."""
    path = place / "jobs"
    try:
        path.write_bytes(cloudpickle.dumps(tuple(jobs)))
        return [Packed(cloudpickle.dumps(worker), path, tuple(sys.path)) for worker in workers]
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise UsageError(
            f"what the claims ask cannot be sent to other processes ({error}): a probe, a method or a testbed holds "
            "something that is bound to this one; leave --executor out, or build it where it is used."
        ) from error


def work(one: Packed) -> str:
    """What engines run, in a process of their own: `Worker.work`."""
    sys.path.extend(path for path in one.paths if path not in sys.path)
    worker: Worker = cloudpickle.loads(one.worker)
    return worker.work(cloudpickle.loads(one.jobs.read_bytes()))
