"""depthgauge: white-box regression tests for language-model checkpoints, in pytest.

The names a suite, a method, a testbed or a probe needs. Importing them imports no torch.
"""

if __name__ != "depthgauge":
    raise ImportError(f"this package is called depthgauge: write 'import depthgauge', not 'import {__name__}'.")

from typing import TYPE_CHECKING, Any

from depthgauge.claims import above, at_least, at_most, below, claim, within
from depthgauge.errors import HarnessError
from depthgauge.registry import METHODS, PROBES, TESTBEDS
from depthgauge.types import (
    Claim,
    Economy,
    Estimate,
    Exam,
    Expectation,
    LoRA,
    Margin,
    Method,
    Needs,
    Outcome,
    Recipe,
    Region,
    Reward,
    Testbed,
    Tier,
    Training,
    TrainingScale,
    Verdict,
)

if TYPE_CHECKING:
    from depthgauge.judging import compare as compare
    from depthgauge.judging import verify as verify

RUNS = ("compare", "verify")  # opened when they are asked for: a suite's file needs neither


def __getattr__(name: str) -> Any:
    if name in RUNS:
        from depthgauge import judging

        return getattr(judging, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "METHODS",
    "PROBES",
    "TESTBEDS",
    "Claim",
    "Economy",
    "Estimate",
    "Exam",
    "Expectation",
    "HarnessError",
    "LoRA",
    "Margin",
    "Method",
    "Needs",
    "Outcome",
    "Recipe",
    "Region",
    "Reward",
    "Testbed",
    "Tier",
    "Training",
    "TrainingScale",
    "Verdict",
    "above",
    "at_least",
    "at_most",
    "below",
    "claim",
    "compare",
    "verify",
    "within",
]
