"""Trainings by two processes, with gloo: real ones, started as users start them."""

import json
import subprocess
import sys
from dataclasses import replace

import cloudpickle
import pytest
import torch

from depthgauge import METHODS, TESTBEDS
from depthgauge.api import Judging
from depthgauge.core.errors import TrainingFailed, TrainingUnhealthy, UsageError
from depthgauge.core.method import Launch, TrainingJob
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import MemoryOptions
from depthgauge.sources.folder import fingerprint
from depthgauge_methods.grpo import GRADREG, GRPO, SecondPass
from depthgauge_methods.second_pass.launch import launch
from depthgauge_methods.second_pass.perturb import norm
from depthgauge_methods.second_pass.run import share_of
from tests.launched import train_and_die_once, train_exactly, train_keyed
from tests.processes import ROOT, refusal, rows
from tests.tiny import tiny_testbed

TWO = Launch(processes=2)


@pytest.fixture
def job(tiny_base, tmp_path):
    """A training of the tiny model in a folder of its own."""

    def made(name, method, launch, *, steps=3, memory_options=None):
        testbed = tiny_testbed(tiny_base, steps=steps)
        training = replace(testbed.training, memory_options=memory_options or MemoryOptions())
        folder = tmp_path / name
        folder.mkdir()
        return TrainingJob(
            method=method, testbed=replace(testbed, training=training), seed=3, device="cpu", folder=folder, tell=print,
            launch=launch,
        )  # fmt: skip

    return made


def alone(job):
    """In a process of its own that knows of no others."""
    from depthgauge_methods.second_pass import launch as module

    place = job.folder / module.PLACE
    place.mkdir()
    (place / "job").write_bytes(cloudpickle.dumps(replace(job, launch=None, tell=print)))
    subprocess.run([sys.executable, "-m", module.__name__, place / "job"], cwd=ROOT, check=True, capture_output=True)


def gradients(job):
    return torch.load(job.folder / "gradients.pt", weights_only=True)


@pytest.mark.heavy
@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("depth, noise", [("uniform", False), ("scaled", True)])
def test_two_processes_form_the_gradient_of_one_and_make_the_same_checkpoint(job, depth, noise, accumulation):
    second = SecondPass(depth=depth, noise=noise, ascent_step=1e-3, penalty=0.1)
    method = replace(GRADREG.evolve(name="exact", summary="in float64", second_pass=second), train=train_exactly)
    memory_options = MemoryOptions(accumulation=accumulation)
    one, two = (
        job("one", method, None, memory_options=memory_options),
        job("two", method, TWO, memory_options=memory_options),
    )
    alone(one)
    launch(two)
    mine, its = gradients(one), gradients(two)
    assert norm(iter(mine[name] - its[name] for name in mine)) <= 1e-6 * norm(iter(mine.values()))
    assert fingerprint(one.folder) == fingerprint(two.folder)


@pytest.mark.heavy
def test_in_float32_the_verdicts_on_both_are_the_same(job, tiny_base, tmp_path):
    method = replace(METHODS["gradreg"], train=train_keyed)
    one, two = job("one", method, None, steps=16), job("two", method, TWO, steps=16)
    alone(one)
    launch(two)
    if "launched" not in TESTBEDS:
        TESTBEDS.register(tiny_testbed(tiny_base, name="launched"))
    suites = [f"depthgauge_suites.articles.test_{name}" for name in ("attention", "capability", "entropy", "weights")]
    judging = Judging(method="gradreg", testbed="launched", suites=suites, store=tmp_path / "store", tell=print)
    mine, its = (judging.judge(each.folder) for each in (one, two))
    outcomes = [{row.claim: row.outcome for row in found.rows} for found in (mine, its)]
    assert outcomes[0] == outcomes[1] and mine.problems == its.problems == []
    assert set(outcomes[0].values()) >= {Outcome.SUPPORTED, Outcome.REFUTED}
    untrained = judging.judge(tiny_base)
    assert {row.claim: row.outcome for row in untrained.rows} != outcomes[0]


@pytest.mark.heavy
@pytest.mark.parametrize("depth, noise", [("uniform", False), ("scaled", True)])
def test_shards_form_the_gradient_of_the_whole_and_are_saved_as_one(job, depth, noise):
    second = SecondPass(depth=depth, noise=noise, ascent_step=1e-3, penalty=0.1)
    method = GRADREG.evolve(name="exact", summary="in float64", second_pass=second)
    seen = {}
    for name, start in (
        ("whole", []),
        ("shards", ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]),
    ):
        one = job(name, method, None)
        (one.folder / "job").write_bytes(cloudpickle.dumps(one))
        command = [sys.executable, *start, "-m", "tests.sharded", one.folder / "job"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seen[name] = (gradients(one), json.loads((one.folder / "seen.json").read_text()), fingerprint(one.folder))
    (mine, told, model), (its, also_told, shards) = seen["whole"], seen["shards"]
    assert norm(iter(mine[name] - its[name] for name in mine)) <= 1e-6 * norm(iter(mine.values()))
    assert also_told["share"] == pytest.approx(0.5, abs=0.02) and told["share"] == 1
    assert also_told["penalty_ratio"] == pytest.approx(told["penalty_ratio"], rel=1e-6)
    assert also_told["moved_frac"] == told["moved_frac"] > 0
    assert model == shards


@pytest.mark.parametrize(
    "completions, parts, processes, share", [(32, 32, 2, (1, 16)), (32, 1, 4, (8, 1)), (32, 4, 2, (8, 2))]
)
def test_a_step_is_shared_whole(tiny_base, completions, parts, processes, share):
    training = tiny_testbed(tiny_base).training
    scaled = replace(training.scale, completions_per_step=completions)
    shared = share_of(replace(training, scale=scaled, memory_options=MemoryOptions(accumulation=parts)), processes)
    assert shared == share and shared[0] * shared[1] * processes == completions


def test_a_step_that_cannot_be_shared_is_refused(tiny_base):
    with pytest.raises(UsageError, match="32 completions a step, in 1 micro-batches, cannot be shared by 3 processes"):
        share_of(tiny_testbed(tiny_base).training, 3)


@pytest.mark.heavy
def test_a_killed_process_ends_the_training_which_then_goes_on_to_the_same_checkpoint(job):
    whole = job("whole", replace(METHODS["gradreg"], supports_distributed=True), TWO, steps=8)
    launch(whole)
    broken = job("broken", replace(METHODS["gradreg"], train=train_and_die_once), TWO, steps=8)
    with pytest.raises(
        TrainingFailed, match="broke off: process 1 was killed by signal 9, and the others were stopped"
    ):
        launch(broken)
    launch(broken)
    assert fingerprint(whole.folder) == fingerprint(broken.folder)


@pytest.mark.heavy
def test_a_sick_training_is_named_as_in_one_process(job):
    sick = GRPO.evolve(name="sick", summary="learns nothing", temperature=0.01)
    with pytest.raises(TrainingUnhealthy, match="training 'sick' is unhealthy: silent no-learning"):
        launch(job("sick", sick, TWO, steps=8))


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
