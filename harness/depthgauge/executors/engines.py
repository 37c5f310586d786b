"""What starts workers, on this machine or others, and says how each ended. None of it is ours: submitit, and Ray."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import Resources
from depthgauge.executors.worker import Packed, work
from depthgauge.page.escape import one_line

REACHABLE_S, GRACE_S, POLL_S = 10, 20, 5
AT_ONCE = 8  # workers that are asked of a cluster, where it is not said how many


class Ended(NamedTuple):
    """How a worker ended: through, or with why it `stopped`, or with how it was `lost`."""

    stopped: str = ""
    lost: str = ""


class Engine(Protocol):
    """Where workers run; `here` says that they share this machine."""

    name: str
    workers: int
    here: bool

    def run(self, workers: Sequence[Packed], resources: Resources, logs: Path) -> list[Ended]:
        """Start all of them, wait until all have ended, and say how. An interruption ends them, too."""
        ...


class Processes:
    """Processes of this machine, by submitit. Each has GPUs of its own where it needs some.

    Raises: UsageError if submitit is not installed.
    """

    name, here = "local", True

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or os.cpu_count() or 1
        installed("submitit", self.name, "cluster")

    def run(self, workers: Sequence[Packed], resources: Resources, logs: Path) -> list[Ended]:
        from submitit import LocalExecutor

        executor, jobs = LocalExecutor(logs), []
        for worker, gpus in zip(workers, gpus_each(resources.gpus, len(workers)), strict=False):
            executor.update_parameters(timeout_min=resources.minutes, gpus_per_node=resources.gpus, visible_gpus=gpus)
            jobs.append(executor.submit(work, worker))
        return ends_of(jobs)


def gpus_each(needed: int, workers: int) -> list[tuple[int, ...]]:
    """The GPUs of each worker: fewer workers than were asked for where there are not enough.

    Raises: UsageError if there are too few for one.
    """
    if needed == 0:
        return [()] * workers
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    there = [int(one) for one in named.split(",") if one.isdigit()] or list(range(torch.cuda.device_count()))
    if len(there) < needed:
        raise UsageError(
            f"--executor=local has {len(there)} GPUs here, and a worker of this testbed needs {needed}: lower its "
            "Needs(gpus=...), or choose --device=cpu."
        )
    return [tuple(there[first : first + needed]) for first in range(0, len(there) - needed + 1, needed)][:workers]


class Slurm:
    """An array job, by submitit. SLURM's own variables say the rest, such as SBATCH_PARTITION and SBATCH_ACCOUNT.

    Raises: UsageError if submitit is not installed, or there is no SLURM here.
    """

    name, here = "slurm", False

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or AT_ONCE
        installed("submitit", self.name, "cluster")
        if not shutil.which("sbatch"):
            raise UsageError(
                "--executor=slurm finds no sbatch here: run it where jobs are submitted, or choose --executor=local."
            )

    def run(self, workers: Sequence[Packed], resources: Resources, logs: Path) -> list[Ended]:
        from submitit.core.utils import FailedJobError

        try:
            jobs = self.executor(resources, logs, at_once=len(workers)).map_array(work, workers)
        except FailedJobError as error:
            raise UsageError(f"--executor=slurm: sbatch takes no job: {one_line(str(error))}") from error
        return ends_of(jobs, gone)

    @staticmethod
    def executor(resources: Resources, logs: Path, *, at_once: int) -> Any:
        from submitit import SlurmExecutor

        executor = SlurmExecutor(logs)
        gpus = {"gpus_per_node": resources.gpus} if resources.gpus else {}
        executor.update_parameters(
            job_name="depthgauge", time=resources.minutes, cpus_per_task=resources.cpus, mem=f"{resources.memory_gib}G",
            array_parallelism=at_once, **gpus,
        )  # fmt: skip
        return executor


def gone(job: Any) -> bool:
    """Whether SLURM has the job in its queue no more; submitit asks sacct, which not every cluster has."""
    found = subprocess.run(["squeue", "--noheader", "--jobs", job.job_id], capture_output=True, text=True, check=False)
    return not found.stdout.strip() if found.returncode == 0 else "Invalid job id" in found.stderr


def ends_of(jobs: Sequence[Any], gone: Callable[[Any], bool] | None = None) -> list[Ended]:
    """Of submitit's jobs, once all have ended; where this process is interrupted, they are cancelled."""
    try:
        return [end_of(job, gone) for job in jobs]
    except BaseException:
        for job in jobs:
            job.cancel(check=False)
        raise


