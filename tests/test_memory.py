"""What a training is planned to hold in memory, against what tensors it makes."""

from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from peft import get_peft_model
from torch.profiler import ProfilerActivity, profile

from depthgauge.core.errors import TrainingFailed, UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.core.testbed import LoRA, MemoryOptions
from depthgauge.models.load import GIB, load_uncached
from depthgauge_methods.grpo import DEPTHSCALED, GRADREG, GRPO
from depthgauge_methods.second_pass import memory, run
from depthgauge_methods.second_pass.adapters import LoRAAdapter
from depthgauge_methods.second_pass.memory import MemoryPlan, check_fits, kept_by_autograd, memory_plan
from depthgauge_methods.second_pass.run import share_of
from tests.processes import refused
from tests.tiny import tiny_testbed


@pytest.fixture
def plan(tiny_base):
    """The plan of a method on the tiny model, and how many numbers that has."""
    model, _ = load_uncached(tiny_base)
    training = tiny_testbed(tiny_base).training

    def of(method=GRPO, prompt=7, **memory_options):
        chosen = replace(training, memory_options=MemoryOptions(**memory_options))
        return memory_plan(model, method.settings, chosen, prompt, sequences=share_of(chosen, 1)[0])

    of.numbers = sum(p.numel() for p in model.parameters())
    of.model = model
    return of


def test_plain_grpo_holds_weights_a_gradient_and_two_moments_of_each(plan):
    found = plan()

    assert (found.weights, found.gradients, found.optimizer) == (4 * plan.numbers, 4 * plan.numbers, 8 * plan.numbers)
    assert found.shifted_weights == 0
    assert plan(optimizer="adamw_8bit").optimizer == 2 * plan.numbers


def test_a_second_pass_keeps_another_gradient_and_the_weights_that_it_shifts(plan):
    blocks = sum(p.numel() for name, p in plan.model.named_parameters() if "layers." in name)

    assert plan(GRADREG).gradients == 2 * plan().gradients
    assert plan(GRADREG).shifted_weights == 4 * blocks
    assert 0 < plan(DEPTHSCALED).shifted_weights < 4 * blocks


def test_activations_grow_with_the_micro_batch_and_shrink_with_checkpointing(plan):
    assert plan(accumulation=4).activations * 4 == plan().activations
    assert plan(prompt=31).activations > 3 * plan().activations
    assert plan(checkpointing=True).activations < plan().activations / 3


def test_what_autograd_keeps_is_what_a_profiler_counts(plan):
    """The tensors alive after the forward pass of one sequence, less the logits, which the plan leaves to the loss."""
    tokens = 48
    ids = torch.zeros((1, tokens), dtype=torch.long)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        out = plan.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
    alive = sum(event.self_cpu_memory_usage for event in seen.events())
    counted = plan(prompt=tokens - 1).activations / 32  # completions a step

    assert out.requires_grad
    assert counted == pytest.approx(alive, rel=0.1)


def test_counting_what_autograd_keeps_does_not_keep_it(plan):
    """On a device that a training fills, a forward pass of one sequence without checkpointing may not fit."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        counted = kept_by_autograd(plan.model, 48)
    events = [one for one in seen.profiler.kineto_results.events() if one.name() == "[memory]"]
    held = max(accumulate(one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())))

    assert held < counted / 3


@pytest.mark.parametrize("method", [GRPO, GRADREG, DEPTHSCALED], ids=lambda method: method.name)
def test_what_a_training_allocates_at_its_peak_is_planned_within_15_percent(method, tiny_base, tmp_path):
    testbed = tiny_testbed(tiny_base, steps=2)
    scale = replace(testbed.training.scale, max_completion_tokens=48)
    testbed = replace(testbed, training=replace(testbed.training, scale=scale))
    job = TrainingJob(
        method=method, testbed=testbed, seed=0, device="cpu", folder=tmp_path, tell=lambda _: None, threads=1
    )
    trainer = run.build_trainer(job, method.settings)
    plan = run.checked_memory(trainer, job, method.settings)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        trainer.train()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))

    assert plan.peak - plan.weights == pytest.approx(held, rel=0.15)


def test_a_forward_pass_in_bfloat16_keeps_no_copies_of_the_weights(tiny_base, tmp_path):
    """Autocast's cache would: half of the weights' size, whatever is checkpointed."""
    testbed = tiny_testbed(tiny_base)
    memory_options = MemoryOptions(precision="bfloat16", checkpointing=True)
    testbed = replace(testbed, training=replace(testbed.training, memory_options=memory_options))
    job = TrainingJob(method=GRADREG, testbed=testbed, seed=0, device="cpu", folder=tmp_path, tell=print)
    trainer = run.build_trainer(job, GRADREG.settings)
    cached = []
    trainer.model.model.layers[0].register_forward_pre_hook(
        lambda *_: cached.append((torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()))
    )
    trainer.train()

    assert (True, False) in cached
    assert (True, True) not in cached


def test_a_training_that_does_not_fit_is_refused_with_what_to_lower(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * GIB)
    fits = MemoryPlan(weights=5 * GIB, gradients=GIB, shifted_weights=0, optimizer=GIB, activations=0, logits=0)
    check_fits(fits, "cpu")

    with refused(UsageError, "8.00 GiB", "weights 5.00", "gradients 1.00", "optimizer 1.00"):
        check_fits(fits._replace(activations=GIB), "cpu")
    with pytest.raises(
        UsageError,
        match=r"1\.00 GiB more than is free: lower completions_per_step, or use "
        r"MemoryOptions",
    ):
        check_fits(fits._replace(activations=GIB), "cpu")


def test_with_adapters_only_they_have_gradients(tiny_base):
    model, _ = load_uncached(tiny_base)
    arguments = {"model": model}
    LoRAAdapter(LoRA(rank=2)).attach(arguments)
    wrapped = get_peft_model(model, arguments["peft_config"])
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    found = memory_plan(wrapped, GRADREG.settings, tiny_testbed(tiny_base).training, 7, sequences=32)

    assert found.gradients == 2 * 4 * trained < found.weights
    assert found.shifted_weights == 4 * trained


def test_a_device_that_runs_out_of_memory_is_one_sentence(tiny_base, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    monkeypatch.setattr(run.GRPOTrainer, "compute_loss", full)
    job = TrainingJob(
        method=GRPO, testbed=tiny_testbed(tiny_base), seed=0, device="cpu", folder=tmp_path, tell=lambda _: None
    )
    with refused(TrainingFailed, "cpu", "0.01 GiB", "CUDA out of mem"):
        run.train_grpo(job)
