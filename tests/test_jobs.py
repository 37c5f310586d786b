"""What is missing is made by workers: of this machine, of Ray, of SLURM. Real processes, some of which are killed."""

import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from textwrap import dedent

import pytest
import ray
from ray.cluster_utils import Cluster

from depthgauge import types
from depthgauge.context import Job, RunContext, lack
from depthgauge.errors import StoreUnusable, UsageError
from depthgauge.jobs.engines import Ended, Slurm, check_room, gpus_each, installed, requests
from depthgauge.jobs.hand_out import hand_out
from depthgauge.jobs.worker import work
from depthgauge.store.folders import Store
from depthgauge.types import Needs
from tests.processes import ROOT, refusal, rows

WEIGHTS = ROOT / "suites" / "test_weights.py"

# A project of its own: no other process can import its probe, which does in its worker what a test says.
OWN = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from depthgauge import Claim, above, claim
from depthgauge.probes.probe import PROBES
from depthgauge.stats import mean
from depthgauge.types import Scores

PLACE = Path({place!r})


def times_begun(number):
    return len(list(PLACE.glob(f"{{number}}-*")))


@PROBES.register
@dataclass(frozen=True, kw_only=True)
class Touchy:
    number: int
    name: ClassVar[str] = "touchy"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "how touchy it is"

    def parameters(self, one):
        return {{"number": self.number}}

    def check(self, checkpoint):
        pass

    def take(self, one):
        (PLACE / f"{{self.number}}-{{os.getpid()}}").touch()
        {deed}
        return {{"score": np.linspace(0.4, 0.6, 30) - (0 if "base" in one.folder.name else 1)}}


def touchiness(subject, number):
    values = np.stack([one.arrays["score"] for one in subject.measure(Touchy(number=number))])
    scores = Scores(ids=tuple(map(str, range(30))), values=values, unit="share", population="items")
    return mean(scores, estimand="touchiness")


def declared(number):
    return Claim(
        id=f"touchy-{{number}}", statement="is touchy", source="here", published="", region=above(0), unit="share",
        control="noise_in_late_layers", rationale="a planted one", gates=False,
    )


@claim(declared(0))
def test_touchy(subject):
    return touchiness(subject, 0)


@claim(declared(1))
def test_touchy_too(subject):
    if "SKIPS" in os.environ:
        pytest.skip("not today")
    if touchiness(subject, 0).point > 0:
        return touchiness(subject, 1)
    return touchiness(subject, 0)
