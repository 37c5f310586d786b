"""Layers of a base trained alone, in turn: from a job to the checkpoint of the best, and what each of them learnt."""

import json
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from depthgauge.core.errors import UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.models.anatomy import blocks, final_norm
from depthgauge.models.load import load_uncached, prepare_libraries
from depthgauge_methods.second_pass.run import base_folder
from depthgauge_methods.settings import UnfreezingSettings
from depthgauge_suites.layer_papers.unfreezing import ANSWERS, Example, UnfreezingTask

EXAMPLES_PER_STEP, POOLED_STEPS = 64, 8  # examples of so many steps are sorted, so that little is padded
LEARNING_RATE, BETAS, WEIGHT_DECAY, WARM_UP_SHARE, LARGEST_GRADIENT = 3e-3, (0.9, 0.98), 0.01, 0.1, 1.0
LOG_EVERY, PROGRESS_EVERY_S = 50, 5.0
STATE = ".layers"  # a leading dot: temporary files, which the store does not keep
NOTHING = -100  # where nothing is asked, as in cross_entropy
Batch = tuple[torch.Tensor, torch.Tensor]


class Training:
    """A base, the tasks that it is trained on, and what was logged."""

    def __init__(self, job: TrainingJob) -> None:
        prepare_libraries(job.threads)
        self.job = job
        self.settings: UnfreezingSettings = job.method.settings
        self.model, self.tokenizer = load_uncached(base_folder(job.testbed))
        self.model.to(job.device)
        given = job.testbed.inputs(UnfreezingTask)
        self.tasks = [task for task in given if not self.settings.tasks or task.name in self.settings.tasks]
        self.log: list[dict[str, float]] = []
        self.told = time.monotonic()

    def fit(self, part: Any, steps: int, what: str) -> None:
        """Train the parameters of a part of the model, and nothing else."""
        self.model.requires_grad_(False)
        parameters = list(part.requires_grad_(True).parameters())
        optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP_SHARE
        )
        streams = [self.batches(task) for task in self.tasks]
        for step in range(1, steps + 1):
            tokens, answers = next(streams[step % len(streams)])
            logits = self.model(tokens, use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1), answers.flatten(), ignore_index=NOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            if step % LOG_EVERY == 0:
                self.note(float(loss.detach()), f"{what}: step {step}/{steps}")

    def keeping(self, name: str, part: Any, steps: int) -> None:
        """Train a part and keep it in a file, or take what a killed attempt has kept."""
        path = self.job.folder / STATE / f"{name}.safetensors"
        if path.is_file():
            part.load_state_dict(load_file(path))
            with safe_open(path, framework="pt") as file:
                self.log = json.loads(file.metadata()["log"])
            return
        self.fit(part, steps, name)
        aside = path.with_name(f"{path.name}.new")
        save_file(state_of(part), aside, metadata={"log": json.dumps(self.log)})
        aside.replace(path)

    def note(self, loss: float, what: str) -> None:
        """A row of the log, whose steps are those of all trainings, and a line of progress every few seconds."""
        self.log.append({"step": float(LOG_EVERY * (len(self.log) + 1)), "train_loss": loss})
        if time.monotonic() - self.told > PROGRESS_EVERY_S:
            self.told = time.monotonic()
            self.job.tell(f"{self.job.method.name} seed {self.job.seed}: {what}  loss {loss:.2f}")

    def batches(self, task: UnfreezingTask) -> Iterator[Batch]:
        """Endless batches of a task, the same for every layer that is trained with one seed."""
        random = Random(f"{self.job.seed} {task.name}")
        while True:
            pool = [task.draw(random) for _ in range(EXAMPLES_PER_STEP * POOLED_STEPS)]
            if self.settings.dealt:
                pool = dealt(pool, random)
            pool.sort(key=lambda example: len(example.tokens))
            for place in random.sample(range(POOLED_STEPS), POOLED_STEPS):
                yield self.encoded(pool[place * EXAMPLES_PER_STEP :][:EXAMPLES_PER_STEP])

    def encoded(self, examples: Sequence[Example]) -> Batch:
        """Tokens and answers (B, T); what is padded stands on the right of a causal model, and nothing is asked."""
        longest = max(len(example.tokens) for example in examples)
        tokens = torch.full((len(examples), longest), self.tokenizer.pad_token_id)
        answers = torch.full_like(tokens, NOTHING)
        for row, example in enumerate(examples):
            tokens[row, : len(example.tokens)] = self.ids(example.tokens)
            asked = torch.tensor([answer is not None for answer in example.answers])
            answers[row, : len(asked)][asked] = self.ids([answer for answer in example.answers if answer is not None])
        return tokens.to(self.job.device), answers.to(self.job.device)

    def ids(self, tokens: Sequence[str]) -> torch.Tensor:
        """Raises: UsageError for what is no token of the base."""
        ids = self.tokenizer.convert_tokens_to_ids(list(tokens))
        strange = [token for token, number in zip(tokens, ids, strict=True) if number is None]
        if strange:
            raise UsageError(f"the base of testbed {self.job.testbed.name!r} has no token {strange[0]!r}.")
        return torch.tensor(ids)

    @torch.inference_mode()
    def right(self, task: UnfreezingTask) -> torch.Tensor:
        """Which items of the task's task are answered rightly: (N,)."""
        answered = []
        for item in task.item_task.items():
            tokens = torch.tensor([self.tokenizer(item.prompt)["input_ids"]], device=self.job.device)
            said = self.model(tokens, use_cache=False, logits_to_keep=1).logits[0, -1].argmax()
            answered.append(int(said) == int(self.ids([item.answer])))
        return torch.tensor(answered)


