"""The noise trace: the probability of a wrong answer while one layer's output is shaken (Dangi 2026b).

Layers are 0-based. Shapes: N questions, L layers, D draws; targets are the right answer and the wrong one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Profiles, Scores, Testbed, digest

RIGHT, WRONG = 0, 1  # the targets
DRAWS, SCALE = 30, 0.5
COPYING_SCALE = 0.6
Dose = Literal["rms", "spread"]
FELT_NATS = 0.01  # a hundredth of an answer's probability: no claim asks for less
SATURATED_SHARE = 0.02  # of the answers' clean probability, at the layer that leaves most


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuestion:
    """A question with its right answer and the wrong one that a model is tempted by."""

    prompt: str
    right: str
    wrong: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks:
    """Layers of a testbed's base, 0-based, that the articles say something about.

    `scaled` where they are the articles' fractions of depth, as the testbed names no layers of its own.
    """

    late: tuple[int, ...]
    spike: int
    scaled: bool = False

    @classmethod
    def at_depth(cls, layers: int) -> "Landmarks":
        """The articles' layers, 18 and 20 to 35 of 36 (Dangi 2026b), at the same fractions of another depth."""
        late = tuple(range(round(20 / 36 * layers), layers))
        return cls(late=late, spike=round(18 / 36 * layers), scaled=True)


def landmarks(testbed: Testbed, layers: int) -> Landmarks:
    """Those that the testbed gives, or else the articles' fractions of depth."""
    return testbed.material(Landmarks)[0] if Landmarks in testbed.materials else Landmarks.at_depth(layers)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseTrace:
    """Arrays as in `compute.NoiseTrace`, and `right` (N,), the ids of the right answers.

    When `copying`, the answered question stands before the question, and the noise is 0.6 of the RMS. The `dose` is in
    proportion to the state's RMS, as published, or to each dimension's own spread over tokens: a few dimensions of huge
    norm make the RMS in many models.
    """

    questions: tuple[TraceQuestion, ...]
    copying: bool = False
    dose: Dose = "rms"
    name: ClassVar[str] = "noise_trace"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "the noise trace"

    @property
    def scale(self) -> float:
        return COPYING_SCALE if self.copying else SCALE

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        questions = digest([[q.prompt, q.right, q.wrong] for q in self.questions])
        dose = {} if self.dose == "rms" else {"dose": self.dose}  # what is published has the key that it always had
        return {"questions": questions, "copying": self.copying, "scale": self.scale, "draws": DRAWS, **dose}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.noise_trace.compute import noise_trace, parting

        parted = [parting(one.tokenizer, question, copying=self.copying) for question in self.questions]
        targets = [each.targets for each in parted]
        prompt_ids = [each.prompt_ids for each in parted]
        trace = noise_trace(one.model, prompt_ids, targets, scale=self.scale, dose=self.dose)
        return trace._asdict() | {"right": np.array([right for right, _ in targets])}


def wrong_probability(subject: Subject) -> Scores:
    """Per question, the mean probability of its wrong answer over all layers and draws."""
    taken = traces(subject)
    values = np.stack([np.exp(one.arrays["noisy"][:, WRONG]).mean(axis=(1, 2)) for one in taken]).astype(float)
    return Scores(ids=prompts(subject), values=values, unit="probability", population="prompts")


def profile(subject: Subject, dose: Dose = "rms") -> Profiles:
    """Per question and shaken layer, the mean probability of the wrong answer over draws."""
    return by_layer(subject, mean, dose)


def spike_layer(subject: Subject) -> str:
    """The layer at which the testbed's sources see a spike."""
    return str(landmarks(subject.testbed, depth(subject)).spike)


def late_spread(subject: Subject, dose: Dose = "rms") -> Profiles:
    """Per question and late layer, the mean distance of the wrong answer's probability from its median over draws.

    The deviations of Brown and Forsythe (1974): their differences test spreads as those of means test levels.
    """
    spread = by_layer(subject, deviation, dose)
    return spread.only(str(layer) for layer in landmarks(subject.testbed, depth(subject)).late)


def copies_under_noise(subject: Subject) -> Scores:
    """Per question whose right answer stands in its prompt, 1 if every layer and draw still copies it, else 0."""
    taken = traces(subject, copying=True)
    values = np.stack([(one.arrays["greedy"] == one.arrays["right"][:, None, None]).all(axis=(1, 2)) for one in taken])
    return Scores(
        ids=prompts(subject), values=values.astype(float), unit="share", population="prompts", right=1.0
    )  # fmt: skip


def traces(subject: Subject, *, copying: bool = False, dose: Dose = "rms") -> tuple[Measurement, ...]:
    """Each seed's noise trace. Raises: NotTestable if the testbed has no trace questions."""
    return subject.measure(NoiseTrace(questions=subject.material(TraceQuestion), copying=copying, dose=dose))


def prompts(subject: Subject) -> tuple[str, ...]:
    return tuple(question.prompt for question in subject.material(TraceQuestion))


def depth(subject: Subject) -> int:
    """How many layers were shaken."""
    return int(traces(subject)[0].arrays["noisy"].shape[2])


Summary = Callable[[NDArray[Any]], NDArray[Any]]


def mean(probabilities: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(probabilities.mean(axis=-1))


def deviation(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The mean distance from the median."""
    return np.asarray(np.abs(probabilities - np.median(probabilities, axis=-1, keepdims=True)).mean(axis=-1))


def by_layer(subject: Subject, summary: Summary, dose: Dose = "rms") -> Profiles:
    """`summary` over the draws of the wrong answer's probabilities, of shape (questions, layers, draws).

    Raises: NotTestable if the noise is felt at no layer, or leaves nothing of the answers at any.
    """
    values = np.stack([summarised(one, summary) for one in traces(subject, dose=dose)])
    layers = tuple(map(str, range(values.shape[2])))
    return Profiles(
        ids=prompts(subject), columns=layers, values=values.astype(float), unit="probability", population="prompts"
    )  # fmt: skip


@lru_cache(maxsize=16)
def summarised(trace: Measurement, summary: Summary) -> NDArray[Any]:
    """Of shape (questions, layers). Raises: as `check_felt`."""
    return summary(wrong_where_felt(trace))


@lru_cache(maxsize=4)
def wrong_where_felt(trace: Measurement) -> NDArray[Any]:
    """The wrong answer's probabilities, of shape (questions, layers, draws). Raises: as `check_felt`."""
    check_felt(trace.arrays)
    return np.asarray(np.exp(trace.arrays["noisy"][:, WRONG]))


def check_felt(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises: NotTestable for a trace that is a picture of nothing: all layers as if unshaken, or all destroyed."""
    clean, noisy = (np.asarray(arrays[name], float) for name in ("clean", "noisy"))
    moved = np.abs(noisy - clean[:, :, None, None]).mean(axis=(0, 1, 3)).max()
    if moved < FELT_NATS:
        raise NotTestable(f"the noise is felt at no layer: it moves no answer by more than {moved:.2g} nats on average")
    left = (np.exp(noisy).sum(axis=1).mean(axis=(0, 2)) / np.exp(clean).sum(axis=1).mean()).max()
    if left < SATURATED_SHARE:
        raise NotTestable(f"the noise saturates: at most {left:.2g} of the answers' probability is left at any layer")
