"""One training by several processes: started by torchrun or by accelerate, each of which runs this module as a program.

What a process raises is written beside the job, so that it is raised here as in one process. Lines that the first one
tells come by its standard output, marked; the rest of it is kept for who looks into a failure.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from depthgauge.core import errors
from depthgauge.core.errors import CorruptEntry, HarnessError, TrainingFailed
from depthgauge.core.method import TrainingJob
from depthgauge.core.registry import FILES, METHODS, load_entry_points, load_files
from depthgauge.executors.written import method_name, testbed_from_json, testbed_to_json
from depthgauge.store.folders import write_atomically

PLACE, TOLD = ".launch", "\x1etold:"  # a leading dot: temporary files, which the store does not keep
DIED = re.compile(r"exitcode: (-?\d+)\) local_rank: (\d+)")


def launch(job: TrainingJob) -> None:
    """Train by the processes of `job.launch`, all of which must end well.

    Raises: what one of them raised; TrainingFailed, naming the process, where one died without a word.
    """
    place = job.folder / PLACE
    place.mkdir(exist_ok=True)
    for left in place.glob("raised-*"):
        left.unlink()
    written = write(job, place / "job.json")
    with (place / "log").open("w+", encoding="utf-8") as log:
        code = followed(command(job, written), job, log)
        log.seek(0)
        if code:
            raise_what_was_raised(place)
            raise TrainingFailed(
                f"training {job.method.name!r} (seed {job.seed}) broke off: {death(log.read(), code)}; its log is "
                f"{log.name}, and it goes on from its last saved step when it is run again."
            )


def write(job: TrainingJob, path: Path) -> list[str]:
    """Write the job for the processes, as JSON; what their command lines name it by: the file, and its hash.

    Raises: UsageError for a method or a testbed that no other process knows by its name.
    """
    text = json.dumps(
        {
            "method": method_name(job.method), "testbed": testbed_to_json(job.testbed), "seed": job.seed,
            "device": job.device, "folder": str(job.folder), "threads": job.threads, "files": FILES,
        }
    )  # fmt: skip
    write_atomically(path, text)
    return [str(path), hashlib.sha256(text.encode()).hexdigest()]


def read(path: Path, sha256: str) -> TrainingJob:
    """The job as a process of its own builds it.

    Raises: CorruptEntry for another file than the process was started for; UsageError for what is not known here.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CorruptEntry(f"{path} is not the job that this process was started for: run again.", code="other-job")
    asked = json.loads(data)
    load_entry_points()
    load_files(asked["files"])
    return TrainingJob(
        method=METHODS[asked["method"]], testbed=testbed_from_json(asked["testbed"]), seed=asked["seed"],
        device=asked["device"], folder=Path(asked["folder"]), threads=asked["threads"], tell=print,
    )  # fmt: skip


def command(job: TrainingJob, written: Sequence[str]) -> list[str]:
    """How the processes are started; torchrun is what accelerate itself uses for several on one machine."""
    assert job.launch is not None
    program = ["--module", "depthgauge_methods.second_pass.launch", *written]
    if job.launch.config is not None:
        return [
            sys.executable, "-m", "accelerate.commands.launch", f"--config_file={job.launch.config}", *program,
        ]  # fmt: skip
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={job.launch.processes}",
        *program,
    ]  # fmt: skip


def followed(arguments: Sequence[str], job: TrainingJob, log: TextIO) -> int:
    """Run to the end, telling what is told and writing the rest; the exit code."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(job.threads), "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONSAFEPATH": "1",  # what lies in the working directory is not imported
    }  # fmt: skip
    if job.device == "cpu":
        environment["ACCELERATE_USE_CPU"] = "true"
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(TOLD):
                    job.tell(line.removeprefix(TOLD).rstrip("\n"))
                else:
                    log.write(line)
        except BaseException:
            process.terminate()
            raise
    log.flush()
    return process.returncode


def raise_what_was_raised(place: Path) -> None:
    """The same kind of error with the same sentence, of the first process that wrote one."""
    for path in sorted(place.glob("raised-*")):
        raised = json.loads(path.read_text(encoding="utf-8"))
        raise getattr(errors, raised["kind"], TrainingFailed)(raised["message"])


def death(log: str, code: int) -> str:
    match = DIED.search(log)
    if match is None:
        return f"its processes ended with code {code}"
    status, rank = int(match.group(1)), match.group(2)
    how = f"was killed by signal {-status}" if status < 0 else f"ended with code {status}"
    return f"process {rank} {how}, and the others were stopped"


def main(path: Path, sha256: str) -> None:
    """One of the processes."""
    rank = os.environ.get("RANK", "0")

    def tell(line: str) -> None:
        if rank == "0":
            print(f"{TOLD}{line}", flush=True)

    try:
        job = read(path, sha256)
        assert job.method.train is not None
        job.method.train(replace(job, processes=int(os.environ.get("WORLD_SIZE", "1")), tell=tell))
    except HarnessError as error:
        raised = {"kind": type(error).__name__, "message": str(error)}
        (path.parent / f"raised-{rank}").write_text(json.dumps(raised), encoding="utf-8")
        sys.exit(errors.INVALID_EXIT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
