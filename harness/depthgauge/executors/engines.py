"""Executors: what starts workers, on this machine or others, and says how each ended. See docs/adding-an-executor.md.

A worker is a command line (`Order.command`): nothing that it is started with, and nothing that it leaves, is pickled.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from depthgauge.core.errors import UsageError
from depthgauge.core.registry import EXECUTORS
from depthgauge.core.testbed import Resources
from depthgauge.executors.worker import DONE, STOPPED, Order, work
from depthgauge.page.escape import one_line

REACHABLE_S, GRACE_S, POLL_S = 10, 20, 5
AT_ONCE = 8  # workers that are asked of a cluster, where it is not said how many


class Ended(NamedTuple):
    """How a worker ended: through, or with why it `stopped`, or with how it was `lost`."""

    stopped: str = ""
    lost: str = ""


def ended(log: Path, how: str = "") -> Ended:
    """As the last line of a worker's log says; where that says nothing of an end, with `how` it was lost, or that."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    last = one_line(lines[-1]) if lines else ""
    if last == DONE:
        return Ended()
    return Ended(stopped=last.removeprefix(STOPPED)) if last.startswith(STOPPED) else Ended(lost=how or last)


class Engine(Protocol):
    """Where workers run; `here` says that they share this machine. A registered class is made with the number of
    workers that --workers asks for, or None, and says in `workers` how many there will be.
    """

    name: str
    workers: int
    here: bool

    def run(self, orders: Sequence[Order], resources: Resources, logs: Path) -> list[Ended]:
        """Start a worker for each, wait until all have ended, and say how. An interruption ends them, too."""
        ...


@EXECUTORS.register
class Processes:
    """Processes of this machine. Each has GPUs of its own where it needs some.

    Work of less than `least_s` seconds is not handed out: two workers open the libraries for about as long.
    """

    name, here = "local", True
    least_s = 20.0

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or os.cpu_count() or 1

    def run(self, orders: Sequence[Order], resources: Resources, logs: Path) -> list[Ended]:
        logs.mkdir()
        until = time.monotonic() + 60 * resources.minutes
        started: list[tuple[subprocess.Popen[bytes], Path]] = []
        try:
            for order, gpus in zip(orders, gpus_each(resources.gpus, len(orders)), strict=False):
                log = logs / f"{order.number}.log"
                started.append((start(order, gpus, log), log))
            return [end_of(process, log, until) for process, log in started]
        finally:
            for process, _ in started:
                kill(process)


def start(order: Order, gpus: Sequence[int], log: Path) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, so that it can be ended with all that it has started."""
    seen = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else {}
    with log.open("wb") as file:
        return subprocess.Popen(
            order.command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=os.environ | seen,
            start_new_session=True,
        )  # fmt: skip


def end_of(process: subprocess.Popen[bytes], log: Path, until: float) -> Ended:
    try:
        code = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return Ended(lost="its time was over")
    end = ended(log, f"killed by signal {-code}" if code < 0 else "")
    if code == UsageError.exit_code and not end.stopped:  # there was no room for its log either
        return Ended(stopped="a worker could not write in the store: make room there, or choose another with --store.")
    return end


def kill(process: subprocess.Popen[bytes]) -> None:
    """With whatever it has started; one that has ended is left alone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gpus_each(needed: int, workers: int) -> list[tuple[int, ...]]:
    """The GPUs of each worker: fewer workers than were asked for where there are not enough.

    Raises: UsageError if there are too few for one.
    """
    if needed == 0:
        return [()] * workers
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    there = [int(number) for number in named.split(",") if number.isdigit()] or list(range(torch.cuda.device_count()))
    if len(there) < needed:
        raise UsageError(
            f"--executor=local has {len(there)} GPUs here, and a worker of this testbed needs {needed}: lower its "
            "Resources(gpus=...), or choose --device=cpu."
        )
    return [tuple(there[first : first + needed]) for first in range(0, len(there) - needed + 1, needed)][:workers]


