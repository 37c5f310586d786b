"""The noise trace: the probability of a wrong answer while one layer's output is shaken (Dangi 2026b).

Layers are 0-based. Shapes: N questions, L layers, D draws; targets are the right answer and the wrong one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Testbed
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.articles.noise_trace.settings import COPYING_SCALE, DRAWS, SCALE, Dose, Form, TraceQuestion

RIGHT, WRONG = 0, 1  # the targets


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
    return testbed.inputs(Landmarks)[0] if Landmarks in testbed.probe_inputs else Landmarks.at_depth(layers)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseTrace:
    """Arrays as in `compute.NoiseTrace`, and `right` (N,), the ids of the right answers.

    The `form` says what the questions are: plain, with reasoning, or with the answer appended, where the noise is 0.6
    of the RMS. The `dose` is in proportion to the state's RMS, as published, or to each dimension's own spread over
    tokens: a few dimensions of huge norm make the RMS in many models.
    """

    questions: tuple[TraceQuestion, ...]
    form: Form = "plain"
    dose: Dose = "rms"
    name: ClassVar[str] = "noise_trace"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "the noise trace"

    @property
    def scale(self) -> float:
        return COPYING_SCALE if self.form == "appended" else SCALE

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        questions = digest([[q.prompt, q.right, q.wrong] for q in self.questions])
        return {"questions": questions, "form": self.form, "scale": self.scale, "draws": DRAWS, "dose": self.dose}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.articles.noise_trace.compute import noise_trace, parting

        parted = [parting(checkpoint.tokenizer, question) for question in self.questions]
        targets = [each.targets for each in parted]
        prompt_ids = [each.prompt_ids for each in parted]
        trace = noise_trace(checkpoint.model, prompt_ids, targets, scale=self.scale, dose=self.dose)
        return trace._asdict() | {"right": np.array([right for right, _ in targets])}
