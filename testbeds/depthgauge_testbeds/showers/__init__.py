"""Showers of a toy calorimeter: generators that are no language models, held to the same two-sample test."""

from pathlib import Path

from depthgauge import TESTBEDS, Testbed

SHOWERS = TESTBEDS.register(Testbed(name="showers", ledger=Path(__file__).with_name("ledger.json"), threads=1))