@EXECUTORS.register
class Slurm:
    """An array job. SLURM's own variables say the rest, such as SBATCH_PARTITION and SBATCH_ACCOUNT.

    Raises: UsageError if there is no SLURM here.
    """

    name, here = "slurm", False

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or AT_ONCE
        if not shutil.which("sbatch"):
            raise UsageError(
                "--executor=slurm finds no sbatch here: run it where jobs are submitted, or choose --executor=local."
            )

    def run(self, orders: Sequence[Order], resources: Resources, logs: Path) -> list[Ended]:
        logs.mkdir()
        job = submitted(sbatch(resources, logs, len(orders)), script(orders[0]))
        paths = [logs / f"{order.number}.log" for order in orders]
        try:
            while is_queued(job):
                time.sleep(POLL_S)
        finally:
            subprocess.run(["scancel", job], capture_output=True, check=False)
        until = time.monotonic() + GRACE_S  # logs are seen late on a network file system
        while any(ended(path).lost or not path.is_file() for path in paths) and time.monotonic() < until:
            time.sleep(POLL_S)
        return [ended(path) for path in paths]


def sbatch(resources: Resources, logs: Path, workers: int) -> list[str]:
    """What SLURM is asked for; the text of the job comes by standard input."""
    gpus = [f"--gpus-per-node={resources.gpus}"] if resources.gpus else []
    return [
        "sbatch", "--parsable", "--job-name=depthgauge", "--nodes=1", f"--cpus-per-task={resources.cpus}",
        f"--mem={resources.memory_gib}G", f"--time={resources.minutes}", *gpus, f"--array=0-{workers - 1}",
        f"--output={str(logs).replace('%', '%%')}/%a.log",
    ]  # fmt: skip


def script(order: Order) -> str:
    """The job of every worker, whose number in the array is its own."""
    return f'#!/bin/sh\nexec {shlex.join(order.command[:-1])} "$SLURM_ARRAY_TASK_ID"\n'


def submitted(command: Sequence[str], text: str) -> str:
    """The id of the job. Raises: UsageError, as SLURM says it, where it is refused."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"--executor=slurm: sbatch takes no job: {one_line(done.stderr.strip())}")
    return done.stdout.strip().partition(";")[0]  # a name of the cluster may follow


def is_queued(job: str) -> bool:
    """Whether SLURM has it in its queue still; where squeue cannot say, it has."""
    queue = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return bool(queue.stdout.strip()) if queue.returncode == 0 else "Invalid job id" not in queue.stderr


@EXECUTORS.register
class Ray:
    """Tasks of a Ray cluster: the one of RAY_ADDRESS, or one that runs here, or else one that is started here.

    Raises: UsageError if Ray is not installed, or its cluster cannot be reached.
    """

    name, here = "ray", False

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or AT_ONCE
        self.ray = installed("ray", self.name, "ray")
        check_reachable(os.environ.get("RAY_ADDRESS", ""))

    def run(self, orders: Sequence[Order], resources: Resources, logs: Path) -> list[Ended]:
        if not self.ray.is_initialized():
            try:
                self.ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UsageError(f"--executor=ray: the cluster cannot be reached: {one_line(str(error))}") from error
        check_room([node["Resources"] for node in self.ray.nodes() if node["Alive"]], resources)
        remote = self.ray.remote(**requests(resources))(work)
        tasks = [remote.remote(*order) for order in orders]
        try:
            return [self.end_of(task) for task in tasks]
        except BaseException:
            for task in tasks:
                self.ray.cancel(task, force=True)
            raise

    def end_of(self, task: Any) -> Ended:
        try:
            return Ended(stopped=self.ray.get(task))
        except self.ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Ended(lost=one_line(lines[-1] if "Traceback" in str(error) else lines[0]))


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
            "GiB for a worker: lower the testbed's Resources, or add a node."
        )


def requests(resources: Resources) -> dict[str, Any]:
    """What a task asks Ray for; a lost one is ours to try again."""
    return {
        "num_cpus": resources.cpus,
        "num_gpus": resources.gpus,
        "memory": resources.memory_gib * 2**30,
        "max_retries": 0,
    }


def installed(package: str, name: str, extra: str) -> Any:
    """Raises: UsageError if the package is not installed, naming what to install."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(f"--executor={name} needs {package}: pip install 'depthgauge[{extra}]'.") from error


def engine_named(name: str, workers: int | None) -> Engine:
    """Raises: UsageError for one that is not known or is not available, or for no workers."""
    if name not in EXECUTORS:
        raise UsageError(f"--executor={name} is not known: choose {', '.join(EXECUTORS)}.")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers={workers}: at least one must do the work.")
    engine: Engine = EXECUTORS[name](workers)
    return engine