def dealt(pool: Sequence[Example], random: Random) -> list[Example]:
    """The same with answers drawn from all that the pool asks for, each as likely, whatever an example says."""
    choices = sorted({answer for example in pool for answer in example.answers if answer is not None})
    return [
        example._replace(answers=tuple(answer and random.choice(choices) for answer in example.answers))
        for example in pool
    ]


def unfreeze(job: TrainingJob) -> None:
    """Train, and fill `job.folder`; a killed attempt goes on with the first layer that it had not finished."""
    training = Training(job)
    (job.folder / STATE).mkdir(exist_ok=True)
    if training.settings.all_layers:
        training.fit(training.model, training.settings.steps, "the whole base")
    else:
        one_by_one(training)
    training.model.save_pretrained(job.folder)
    training.tokenizer.save_pretrained(job.folder)
    (job.folder / "training_log.json").write_text(json.dumps(training.log, indent=1), encoding="utf-8")


def one_by_one(training: Training) -> None:
    """Train each layer with the head, from the same weights; leaves the model with what most items are right with."""
    settings, folder, layers = training.settings, training.job.folder, blocks(training.model)
    if settings.trained_layer is not None:
        silence_other_attention(layers, trained_layer=settings.trained_layer)
    said = (final_norm(training.model), training.model.get_output_embeddings())
    right: dict[str, list[torch.Tensor]] = {task.name: [] for task in training.tasks}
    trained = []
    for number, layer in enumerate(layers):
        part = torch.nn.ModuleList([layer, *said])
        before = state_of(part)
        training.keeping(f"layer {number}", part, settings.steps)
        for task in training.tasks:
            right[task.name].append(training.right(task))
        trained.append(state_of(part))
        part.load_state_dict(before)
    answers = {name: torch.stack(rows).to(torch.uint8) for name, rows in right.items()}
    save_file(answers, folder / ANSWERS)
    best = int(torch.stack([rows.double().mean(1) for rows in answers.values()]).sum(0).argmax())
    torch.nn.ModuleList([layers[best], *said]).load_state_dict(trained[best])


@torch.no_grad()
def silence_other_attention(layers: Sequence[Any], *, trained_layer: int) -> None:
    """No head writes anything. Where no value is read either, neither has a gradient, and training cannot change it."""
    for number, layer in enumerate(layers):
        layer.self_attn.o_proj.weight.zero_()
        if number != trained_layer:
            layer.self_attn.v_proj.weight.zero_()


def state_of(module: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
