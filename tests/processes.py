"""What tests read off a real pytest process on the tiny testbed."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What is planted is found in five trainings; CI runs one of them.
FIVE_SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.more_seeds) for seed in (1, 2, 3, 4))]


def rows(place, method="depthscaled", reports="reports"):
    return json.loads((place / reports / method / "report.json").read_text())


def trained(done):
    return sorted(re.findall(r"training (\w+) \(seed (\d+)\)", done.stdout))


def refusal(done):
    """The one sentence of a run that was refused; there is no traceback beside it."""
    assert "Traceback" not in done.stdout + done.stderr
    assert "During handling" not in done.stdout
    return done.stdout + done.stderr