"""
ONCE = 'times_begun(self.number) == 1 and self.number == 0 and "base" in one.folder.name'
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def own(depthgauge, tmp_path, tiny_base):
    """Judge the tiny base by a suite of its own, whose probe does a `deed`; the run, and its rows by claim."""

    def judged(deed, *options, **environment):
        place = tmp_path / "begun"
        place.mkdir(exist_ok=True)
        suite = tmp_path / "test_own.py"
        suite.write_text(dedent(OWN).format(place=str(place), deed=deed))
        folders = {"store": str(tmp_path / "store"), "reports": str(tmp_path / "reports")}
        done = depthgauge("--method=grpo", f"--checkpoint={tiny_base}", *options, suite=suite, **folders, **environment)
        report = tmp_path / "reports" / "adopted-base" / "report.json"
        return done, rows(tmp_path, "adopted-base") if report.is_file() else None

    return judged


def outcomes(record):
    return {row["claim"]: row["outcome"] for row in record["verdicts"]}


@pytest.mark.heavy
def test_workers_give_the_rows_of_one_process(depthgauge, place):
    options = {"suite": WEIGHTS, "testbed": "tiny"}
    alone = depthgauge("--method=grpo", store="alone", reports="alone", **options)
    planned = depthgauge("--method=grpo", "--plan", store="shared", reports="shared", **options)
    done = depthgauge("--method=grpo", "--executor=local", "--workers=2", store="shared", reports="shared", **options)
    after = depthgauge("--method=grpo", "--plan", store="shared", reports="shared", **options)

    assert "training grpo" in planned.stdout and "not known" in planned.stdout
    assert rows(place, "grpo", "alone")["verdicts"] == rows(place, "grpo", "shared")["verdicts"]
    assert done.returncode == alone.returncode
    assert "handed out (local)" in done.stdout and "measuring how far weights moved of grpo" in done.stdout
    assert "nothing is missing" in after.stdout


def test_a_plan_runs_nothing(own, tmp_path):
    done, record = own("pass", "--plan")
    assert record is None and not (tmp_path / "store" / "measurements").exists()
    assert "how touchy it is" in done.stdout and "corrupting by noise_in_late_layers" in done.stdout
    assert "2 jobs are missing; 2 of 2 claims ask for them" in done.stdout


@pytest.mark.heavy
def test_what_a_project_defines_in_its_own_files_is_sent_along(own):
    _, record = own("pass", "--executor=local", "--workers=2")
    assert outcomes(record) == {"touchy-0": "SUPPORTED", "touchy-1": "SUPPORTED"}
    assert {row["control_outcome"] for row in record["verdicts"]} == {"REFUTED"}


@pytest.mark.heavy
def test_a_lost_job_is_tried_once_more(own):
    done, record = own(f"if {ONCE}: {KILL}", "--executor=local", "--workers=2")
    assert done.stdout.count("was lost (") == 1
    assert outcomes(record) == {"touchy-0": "SUPPORTED", "touchy-1": "SUPPORTED"}


@pytest.mark.heavy
def test_a_job_that_is_lost_twice_is_named_and_the_others_finish(own, tmp_path):
    done, record = own(f"if self.number == 1: {KILL}", "--executor=local", "--workers=2")
    assert done.returncode == 21
    assert outcomes(record) == {"touchy-0": "SUPPORTED"}
    (problem,) = record["not_judged"]
    assert "how touchy it is, adopted-base (seed 0), was lost" in str(problem) and "2 times" in str(problem)
    assert len(list((tmp_path / "begun").glob("1-*"))) == 2


@pytest.mark.heavy
def test_what_a_probe_raises_in_a_worker_is_told_as_in_one_process(own):
    done, record = own("raise ValueError('it is sore')", "--executor=local", "--workers=2")
    assert done.returncode == 21
    assert "raises ValueError: it is sore" in str(record["not_judged"])


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--executor=lsf"], "--executor=lsf is not known: choose local, slurm, ray."),
        (["--executor="], "--executor has no value"),
        (["--executor=local", "--workers=0"], "must be at least 1, got 0"),
        (["--workers=2"], "--workers are those of --executor: name one, or use xdist's -n."),
        (["--executor=local", "-n2"], "--executor and xdist's -n both say who works"),
        (["--plan", "-n2"], "--plan and xdist's -n both say who works"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_4(own, options, sentence):
    done, record = own("pass", *options)
    assert (done.returncode, record) == (4, None)
    assert sentence in refusal(done)


def test_slurm_where_there_is_none_is_one_sentence(own, tmp_path):
    done, record = own("pass", "--executor=slurm", PATH=str(tmp_path))
    assert (done.returncode, record) == (4, None)
    assert "--executor=slurm finds no sbatch here" in refusal(done)


def test_a_ray_cluster_that_cannot_be_reached_is_one_sentence(own):
    done, record = own("pass", "--executor=ray", RAY_ADDRESS="127.0.0.1:1")
    assert (done.returncode, record) == (4, None)
    assert "--executor=ray: the cluster of RAY_ADDRESS=127.0.0.1:1 cannot be reached" in refusal(done)


def test_an_executor_that_is_not_installed_names_the_extra():
    with pytest.raises(UsageError, match=r"--executor=local needs nowhere: pip install 'depthgauge\[cluster\]'"):
        installed("nowhere", "local", "cluster")


def test_what_is_asked_of_slurm(tmp_path, monkeypatch):
    """The text that sbatch is given; its own check of it needs a cluster, and is below.

    submitit writes it only where it finds an srun, which it does not run.
    """
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    needs = Needs(cpus=4, gpus=2, memory_gib=16, minutes=90)
    executor = Slurm.executor(needs, tmp_path, at_once=3)
    text = executor._make_submission_file_text("the command", "id")
    asked = dict(line.removeprefix("#SBATCH --").split("=") for line in text.splitlines() if "#SBATCH --" in line)
    logs = {name: asked.pop(name) for name in ("output", "error")}
    assert asked == {
        "job-name": "depthgauge", "nodes": "1", "cpus-per-task": "4", "gpus-per-node": "2", "mem": "16G",
        "time": "90", "open-mode": "append", "signal": "USR2@90", "wckey": "submitit",
    }  # fmt: skip
    assert all(path.startswith(str(tmp_path)) for path in logs.values())


def test_what_is_asked_of_ray():
    asked = requests(Needs(cpus=4, gpus=2, memory_gib=16))
    assert asked == {"num_cpus": 4, "num_gpus": 2, "memory": 16 * 2**30, "max_retries": 0}
    ray.remote(**asked)(work)  # which checks them itself


@pytest.mark.heavy
def test_ray_finishes_what_a_node_that_dies_has_left(depthgauge, place):
    """Two nodes of a cluster on this machine; the one that is at a job is taken away."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=2)]
    killer = threading.Thread(target=kill_when_busy, args=(cluster, nodes[1], place / "ray"))
    killer.start()
    try:
        done = depthgauge(
            "--method=grpo", "--executor=ray", "--workers=2", suite=WEIGHTS, store="ray", reports="ray-reports",
            RAY_ADDRESS=cluster.address,
        )  # fmt: skip
    finally:
        killer.join()
        cluster.shutdown()
    depthgauge("--method=grpo", suite=WEIGHTS, store="alone", reports="alone")
    assert "was lost (" in done.stdout
    assert rows(place, "grpo", "alone")["verdicts"] == rows(place, "grpo", "ray-reports")["verdicts"]


