"""One GRPO training from a job to a finished folder: configuration, progress, resume, health, files."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import mul
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import AutocastKwargs
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from depthgauge.core.errors import NotTestable, TrainingFailed, UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.core.testbed import Reward, Testbed, Training
from depthgauge.models.load import load_uncached
from depthgauge_methods.second_pass.adapters import Adapter, adapter_of
from depthgauge_methods.second_pass.health import check_healthy
from depthgauge_methods.second_pass.memory import LOWER, MemoryPlan, check_fits, checked_every, memory_plan
from depthgauge_methods.second_pass.prompts import check_prompts, in_order, longest_prompt
from depthgauge_methods.second_pass.rewards import paid, text_of, tossed, total
from depthgauge_methods.second_pass.trainer import SecondPassGRPOTrainer, SecondPassPlan
from depthgauge_methods.second_pass.variants import VariantGRPOTrainer
from depthgauge_methods.settings import PUBLISHED, AdapterSettings, GRPOSettings

STATE = ".trainer"  # a leading dot: temporary files, which the store does not keep
COMPLETE = "complete"
LOGGED = (
    "entropy", "grad_norm", "loss", "frac_reward_zero_std", "penalty_ratio", "moved_frac", "degenerate_steps",
    "relative_step", "raw_step", "raw_penalty", "penalty_fidelity", "kl",
)  # fmt: skip
PROGRESS_EVERY_S = 5.0


def train_grpo(job: TrainingJob) -> None:
    """Train, check health, and fill `job.folder`; resumes at the last complete state that a killed attempt left.

    Where several processes train together, each runs this, and the first one writes.

    Raises: TrainingUnhealthy if the log shows a sickness.
    """
    logging.getLogger("trl").setLevel(logging.ERROR)
    settings: GRPOSettings = job.method.settings
    resume = last_complete_state(job.folder / STATE)
    if resume is not None:
        job.tell(f"{job.method.name} seed {job.seed}: resuming at step {resume.name.rsplit('-', 1)[1]}")
    with undisturbed_randomness():
        trainer = build_trainer(job, settings)
        plan = checked_memory(trainer, job, settings)
        # Each process has rollouts of its own; a resumed training then takes its saved random states.
        set_seed(job.seed + trainer.accelerator.process_index)
        try:
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"training {job.method.name!r} ran out of memory on {job.device}, where {plan} were planned "
                f"({str(error).partition('.')[0]}): {LOWER}; it goes on from its last saved step."
            ) from error
    log = training_log(trainer, job.testbed.training_inputs().rewards)
    if settings.gated and trainer.accelerator.is_main_process:
        check_healthy(log, job.method.name)
    save(trainer, adapter_of(settings, job.testbed.training_inputs().memory_options), job.folder)
    if not trainer.accelerator.is_main_process:
        return
    trainer.processing_class.save_pretrained(job.folder)
    (job.folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, and no part of the checkpoint
    (job.folder / "training_log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
    said = last_completions(trainer, job.testbed.training_inputs().rewards)
    (job.folder / "completions.json").write_text(json.dumps(said, indent=1), encoding="utf-8")


def checked_memory(trainer: GRPOTrainer, job: TrainingJob, settings: GRPOSettings) -> MemoryPlan:
    """What the training will hold in memory, told beforehand. Raises: UsageError if it does not fit."""
    training = job.testbed.training_inputs()
    longest = longest_prompt(training.prompts(), trainer.processing_class, chat=training.chat)
    sequences, _ = share_of(training, job.processes)
    plan = memory_plan(trainer.model, settings, training, longest, sequences=sequences)
    each = f" in each of {job.processes} processes" if job.processes > 1 else ""
    job.tell(f"{job.method.name} seed {job.seed}: {plan} of memory planned{each}")
    if not trainer.is_fsdp_enabled:  # which divides all of it
        check_fits(plan, job.device)
    return plan


def save(trainer: GRPOTrainer, adapter: Adapter | None, folder: Path) -> None:
    """A whole model: adapters are merged into it, and shards put together, for which all processes are needed."""
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    if adapter is None:
        trainer.save_model(str(folder))
    elif trainer.accelerator.is_main_process:
        adapter.merge(trainer.accelerator.unwrap_model(trainer.model)).save_pretrained(folder)


def build_trainer(job: TrainingJob, settings: GRPOSettings) -> GRPOTrainer:
    model, tokenizer = load_uncached(base_folder(job.testbed))
    training = job.testbed.training_inputs()
    prompts = training.prompts()
    check_prompts(prompts, training, model, tokenizer)
    needed = steps_of(settings, training) * training.scale.completions_per_step // training.scale.group_size
    arguments: dict[str, Any] = {
        "model": model,
        "processing_class": tokenizer,
        "args": configuration(job, settings),
        "train_dataset": in_order(prompts, needed, job.seed, chat=training.chat),
        "reward_funcs": [paid(reward, prompts) for reward in training.rewards],
        "callbacks": [Progress(job)],
    }
    adapter = adapter_of(settings, training.memory_options)
    if adapter is not None:
        adapter.attach(arguments)
    if settings.random_rewards:
        arguments["reward_funcs"] = [tossed(reward) for reward in training.rewards]
    if settings.second_pass is not None:
        trainer = SecondPassGRPOTrainer(**arguments, neftune_alpha=settings.neftune_alpha, plan=resolve(settings, job))
    elif settings.neftune_alpha is not None or settings.reference_reset_every is not None:
        trainer = VariantGRPOTrainer(**arguments, neftune_alpha=settings.neftune_alpha)
    else:
        trainer = GRPOTrainer(**arguments)
    if adapter is not None and trainer.is_fsdp_enabled:
        raise UsageError(
            "an adapter is merged into whole weights, and FSDP leaves no process any: use data parallelism."
        )
    # The cache would keep a bfloat16 copy of all weights through each forward pass, in which each is used once.
    trainer.accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)
    trainer.remove_callback(PrinterCallback)
    return trainer


def base_folder(testbed: Testbed) -> Path:
    """Where the base to train lies. Raises: NotTestable if the testbed has none."""
    if not isinstance(testbed.base, Path):
        raise NotTestable(f"testbed {testbed.name!r} has no base to train")
    return testbed.base


def resolve(settings: GRPOSettings, job: TrainingJob) -> SecondPassPlan:
    """The method's own step and penalty, or else the testbed's, or the published ones.

    Raises: UsageError for forms that contradict each other.
    """
    second = settings.second_pass
    assert second is not None
    method_settings = job.testbed.training_inputs().method_settings
    given = PUBLISHED | as_raw(method_settings)
    if second.ascent_step is None:
        second = replace(second, ascent_step=given["ascent_step"], step_form=given["step_form"])
    if second.penalty is None:
        second = replace(second, penalty=given["penalty"], penalty_form=given["penalty_form"])
    if second.depth == "matched" and second.penalty_form == "relative":
        raise UsageError(
            f"method {job.method.name!r} matches the length of another penalty, and the testbed gives a relative one, "
            "which has a length of its own: give it as 'raw' or 'mix'."
        )
    assert second.ascent_step is not None and second.penalty is not None
    return SecondPassPlan(
        method=job.method.name,
        second_pass=second,
        ascent_step=second.ascent_step,
        penalty=second.penalty,
        fidelity_every=checked_every(second, method_settings),
        gated=settings.gated,
    )


def as_raw(given: Mapping[str, Any]) -> dict[str, Any]:
    """A testbed's settings; numbers whose form it does not name are raw."""
    forms = {
        f"{'step' if name == 'ascent_step' else name}_form": "raw"
        for name in ("ascent_step", "penalty")
        if name in given
    }
    return forms | dict(given)


