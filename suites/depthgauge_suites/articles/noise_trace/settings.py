"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass
from typing import Literal

DRAWS, SCALE = 30, 0.5
COPYING_SCALE = 0.6
Dose = Literal["rms", "spread"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceQuestion:
    """A question with its right answer and the wrong one that a model is tempted by."""

    prompt: str
    right: str
    wrong: str
