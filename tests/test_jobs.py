"""What is missing is made by workers: of this machine, of Ray, of SLURM. Real processes, some of which are killed."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import ClassVar

import numpy as np
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from ray.cluster_utils import Cluster

from depthgauge import METHODS, TESTBEDS
from depthgauge.api import Runner, asks
from depthgauge.core.claim import Stage
from depthgauge.core.errors import CorruptEntry, InvalidCheckpoint, NotCached, StoreUnusable, TrainingFailed, UsageError
from depthgauge.core.method import Launch, Method
from depthgauge.core.registry import FILES, PROBES, load_entry_points, load_files
from depthgauge.core.testbed import LmEvalTask, Resources, Text
from depthgauge.executors.engines import (
    Ended,
    Processes,
    check_room,
    ended,
    gpus_each,
    installed,
    requests,
    sbatch,
    script,
)
from depthgauge.executors.hand_out import hand_out
from depthgauge.executors.plan import plan
from depthgauge.executors.worker import Order, work
from depthgauge.executors.written import from_json, job_from_json, job_to_json, to_json
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext, note_missing, planned
from depthgauge.runs.config import Options
from depthgauge.store.folders import Store
from tests.processes import ROOT, refusal, refused, rows
from tests.tiny import save_tiny_base, tiny_testbed

WEIGHTS = ROOT / "suites" / "depthgauge_suites" / "articles" / "test_weights.py"

# A project of its own: no other process can import its probe, which does in its worker what a test says.
OWN = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from depthgauge import Claim, above, claim
from depthgauge.executors.engines import Processes
from depthgauge.measure.base_probe import PROBES
from depthgauge.stats import mean
from depthgauge.core.estimate import Scores

PLACE = Path({place!r})
Processes.least_s = 0  # all is handed out, however small


def times_begun(number):
    return len(list(PLACE.glob(f"{{number}}-*")))


@PROBES.register
@dataclass(frozen=True, kw_only=True)
class Touchy:
    number: int
    name: ClassVar[str] = "touchy"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "how touchy it is"

    def parameters(self, one):
        return {{"number": self.number}}

    def check(self, checkpoint):
        pass

    def run(self, one):
        (PLACE / f"{{self.number}}-{{os.getpid()}}").touch()
        {deed}
        return {{"score": np.linspace(0.4, 0.6, 30) - (0 if "base" in one.folder.name else 1)}}


def touchiness(candidate, number):
    values = np.stack([one.arrays["score"] for one in candidate.measure(Touchy(number=number))])
    scores = Scores(ids=tuple(map(str, range(30))), values=values, unit="share", population="items")
    return mean(scores, estimand="touchiness")


def declared(number):
    return Claim(
        id=f"touchy-{{number}}", statement="is touchy", citation="here", published="", region=above(0), unit="share",
        control="noise_in_late_layers", rationale="a planted one", required=False,
    )


@claim(declared(0))
def test_touchy(candidate):
    return touchiness(candidate, 0)


@claim(declared(1))
def test_touchy_too(candidate):
    if "SKIPS" in os.environ:
        pytest.skip("not today")
    if touchiness(candidate, 0).point > 0:
        return touchiness(candidate, 1)
    return touchiness(candidate, 0)
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
    planned = depthgauge("--method=grpo", "--dry-run", store="shared", reports="shared", **options)
    done = depthgauge("--method=grpo", "--executor=local", "--workers=2", store="shared", reports="shared", **options)
    after = depthgauge("--method=grpo", "--dry-run", store="shared", reports="shared", **options)

    assert "training grpo" in planned.stdout and "not known" in planned.stdout
    assert rows(place, "grpo", "alone")["verdicts"] == rows(place, "grpo", "shared")["verdicts"]
    assert done.returncode == alone.returncode
    assert "handed out (local)" in done.stdout and "measuring how far weights moved of grpo" in done.stdout
    assert "nothing is missing" in after.stdout


def test_a_plan_runs_nothing(own, tmp_path):
    done, record = own("pass", "--dry-run")
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
        (["--workers=2"], "--workers are those of --executor: name one."),
        (["--executor=local", "-n2"], "--executor and xdist's -n both say who works"),
        (["--dry-run", "-n2"], "--dry-run and xdist's -n both say who works"),
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
    with refused(UsageError, "--executor", "'depthgauge[ray]'"):
        installed("nowhere", "ray", "ray")


def test_what_is_asked_of_slurm(tmp_path):
    """SLURM's own check of it needs a cluster, and is below."""
    program, parsable, *options = sbatch(Resources(cpus=4, gpus=2, memory_gib=16, minutes=90), tmp_path / "50 %", 3)
    assert (program, parsable) == ("sbatch", "--parsable")
    assert dict(option.removeprefix("--").split("=", 1) for option in options) == {
        "job-name": "depthgauge", "nodes": "1", "cpus-per-task": "4", "gpus-per-node": "2", "mem": "16G", "time": "90",
        "array": "0-2", "output": f"{tmp_path}/50 %%/%a.log",
    }  # fmt: skip
    text = script(Order(tmp_path / "it's" / "jobs.json", "0" * 64, 0))
    done = subprocess.run(
        ["sh", "-c", re.sub("(?m)^exec ", "printf '%s\\\\n' ", text)], capture_output=True, text=True, check=True,
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "2"},
    )  # fmt: skip
    assert done.stdout.splitlines() == Order(tmp_path / "it's" / "jobs.json", "0" * 64, 2).command