def steps_of(settings: GRPOSettings, training: Training) -> int:
    """Optimiser steps: as many rollouts whatever number of steps is made on each."""
    return (settings.steps or training.scale.steps) * settings.iterations


def share_of(training: Training, processes: int) -> tuple[int, int]:
    """Sequences in a micro-batch of each process, and how many micro-batches it has in a step, which is as large as in
    one process.

    Raises: UsageError where a step cannot be shared.
    """
    parts, completions = training.memory_options.accumulation, training.scale.completions_per_step
    sequences = completions // parts
    if parts % processes == 0:
        return sequences, parts // processes
    if sequences % processes == 0:
        return sequences // processes, parts
    raise UsageError(
        f"{completions} completions a step, in {parts} micro-batches, cannot be shared by {processes} processes: take "
        "a number that divides one of them."
    )


def configuration(job: TrainingJob, settings: GRPOSettings) -> GRPOConfig:
    """Dr. GRPO: no division by standard deviation or length and no KL penalty, but for variants; float32 weights."""
    training = job.testbed.training_inputs()
    scale, memory_options = training.scale, training.memory_options
    sequences, micro_batches = share_of(training, job.processes)
    factor = settings.learning_rate_factor if isinstance(settings, AdapterSettings) else 1.0
    return GRPOConfig(
        output_dir=str(job.folder / STATE),
        max_steps=steps_of(settings, training),
        per_device_train_batch_size=sequences,
        gradient_accumulation_steps=micro_batches,
        num_iterations=settings.iterations,
        num_generations=scale.group_size,
        max_completion_length=scale.max_completion_tokens,
        temperature=settings.temperature,
        learning_rate=scale.learning_rate * factor,
        lr_scheduler_type="constant",
        loss_type="dr_grpo",
        scale_rewards="group" if settings.advantages == "standardised" else "none",
        reward_weights=[settings.reward_weight * reward.weight for reward in training.rewards],
        beta=settings.kl_weight,
        sync_ref_model=settings.reference_reset_every is not None,
        ref_model_mixup_alpha=1.0,  # the policy as it is, and no mixture
        ref_model_sync_steps=settings.reference_reset_every or 512,
        seed=job.seed,
        shuffle_dataset=False,
        bf16="bfloat16" in (memory_options.precision, settings.second_pass and settings.second_pass.precision),
        fp16=False,
        gradient_checkpointing=memory_options.checkpointing,
        optim=memory_options.optimizer,
        use_vllm=memory_options.vllm,
        vllm_mode="colocate",
        use_cpu=job.device == "cpu",
        # At generation boundaries only: TRL does not save its buffer of rollouts.
        save_steps=scale.save_every_steps * settings.iterations,
        save_total_limit=2,  # the older one is deleted before the newer one is marked complete
        logging_steps=1,
        report_to=training.report_to,
        disable_tqdm=True,
        dataloader_num_workers=0,
    )


