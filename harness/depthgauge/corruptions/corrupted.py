"""A corrupted copy of a testbed's base, as what a claim is judged on: its negative control."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from depthgauge.backends.layerwise import LAYERWISE, open_layerwise
from depthgauge.core.errors import HarnessError, NotTestable, TrainingFailed, UsageError, raised_by_user_code
from depthgauge.core.installed import versions
from depthgauge.core.method import Checkpoint, Recipe
from depthgauge.core.plain import digest, to_plain
from depthgauge.core.registry import CORRUPTIONS
from depthgauge.corruptions.corruption import Corruption
from depthgauge.corruptions.folder import copied_beside, corrupt
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import Job, RunContext, ToCorrupt, checkpoint_label
from depthgauge.models.files import weight_bytes
from depthgauge.models.load import Placement, fits, load, prepare_libraries, threads_for
from depthgauge.sources.folder import check_folder, fingerprint
from depthgauge.store.folders import error_number, sha256
from depthgauge.store.times import timed

AT = "@"  # between a corruption's name and a dose: zero_mlp@0.1


@dataclass(frozen=True, kw_only=True)
class Corrupted(CheckpointSet):
    """The base of the testbed, corrupted; made in the store where it is not there."""

    corruption: Corruption
    dose: float

    @property
    def base(self) -> Path:
        """Raises: NotTestable where every model is trained from nothing."""
        if not isinstance(self.testbed.base, Path):
            raise NotTestable(f"testbed {self.testbed.name!r} has no base that could be corrupted")
        return self.testbed.base

    def recipe(self, seed: int) -> Recipe:
        """What determines the copy: no version of a library, but of those that the corruption requires."""
        beside = [[path.name, sha256(path)] for path in copied_beside(self.base)]
        return Recipe(
            method=self.corruption.name,
            method_version=self.corruption.version,
            testbed="",
            seed=seed,
            settings={"dose": self.dose, "beside": digest(beside)},
            scale={},
            base_fingerprint=fingerprint(self.base),
            data_digest="",
            device="",
            versions=versions(self.corruption.requires),
        )

    def cached(self, seed: int) -> bool:
        return self.context.store.has("checkpoints", self.recipe(seed).fingerprint)

    def _maker(self, recipe: Recipe) -> Callable[[Path], None]:
        return partial(self._make, recipe)

    def _make(self, recipe: Recipe, staging_dir: Path) -> None:
        """Raises: TrainingFailed, naming the corruption, if it ends without a whole checkpoint."""
        shutil.rmtree(staging_dir)  # what a killed attempt left
        staging_dir.mkdir()
        prepare_libraries(self.testbed.threads or threads_for(self.base))
        try:
            with timed(self.context.store, f"corrupting by {self.corruption.name}", weight_bytes(self.base)):
                corrupt(
                    self.base, staging_dir, self.corruption, seed=recipe.seed, dose=self.dose,
                    model=self._forward_model,
                )  # fmt: skip
        except (HarnessError, OSError):
            raise
        except Exception as error:
            if error_number(error):
                raise
            raise raised_by_user_code(
                TrainingFailed(f"corruption {self.corruption.name!r} stopped with {type(error).__name__}: {error}"),
                error,
            ) from error
        (staging_dir / "recipe.json").write_text(json.dumps(to_plain(recipe), indent=1), encoding="utf-8")
        check_folder(staging_dir)

    def _forward_model(self) -> Any:
        """The base for who reads no weight of it, in float32 whatever candidates run in: one copy for all."""
        whole, layerwise = Placement(), Placement(device_map=LAYERWISE)
        if self.context.placement.device_map != LAYERWISE and fits((self.base,), whole):
            return load(self.base)[0]
        base = Checkpoint(name=self.base.name, seed=0, folder=self.base, fingerprint=fingerprint(self.base))
        return open_layerwise(base, layerwise, store=self.context.store, tell=self.context.tell)[0]

    def _training(self, recipe: Recipe) -> Job:
        return Job(
            kind="checkpoints",
            description=asdict(recipe),
            work=f"corrupting by {self.corruption.name}",
            label=checkpoint_label(self.name, recipe.seed),
            weights=weight_bytes(self.base),
            todo=ToCorrupt(corruption=self.corruption.name, dose=self.dose, base=self.base, seed=recipe.seed),
        )


def corrupted(context: RunContext) -> dict[str, CheckpointSet]:
    """The base of the testbed by the name of each corruption."""
    corruptions = (CORRUPTIONS[name] for name in CORRUPTIONS)
    return {
        corruption.name: Corrupted(name=corruption.name, corruption=corruption, dose=corruption.dose, context=context)
        for corruption in corruptions
    }


def with_dose(name: str, candidates: Mapping[str, CheckpointSet]) -> CheckpointSet | None:
    """The candidate 'zero_mlp@0.1': a corruption with another dose. None for a name without one.

    Raises: UsageError where the dose is no number.
    """
    corruption, at, dose = name.partition(AT)
    candidate = candidates.get(corruption)
    if not at or not isinstance(candidate, Corrupted):
        return None
    try:
        return replace(candidate, name=name, dose=float(dose))
    except ValueError:
        raise UsageError(f"{name!r} has no dose: write a number after {AT}, as in {corruption}{AT}0.1.") from None
