"""What tests read off a real pytest process on the tiny testbed."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def rows(place, method="depthscaled", reports="reports"):
    return json.loads((place / reports / method / "report.json").read_text())


def trained(done):
    return sorted(re.findall(r"training (\w+) \(seed (\d+)\)", done.stdout))


def refusal(done):
    """The one sentence of a run that was refused; there is no traceback beside it."""
    assert "Traceback" not in done.stdout + done.stderr
    assert "During handling" not in done.stdout
    return done.stdout + done.stderr
