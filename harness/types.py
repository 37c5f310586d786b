"""What flows through the house, from a method to a report. Frozen, keyword-only, checked when made.

Testbed + Method + seed -> Recipe -> Checkpoint -> Measurement -> Estimate -> Claim -> Verdict -> Report
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable, UsageError

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
Population = str  # what an interval generalises over: "items", "prompts", "steps", "seeds", a unit of a probe's own

MODEL_LIBRARIES = ("torch", "transformers")  # distributions whose versions determine what a model computes


def canonical_json(value: Any) -> bytes:
    """The bytes of a value's JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(value: Any) -> str:
    """A 16-digit hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A way to make a checkpoint: its settings, and the function that carries them out.

    `train` fills the folder of a `TrainingJob`; None means the testbed's base, untouched.
    A `control` exists to refute claims and is in no `--method=all`. `testbed` names the only one that it is trained on;
    None is any testbed that has no methods of its own. Raise `version` when the code of `train` changes what it makes:
    the store then trains again. `alone` trainings take the whole machine, one after the other. An `optional` method is
    asked for by its name, and is in no `--method=all`. `launches` says that `train` heeds the job's `launch`.
    `requires` names the distributions whose versions determine the checkpoint: they are part of its key, and looked for
    before a run.
    """

    name: str
    summary: str
    settings: Any = None
    train: Callable[["TrainingJob"], None] | None = None
    parent: str | None = None
    control: bool = False
    testbed: str | None = None
    version: int = 1
    alone: bool = False
    optional: bool = False
    launches: bool = False
    requires: tuple[str, ...] = MODEL_LIBRARIES

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
class TrainingScale:
    """How large a training run is on a testbed: what a laptop and a GPU node do differently."""

    steps: int
    learning_rate: float
    completions_per_step: int
    group_size: int
    max_completion_tokens: int
    save_every_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question of an exam. `options` are the full texts to choose from; empty for a generated answer."""

    id: str
    prompt: str
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """What a generated text is worth as an answer to an item: what training pays, and what an exam counts.

    Raise `version` when `pays` changes: the store then trains and examines again. Where `pays` waits for an answer from
    somewhere, as many as `at_once` are asked for together.
    """

    name: str
    pays: Callable[[Item, str], float]
    weight: float = 1.0
    version: int = 1
    at_once: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a reward's name must be an identifier, as it names a column, got {self.name!r}")


def is_the_answer(item: Item, said: str) -> float:
    """1 for the answer, up to white space at its ends; else 0."""
    return float(said.strip() == item.answer)


CORRECT = Reward(name="correct", pays=is_the_answer)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoRA:
    """Adapters (Hu et al. 2021, arXiv:2106.09685) of the blocks' linear layers, all or those that end in `targets`.

    What is saved is merged.
    """

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Economy:
    """How a training is fitted into a device.

    `accumulation` divides a step into as many micro-batches; `checkpointing` computes activations again in place of
    keeping them; `precision` is that of the arithmetic, over weights and gradients in float32. With `lora` only
    adapters are trained. `optimizer` is a name of transformers', such as adamw_8bit;
    `vllm` makes rollouts with vLLM on the same device.
    """

    accumulation: int = 1
    checkpointing: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    lora: LoRA | None = None
    optimizer: str = "adamw_torch_fused"
    vllm: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"precision must be float32, or bfloat16 over weights in float32, got {self.precision!r}: in plain "
                "bfloat16 a small step rounds to nothing"
            )
        if self.accumulation < 1:
            raise ValueError(f"accumulation must be at least 1 micro-batch, got {self.accumulation}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What methods that train need of a testbed: questions, how large a training is, and what a completion is paid.

    Several rewards are added up, each times its weight. `chat` asks a question as a turn of the base's chat template.
    `report_to` also sends the log to a service that transformers knows, such as trackio or wandb. `method_settings` are
    values, by name, for settings that a method leaves to the testbed.
    """

    prompts: Callable[[], Sequence[Item]]
    scale: TrainingScale
    rewards: tuple[Reward, ...] = (CORRECT,)
    chat: bool = False
    economy: Economy = Economy()
    report_to: str = "none"
    method_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        completions, group, parts = self.scale.completions_per_step, self.scale.group_size, self.economy.accumulation
        if completions % group or completions % parts:
            raise ValueError(
                f"{completions} completions a step cannot be divided into groups of {group}, and into {parts} "
                "micro-batches"
            )
        names = [reward.name for reward in self.rewards]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a training needs rewards of different names, got {names}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a worker asks a cluster for, where the models of a testbed run; GPUs only with --device=cuda."""

    cpus: int = 2
    gpus: int = 1
    memory_gib: int = 8
    minutes: int = 240


@dataclass(frozen=True, kw_only=True, slots=True)
class Exam:
    """A set of items and how they are answered: by option log-likelihood, or generated and given its reward.

    `temperature` 0 is greedy; above 0, `repeats` sampled answers are averaged per item. `chat` asks each item as a turn
    of the model's chat template.
    """

    name: str
    items: Callable[[], Sequence[Item]]
    temperature: float = 0.0
    repeats: int = 1
    max_answer_tokens: int = 16
    version: int = 1
    reward: Reward = CORRECT
    chat: bool = False

    @property
    def title(self) -> str:
        """The name by which claims ask for it."""
        return self.name

    @staticmethod
    def lm_eval(name: str, **options: Any) -> "Task":
        """A task of lm-eval as it is; options are those of `Task`."""
        return Task(name=name, **options)

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.repeats != 1:
            raise ValueError(f"a greedy exam is answered once, got repeats={self.repeats} for {self.name!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task of lm-eval as it is: its own prompts, filters and metrics.

    What is None is the task's own: `fewshot` examples before each item, `metric` one of those that it computes. `limit`
    is the number of items, drawn with a fixed seed; `chat` applies the model's chat template (None: where the task
    generates and the model has one). `path` is a folder of YAML files beside lm-eval's own, and `trust_code` lets these
    run functions of theirs. `called` is the name by which claims ask for it. With a `temperature`, `repeats` sampled
    answers are averaged per item; `max_answer_tokens` leaves room to think.
    """

    name: str
    fewshot: int | None = None
    limit: int | None = None
    chat: bool | None = None
    metric: str | None = None
    path: Path | None = None
    trust_code: bool = False
    called: str | None = None
    temperature: float | None = None
    repeats: int = 1
    max_answer_tokens: int | None = None
    requires: ClassVar[tuple[str, ...]] = (*MODEL_LIBRARIES, "lm-eval")

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 2:
            raise ValueError(f"limit must be at least 2 items, got {self.limit} for task {self.name!r}")
        if not self.temperature and self.repeats != 1:
            raise ValueError(f"a greedy exam is answered once, got repeats={self.repeats} for {self.name!r}")

    @property
    def title(self) -> str:
        return self.called or self.name


