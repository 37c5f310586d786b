"""A method's checkpoints: one a seed, trained, adopted or found in the store when first asked for; measured once."""

import importlib.metadata
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from harness import models
from harness.errors import HarnessError, InvalidCheckpoint, NotTestable, TrainingFailed
from harness.measurements import Arrays, measure
from harness.store import Busy, Store, error_number
from harness.types import Checkpoint, Evidence, Measurement, Method, Recipe, Testbed, TrainingJob, to_plain

TRAINING_LOG = "training_log.json"
TRAINING_VERSIONS = ("depthgauge", "torch", "transformers", "trl")
MEASURING_VERSIONS = ("torch", "transformers", "lm-eval")

Take = Callable[[Checkpoint], Arrays]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """What every subject of a run shares."""

    testbed: Testbed
    device: str
    store: Store
    tell: Callable[[str], None]
    evidence: list[Evidence] = field(default_factory=list)


class Checkpoints(ABC):
    """A method's checkpoints on a testbed, one a seed. What is measured on them is noted as evidence of the run."""

    def __init__(
        self, method: Method, seeds: tuple[int, ...], context: RunContext, adopted: Path | None = None
    ) -> None:
        self.method = method
        self.name = method.name if adopted is None else f"adopted-{adopted.name}"
        self.seeds = seeds if method.train is not None and not method.control and adopted is None else (0,)
        self.context = context
        self.adopted = adopted

    def training_inputs(self) -> dict[str, Any]:
        """What of the testbed determines a training: the `scale`, `base_fingerprint` and `data_digest` of a recipe.

        Nothing, where a model is trained from fresh weights on data that its method makes up.
        """
        return {"scale": {}, "base_fingerprint": "", "data_digest": ""}

    def untrained(self) -> Path:
        """The folder of a method that trains nothing. Raises: NotTestable where every model is trained from nothing."""
        raise NotTestable(f"testbed {self.context.testbed.name!r} has no base: its models are trained from nothing")

    @abstractmethod
    def check_complete(self, folder: Path) -> None:
        """Refuse what is not a whole checkpoint of this kind."""

    @abstractmethod
    def check_adopted(self, folder: Path) -> None:
        """Refuse a folder that somebody else trained and that cannot be judged here.

        Raises: NotTestable if it is a checkpoint of another kind, which is no fault of the folder.
        """

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """One checkpoint a seed, trained if the store has none."""
        return tuple(self._checkpoint(seed) for seed in self.seeds)

    def recipe(self, seed: int) -> Recipe:
        """Exactly what determines the checkpoint of a seed."""
        return Recipe(
            method=self.method.name,
            method_version=self.method.version,
            testbed=self.context.testbed.name,
            seed=seed,
            settings=to_plain(self.method.settings),
            **self.training_inputs(),
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
            return self._adopt(self.untrained())
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
        self.check_adopted(folder)
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
        self.check_complete(workshop)

    def one_seed(self) -> Self:
        """The same with its first seed alone: what a control, which has one, is compared with."""
        return self if len(self.seeds) == 1 else type(self)(self.method, self.seeds[:1], self.context, self.adopted)

    def _measure(
        self, probe: str, version: int, parameters: Mapping[str, Any], take: Take, what: str
    ) -> tuple[Measurement, ...]:
        """The measurement of each seed's checkpoint, from the store or taken now; it is noted as evidence."""
        taken = tuple(self._measure_one(probe, version, parameters, take, what, c) for c in self.checkpoints)
        for checkpoint, one in zip(self.checkpoints, taken, strict=True):
            self._note(checkpoint, one.key)
        return taken

    def _measure_against(
        self,
        other: "Checkpoints",
        probe: str,
        version: int,
        parameters: Mapping[str, Any],
        take: Callable[[Checkpoint, Checkpoint], Arrays],
        what: str,
    ) -> tuple[Measurement, ...]:
        """A measurement of each seed's checkpoint together with the other's of that seed, or its only one."""
        theirs = other.checkpoints if len(other.checkpoints) > 1 else other.checkpoints * len(self.checkpoints)
        taken = []
        for mine, its in zip(self.checkpoints, theirs, strict=True):
            pair = {"against": its.fingerprint} | dict(parameters)
            taken.append(self._measure_one(probe, version, pair, partial(take_with, take, its), what, mine))
            self._note(mine, taken[-1].key)
        return tuple(taken)

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
        take: Take,
        what: str,
        checkpoint: Checkpoint,
    ) -> Measurement:
        def now() -> Arrays:
            self.context.tell(f"measuring {what} of {self.name} (seed {checkpoint.seed})")
            models.prepare_libraries(self.context.testbed.threads)
            if checkpoint.recipe is not None:
                self.context.store.verify(checkpoint.folder)
            return take(checkpoint)

        where = {"device": self.context.device, "versions": versions(MEASURING_VERSIONS)} | dict(parameters)
        return measure(self.context.store, checkpoint, probe, version, where, now)


def take_with(take: Callable[[Checkpoint, Checkpoint], Arrays], other: Checkpoint, mine: Checkpoint) -> Arrays:
    return take(mine, other)


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
    if not (isinstance(rows, list) and all(isinstance(row, dict) and "step" in row for row in rows)):
        raise InvalidCheckpoint(f"{path} is not a list of rows with a step: train the checkpoint again.")
    return rows