def test_what_is_asked_of_ray():
    asked = requests(Resources(cpus=4, gpus=2, memory_gib=16))
    assert asked == {"num_cpus": 4, "num_gpus": 2, "memory": 16 * 2**30, "max_retries": 0}
    ray.remote(**asked)(work)  # which checks them itself


@pytest.mark.heavy
def test_ray_finishes_what_a_node_that_dies_has_left(depthgauge, place, tiny_base, monkeypatch):
    """Two nodes of a cluster on this machine; the one that is at a job is taken away."""
    monkeypatch.setenv("TINY_BASE", str(tiny_base))  # workers have the environment of their node, not of the run
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
    command = [*sbatch(Resources(gpus=0, memory_gib=1, minutes=5), tmp_path, 1), "--test-only"]
    text = script(Order(tmp_path / "jobs.json", "0" * 64, 0))
    checked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
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


@pytest.mark.heavy
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
    with refused(UsageError, "3 GPUs", 4):
        gpus_each(4, 1)


def test_a_ray_cluster_without_room_for_a_worker_is_one_sentence():
    nodes = [{"CPU": 4.0, "memory": 2.0**30}, {"CPU": 1.0, "GPU": 1.0, "memory": 2.0**40}]
    check_room(nodes, Resources(cpus=2, gpus=0, memory_gib=1))
    with refused(UsageError, "2 CPUs", "1 GPUs", "1 GiB"):
        check_room(nodes, Resources(cpus=2, gpus=1, memory_gib=1))


# -- jobs as JSON ---


class Here:
    """An engine in this process, for what no engine decides; a worker begins after `meanwhile`."""

    name, here, workers = "here", True, 2

    def __init__(self, meanwhile=lambda orders: None):
        self.meanwhile = meanwhile

    def run(self, orders, resources, logs):
        self.meanwhile(orders)
        return [Ended(stopped=work(*order)) for order in orders]


class Lacking:
    """A session one claim of which always lacks a job."""

    def __init__(self, context, job):
        self.context, self.job = context, job

    def planned(self, missing):
        return Lacking(replace(self.context, missing=missing), self.job)


def hand_out_one(context, job, engine, tmp_path):
    hand_out(
        Lacking(context, job), [lambda planned: note_missing(planned.context, planned.job)], engine, tmp_path / "told"
    )


@pytest.fixture
def registered():
    """Names that are taken for the length of a test."""
    load_entry_points()
    before = [dict(registry._items) for registry in (METHODS, TESTBEDS)]
    yield
    for registry, items in zip((METHODS, TESTBEDS), before, strict=True):
        registry._items.clear()
        registry._items.update(items)


@pytest.fixture
def context(registered, tiny_base, tmp_path):
    testbed = TESTBEDS.register(tiny_testbed(tiny_base, name="written"))
    return RunContext(testbed=testbed, store=Store(tmp_path / "store", run="here"), tell=lambda line: None)


def train_nothing(job):
    raise StoreUnusable("the store is full: make room there.")


def training(context, method):
    """The job of a method's checkpoint, as a plan finds it."""
    missing = []
    with pytest.raises(NotCached):
        CheckpointSet.of(method, (0,), planned(context, missing)).checkpoints  # noqa: B018
    return missing[0]


def measuring(context, folder, probe):
    missing = []
    with pytest.raises(NotCached):
        CheckpointSet(name="it", folder=folder, context=planned(context, missing)).measure(probe)
    return missing[0]


class Counting(Here):
    """As `Here`, for as much work as the executor of this machine wants, with how often it was given some."""

    least_s, started = Processes.least_s, 0

    def run(self, orders, resources, logs):
        self.started += 1
        return super().run(orders, resources, logs)


def test_small_work_is_left_to_this_process(context, tiny_base, tmp_path):
    told, engine = [], Counting()
    context = replace(context, tell=told.append)
    hand_out_one(context, measuring(context, tiny_base, Number(number=1)), engine, tmp_path)

    assert engine.started == 0
    assert not context.store.has("measurements", measuring(context, tiny_base, Number(number=1)).key)
    assert len(told) == 1 and "1 small jobs" in told[0]