def last_complete_state(folder: Path) -> Path | None:
    """The newest state whose saving finished; half-saved ones are removed, as the Trainer would trip over them."""
    complete: list[tuple[int, Path]] = []
    for state in folder.glob("checkpoint-*"):
        if (state / COMPLETE).is_file():
            complete.append((int(state.name.rsplit("-", 1)[1]), state))
        else:
            shutil.rmtree(state, ignore_errors=True)  # another process of the same training may be at it
    return max(complete)[1] if complete else None


def training_log(trainer: Any, rewards: Sequence[Reward]) -> list[dict[str, float]]:
    """What was logged, a row a step, without times: two equal trainings have equal logs."""
    return [
        {"step": float(entry["step"]), "reward": total(rewards, entry)}
        | {name: float(entry[name]) for name in LOGGED if entry.get(name) is not None}
        for entry in trainer.state.log_history
        if "reward" in entry
    ]


def last_completions(trainer: Any, rewards: Sequence[Reward]) -> list[dict[str, str | float]]:
    """What was said in the last step that this process trained, and what it was paid."""
    logs, weights = trainer._logs, [reward.weight for reward in rewards]
    paid = zip(*(logs["rewards"][reward.name] for reward in rewards), strict=True)
    return [
        {"prompt": text_of(prompt), "completion": text_of(said), "reward": sum(map(mul, weights, each))}
        for prompt, said, each in zip(logs["prompt"], logs["completion"], paid, strict=True)
    ]


def both_forms(logs: Mapping[str, float]) -> str:
    """A step and a penalty, raw and relative, as they are in this step of the log."""
    fidelity = (
        f"; its cosine to a double backward pass in float64 is {logs['penalty_fidelity']:.4f}"
        if "penalty_fidelity" in logs
        else ""
    )
    return (
        f"ascent step {logs['raw_step']:.3g} raw, {logs['relative_step']:.2g} of the weights' norm; penalty "
        f"{logs['raw_penalty']:.3g} raw, {logs['penalty_ratio']:.2g} of the gradient's norm{fidelity}"
    )


class Progress(TrainerCallback):  # type: ignore[misc]
    """Tell how training goes every few seconds, and mark each saved state as complete."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.rewards = job.testbed.training_inputs().rewards
        self.began = self.told = time.monotonic()
        self.first_step = 0
        self.forms_told = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.first_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        now = time.monotonic()
        done = state.global_step - self.first_step
        if logs and "raw_step" in logs and not self.forms_told:
            self.forms_told = True
            self.job.tell(f"{self.job.method.name} seed {self.job.seed}: {both_forms(logs)}")
        if not logs or "reward" not in logs or done == 0 or now - self.told < PROGRESS_EVERY_S:
            return
        self.told = now
        left_s = (now - self.began) / done * (state.max_steps - state.global_step)
        penalty = f"penalty {logs['penalty_ratio']:.2g} of the gradient  " if "penalty_ratio" in logs else ""
        self.job.tell(
            f"{self.job.method.name} seed {self.job.seed}: step {state.global_step}/{state.max_steps}  "
            f"reward {total(self.rewards, logs):.2f}  entropy {logs['entropy']:.2f} nats  {penalty}{left_s:.0f} s left"
        )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        PartialState().wait_for_everyone()  # each process saves its own random states
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
