"""Showers of a toy calorimeter: generators that are no language models, held to the same two-sample test."""

from pathlib import Path

from depthgauge import TESTBEDS, Testbed

SHOWERS = TESTBEDS.register(
    Testbed(
        name="showers", suites=("layer_papers",), recorded_outcomes=Path(__file__).with_name("recorded.json"), threads=1
    )
)