@pytest.mark.parametrize("seconds, megabytes", [(60.0, 0), (None, 200)])
def test_work_that_took_long_before_or_opens_a_large_model_is_handed_out(
    context, tiny_base, tmp_path, seconds, megabytes
):
    engine, job = Counting(), measuring(context, tiny_base, Number(number=1))
    job = replace(job, weights=megabytes * 10**6)
    if seconds is not None:
        context.store.root.mkdir(exist_ok=True)
        (context.store.root / "times.jsonl").write_text(json.dumps([job.work, job.weights, seconds]) + "\n")
    hand_out_one(context, job, engine, tmp_path)

    assert engine.started == 1


def test_a_training_is_handed_out_whatever_its_size(context, tmp_path):
    engine = Counting()
    method = METHODS.register(Method(name="small", summary="trains nothing", train=train_nothing))

    with pytest.raises(UsageError):  # the training's own: see `train_nothing`
        hand_out_one(context, training(context, method), engine, tmp_path)
    assert engine.started == 1


def test_a_worker_that_cannot_write_ends_the_run_with_its_sentence(context, tmp_path):
    method = METHODS.register(Method(name="full", summary="finds no room", train=train_nothing))

    with pytest.raises(UsageError, match="make room there"):
        hand_out_one(context, training(context, method), Here(), tmp_path)


def test_a_worker_that_cannot_load_the_projects_file_ends_the_run_with_that_sentence(
    context, tiny_base, tmp_path, monkeypatch
):
    """A worker of another process ends with the exit code that it has for a full store, too."""
    monkeypatch.setattr(Processes, "least_s", 0)  # all is handed out, however small
    FILES["broken_conftest"] = str(tmp_path / "broken.py")
    (tmp_path / "broken.py").write_text("raise ValueError('only in pytest')")

    with refused(UsageError, "broken.py", "only in pytest"):
        hand_out_one(context, measuring(context, tiny_base, Number(number=1)), Processes(1), tmp_path)


def sent(job, context):
    """The job as a worker reads it, from text."""
    probes = {}
    written = json.loads(json.dumps([job_to_json(job, probes), probes]))
    return job_from_json(*written, context)


@pytest.mark.parametrize("about", ["a checkpoint", "a pair"])
def test_every_job_of_every_suite_is_built_anew_from_json(context, tiny_base, tmp_path, about):
    """What all claims ask of a checkpoint, and of a pair of them: each makes the very entry that was asked for."""
    asked = {"testbed": "written", "store": str(tmp_path / "store")}
    if about == "a pair":
        baseline = save_tiny_base(tmp_path / "baseline", seed=1)
        runner = Runner(options=Options(baseline=str(baseline), expect="trained", **asked))
    else:
        runner = Runner(options=Options(method="grpo", suites="all", **asked))
    session = runner.session(tiny_base)
    jobs = plan(session, [asks(case) for case in runner.cases(session)]).jobs
    kinds = Counter(type(job.todo).__name__ for job in jobs)

    assert kinds["ToCorrupt"] >= 3 and kinds["ToMeasure"] >= 5, kinds
    for job in jobs:
        sent(job, session.context)


def test_a_list_of_jobs_holds_no_pickle_and_one_that_was_changed_is_refused(context, tiny_base, tmp_path):
    job = measuring(context, tiny_base, Number(number=1))

    def change(orders):
        text = orders[0].jobs.read_text()
        assert json.loads(text)["jobs"][0]["description"]["probe"] == "written_probe"
        assert [path.name for path in orders[0].jobs.parent.iterdir()] == ["jobs.json"]
        orders[0].jobs.write_text(text.replace('"number": 1', '"number": 2'))

    with refused(CorruptEntry, "jobs.json"):
        hand_out_one(context, job, Here(change), tmp_path)


def test_a_worker_by_its_command_line_says_in_its_last_line_how_it_ended(tmp_path):
    (tmp_path / "jobs.json").write_text("{}")
    order = Order(tmp_path / "jobs.json", "0" * 64, 0)
    with (tmp_path / "0.log").open("w") as log:
        done = subprocess.run(order.command, stdout=log, stderr=log, check=False)

    assert done.returncode == CorruptEntry.exit_code
    assert "is not the list of jobs that this worker was started for" in ended(tmp_path / "0.log").lost
    assert "Traceback" not in (tmp_path / "0.log").read_text()


@pytest.mark.parametrize(
    "text, end",
    [
        ("a warning\ndone\n", Ended()),
        ("stopped: the store is full.\n", Ended(stopped="the store is full.")),
        ("slurmstepd: CANCELLED AT noon\n", Ended(lost="slurmstepd: CANCELLED AT noon")),
        ("", Ended(lost="killed by signal 9")),
    ],
)
def test_how_a_worker_ended_is_the_last_line_of_its_log(tmp_path, text, end):
    (tmp_path / "0.log").write_text(text)
    assert ended(tmp_path / "0.log", "" if text else "killed by signal 9") == end