def end_of(job: Any, gone: Callable[[Any], bool] | None) -> Ended:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    if gone is not None and not came_to_an_end(job, gone):
        job.cancel(check=False)
        return Ended(lost=f"SLURM has job {job.job_id} no more, and it left no result")
    return ended(job.result, (FailedJobError, UncompletedJobError))


def came_to_an_end(job: Any, gone: Callable[[Any], bool]) -> bool:
    """Waits until it is done, or has been gone for a while: results are seen late on a network file system."""
    since: float | None = None
    while not job.done():
        since = (since or time.monotonic()) if gone(job) else None
        if since is not None and time.monotonic() > since + GRACE_S:
            return False
        time.sleep(POLL_S)
    return True


class Ray:
    """Tasks of a Ray cluster: the one of RAY_ADDRESS, or one that runs here, or else one that is started here.

    Raises: UsageError if Ray is not installed, or its cluster cannot be reached.
    """

    name, here = "ray", False

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or AT_ONCE
        self.ray = installed("ray", self.name, "ray")
        check_reachable(os.environ.get("RAY_ADDRESS", ""))

    def run(self, workers: Sequence[Packed], resources: Resources, logs: Path) -> list[Ended]:
        if not self.ray.is_initialized():
            try:
                self.ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UsageError(f"--executor=ray: the cluster cannot be reached: {one_line(str(error))}") from error
        check_room([node["Resources"] for node in self.ray.nodes() if node["Alive"]], resources)
        remote = self.ray.remote(**requests(resources))(work)
        tasks = [remote.remote(worker) for worker in workers]
        try:
            return [ended(partial(self.ray.get, task), (self.ray.exceptions.RayError,)) for task in tasks]
        except BaseException:
            for task in tasks:
                self.ray.cancel(task, force=True)
            raise


def check_reachable(address: str) -> None:
    """Whether somebody listens there: Ray itself tries for minutes. Raises: UsageError if nobody does."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # none given, or 'auto' or 'local'
    try:
        socket.create_connection((host, int(port)), timeout=REACHABLE_S).close()
    except OSError as error:
        raise UsageError(
            f"--executor=ray: the cluster of RAY_ADDRESS={address} cannot be reached ({error.strerror or error}): "
            "start it, or fix or unset the variable."
        ) from error


def check_room(nodes: Sequence[Mapping[str, float]], resources: Resources) -> None:
    """Raises: UsageError if no node could ever take a worker: Ray would wait for one without a word."""
    asked = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory_gib * 2**30}
    if not any(all(node.get(what, 0) >= number for what, number in asked.items()) for node in nodes):
        raise UsageError(
            f"--executor=ray: no node of the cluster has {resources.cpus} CPUs, {resources.gpus} GPUs and "
            f"{resources.memory_gib} "
            "GiB for a worker: lower the testbed's Needs, or add a node."
        )


def requests(resources: Resources) -> dict[str, Any]:
    """What a task asks Ray for; a lost one is ours to try again."""
    return {
        "num_cpus": resources.cpus,
        "num_gpus": resources.gpus,
        "memory": resources.memory_gib * 2**30,
        "max_retries": 0,
    }


def ended(result: Callable[[], str], losses: tuple[type[Exception], ...]) -> Ended:
    try:
        return Ended(stopped=result())
    except losses as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Ended(lost=one_line(lines[-1] if "Traceback" in str(error) else lines[0]))


def installed(package: str, name: str, extra: str) -> Any:
    """Raises: UsageError if the package is not installed, naming what to install."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(f"--executor={name} needs {package}: pip install 'depthgauge[{extra}]'.") from error


ENGINES: dict[str, Callable[[int | None], Engine]] = {"local": Processes, "slurm": Slurm, "ray": Ray}


def engine_named(name: str, workers: int | None) -> Engine:
    """Raises: UsageError for one that is not known or is not available, or for no workers."""
    if name not in ENGINES:
        raise UsageError(f"--executor={name} is not known: choose {', '.join(ENGINES)}.")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers={workers}: at least one must do the work.")
    return ENGINES[name](workers)
