"""Rounds of planning and working, until the claims lack nothing that is available."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import Resources
from depthgauge.executors.engines import Ended, Engine
from depthgauge.executors.plan import Ask, plan, rough_s, total_text
from depthgauge.executors.worker import OVER, TAKEN, Order, orders
from depthgauge.measure.context import Job, ToTrain
from depthgauge.runs.session import Session
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, Store, usable
from depthgauge.store.times import Times

TRIES = 2


def hand_out(session: Session, asks: Sequence[Ask], engine: Engine, log: Path) -> None:
    """Have everything made that the claims ask for. What was lost `TRIES` times has failed: who asks for it is told.

    What takes less time than to start a worker is left to this process, which makes it when a claim asks.

    Raises: UsageError if a worker cannot write or load the project's files, or if the engine takes no work.
    """
    store, losses, tried = session.context.store, Counter[str](), set[str]()
    while True:
        planned = plan(session, asks)
        asks, jobs = planned.incomplete, [job for job in planned.jobs if job.key not in tried]
        if not jobs:
            return
        if is_small(jobs, engine, Times(store)):
            session.context.tell(f"{len(jobs)} small jobs are done by this process: workers would take longer to start")
            return
        session.context.tell(f"{total_text(Times(store), jobs, engine.workers)}: handed out ({engine.name})")
        with usable(store.root, "--store", NO_SPACE | FORBIDDEN):
            place = round_place(store)
            workers = orders_of(session, jobs, engine, place, log)
        ends = engine.run(workers, resources_of(session), place / "logs")
        raise_if_stopped(ends)
        marks = {job.key: mark(place, job) for job in jobs}
        tried |= {key for key, state in marks.items() if state == OVER}
        lost = [job for job in jobs if marks[job.key] == TAKEN] if any_of(marks) else jobs
        for job in lost:
            losses[job.key] += 1
            why = f"{job.title}, was lost ({reason(ends)}{logs_in(place)})"
            session.context.tell(why)
            if losses[job.key] == TRIES:
                store.remember_failure(job.kind, job.key, f"{why}, {TRIES} times.")
        if not lost:
            shutil.rmtree(place, ignore_errors=True)


def is_small(jobs: Sequence[Job], engine: Engine, times: Times) -> bool:
    """Whether all of it takes less than the engine's `least_s`; one that has none is given everything, and a training
    is never small.
    """
    if any(isinstance(job.todo, ToTrain) for job in jobs):
        return False
    return sum(rough_s(times, job) for job in jobs) < getattr(engine, "least_s", 0.0)


def round_place(store: Store) -> Path:
    """A folder of a round's own: one that lost something is kept for its logs."""
    (store.root / "workers").mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{store.run}-", dir=store.root / "workers"))


def logs_in(place: Path) -> str:
    return f"; its logs are in {place / 'logs'}" if (place / "logs").is_dir() else ""


def any_of(marks: Mapping[str, str | None]) -> bool:
    """Whether any worker came so far as to begin; where none did, all jobs are lost: the next round begins likewise."""
    return any(state is not None for state in marks.values())


def orders_of(session: Session, jobs: Sequence[Job], engine: Engine, place: Path, log: Path) -> list[Order]:
    """As many as the engine starts workers at once, each beginning at another job."""
    number = min(engine.workers, len(jobs))
    threads = max(1, (os.cpu_count() or 1) // number) if engine.here else resources_of(session).cpus
    return orders(jobs, session.context, place, log, workers=number, threads=threads)


def resources_of(session: Session) -> Resources:
    """What a worker asks for: GPUs where models run on one."""
    resources, on_gpu = session.context.testbed.resources, session.context.placement.device == "cuda"
    return resources if on_gpu else replace(resources, gpus=0)


def mark(place: Path, job: Job) -> str | None:
    """`OVER`; `TAKEN` where a worker began the job and did not end it; None where none came so far."""
    path = place / job.key
    return path.read_text(encoding="utf-8") if path.is_file() else None


def reason(ends: Sequence[Ended]) -> str:
    return "; ".join(dict.fromkeys(end.lost for end in ends if end.lost)) or "its worker ended without a word"


def raise_if_stopped(ends: Sequence[Ended]) -> None:
    for end in ends:
        if end.stopped:
            raise UsageError(end.stopped)
