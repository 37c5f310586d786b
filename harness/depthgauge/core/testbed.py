"""A base model, what to train it on, and what to ask it. Frozen, keyword-only, checked when made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from depthgauge.core.errors import NotTestable, UsageError
from depthgauge.core.installed import MODEL_LIBRARIES


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
    """One question of a task. `options` are the full texts to choose from; empty for a generated answer.

    `group` names what it asks about, where others ask about the same: their answers go together, and intervals count
    groups.
    """

    id: str
    prompt: str
    answer: str
    options: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """What a generated text is worth as an answer to an item: what training pays, and what a task counts.

    Raise `version` when `reward_func` changes: the store then trains and examines again. Where `reward_func` waits for
    an answer from somewhere, as many as `max_concurrency` are asked for together.
    """

    name: str
    reward_func: Callable[[Item, str], float]
    weight: float = 1.0
    version: int = 1
    max_concurrency: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a reward's name must be an identifier, as it names a column, got {self.name!r}")


def is_the_answer(item: Item, said: str) -> float:
    """1 for the answer, up to white space at its ends; else 0."""
    return float(said.strip() == item.answer)


CORRECT = Reward(name="correct", reward_func=is_the_answer)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoRA:
    """Adapters (Hu et al. 2021, arXiv:2106.09685) of the blocks' linear layers, all or those that end in `targets`.

    What is saved is merged.
    """

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryOptions:
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
    memory_options: MemoryOptions = MemoryOptions()
    report_to: str = "none"
    method_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        completions, group, parts = (
            self.scale.completions_per_step,
            self.scale.group_size,
            self.memory_options.accumulation,
        )
        if completions % group or completions % parts:
            raise ValueError(
                f"{completions} completions a step cannot be divided into groups of {group}, and into {parts} "
                "micro-batches"
            )
        names = [reward.name for reward in self.rewards]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a training needs rewards of different names, got {names}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a worker asks a cluster for, where the models of a testbed run; GPUs only with --device=cuda."""

    cpus: int = 2
    gpus: int = 1
    memory_gib: int = 8
    minutes: int = 240


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTask:
    """A set of items and how they are answered: by option log-likelihood, or generated and given its reward.

    `temperature` 0 is greedy; above 0, `repeats` sampled answers are averaged per item. `chat` asks each item as a turn
    of the model's chat template. `requires` are distributions that its items are read from.
    """

    name: str
    items: Callable[[], Sequence[Item]]
    temperature: float = 0.0
    repeats: int = 1
    max_answer_tokens: int = 16
    version: int = 1
    reward: Reward = CORRECT
    chat: bool = False
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name by which claims ask for it."""
        return self.name

    @staticmethod
    def lm_eval(name: str, **options: Any) -> "LmEvalTask":
        """A task of lm-eval as it is; options are those of `LmEvalTask`."""
        return LmEvalTask(name=name, **options)

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.repeats != 1:
            raise ValueError(f"a greedy task is answered once, got repeats={self.repeats} for {self.name!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LmEvalTask:
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
            raise ValueError(f"a greedy task is answered once, got repeats={self.repeats} for {self.name!r}")

    @property
    def title(self) -> str:
        return self.called or self.name


ProbeInput = TypeVar("ProbeInput")
ProbeInputs = Mapping[type, Callable[[], Iterable[Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A text that models are run on, of a kind such as 'prose'; `turns` are (role, content) where it is a chat."""

    text: str
    kind: str = ""
    turns: tuple[tuple[str, str], ...] = ()


def kinds_of(texts: Sequence[Text]) -> tuple[str, ...]:
    """The kind of each text, by which intervals count them; none where all are of one kind, or of none.

    Raises: UsageError where some have a kind and some have none.
    """
    kinds = tuple(text.kind for text in texts)
    if "" in kinds and any(kinds):
        raise UsageError(
            f"text {kinds.index('')} of {len(kinds)} has no kind, and others have: give each its kind, as intervals "
            "count kinds of texts, or none."
        )
    return kinds if len(set(kinds)) > 1 else ()


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

    `base` is a folder or a name on the hub, None where methods start from fresh weights. `probe_inputs` maps what a
    probe reads (its own type, such as `greedy_entropy.Opening`) to a callable that gives it. `suites` are those whose
    claims judge what descends from the base: by default, what any training owes its base. `recorded_outcomes` is the
    file of what was found here. `training` is asked for by methods that train. `base_from` is said to whoever lacks the
    base: how it is brought. `threads` of a process; None: as many as the model is large enough for. `resources` are
    those of a worker with --executor. `joined_with` names the testbed whose evaluation tasks and probe inputs a run has
    added.
    """

    __test__ = False  # no class of tests, though its name begins as one's

    name: str
    base: Path | str | None = None
    tasks: tuple[ItemTask | LmEvalTask, ...] = ()
    probe_inputs: ProbeInputs = field(default_factory=dict)
    suites: tuple[str, ...] = ("method",)
    recorded_outcomes: Path | None = None
    training: Training | None = None
    threads: int | None = None
    base_from: str = ""
    resources: Resources = Resources()
    joined_with: str | None = None
    _given: dict[type, tuple[Any, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def task(self, name: str) -> ItemTask | LmEvalTask:
        """The task of that name. Raises: NotTestable if the testbed has none."""
        for task in self.tasks:
            if task.title == name:
                return task
        known = ", ".join(task.title for task in self.tasks) or "none"
        raise NotTestable(f"testbed {self.name!r} has no task {name!r}; it has {known}")

    def inputs(self, kind: type[ProbeInput]) -> tuple[ProbeInput, ...]:
        """What a probe reads, made once. Raises: NotTestable if none of it is named, UsageError if it gives nothing."""
        if kind in self._given:
            return self._given[kind]
        if kind not in self.probe_inputs:
            raise NotTestable(f"testbed {self.name!r} gives no {kind.__name__}, which is read here")
        given = tuple(self.probe_inputs[kind]())
        if not given:
            raise UsageError(
                f"testbed {self.name!r} names {kind.__name__} among its probe inputs and gives none: fill it, or "
                f"leave it "
                "out."
            )
        self._given[kind] = given
        return given

    def training_inputs(self) -> Training:
        """What methods that train need. Raises: UsageError if the testbed has none."""
        if self.training is None:
            raise UsageError(
                f"testbed {self.name!r} has no training prompts, and this method trains: add training=Training(...), "
                "or judge a finished checkpoint with --checkpoint."
            )
        return self.training