def test_a_method_that_only_this_process_knows_is_refused_by_the_worker_in_a_sentence(context, tmp_path):
    """As one that is registered inside a test function."""
    method = METHODS.register(Method(name="here_alone", summary="is known here alone", train=train_nothing))
    job = training(context, method)
    hand_out_one(context, job, Here(lambda orders: METHODS._items.pop("here_alone")), tmp_path)

    with refused(TrainingFailed, "'here_alone'"):
        context.store.raise_if_failed(job.kind, job.key)


def test_a_method_that_is_not_registered_is_refused_before_anything_starts(context, tmp_path):
    job = training(context, Method(name="loose", summary="is nowhere registered", train=train_nothing))

    with refused(UsageError, "'loose'"):
        hand_out_one(context, job, Here(), tmp_path)


def test_a_testbed_that_is_not_registered_is_refused_before_anything_starts(context, tiny_base, tmp_path):
    strange = replace(context, testbed=tiny_testbed(tiny_base, name="strange"))

    with refused(UsageError, "'strange'"):
        hand_out_one(strange, measuring(strange, tiny_base, Number(number=1)), Here(), tmp_path)


@pytest.mark.parametrize(
    "value", [lambda: 1, object(), np.zeros(3), {1, 2}, b"bytes"], ids=lambda value: type(value).__name__
)
def test_what_is_neither_plain_nor_named_is_refused(value):
    with refused(UsageError, code="not-sendable"):
        to_json((1, [value]))


def test_a_class_that_is_defined_inside_a_function_is_refused():
    @dataclass
    class Inner:
        number: int

    with refused(UsageError, "Inner", code="not-sendable"):
        to_json(Inner(number=1))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN | st.builds(Path, st.sampled_from(["a", "/b"])) | st.builds(Text, text=st.text(), kind=st.text()),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


def test_what_a_class_has_of_methods_and_enumerations_comes_back_too(context):
    task = context.testbed.tasks[0]
    values = (Stage.WEIGHTS, LETTERS_OF, task, LmEvalTask(name="arc", path=Path("tasks")), Launch(processes=2))
    found = from_json(json.loads(json.dumps(to_json(values))))
    assert found == values and found[2] is task


def LETTERS_OF():
    return "abcd"


def test_a_worker_that_would_make_another_entry_is_refused_naming_what_differs(context, tiny_base, monkeypatch):
    job = measuring(context, tiny_base, Number(number=1))
    sent(job, context)
    monkeypatch.setattr("depthgauge.measure.measuring.versions", lambda packages: {"torch": "0.1", "transformers": "5"})

    with refused(UsageError, "torch"):
        sent(job, context)


def test_a_checkpoint_that_has_changed_since_is_refused(context, tmp_path):
    folder = save_tiny_base(tmp_path / "base", seed=2)
    job = measuring(context, folder, Number(number=1))
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")

    with refused(InvalidCheckpoint, "changed"):
        sent(job, context)


def test_a_projects_own_files_are_loaded_by_path_where_no_import_finds_them(tmp_path, monkeypatch):
    """Two conftest.py have one name."""
    monkeypatch.syspath_prepend(str(tmp_path / "one"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own_conftest.py").write_text(f"WHOSE = {name!r}\n")
    load_files({"own_conftest": str(tmp_path / "two" / "own_conftest.py")})
    assert sys.modules.pop("own_conftest").WHOSE == "two"
    load_files({"own_conftest": str(tmp_path / "one" / "own_conftest.py")})
    assert sys.modules.pop("own_conftest").WHOSE == "one"


def test_a_file_that_no_worker_can_load_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise ValueError('only in pytest')")
    with refused(UsageError, "broken.py", "ValueError: only in", code="not-loadable"):
        load_files({"broken_conftest": str(tmp_path / "broken.py")})


@PROBES.register
@dataclass(frozen=True, kw_only=True)
class Number:
    """A probe of a test file."""

    number: int
    name: ClassVar[str] = "written_probe"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "a number"

    def parameters(self, one):
        return {"number": self.number}

    def check(self, checkpoint):
        pass

    def run(self, one):
        return {"number": np.array(self.number)}


def test_what_a_probe_of_a_test_file_measures_is_in_the_store_afterwards(context, tiny_base, tmp_path):
    hand_out_one(context, measuring(context, tiny_base, Number(number=7)), Here(), tmp_path)
    (taken,) = CheckpointSet(name="it", folder=tiny_base, context=context).measure(Number(number=7))

    assert taken.arrays["number"] == 7 and __name__ in FILES
