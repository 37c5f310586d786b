"""A way to make a checkpoint, the job that carries it out, and the checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from depthgauge.core.installed import MODEL_LIBRARIES
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Testbed


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A way to make a checkpoint: its settings, and the function that carries them out.

    `train` fills the folder of a `TrainingJob`; None means the testbed's base, untouched. A `control` exists to refute
    claims and is in no `--method=all`. `testbed` names the only one that it is trained on; None is any testbed that has
    no methods of its own. Raise `version` when the code of `train` changes what it makes: the store then trains again.
    `alone` trainings take the whole machine, one after the other. An `optional` method is asked for by its name, and is
    in no `--method=all`. `supports_distributed` says that `train` heeds the job's `launch`. `requires` names the
    distributions whose versions determine the checkpoint: they are part of its key, and looked for before a run.
    `suites` are those whose claims judge it, beside its testbed's. `default_testbed` is where it is trained when nobody
    names a testbed.
    """

    name: str
    summary: str
    settings: Any = None
    train: Callable[["TrainingJob"], None] | None = None
    parent: str | None = None
    control: bool = False
    testbed: str | None = None
    version: int = 1
    exclusive: bool = False
    optional: bool = False
    supports_distributed: bool = False
    requires: tuple[str, ...] = MODEL_LIBRARIES
    suites: tuple[str, ...] = ()
    default_testbed: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a method's name must be an identifier, as it names a fixture, got {self.name!r}")

    def evolve(self, *, name: str, summary: str, control: bool = False, **settings: Any) -> "Method":
        """A child method: this one with some settings changed."""
        return replace(
            self,
            name=name,
            summary=summary,
            parent=self.name,
            control=control,
            settings=replace(self.settings, **settings),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Exactly what determines a trained checkpoint."""

    method: str
    method_version: int
    testbed: str
    seed: int
    settings: Mapping[str, Any]
    scale: Mapping[str, Any]
    base_fingerprint: str
    data_digest: str
    device: str
    versions: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        return digest(asdict(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """Several processes that train one model together: so many of them, or as a file of accelerate's says."""

    processes: int | None = None
    config: Path | None = None

    def describe(self) -> dict[str, Any]:
        """What of it determines the checkpoint."""
        return (
            {"processes": self.processes}
            if self.config is None
            else {"launch": digest(self.config.read_text(encoding="utf-8"))}
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """One training to carry out: fill `folder` with a checkpoint and a `training_log.json`.

    `folder` may hold what a killed attempt left below names that start with a dot. `tell` takes lines of progress.
    `launch` asks for several processes; this is one of so many `processes` then, or the one that starts them.
    """

    method: Method
    testbed: Testbed
    seed: int
    device: str
    folder: Path
    tell: Callable[[str], None]
    threads: int = 1
    launch: Launch | None = None
    processes: int = 1


State = tuple[tuple[str, int, int, int, int], ...]  # name, inode, size and two times of each file that is read


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A complete folder in Hugging Face format; `recipe` is None where somebody else trained it ('adopted').

    `fingerprint` is a hash of every file that is read, and `state` what they were before they were hashed: a
    measurement is kept only if they still are.
    """

    name: str
    seed: int
    folder: Path
    fingerprint: str
    recipe: Recipe | None = None
    state: State = field(default=(), compare=False, repr=False)
