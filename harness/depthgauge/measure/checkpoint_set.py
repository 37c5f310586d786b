"""A candidate: the checkpoints of a method or a folder, one a seed, and what is measured of them. It knows no probe."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from depthgauge.core.errors import HarnessError, InvalidComparison, NotTestable
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint, Method, Recipe
from depthgauge.core.testbed import ProbeInput, Testbed
from depthgauge.measure.base_probe import PairProbe, Probe
from depthgauge.measure.context import Job, RunContext, ToTrain, checkpoint_label, each, note_missing
from depthgauge.measure.measuring import measure_cached
from depthgauge.measure.training import recipe_of, train_in
from depthgauge.models import files
from depthgauge.sources import folder as folders
from depthgauge.sources.tokenizer import check_same_tokenizer
from depthgauge.store.folders import Busy

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class CheckpointSet:
    """What a claim is about: the checkpoints of `method`, one a seed, or the finished `folder` of somebody else."""

    name: str
    context: RunContext
    method: Method | None = None
    seeds: tuple[int, ...] = (0,)
    folder: Path | None = None

    @classmethod
    def of(cls, method: Method, seeds: tuple[int, ...], context: RunContext) -> "CheckpointSet":
        """A method's. What trains nothing, and what exists to refute, has one seed."""
        alone = method.train is None or method.control
        return cls(name=method.name, method=method, seeds=(0,) if alone else seeds, context=context)

    @property
    def testbed(self) -> Testbed:
        return self.context.testbed

    def inputs(self, kind: type[ProbeInput]) -> tuple[ProbeInput, ...]:
        """What the testbed gives a probe to read. Raises: as `Testbed.inputs`."""
        return self.testbed.inputs(kind)

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """One checkpoint a seed, trained if the store has none."""
        return each(partial(self._checkpoint, seed) for seed in self.seeds)

    def recipe(self, seed: int) -> Recipe:
        """Exactly what determines the checkpoint of a seed."""
        assert self.method is not None
        return recipe_of(self.method, self.testbed, seed, self.context.placement.device, self.context.launch)

    def cached(self, seed: int) -> bool:
        """Whether the checkpoint of a seed needs no training."""
        if self.method is None or self.method.train is None:
            return True
        return self.context.store.has("checkpoints", self.recipe(seed).fingerprint)

    def train_what_is_free(self) -> None:
        """Train the seeds that no other process is at; a failure is told to whoever asks for the checkpoint."""
        for seed in self.seeds:
            with suppress(HarnessError, Busy):
                self._checkpoint(seed, wait=False)

    def one_seed(self) -> "CheckpointSet":
        """The same with its first seed alone: what a control, which has one, is compared with."""
        return self if len(self.seeds) == 1 else replace(self, seeds=self.seeds[:1])

    def check_same_tokens(self, other: "CheckpointSet") -> None:
        """Raises: InvalidComparison unless both cut every text into the same tokens, so that these can be compared."""
        for own, its_checkpoint in zip(self.checkpoints, other.checkpoints, strict=False):
            check_same_tokenizer(own.folder, its_checkpoint.folder)

    def untrained_folder(self) -> Path | None:
        """The folder that is judged as it is: somebody's, or the testbed's base; None where a method trains.

        Raises: NotTestable where every model is trained from nothing.
        """
        if self.folder is not None or self.method is None or self.method.train is not None:
            return self.folder
        if not isinstance(self.testbed.base, Path):
            raise NotTestable(f"testbed {self.testbed.name!r} has no base: its models are trained from nothing")
        return self.testbed.base

    def measure(self, probe: Probe, *, keep_loaded: tuple[Checkpoint, ...] = ()) -> tuple[Measurement, ...]:
        """The probe's answer about each seed's checkpoint, from the store or taken now; it is noted as evidence.

        The models of the checkpoints `keep_loaded` stay in memory: for who asks two candidates in turn.

        Raises: NotTestable if a checkpoint cannot carry it.
        """
        return each(
            partial(measure_cached, probe, self.name, self.context, checkpoint, keep_loaded=keep_loaded)
            for checkpoint in self.checkpoints
        )

    def compare(self, probe: PairProbe, other: "CheckpointSet") -> tuple[Measurement, ...]:
        """The answer about each seed's checkpoint beside the other's of that seed, or its only one.

        Raises: NotTestable as `measure`; InvalidComparison if seeds cannot be paired.
        """
        theirs = other.checkpoints if len(other.checkpoints) > 1 else other.checkpoints * len(self.checkpoints)
        if len(theirs) != len(self.checkpoints):
            raise InvalidComparison(
                f"{len(self.checkpoints)} seeds of {self.name!r} cannot be paired with {len(theirs)}."
            )
        pairs = zip(self.checkpoints, theirs, strict=True)
        return each(partial(measure_cached, probe, self.name, self.context, own, reference) for own, reference in pairs)

    def _checkpoint(self, seed: int, *, wait: bool = True) -> Checkpoint:
        folder, recipe = self.untrained_folder(), None
        if folder is None:
            recipe = self.recipe(seed)
            if self.context.missing is not None and not self.cached(seed):
                note_missing(self.context, self._training(recipe))
            make = self._maker(recipe)
            folder = self.context.store.get_or_create("checkpoints", asdict(recipe), make, resume=True, wait=wait)
        else:
            folders.check_folder(folder)
        state = folders.state_of(folder)  # before it is hashed
        fingerprint = folders.fingerprint(folder)
        return Checkpoint(name=self.name, seed=seed, folder=folder, fingerprint=fingerprint, recipe=recipe, state=state)

    def _maker(self, recipe: Recipe) -> Callable[[Path], None]:
        """What fills the folder of a checkpoint."""
        assert self.method is not None
        return partial(train_in, method=self.method, testbed=self.testbed, recipe=recipe, context=self.context)

    def _training(self, recipe: Recipe) -> Job:
        method, testbed = self.method, self.testbed
        assert method is not None
        return Job(
            kind="checkpoints",
            description=asdict(recipe),
            work=f"training {method.name}",
            label=checkpoint_label(self.name, recipe.seed),
            weights=files.weight_bytes(testbed.base) if isinstance(testbed.base, Path) else 0,
            todo=ToTrain(method=method, testbed=testbed, seed=recipe.seed),
        )
