"""What flows through the house, from a method to a report. Frozen, keyword-only, checked when made.

Testbed + Method + seed -> Recipe -> Checkpoint -> Measurement -> Estimate -> Claim -> Verdict -> Report
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import NotTestable

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
Population = Literal["items", "prompts", "steps", "seeds", "words", "weights"]


def digest(value: Any) -> str:
    """A 16-digit hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A way to make a checkpoint: its settings, and the function that carries them out.

    `train` fills the folder of a `TrainingJob`; None means the testbed's base, untouched.
    A `control` exists to refute claims and is in no `--method=all`. `testbed` names the only one that it is trained on;
    None is any testbed of language models that has no methods of its own. Raise `version` when the code of `train`
    changes what it makes: the store then trains again.
    """

    name: str
    summary: str
    settings: Any = None
    train: Callable[["TrainingJob"], None] | None = None
    parent: str | None = None
    control: bool = False
    testbed: str | None = None
    version: int = 1

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
    """How large a training run is on a testbed: what a laptop and a GPU node do differently.

    `ascent_step` (epsilon) and `penalty` (gamma) stand here because the scale of the gradient belongs to the testbed.
    """

    steps: int
    learning_rate: float
    completions_per_step: int
    group_size: int
    max_completion_tokens: int
    ascent_step: float
    penalty: float
    save_every_steps: int
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question of an exam. `options` are the full texts to choose from; empty for a generated answer."""

    id: str
    prompt: str
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Exam:
    """A set of items and how they are answered: by option log-likelihood, or generated and compared exactly.

    `temperature` 0 is greedy; above 0, `repeats` sampled answers are averaged per item.
    """

    name: str
    items: Callable[[], Sequence[Item]]
    temperature: float = 0.0
    repeats: int = 1
    max_answer_tokens: int = 16
    version: int = 1

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.repeats != 1:
            raise ValueError(f"a greedy exam is answered once, got repeats={self.repeats} for {self.name!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuestion:
    """A question for a noise trace, with its right answer and the wrong one that a model is tempted by."""

    prompt: str
    right: str
    wrong: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedText:
    """A text, and the formulae or isotopes in it, as they are written there."""

    text: str
    terms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """A text that ends with a compound's formula, for a read-out of `label` that is trained on other folds."""

    text: str
    name: str
    label: str
    fold: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks:
    """Layers of a testbed's base, 0-based, that its sources say something about."""

    late: tuple[int, ...]
    spike: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Testbed:
    """Where checkpoints of one kind are trained and examined. `ledger` holds what was found there."""

    name: str
    ledger: Path
    exams: tuple[Exam, ...] = ()

    @property
    def threads(self) -> int:
        """How many threads a process computes with."""
        return 1

    def exam(self, name: str) -> Exam:
        """The exam of that name. Raises: NotTestable if the testbed has none."""
        for exam in self.exams:
            if exam.name == name:
                return exam
        raise NotTestable(f"testbed {self.name!r} has no exam {name!r}; it has {', '.join(e.name for e in self.exams)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModularTestbed(Testbed):
    """Sums modulo a prime, learnt from nothing by a one-layer transformer: each method says which sums, and how."""

    @property
    def threads(self) -> int:
        return 2  # one large training at a time, where small language models train side by side


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionTestbed(Testbed):
    """Random tokens that repeat, learnt from nothing by a small language model: each method says how."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageTestbed(Testbed):
    """A base model and everything that is asked of its descendants.

    What the last five name may be empty: claims that need it are then not testable.
    """

    base: Path
    training_prompts: Callable[[], Sequence[tuple[str, str]]]
    probe_prompts: Callable[[], Sequence[str]]
    scale: TrainingScale
    landmarks: Landmarks
    trace_questions: Callable[[], Sequence[TraceQuestion]] = tuple
    marked_texts: Callable[[], Sequence[MarkedText]] = tuple
    words: Callable[[], Mapping[str, Sequence[str]]] = dict
    compounds: Callable[[], Sequence[Compound]] = tuple
    passages: Callable[[], Sequence[str]] = tuple

    @property
    def threads(self) -> int:
        return self.scale.threads


def language(testbed: Testbed) -> LanguageTestbed:
    """The testbed, which must be one of language models. Raises: NotTestable for another."""
    if not isinstance(testbed, LanguageTestbed):
        raise NotTestable(f"testbed {testbed.name!r} holds no language models")
    return testbed


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
class TrainingJob:
    """One training to carry out: fill `folder` with a checkpoint and a `training_log.json`.

    `folder` may hold what a killed attempt left below names that start with a dot. `tell` takes lines of progress.
    """

    method: Method
    testbed: Testbed
    seed: int
    device: str
    folder: Path
    tell: Callable[[str], None]


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


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The numbers of one probe or exam on one checkpoint. `key` is a hash of all that determined them."""

    key: str
    probe: str
    parameters: Mapping[str, Any]
    checkpoint: str
    arrays: Mapping[str, NDArray[Any]]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its interval, its unit, and the population that the interval speaks about."""

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

    def __str__(self) -> str:
        if self.low == -math.inf and self.high == math.inf:
            return "any value"
        if self.high == math.inf:
            return f"{'>' if self.open_low else '>='} {self.low:g}"
        if self.low == -math.inf:
            return f"{'<' if self.open_high else '<='} {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement about a method's checkpoint that an interval can refute.

    `about` names the methods it speaks of (empty: every trained method). `control` is a method that must refute it.
    `testbed` names the only one it speaks of, as a method's does.
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
    """Which measurement of which checkpoint a verdict rests on; `key` is empty for a training log."""

    method: str
    seed: int
    checkpoint: str
    folder: str
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a report: the verdict on a claim about a method, and whether the claim's control refuted it."""

    claim: str
    statement: str
    suite: str
    method: str
    source: str
    published: str
    region: str
    rationale: str
    outcome: Outcome
    expected: Outcome
    reason: str
    estimate: Estimate | None
    control: str
    control_outcome: Outcome
    control_reason: str
    evidence: tuple[Evidence, ...]

    @property
    def control_refutes(self) -> bool:
        """A claim that its control does not refute is a check that cannot fail."""
        return self.control_outcome is Outcome.REFUTED

    @property
    def accepted(self) -> bool:
        return self.outcome is self.expected and self.control_refutes

    @property
    def fails(self) -> bool:
        """Refuted, or no longer as recorded, or with a control that proves nothing."""
        decided = self.outcome in (Outcome.SUPPORTED, Outcome.REFUTED)
        return not self.control_refutes or (decided and self.outcome is not self.expected)


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
    outcomes = {name: Outcome(data[name]) for name in ("outcome", "expected", "control_outcome")}
    estimate = Estimate(**data["estimate"]) if data["estimate"] else None
    evidence = tuple(Evidence(**entry) for entry in data["evidence"])
    return Row(**{**data, **outcomes, "estimate": estimate, "evidence": evidence})
