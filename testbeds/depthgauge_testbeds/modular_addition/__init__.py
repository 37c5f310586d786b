"""Modular addition: a one-layer transformer that can be understood completely. The methods say which sums it learns."""

from pathlib import Path

from depthgauge import TESTBEDS, Testbed

MODULAR_ADDITION = TESTBEDS.register(
    Testbed(
        name="modular_addition",
        suites=("grokking",),
        recorded_outcomes=Path(__file__).with_name("recorded.json"),
        threads=2,
    )
)