Material = TypeVar("Material")
Materials = Mapping[type, Callable[[], Iterable[Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A text that models are run on, of a kind such as 'prose'; `turns` are (role, content) where it is a chat."""

    text: str
    kind: str = ""
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A word, of a kind such as 'formula' or 'ordinary'."""

    text: str
    kind: str


def by_kind(words: Sequence[Word]) -> dict[str, list[str]]:
    """The texts of words, kinds in the order in which they first come."""
    kinds = dict.fromkeys(word.kind for word in words)
    return {kind: [word.text for word in words if word.kind == kind] for kind in kinds}


@dataclass(frozen=True, kw_only=True, slots=True)
class Testbed:
    """A base model and everything that is asked of its descendants; whatever is left out is asked of nobody.

    `base` is a folder or a name on the hub, None where methods start from fresh weights. `materials` maps what a probe
    reads (its own type, such as `noise_trace.TraceQuestion`) to a callable that gives it. `ledger` is the file of what
    was found here. `training` is asked for by methods that train. `base_from` is said to whoever lacks the base: how it
    is brought. `threads` of a process; None: as many as the model is large enough for. `needs` are those of a worker
    with --executor.
    """

    name: str
    base: Path | str | None = None
    exams: tuple[Exam | Task, ...] = ()
    materials: Materials = field(default_factory=dict)
    ledger: Path | None = None
    training: Training | None = None
    threads: int | None = None
    base_from: str = ""
    needs: Needs = Needs()
    _given: dict[type, tuple[Any, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def exam(self, name: str) -> Exam | Task:
        """The exam of that name. Raises: NotTestable if the testbed has none."""
        for exam in self.exams:
            if exam.title == name:
                return exam
        known = ", ".join(exam.title for exam in self.exams) or "none"
        raise NotTestable(f"testbed {self.name!r} has no exam {name!r}; it has {known}")

    def material(self, kind: type[Material]) -> tuple[Material, ...]:
        """What a probe reads, made once. Raises: NotTestable if none of it is named, UsageError if it gives nothing."""
        if kind in self._given:
            return self._given[kind]
        if kind not in self.materials:
            raise NotTestable(f"testbed {self.name!r} gives no {kind.__name__}, which is read here")
        found = tuple(self.materials[kind]())
        if not found:
            raise UsageError(
                f"testbed {self.name!r} names {kind.__name__} among its materials and gives none: fill it, or leave it "
                "out."
            )
        self._given[kind] = found
        return found

    def training_inputs(self) -> Training:
        """What methods that train need. Raises: UsageError if the testbed has none."""
        if self.training is None:
            raise UsageError(
                f"testbed {self.name!r} has no training prompts, and this method trains: add training=Training(...), "
                "or judge a finished checkpoint with --checkpoint."
            )
        return self.training


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
        return {"processes": self.processes} if self.config is None else {"launch": digest(self.config.read_text())}


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A complete folder in Hugging Face format; `recipe` is None where somebody else trained it ('adopted').

    `fingerprint` is a hash of weights, configuration, tokenizer and chat template.
    """

    name: str
    seed: int
    folder: Path
    fingerprint: str
    recipe: Recipe | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """The numbers of one probe or exam on one checkpoint. `key` is a hash of all that determined them.

    `refusal` is why there are none, where the checkpoint cannot carry them. Hashed by identity, so that what several
    claims derive from one can be kept by `lru_cache`.
    """

    key: str
    probe: str
    parameters: Mapping[str, Any]
    checkpoint: str
    arrays: Mapping[str, NDArray[Any]]
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number per unit (item, prompt, step) and seed: what an estimate is made from.

    `values` has shape (seeds, units); `ids` names the units, so that only like is compared with like. `right` is the
    score of a right answer where every score is that or 0, and None where scores can lie between.
    """

    ids: tuple[str, ...]
    values: NDArray[np.float64]
    unit: str
    population: Population
    right: float | None = None

    def __post_init__(self) -> None:
        if self.right is not None and not np.isin(self.values, (0.0, self.right)).all():
            raise ValueError(f"every score must be 0 or {self.right:g}")
        if self.values.ndim != 2 or self.values.shape[1] != len(self.ids):
            raise ValueError(f"values must have shape (seeds, {len(self.ids)}), got {self.values.shape}")

    def times(self, factor: float) -> "Scores":
        """The same scores, each multiplied."""
        return replace(self, values=factor * self.values, right=None)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """One number per unit (prompt), column (layer, head) and seed: `values` has shape (seeds, units, columns)."""

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    unit: str
    population: Population

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[1:] != (len(self.ids), len(self.columns)):
            shape = f"(seeds, {len(self.ids)}, {len(self.columns)})"
            raise ValueError(f"values must have shape {shape}, got {self.values.shape}")

    def only(self, columns: Iterable[str]) -> "Profiles":
        """The same with some of the columns. Raises: NotTestable if one of them is not there."""
        wanted = tuple(columns)
        missing = [name for name in wanted if name not in self.columns]
        if missing:
            raise NotTestable(f"this checkpoint has no layer {missing[0]}; its layers are 0 to {self.columns[-1]}")
        places = [self.columns.index(name) for name in wanted]
        return replace(self, columns=wanted, values=self.values[:, :, places])


def by_head(values: NDArray[np.floating], ids: tuple[str, ...], unit: str) -> Profiles:
    """Values (seeds, prompts, L, H) with a column for each head, 'layer 0 head 0' and so on."""
    seeds, prompts, layers, heads = values.shape
    columns = tuple(f"layer {layer} head {head}" for layer in range(layers) for head in range(heads))
    flat = values.reshape(seeds, prompts, layers * heads).astype(float)
    return Profiles(ids=ids, columns=columns, values=flat, unit=unit, population="prompts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its interval, its unit, and the population that the interval speaks about.

    `where` names the layer, head or projection that it is of, where it was found by looking at all of them.
    """

    estimand: str
    unit: str
    point: float
    low: float
    high: float
    level: float
    n: int
    method: str
    generalises_over: Population
    critical_value: float | None = None
    where: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.point <= self.high:
            raise ValueError(f"low <= point <= high must hold, got {self.low}, {self.point}, {self.high}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}; did you mean {self.level / 100}?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """The values for which a claim holds, in the unit of its estimate; an open end excludes the bound itself."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a region needs low < high, got {self.low} and {self.high}")

    def contains(self, low: float, high: float) -> bool:
        """Whether every value of the interval lies in the region."""
        return (low > self.low if self.open_low else low >= self.low) and (
            high < self.high if self.open_high else high <= self.high
        )

    def disjoint(self, low: float, high: float) -> bool:
        """Whether no value of the interval lies in the region."""
        return (high <= self.low if self.open_low else high < self.low) or (
            low >= self.high if self.open_high else low > self.high
        )

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Both ends; None where there is none."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return low, high

    def as_wide_as(self, margin: float) -> "Region":
        """The region with its ends that far from 0. Raises: ValueError where an end lies at 0, which is no margin."""
        if 0 in (self.low, self.high):
            raise ValueError(f"{self} allows no margin")
        low, high = (math.copysign(margin if math.isfinite(end) else math.inf, end) for end in (self.low, self.high))
        return replace(self, low=low, high=high)

    def __str__(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "any value"
        if self.high == math.inf:
            return f"{'>' if self.open_low else '>='} {self.low:g}"
        if self.low == -math.inf:
            return f"{'<' if self.open_high else '<='} {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a claim about change may be from no change at all, for a project of its own: in the unit of the claim."""

    value: float
    unit: str
    reason: str

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise ValueError(f"a margin lies above 0, got {self.value}")
        if not self.unit or not self.reason:
            raise ValueError(f"a margin of {self.value} needs its unit and a reason")


class Expectation(StrEnum):
    """What is expected of a new checkpoint: to equal the old one within margins, or to be a trained successor of it."""

    EQUAL = "equal"
    TRAINED = "trained"


class Tier(IntEnum):
    """What a claim about change looks at, in the order of cost: a tier that blocks ends the run."""

    FILES = 0
    WEIGHTS = 1
    INTERNALS = 2
    GENERATION = 3
    EXAMS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement about a method's checkpoint that an interval can refute.

    `about` names the methods it speaks of (empty: every trained method). `control` is a method that must refute it.
    `testbed` names the only one it speaks of, as a method's does. A claim that does not gate is shown, and fails
    nothing. `tier` orders claims about change, and `expect` names the one expectation that they belong to, if not all.
    """

    id: str
    statement: str
    source: str
    published: str
    region: Region
    unit: str
    control: str
    rationale: str
    about: tuple[str, ...] = ()
    testbed: str | None = None
    gates: bool = True
    tier: Tier = Tier.INTERNALS
    expect: Expectation | None = None

    def within(self, margin: Margin) -> "Claim":
        """The same claim with another margin and its reason. Raises: ValueError if it has none, or in another unit."""
        if margin.unit != self.unit:
            raise ValueError(f"the margin of {self.id!r} is in {self.unit!r}, got {margin.value} {margin.unit!r}")
        return replace(self, region=self.region.as_wide_as(margin.value), rationale=margin.reason)


class Outcome(StrEnum):
    """What an interval says about a claim; NOT_TESTABLE where the checkpoint cannot carry the claim."""

    SUPPORTED = "SUPPORTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_TESTABLE = "NOT_TESTABLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What an estimate says about a claim, with the reason in one sentence."""

    claim: Claim
    outcome: Outcome
    reason: str
    estimate: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Which measurement of which checkpoint a verdict rests on; `probe` says where it lives, 'package.module:Class'."""

    method: str
    seed: int
    checkpoint: str
    key: str
    probe: str


FAMILY_LEVEL = 0.05  # the chance that any of the gating claims of a run is refuted wrongly


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a report: the verdict on a claim about a checkpoint, and what the claim's control came to.

    `recorded` is what the ledger's seeds gave, an outcome a seed, empty where it does not speak. `gates` is False where
    nothing hangs on the verdict, `only_old` True where the old checkpoint can carry the claim and the new one cannot.
    `place` is the claim's among all that were collected: rows are shown in the order in which suites make them. `p` is
    that of the region's bound (`claims.p_value`), and `holm_p` the same adjusted for all claims of the run. `family` is
    how many gating claims the run makes, where a refutation must stand beside all of them; 0 where each stands alone.
    `bounds` are the region's ends; None where it has none.
    """

    claim: str
    statement: str
    suite: str
    method: str
    source: str
    published: str
    region: str
    rationale: str
    outcome: Outcome
    reason: str
    estimate: Estimate | None
    control: str
    control_outcome: Outcome
    control_reason: str
    evidence: tuple[Evidence, ...]
    recorded: tuple[Outcome, ...] = ()
    gates: bool = True
    only_old: bool = False
    place: int = 0
    p: float | None = None
    holm_p: float | None = None
    family: int = 0
    bounds: tuple[float | None, float | None] = (None, None)

    @property
    def stands(self) -> bool:
        """Whether a refutation holds beside the run's others: else it is one that so many claims give by chance."""
        return self.family == 0 or (self.holm_p is not None and self.holm_p < FAMILY_LEVEL)

    @property
    def control_refutes(self) -> bool:
        """A claim that its control does not refute is a check that cannot fail."""
        return self.control_outcome is Outcome.REFUTED

    @property
    def as_recorded(self) -> bool:
        """Refuted, as at least one recorded seed was."""
        return self.outcome is Outcome.REFUTED and Outcome.REFUTED in self.recorded

    @property
    def now_holds(self) -> bool:
        """Supported, where every recorded seed was refuted."""
        return self.outcome is Outcome.SUPPORTED and set(self.recorded) == {Outcome.REFUTED}

    @property
    def fails(self) -> bool:
        """Refuted where no recorded seed was, or no longer as recorded, or with a control that proves nothing.

        What cannot be tested fails nothing, and proves nothing either.
        """
        refuted = self.outcome is Outcome.REFUTED and self.stands and not self.as_recorded
        tested = self.gates and self.outcome is not Outcome.NOT_TESTABLE
        return tested and (not self.control_refutes or refuted or self.now_holds)


def to_plain(value: Any) -> Any:
    """`value` as exact builtins that JSON and a worker's wire can carry; non-finite numbers become their names."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, StrEnum | Path):
        return str(value)
    return value


def row_from_plain(data: Mapping[str, Any]) -> Row:
    """The inverse of `to_plain` for a row."""
    outcomes = {name: Outcome(data[name]) for name in ("outcome", "control_outcome")}
    recorded = tuple(map(Outcome, data["recorded"]))
    estimate = Estimate(**data["estimate"]) if data["estimate"] else None
    evidence = tuple(Evidence(**entry) for entry in data["evidence"])
    tuples = {"recorded": recorded, "evidence": evidence, "bounds": tuple(data["bounds"])}
    return Row(**{**data, **outcomes, **tuples, "estimate": estimate})
