"""A subject: a method's checkpoints on a testbed, one a seed, trained and measured when first asked."""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import exams, models
from harness.errors import HarnessError, InvalidCheckpoint, NotTestable, TrainingFailed
from harness.measurements import Arrays, measure
from harness.probes import diversity, entropy
from harness.store import Busy, Store, error_number
from harness.types import (
    Checkpoint,
    Evidence,
    Measurement,
    Method,
    Recipe,
    Scores,
    Testbed,
    TrainingJob,
    digest,
    to_plain,
)

TRAINING_LOG = "training_log.json"
ENTROPY_VERSION = 1
TRAINING_VERSIONS = ("depthgauge", "torch", "transformers", "trl")
MEASURING_VERSIONS = ("torch", "transformers", "lm-eval")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What every subject of a run shares."""

    testbed: Testbed
    device: str
    store: Store
    tell: Callable[[str], None]
    evidence: list[Evidence] = field(default_factory=list)


class Subject:
    """What a claim is about. All that is asked of it is noted in the context's `evidence`."""

    def __init__(
        self, method: Method, seeds: tuple[int, ...], context: RunContext, adopted: Path | None = None
    ) -> None:
        self.method = method
        self.name = method.name if adopted is None else f"adopted-{adopted.name}"
        self.seeds = seeds if method.train is not None and not method.control and adopted is None else (0,)
        self.context = context
        self.adopted = adopted

    # -- checkpoints ---

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """One checkpoint a seed, trained if the store has none."""
        return tuple(self._checkpoint(seed) for seed in self.seeds)

    def recipe(self, seed: int) -> Recipe:
        """Exactly what determines the checkpoint of a seed."""
        testbed = self.context.testbed
        return Recipe(
            method=self.method.name,
            testbed=testbed.name,
            seed=seed,
            settings=to_plain(self.method.settings),
            scale=asdict(testbed.scale),
            base_fingerprint=models.fingerprint(testbed.base),
            data_digest=digest([list(pair) for pair in testbed.training_prompts()]),
            device=self.context.device,
            versions=versions(TRAINING_VERSIONS),
        )

    def cached(self, seed: int) -> bool:
        """Whether the checkpoint of a seed needs no training."""
        if self.adopted is not None or self.method.train is None:
            return True
        return self.context.store.finished("checkpoints", self.recipe(seed).fingerprint) is not None

    def train_what_is_free(self) -> None:
        """Train the seeds that no other process is at; a failure is told to whoever asks for the checkpoint."""
        for seed in self.seeds:
            with suppress(HarnessError, Busy):
                self._checkpoint(seed, wait=False)

    def _checkpoint(self, seed: int, *, wait: bool = True) -> Checkpoint:
        if self.adopted is not None:
            return self._adopt(self.adopted)
        if self.method.train is None:
            return self._adopt(self.context.testbed.base)
        recipe = self.recipe(seed)
        folder = self.context.store.produce(
            "checkpoints",
            recipe.fingerprint,
            lambda workshop: self._train(workshop, recipe),
            resume=True,
            wait=wait,
        )
        return Checkpoint(
            name=self.name, seed=seed, folder=folder, fingerprint=models.fingerprint(folder), recipe=recipe
        )

    def _adopt(self, folder: Path) -> Checkpoint:
        models.check_folder(folder)
        models.check_same_tokenizer(folder, self.context.testbed.base)
        return Checkpoint(name=self.name, seed=0, folder=folder, fingerprint=models.fingerprint(folder))

    def _train(self, workshop: Path, recipe: Recipe) -> None:
        assert self.method.train is not None
        if not self.method.control:
            self.context.tell(f"training {self.name} (seed {recipe.seed}) on {recipe.device}")
        (workshop / "recipe.json").write_text(json.dumps(to_plain(recipe), indent=1))
        job = TrainingJob(
            method=self.method,
            testbed=self.context.testbed,
            seed=recipe.seed,
            device=recipe.device,
            folder=workshop,
            tell=self.context.tell,
        )
        try:
            self.method.train(job)
        except (HarnessError, OSError):
            raise
        except Exception as error:
            if error_number(error):
                raise
            raise TrainingFailed(
                f"training {self.name!r} (seed {recipe.seed}) stopped with {type(error).__name__}: {error}"
            ) from error
        models.check_folder(workshop)

    def one_seed(self) -> "Subject":
        """The same subject with its first seed alone: what a control, which has one, is compared with."""
        return Subject(self.method, self.seeds[:1], self.context, self.adopted)

    # -- measurements ---

    def exam(self, name: str) -> Scores:
        """Points (0 to 100) per item; repeated answers to an item are averaged."""
        exam = self.context.testbed.exam(name)
        taken = self._measure(
            "exam", exams.VERSION, exams.parameters(exam), lambda m, t: exams.take_exam(exam, m, t), f"the {name} exam"
        )
        values = np.stack([100 * one.arrays["score"].mean(axis=0) for one in taken])
        ids = tuple(item.id for item in exam.items())
        right = 100.0 if exam.repeats == 1 else None
        return Scores(ids=ids, values=values, unit="points", population="items", right=right)

    def entropy(self, summary: Callable[[NDArray[Any]], float]) -> Scores:
        """`summary` of each prompt's greedy entropy trace, a row of 80 values in nats."""
        return self._per_prompt("entropy_nats", summary, "nats")

    def collapses(self) -> Scores:
        """Per prompt, 1 if its greedy entropy trace collapses, else 0."""
        return self._per_prompt("entropy_nats", lambda row: float(entropy.collapse_step(row) is not None), "share", 1.0)

    def diversity(self, n: int) -> Scores:
        """Per prompt, the n-gram diversity of its 80 greedy tokens: a ratio from 0 to 1."""
        return self._per_prompt("token_ids", lambda row: diversity.ngram_diversity(row, n), "ratio")

    def traces(self) -> tuple[Measurement, ...]:
        """The greedy traces of each seed: arrays `entropy_nats` and `token_ids` (prompts, steps), and `text`."""
        prompts = list(self.context.testbed.probe_prompts())

        def take(model: Any, tokenizer: Any) -> Arrays:
            trace = entropy.entropy_trace(model, tokenizer, prompts)
            text = np.array([tokenizer.decode(ids) for ids in trace.token_ids], dtype=np.str_)
            return trace._asdict() | {"text": text}

        parameters = {"prompts": digest(prompts), "steps": entropy.STEPS, "batch": entropy.BATCH}
        return self._measure("entropy", ENTROPY_VERSION, parameters, take, "the greedy entropy trace")

    def training(self, column: str, summary: Callable[[float], float] = float, *, unit: str) -> Scores:
        """A logged quantity of the training, step by step; 0 at a step that did not log it, as one without a gradient.

        Raises: NotTestable where there is no training log, or no step logged the column.
        """
        for checkpoint in self.checkpoints:
            self._note(checkpoint)
        logs = [training_log(checkpoint) for checkpoint in self.checkpoints]
        if not all(any(column in row for row in log) for log in logs):
            raise NotTestable(f"the training log of {self.name!r} has no {column!r}")
        values = np.array([[summary(float(row[column])) if column in row else 0.0 for row in log] for log in logs])
        ids = tuple(str(int(row["step"])) for row in logs[0])
        return Scores(ids=ids, values=values, unit=unit, population="steps")

    def _per_prompt(
        self, array: str, summary: Callable[[NDArray[Any]], float], unit: str, right: float | None = None
    ) -> Scores:
        taken = self.traces()
        values = np.array([[summary(row) for row in one.arrays[array]] for one in taken], dtype=float)
        ids = tuple(str(prompt) for prompt in self.context.testbed.probe_prompts())
        return Scores(ids=ids, values=values, unit=unit, population="prompts", right=right)

    def _measure(
        self, probe: str, version: int, parameters: Mapping[str, Any], take: Callable[[Any, Any], Arrays], what: str
    ) -> tuple[Measurement, ...]:
        taken = tuple(self._measure_one(probe, version, parameters, take, what, c) for c in self.checkpoints)
        for checkpoint, one in zip(self.checkpoints, taken, strict=True):
            self._note(checkpoint, one.key)
        return taken

    def _note(self, checkpoint: Checkpoint, key: str = "") -> None:
        used = Evidence(
            method=self.name,
            seed=checkpoint.seed,
            checkpoint=checkpoint.fingerprint,
            folder=str(checkpoint.folder),
            key=key,
        )
        if used not in self.context.evidence:
            self.context.evidence.append(used)

    def _measure_one(
        self,
        probe: str,
        version: int,
        parameters: Mapping[str, Any],
        take: Callable[[Any, Any], Arrays],
        what: str,
        checkpoint: Checkpoint,
    ) -> Measurement:
        def now() -> Arrays:
            self.context.tell(f"measuring {what} of {self.name} (seed {checkpoint.seed})")
            models.prepare_libraries(self.context.testbed.scale.threads)
            if checkpoint.recipe is not None:
                self.context.store.verify(checkpoint.folder)
            return take(*models.load(checkpoint.folder, self.context.device))

        where = {"device": self.context.device, "versions": versions(MEASURING_VERSIONS)} | dict(parameters)
        return measure(self.context.store, checkpoint, probe, version, where, now)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def training_log(checkpoint: Checkpoint) -> list[dict[str, float]]:
    """The rows of a training log. Raises: NotTestable if the checkpoint has none, as the base."""
    path = checkpoint.folder / TRAINING_LOG
    if not path.is_file():
        raise NotTestable(f"{checkpoint.name!r} has no training log")
    try:
        rows: list[dict[str, float]] = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: train the checkpoint again.") from error
    return rows