def kill_when_busy(cluster, node, store):
    """Kill a node with all its processes once both nodes have taken a job of the first round."""
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(store.glob("workers/*/[0-9a-f]*"))) < 2:
        time.sleep(0.2)
    cluster.remove_node(node, allow_graceful=False)


def slurm_is_here():
    """Whether one runs a job: a cluster whose node is down would let it wait."""
    if not shutil.which("srun"):
        return False
    try:
        return (
            subprocess.run(["srun", "--time=1", "true"], capture_output=True, check=False, timeout=20).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


needs_slurm = pytest.mark.skipif(
    not slurm_is_here(), reason="no SLURM takes jobs here: .ci/slurm installs and starts one (Debian, as root)"
)


@pytest.mark.heavy
@needs_slurm
def test_slurm_gives_the_rows_of_one_process(depthgauge, place):
    depthgauge("--method=grpo", suite=WEIGHTS, store="alone", reports="alone")
    done = depthgauge(
        "--method=grpo", "--executor=slurm", "--workers=2", suite=WEIGHTS, store="slurm", reports="slurm-reports"
    )
    assert "handed out (slurm)" in done.stdout
    assert rows(place, "grpo", "alone")["verdicts"] == rows(place, "grpo", "slurm-reports")["verdicts"]


@pytest.mark.heavy
@needs_slurm
def test_slurm_itself_takes_the_text(tmp_path):
    text = Slurm.executor(Needs(gpus=0, minutes=5), tmp_path, at_once=1)._make_submission_file_text("true", "id")
    (tmp_path / "job.sh").write_text(text)
    checked = subprocess.run(
        ["sbatch", "--test-only", tmp_path / "job.sh"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.heavy
@needs_slurm
def test_a_job_that_slurm_cancels_is_tried_once_more(own, tmp_path):
    cancel = "os.system('scancel ' + os.environ['SLURM_JOB_ID']); time.sleep(60)"
    done, record = own(f"if {ONCE}: {cancel}", "--executor=slurm", "--workers=1")
    assert done.stdout.count("was lost (") == 1
    assert outcomes(record) == {"touchy-0": "SUPPORTED", "touchy-1": "SUPPORTED"}


@pytest.mark.heavy
@needs_slurm
def test_what_slurm_refuses_is_one_sentence(own):
    done, record = own("pass", "--executor=slurm", SBATCH_PARTITION="nowhere")
    assert (done.returncode, record) == (4, None)
    assert "--executor=slurm: sbatch takes no job" in refusal(done) and "nowhere" in done.stdout


def test_a_claim_that_skips_itself_leaves_the_others_judged(own):
    """A plan runs claims, and what pytest's own skip raises is no plain exception."""
    done, record = own("pass", "--executor=local", "--workers=1", SKIPS="1")
    assert outcomes(record) == {"touchy-0": "SUPPORTED"}
    assert "1 passed, 1 skipped" in done.stdout


def test_gpus_are_dealt_out_and_none_is_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5")
    assert gpus_each(0, 2) == [(), ()]
    assert gpus_each(1, 2) == [(2,), (3,)]
    assert gpus_each(1, 16) == [(2,), (3,), (5,)]
    assert gpus_each(2, 16) == [(2, 3)]
    with pytest.raises(UsageError, match="has 3 GPUs here, and a worker of this testbed needs 4"):
        gpus_each(4, 1)


def test_a_ray_cluster_without_room_for_a_worker_is_one_sentence():
    nodes = [{"CPU": 4.0, "memory": 2.0**30}, {"CPU": 1.0, "GPU": 1.0, "memory": 2.0**40}]
    check_room(nodes, Needs(cpus=2, gpus=0, memory_gib=1))
    with pytest.raises(UsageError, match="no node of the cluster has 2 CPUs, 1 GPUs and 1 GiB for a worker"):
        check_room(nodes, Needs(cpus=2, gpus=1, memory_gib=1))


class Here:
    """An engine in this process, for what no engine decides."""

    name, here, workers = "here", True, 2

    def run(self, workers, needs, logs):
        return [Ended(stopped=work(worker)) for worker in workers]


class Lacking:
    """A session one claim of which always lacks a job."""

    def __init__(self, root, make):
        self.job = Job(kind="measurements", key="0" * 16, work="a job", whose="it (seed 0)", weights=0, make=make)
        context = RunContext(testbed=types.Testbed(name="none"), store=Store(root, run="here"), tell=lambda line: None)
        self.context = context

    def planned(self, missing):
        self.context = replace(self.context, missing=missing)
        return self


def test_a_worker_that_cannot_write_ends_the_run_with_its_sentence(tmp_path):
    def full(context):
        raise StoreUnusable("the store is full: make room there.")

    session = Lacking(tmp_path, full)
    with pytest.raises(StoreUnusable, match="make room there"):
        hand_out(session, [lambda planned: lack(planned.context, planned.job)], Here(), tmp_path / "told")
