"""What claims ask for and the store does not have."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from tabulate import tabulate

from depthgauge.measure.context import Job
from depthgauge.runs.session import Session
from depthgauge.store.times import Times

SECONDS_PER_BYTE, LEAST_S = 2e-7, 0.2  # of a measurement on two cores, as the median of some 5,800 was

Ask = Callable[[Session], object]  # judges one claim within a session


class Plan(NamedTuple):
    """What is missing, each job once and those that take longest first; the claims that `incomplete` it; and how many
    measurements the others have.
    """

    jobs: list[Job]
    incomplete: list[Ask]
    measured: int


def plan(session: Session, asks: Sequence[Ask]) -> Plan:
    missing: list[Job] = []
    planned, incomplete, measured = session.planned(missing), [], set()
    for ask in asks:
        before = len(missing)
        with suppress(Exception):  # what is wrong with a claim is said when it is judged
            ask(planned)
        measured |= {used.key for used in planned.context.evidence}
        if len(missing) > before:
            incomplete.append(ask)
    jobs = {(job.kind, job.key): job for job in missing}.values()
    times = Times(session.context.store)
    return Plan(
        sorted(jobs, key=lambda job: (-doublings(expected_s(times, job)), job.label)), incomplete, len(measured)
    )


def doublings(seconds: float | None) -> int:
    """Jobs of about the same length are of one rank, so that those of one checkpoint come together."""
    return round(math.log2(max(seconds or 0.0, 1.0)))


def expected_s(times: Times, job: Job) -> float | None:
    return times.expected_s(job.work, job.weights)


def rough_s(times: Times, job: Job) -> float:
    """What a measurement took in this store before; where there was none like it, by the size of its model."""
    known = expected_s(times, job)
    return max(LEAST_S, SECONDS_PER_BYTE * job.weights) if known is None else known


def plan_table(session: Session, asks: Sequence[Ask], workers: int) -> str:
    """The plan for people: each job, what it reads, how long it took before; and what it all comes to."""
    jobs, incomplete, measured = plan(session, asks)
    there = f"{measured} measurements are there"
    if not jobs:
        return f"nothing is missing; {there}"
    times = Times(session.context.store)
    rows = [(job.work, job.label, f"{job.weights / 1e6:,.0f} MB", seconds_text(expected_s(times, job))) for job in jobs]
    table = tabulate(rows, headers=("job", "of", "weights", "took before"), disable_numparse=True)
    then = f"{len(incomplete)} of {len(asks)} claims ask for them, and may ask for more by what they find"
    return f"{table}\n{total_text(times, jobs, workers)}; {then}; {there}"


def seconds_text(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{seconds:.1f} s"


def total_text(times: Times, jobs: Sequence[Job], workers: int) -> str:
    known = [seconds for job in jobs if (seconds := expected_s(times, job)) is not None]
    about = "" if not known else f", about {sum(known) / min(workers, len(jobs)):.0f} s of {workers} workers"
    unknown = "" if len(known) == len(jobs) else f" and {len(jobs) - len(known)} that this store never did"
    return f"{len(jobs)} jobs are missing{about}{unknown if known else ''}"
