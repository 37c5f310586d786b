"""One training of a flow of showers: from a job to a checkpoint."""

import json
import time

import numpy as np
import torch

from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.settings import ShowerSettings
from depthgauge_suites.layer_papers.showers.flow import ShowerFlow, save
from depthgauge_suites.layer_papers.showers.simulation import energies, simulate

TRAINED_ON, SHOWERS_PER_STEP = 20_000, 512
LEARNING_RATE, LARGEST_GRADIENT = 2e-3, 5.0
LOG_EVERY, PROGRESS_EVERY_S = 50, 5.0


class Training:
    """Showers to train on, and what was logged."""

    def __init__(self, job: TrainingJob) -> None:
        random = np.random.default_rng([job.seed, 1])  # another stream than that of the showers that are judged
        drawn = energies(TRAINED_ON, random)
        cells = torch.tensor(simulate(drawn, random), dtype=torch.float32)
        self.energies = torch.tensor(drawn, dtype=torch.float32)
        self.mean, self.spread = cells.mean(0), cells.std(0)
        self.cells = (cells - self.mean) / self.spread
        self.job, self.log, self.told = job, list[dict[str, float]](), time.monotonic()

    def fit(self, flow: ShowerFlow, steps: int, teacher: ShowerFlow | None = None) -> None:
        """Maximum likelihood of simulated showers; or the likelihood that a teacher gives to what the flow draws.

        The latter is probability density distillation (van den Oord et al. 2017, arXiv:1711.10433).
        """
        flow.mean.copy_(self.mean)
        flow.spread.copy_(self.spread)
        optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 1))
        for step in range(1, steps + 1):
            chosen = torch.randint(TRAINED_ON, (SHOWERS_PER_STEP,))
            asked = self.energies[chosen]
            if teacher is None:
                loss = -flow.given(asked).log_prob(self.cells[chosen]).mean()
            else:
                drawn, likelihood = flow.given(asked).rsample_and_log_prob()
                loss = (likelihood - teacher.given(asked).log_prob(drawn)).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(flow.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            if step % LOG_EVERY == 0:
                self.note(float(loss.detach()), f"{'student' if teacher else 'teacher'} step {step}/{steps}")

    def note(self, loss: float, what: str) -> None:
        self.log.append({"step": float(LOG_EVERY * (len(self.log) + 1)), "train_loss": loss})
        if time.monotonic() - self.told > PROGRESS_EVERY_S:
            self.told = time.monotonic()
            self.job.tell(f"{self.job.method.name} seed {self.job.seed}: {what}  loss {loss:.2f} nats")


def train_flow(job: TrainingJob) -> None:
    """Train on the CPU, where flows as small as these are fastest, and fill the job's folder.

    A student's teacher is trained as the seed's own teacher is: the same flow.
    """
    prepare_libraries(job.threads)
    settings: ShowerSettings = job.method.settings
    with undisturbed_randomness():
        torch.manual_seed(job.seed)
        training, flow = Training(job), ShowerFlow(student=False)
        training.fit(flow, settings.steps)
        if settings.distilled:
            teacher, flow = flow.requires_grad_(False), ShowerFlow(student=True)
            training.fit(flow, settings.steps, teacher)
    save(flow, job.folder)
    (job.folder / "training_log.json").write_text(json.dumps(training.log, indent=1), encoding="utf-8")
