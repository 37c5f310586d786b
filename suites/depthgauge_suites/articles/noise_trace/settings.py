"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass
from typing import Literal

DRAWS, SCALE = 30, 0.5
COPYING_SCALE = 0.6
Dose = Literal["rms", "spread"]
Form = Literal["plain", "reasoned", "appended"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuestion:
    """A question with its right answer and the wrong one that a model is tempted by."""

    prompt: str
    right: str
    wrong: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonedQuestion:
    """A question with reasoning that could lead to its right answer and does not name it, up to where that is said.

    `wrong` is what the testbed's base says instead, and how surely: `probability` of the token at which both part, as
    `search` found it. `again` asks for the answer once more.
    """

    prompt: str
    right: str
    wrong: str
    again: str
    probability: float

    def asked(self) -> TraceQuestion:
        """As published: the reasoning without the answer."""
        return TraceQuestion(prompt=self.prompt, right=self.right, wrong=self.wrong)

    def answered(self) -> TraceQuestion:
        """The same prompt with the right answer appended at its end, so that it only needs to be copied."""
        return TraceQuestion(prompt=f"{self.prompt} {self.right}{self.again}", right=self.right, wrong=self.wrong)
