"""Trainings that tests launch in several processes, each of which imports this module."""

import os
import signal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import TrainerCallback
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from trl import GRPOTrainer

from depthgauge.models.load import prepare_libraries
from depthgauge_methods.grpo import train
from depthgauge_methods.second_pass.launch import launch
from depthgauge_methods.second_pass.run import build_trainer
from tests.exactly import alphabetical, plain_logps, plain_norm

RANK = int(os.environ.get("RANK", "0"))
DIES_AT = 5


class Keyed:
    """Sampling in place of torch.multinomial: a row's choice hangs on its place among the rows of all processes."""

    def __init__(self):
        self.calls = 0

    def __call__(self, probabilities, num_samples, **_):
        self.calls += 1
        places = range(RANK * len(probabilities), (RANK + 1) * len(probabilities))
        return torch.stack([self.chosen(row, place) for row, place in zip(probabilities, places, strict=True)])[:, None]

    def chosen(self, row, place):
        generator = torch.Generator().manual_seed(1_000 * self.calls + place)
        uniform = torch.rand(len(row), generator=generator, dtype=torch.float64)
        return (row.log() - (-uniform.log()).log()).argmax()  # Gumbel's trick


class Gradients(TrainerCallback):
    """Keeps the combined gradient of the first step."""

    def __init__(self, folder):
        self.folder = folder

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        if state.global_step == 0 and RANK == 0:
            torch.save({name: p.grad for name, p in model.named_parameters()}, self.folder / "gradients.pt")


def train_exactly(job):
    """In float64, and the same whoever makes which rollouts."""
    if job.launch is not None:
        launch(job)
        return
    prepare_libraries(1)
    torch.multinomial = Keyed()
    Qwen3RMSNorm.forward = plain_norm
    GRPOTrainer._get_per_token_logps_and_entropies = plain_logps
    trainer = build_trainer(job, job.method.settings)
    trainer.reward_funcs[0] = alphabetical
    trainer.model.double()
    trainer.add_callback(Gradients(job.folder))
    with sdpa_kernel(SDPBackend.MATH):
        trainer.train()
    if RANK == 0:
        trainer.accelerator.unwrap_model(trainer.model).float().save_pretrained(job.folder)
        trainer.processing_class.save_pretrained(job.folder)


def train_keyed(job):
    """As grpo does, in float32, but that a row's rollouts hang on its place alone."""
    if job.launch is None:
        torch.multinomial = Keyed()
    train(job)


class Dies(TrainerCallback):
    def __init__(self, once):
        self.once = once

    def on_step_end(self, args, state, control, **_):
        if RANK == 1 and state.global_step == DIES_AT and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def train_and_die_once(job):
    """As grpo does, but that the second process dies at the fifth step of the first attempt."""
    if job.launch is None:
        from depthgauge_methods.second_pass import run

        class Progress(run.Progress):
            def on_step_end(self, args, state, control, **_):
                Dies(job.folder / ".died").on_step_end(args, state, control)

        run.Progress = Progress
    train(job)
