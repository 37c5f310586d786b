"""depthgauge: white-box regression tests for language-model checkpoints, in pytest.

The names a suite, a method or a testbed needs. Importing them imports no torch.
"""

from harness.claims import above, at_least, at_most, below, claim, within
from harness.errors import HarnessError
from harness.registry import METHODS, TESTBEDS
from harness.types import (
    AttentionTestbed,
    Claim,
    Estimate,
    Exam,
    LanguageTestbed,
    Method,
    ModularTestbed,
    Outcome,
    Recipe,
    Region,
    TrainingScale,
    Verdict,
)

__all__ = [
    "METHODS",
    "TESTBEDS",
    "AttentionTestbed",
    "Claim",
    "Estimate",
    "Exam",
    "HarnessError",
    "LanguageTestbed",
    "Method",
    "ModularTestbed",
    "Outcome",
    "Recipe",
    "Region",
    "TrainingScale",
    "Verdict",
    "above",
    "at_least",
    "at_most",
    "below",
    "claim",
    "within",
]
