"""What all of a run shares."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from depthgauge.core.errors import NotCached
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint, Launch, Method
from depthgauge.core.plain import digest
from depthgauge.core.result import Evidence
from depthgauge.core.testbed import Testbed
from depthgauge.models.load import Placement
from depthgauge.store.folders import Store

T = TypeVar("T")
TWINS, FEWEST_TWINS = 10, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The testbed, where models run, what is kept, who is told, and the evidence for the claim that is being judged.

    `read` are the measurements that were read last, by key: several claims ask for each.
    In a plan there is a list `missing`: what is asked for and not in the store is noted there, and not made.
    `allowed` names fields of files that may differ between two checkpoints, as 'generation_config.eos_token_id'; with
    `additions` tokens, rows and a template that a training adds may be there, too. `rounded_as` is the folder that
    twins of the baseline are rounded like: that of the candidate, for controls too; `twins` is how many.
    """

    testbed: Testbed
    store: Store
    tell: Callable[[str], None]
    placement: Placement = field(default_factory=Placement)
    launch: Launch | None = None
    evidence: list[Evidence] = field(default_factory=list)
    missing: "list[Job] | None" = None
    read: dict[str, Measurement] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    additions: bool = False
    rounded_as: Path | None = None
    twins: int = TWINS


@dataclass(frozen=True, kw_only=True, slots=True)
class ToTrain:
    """A checkpoint: of a method on a testbed, with a seed."""

    method: Method
    testbed: Testbed
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ToCorrupt:
    """A corrupted copy of a checkpoint's folder, `base`, by the name of a corruption and its dose."""

    corruption: str
    dose: float
    base: Path
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ToMeasure:
    """A measurement: of a checkpoint of the candidate `name`, beside the other of a pair if there is one."""

    probe: Any
    name: str
    checkpoints: tuple[Checkpoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An entry of the store that is missing: a checkpoint to train, or a measurement to take.

    `work` is what has to be done, in words that are the same for all of its kind; `checkpoint_label` it is done to.
    `weights` are the bytes of the model that is opened for it. `description` is that of the entry.
    """

    kind: str
    description: Mapping[str, Any]
    work: str
    label: str
    weights: int
    todo: ToTrain | ToCorrupt | ToMeasure

    @property
    def key(self) -> str:
        return digest(self.description)

    @property
    def title(self) -> str:
        return f"{self.work}, {self.label}"


def planned(context: RunContext, missing: list[Job]) -> RunContext:
    """The same, in a plan; the evidence that it gathers is its own."""
    return replace(context, missing=missing, evidence=[])


def checkpoint_label(name: str, seed: int) -> str:
    return f"{name} (seed {seed})"


def note_missing(context: RunContext, job: Job) -> NoReturn:
    """Note what is missing. Raises: NotCached; TrainingFailed where it was tried in this run, and failed."""
    assert context.missing is not None
    context.store.raise_if_failed(job.kind, job.key)
    context.missing.append(job)
    raise NotCached(f"{job.title} is not there yet")


def each(asks: Iterable[Callable[[], T]]) -> tuple[T, ...]:
    """What all of them give. In a plan, all are asked before it is told that one is not there yet."""
    given, unmade = [], []
    for ask in asks:
        try:
            given.append(ask())
        except NotCached as error:
            unmade.append(error)
    if unmade:
        raise unmade[0]
    return tuple(given)
