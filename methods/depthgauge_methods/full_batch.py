"""One full-batch training on modular addition: from a job to a folder with its final weights and those on the way."""

import json
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from depthgauge.core.errors import TrainingFailed
from depthgauge.core.method import TrainingJob
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.settings import GrokkingSettings
from depthgauge_suites.grokking.fourier.compute import component_norms, embedding, gini
from depthgauge_suites.grokking.fourier.transformer import (
    ModularTask,
    Weights,
    fresh_weights,
    losses,
    run,
    save,
    save_checkpoint,
)

LEARNING_RATE, BETAS, WARM_UP_STEPS = 1e-3, (0.9, 0.98), 10
LOG_EVERY, SNAPSHOT_EVERY = 50, 250
PROGRESS_EVERY_S = 5.0
STATE = ".state.safetensors"  # a leading dot: temporary files, which the store does not keep
Row = dict[str, float]


class Training:
    """Weights, optimiser, data and log: all that a training is, and all that a kill must not lose."""

    def __init__(self, settings: GrokkingSettings, seed: int, device: str) -> None:
        self.settings = settings
        self.task = ModularTask(p=settings.p, train_fraction=settings.train_fraction, seed=seed)
        self.train, self.test = (pairs.to(device) for pairs in self.task.split())
        self.answers = self.train if not settings.shuffled else dealt_out(self.train, seed)
        fresh = fresh_weights(settings.p, seed)
        self.weights = Weights(*(tensor.to(device).requires_grad_() for tensor in fresh))
        self.optimizer = torch.optim.AdamW(
            list(self.weights), lr=LEARNING_RATE, betas=BETAS, weight_decay=settings.weight_decay, fused=True
        )
        self.step = 0
        self.log: list[Row] = []

    @property
    def ended(self) -> bool:
        grokked = self.grokked_at
        cleaned_up = grokked is not None and self.step >= grokked + self.settings.clean_up_steps
        return cleaned_up or self.step >= self.settings.steps

    @property
    def grokked_at(self) -> float | None:
        target = self.settings.until_test_loss
        return None if target is None else grokked_at(self.log, target)

    def advance(self) -> float:
        """One step over all training pairs; returns the loss in nats before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((self.step + 1) / WARM_UP_STEPS, 1)
        self.optimizer.zero_grad(set_to_none=True)
        logits = run(self.weights, self.train).logits
        loss = losses(logits.to(getattr(torch, self.settings.precision)), self.answers, self.task.p).mean()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    @torch.inference_mode()
    def note(self) -> None:
        """Add a row to the log: losses in nats, accuracies as shares, the weights' size, and how sparse W_E is."""
        on_train, on_test = (run(self.weights, pairs).logits.double() for pairs in (self.train, self.test))
        if not bool(on_train.isfinite().all()):
            raise TrainingFailed(
                f"the logits of seed {self.task.seed} are not finite at step {self.step}.", code="not-finite"
            )
        p = self.task.p
        self.log.append(
            {
                "step": float(self.step),
                "train_loss": float(losses(on_train, self.answers, p).mean()),
                "test_loss": float(losses(on_test, self.test, p).mean()),
                "train_accuracy": share_right(on_train, self.answers, p),
                "test_accuracy": share_right(on_test, self.test, p),
                "squared_weights": float(sum(tensor.double().square().sum() for tensor in self.weights)),
                "gini_embedding": gini(component_norms(embedding(self.weights))),
            }
        )

    def keep(self, path: Path) -> None:
        """Write everything to one file, which a kill leaves whole: the baseline or the candidate."""
        tensors = dict(self.weights._asdict())
        for name, tensor in self.weights._asdict().items():
            state = self.optimizer.state[tensor]
            tensors |= {f"{name}/{key}": state[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        aside = path.with_name(f"{path.name}.new")
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            aside,
            metadata={"step": str(self.step), "log": json.dumps(self.log)},
        )
        aside.replace(path)

    def take_up(self, path: Path) -> None:
        """Continue where `keep` left off."""
        with safe_open(path, framework="pt") as file, torch.no_grad():
            self.step = int(file.metadata()["step"])
            self.log = json.loads(file.metadata()["log"])
            for name, tensor in self.weights._asdict().items():
                tensor.copy_(file.get_tensor(name))
                kept = {key: file.get_tensor(f"{name}/{key}") for key in ("exp_avg", "exp_avg_sq", "step")}
                self.optimizer.state[tensor] = {key: value.to(tensor.device) for key, value in kept.items()}


def dealt_out(pairs: torch.Tensor, seed: int) -> torch.Tensor:
    """The pairs in another order: each gets the answer of some other."""
    return pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)).to(pairs.device)]


def grokked_at(log: list[Row], target_nats: float) -> float | None:
    """The first logged step with every test sum right and a test loss below the target."""
    reached = (row["step"] for row in log if row["test_accuracy"] == 1 and row["test_loss"] < target_nats)
    return next(reached, None)


def share_right(logits: torch.Tensor, pairs: torch.Tensor, p: int) -> float:
    return float((logits.argmax(-1) == pairs.sum(-1) % p).double().mean())


def train_modular(job: TrainingJob) -> None:
    """Train, and fill `job.folder`; resumes, bit for bit, where a killed attempt last kept its state."""
    prepare_libraries(job.threads)
    training = Training(job.method.settings, job.seed, job.device)
    state, trajectory = job.folder / STATE, job.folder / "trajectory"
    trajectory.mkdir(exist_ok=True)
    if state.is_file():
        training.take_up(state)
        job.tell(f"{job.method.name} seed {job.seed}: resuming at step {training.step}")
    else:
        training.note()
        save(training.weights, trajectory / f"{0:06}.safetensors")
    progress = Progress(job, training)
    while not training.ended:
        training.advance()
        if training.step % LOG_EVERY == 0:
            training.note()
            progress.tell()
        if training.step % SNAPSHOT_EVERY == 0:
            save(training.weights, trajectory / f"{training.step:06}.safetensors")
            training.keep(state)
    save_checkpoint(training.weights, training.task, job.folder)
    (job.folder / "training_log.json").write_text(json.dumps(training.log, indent=1), encoding="utf-8")


class Progress:
    """Tells every few seconds how far a training is."""

    def __init__(self, job: TrainingJob, training: Training) -> None:
        self.job = job
        self.training = training
        self.began = self.told = time.monotonic()
        self.first_step = training.step

    def tell(self) -> None:
        now, training = time.monotonic(), self.training
        if now - self.told < PROGRESS_EVERY_S:
            return
        self.told = now
        row, pace_ms = training.log[-1], 1000 * (now - self.began) / (training.step - self.first_step)
        self.job.tell(
            f"{self.job.method.name} seed {self.job.seed}: step {training.step:,} of at most "
            f"{training.settings.steps:,}  train loss {row['train_loss']:.1e}  test loss {row['test_loss']:.1e}  "
            f"test accuracy {100 * row['test_accuracy']:.1f} %  Gini of W_E {row['gini_embedding']:.2f}  "
            f"{pace_ms:.0f} ms a step"
        )
