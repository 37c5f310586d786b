"""Trainings by two processes, with gloo: real ones, started as users start them."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from depthgauge import METHODS, TESTBEDS
from depthgauge.api import Runner
from depthgauge.core.errors import CorruptEntry, TrainingFailed, TrainingUnhealthy, UsageError
from depthgauge.core.method import Launch, TrainingJob
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import MemoryOptions
from depthgauge.runs.config import Options
from depthgauge.sources.folder import fingerprint
from depthgauge_methods.second_pass import launch as module
from depthgauge_methods.second_pass.launch import launch
from depthgauge_methods.second_pass.perturb import norm
from depthgauge_methods.second_pass.run import share_of
from tests.processes import ROOT, refusal, refused, rows
from tests.tiny import tiny_testbed

TWO = Launch(processes=2)
NAMES = "tests.launched_names"


@pytest.fixture
def job(tiny_base, tmp_path, monkeypatch):
    """A training of the tiny model in a folder of its own."""
    for registry in (METHODS, TESTBEDS):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    sys.modules.pop("tests.launched_names", None)
    monkeypatch.setattr("depthgauge_methods.second_pass.launch.FILES", {NAMES: import_module(NAMES).__file__})

    def made(name, method, launch, *, steps=3, parts=1):
        folder = tmp_path / name
        folder.mkdir()
        return TrainingJob(
            method=METHODS[method], testbed=replace(TESTBEDS[f"tiny_{steps}_{parts}"], base=tiny_base), seed=3,
            device="cpu", folder=folder, tell=print, launch=launch,
        )  # fmt: skip

    return made


def alone(job):
    """In a process of its own that knows of no others."""
    place = job.folder / module.PLACE
    place.mkdir()
    written = module.write(replace(job, launch=None), place / "job.json")
    subprocess.run([sys.executable, "-m", module.__name__, *written], cwd=ROOT, check=True, capture_output=True)


def gradients(job):
    return torch.load(job.folder / "gradients.pt", weights_only=True)


@pytest.mark.heavy
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("depth", ["uniform", "scaled"])
def test_two_processes_form_the_gradient_of_one_and_make_the_same_checkpoint(job, depth, parts):
    one, two = (job(name, f"exact_{depth}", how, parts=parts) for name, how in (("one", None), ("two", TWO)))
    alone(one)
    launch(two)
    mine, its = gradients(one), gradients(two)
    assert norm(iter(mine[name] - its[name] for name in mine)) <= 1e-6 * norm(iter(mine.values()))
    assert fingerprint(one.folder) == fingerprint(two.folder)


@pytest.mark.heavy
def test_in_float32_the_verdicts_on_both_are_the_same(job, tiny_base, tmp_path):
    one, two = job("one", "keyed", None, steps=16), job("two", "keyed", TWO, steps=16)
    alone(one)
    launch(two)
    TESTBEDS.register(tiny_testbed(tiny_base, name="launched"))
    suites = [f"depthgauge_suites.articles.test_{name}" for name in ("attention", "capability", "entropy", "weights")]
    options = Options(method="gradreg", testbed="launched", suites=",".join(suites), store=str(tmp_path / "store"))
    runner = Runner(options=options)
    results = [runner.run(each.folder) for each in (one, two)]
    outcomes = [{row.claim: row.outcome for row in result.rows} for result in results]
    assert outcomes[0] == outcomes[1] and all(result.problems == () for result in results)
    assert set(outcomes[0].values()) >= {Outcome.SUPPORTED, Outcome.REFUTED}
    untrained = runner.run(tiny_base)
    assert {row.claim: row.outcome for row in untrained.rows} != outcomes[0]


@pytest.mark.heavy
@pytest.mark.parametrize("depth", ["uniform", "scaled"])
def test_shards_form_the_gradient_of_the_whole_and_are_saved_as_one(job, depth):
    seen = {}
    for name, start in (
        ("whole", []),
        ("shards", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]),
    ):
        one = job(name, f"exact_{depth}", None)
        command = [sys.executable, *start, "-m", "tests.sharded", *module.write(one, one.folder / "job.json")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seen[name] = (gradients(one), json.loads((one.folder / "seen.json").read_text()), fingerprint(one.folder))
    (mine, told, model), (its, also_told, shards) = seen["whole"], seen["shards"]
    assert norm(iter(mine[name] - its[name] for name in mine)) <= 1e-6 * norm(iter(mine.values()))
    assert also_told["share"] == pytest.approx(0.5, abs=0.02) and told["share"] == 1
    assert also_told["penalty_ratio"] == pytest.approx(told["penalty_ratio"], rel=1e-6)
    assert also_told["moved_frac"] == told["moved_frac"] > 0
    assert model == shards


def test_a_job_that_was_changed_since_is_refused(job):
    path, sha256 = module.write(job("one", "keyed", TWO), job("other", "keyed", TWO).folder / "job.json")
    assert module.read(Path(path), sha256).method == METHODS["keyed"]
    Path(path).write_text(Path(path).read_text().replace("keyed", "dies"))

    with refused(CorruptEntry, code="other-job"):
        module.read(Path(path), sha256)


def test_a_method_that_no_other_process_knows_is_refused_before_any_is_started(job):
    one = job("one", "keyed", TWO)
    with refused(UsageError, "'loose'"):
        launch(replace(one, method=replace(one.method, name="loose")))


@pytest.mark.parametrize(
    "completions, parts, processes, share", [(32, 32, 2, (1, 16)), (32, 1, 4, (8, 1)), (32, 4, 2, (8, 2))]
)
def test_a_step_is_shared_whole(tiny_base, completions, parts, processes, share):
    training = tiny_testbed(tiny_base).training
    scaled = replace(training.scale, completions_per_step=completions)
    shared = share_of(replace(training, scale=scaled, memory_options=MemoryOptions(accumulation=parts)), processes)
    assert shared == share and shared[0] * shared[1] * processes == completions


def test_a_step_that_cannot_be_shared_is_refused(tiny_base):
    with refused(UsageError, "32 completions", "1 micro-batches", "3 processes"):
        share_of(tiny_testbed(tiny_base).training, 3)


@pytest.mark.heavy
def test_a_killed_process_ends_the_training_which_then_goes_on_to_the_same_checkpoint(job):
    whole = job("whole", "gradreg", TWO, steps=8)
    launch(whole)
    broken = job("broken", "dies", TWO, steps=8)
    with refused(TrainingFailed, "process 1", "signal 9"):
        launch(broken)
    launch(broken)
    assert fingerprint(whole.folder) == fingerprint(broken.folder)


@pytest.mark.heavy
def test_a_sick_training_is_named_as_in_one_process(job):
    with refused(TrainingUnhealthy, "'sick'"):
        launch(job("sick", "sick", TWO, steps=8))


@pytest.mark.heavy
def test_a_launched_method_is_another_recipe_and_is_judged_like_any(depthgauge, place):
    options = ("--method=gradreg", "-k", "not where_grpo_does")
    one = {"suite": ROOT / "suites" / "depthgauge_suites" / "articles" / "test_weights.py", "store": "l"}
    done = depthgauge(*options, "--launcher=accelerate", "--processes=2", reports="l", **one)
    depthgauge(*options, reports="alone", **one)
    assert "training gradreg" in done.stdout
    mine, its = (rows(place, "gradreg", reports)["verdicts"] for reports in ("l", "alone"))
    assert [row["claim"] for row in mine] == [row["claim"] for row in its]
    assert [row["evidence"] for row in mine] != [row["evidence"] for row in its]


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--processes=2"], "--processes are those of a launcher: add --launcher=accelerate."),
        (["--launcher=accelerate"], "--launcher=accelerate needs --processes=N, 2 at least, got None."),
        (["--launcher=accelerate", "--processes=99"], "--processes=99 is more than the"),
        (["--launcher=torchrun"], "--launcher=torchrun is neither 'accelerate' nor a file"),
        (["--launcher="], "--launcher has no value"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_4(depthgauge, options, sentence):
    done = depthgauge("--method=grpo", *options)
    assert done.returncode == 4
    assert sentence in refusal(done)
