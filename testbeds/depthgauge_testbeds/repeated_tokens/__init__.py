"""Random tokens that repeat: where a small attention-only transformer must form induction heads."""

from pathlib import Path

from depthgauge import TESTBEDS, Testbed

REPEATED_TOKENS = TESTBEDS.register(
    Testbed(
        name="repeated_tokens",
        suites=("circuits",),
        recorded_outcomes=Path(__file__).with_name("recorded.json"),
        threads=1,
    )
)
