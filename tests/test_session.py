"""Which checkpoints a claim is judged on."""

from pathlib import Path

import numpy as np

from depthgauge.checkpoints import RunContext
from depthgauge.claims import at_least
from depthgauge.session import Session
from depthgauge.stats import exactly
from depthgauge.store.folders import Store
from depthgauge.testbeds.modular_addition import MODULAR_ADDITION
from depthgauge.types import Claim


def test_a_control_that_is_a_method_is_judged_on_its_first_seed_alone(tmp_path: Path) -> None:
    context = RunContext(
        testbed=MODULAR_ADDITION, device="cpu", store=Store(tmp_path, run="test"), tell=lambda line: None
    )
    session = Session(context=context, methods=("grokking_nodecay",), seeds=(0, 1, 2), reports=tmp_path)
    claim = Claim(
        id="c", statement="s", source="here", published="-", region=at_least(1), unit="seeds", control="grokking",
        rationale="r", testbed="modular_addition",
    )  # fmt: skip
    seen = {}

    def test(subject):
        seen[subject.name] = subject.seeds
        return exactly(np.arange(len(subject.seeds)) + 0.5, estimand="x", unit="seeds")

    row = session.judge(claim, test, "test_made_up.py", "grokking_nodecay", {})

    assert seen == {"grokking_nodecay": (0, 1, 2), "grokking": (0,)}
    assert (row.estimate.n, row.control_outcome) == (3, "REFUTED")
