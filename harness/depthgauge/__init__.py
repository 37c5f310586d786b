"""depthgauge: white-box regression tests for language-model checkpoints, in pytest.

The names a suite, a method, a testbed or a probe needs. Importing them imports no torch.
"""

from typing import TYPE_CHECKING, Any

from depthgauge.core.claim import Claim, Expectation, Margin, Region, Stage, Suite
from depthgauge.core.errors import HarnessError
from depthgauge.core.estimate import Estimate
from depthgauge.core.method import Method, Recipe
from depthgauge.core.registry import METHODS, PROBES, SUITES, TESTBEDS
from depthgauge.core.result import Outcome, Verdict
from depthgauge.core.testbed import ItemTask, LoRA, MemoryOptions, Resources, Reward, Testbed, Training, TrainingScale
from depthgauge.core.verdict import above, at_least, at_most, below, claim, within

if TYPE_CHECKING:
    from depthgauge.api import compare as compare
    from depthgauge.api import verify as verify

EARLIER = {"Exam": "ItemTask", "Tier": "Stage", "Economy": "MemoryOptions", "Needs": "Resources"}  # and no aliases
RUNS = ("compare", "verify")  # opened when they are asked for: a suite's file needs neither


def __getattr__(name: str) -> Any:
    if name in RUNS:
        from depthgauge import api

        return getattr(api, name)
    if name in EARLIER:
        raise ImportError(f"depthgauge has no {name}: it is {EARLIER[name]} now (docs/glossary.md has all names).")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "METHODS",
    "PROBES",
    "SUITES",
    "TESTBEDS",
    "Claim",
    "Estimate",
    "Expectation",
    "HarnessError",
    "ItemTask",
    "LoRA",
    "Margin",
    "MemoryOptions",
    "Method",
    "Outcome",
    "Recipe",
    "Region",
    "Resources",
    "Reward",
    "Stage",
    "Suite",
    "Testbed",
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
