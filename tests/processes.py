"""What tests read off a real pytest process on the tiny testbed."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def refused(kind: type[Exception], *values: object, code: str | None = None) -> Iterator[pytest.ExceptionInfo]:
    """As `pytest.raises`, for an error that names these values and has this code, however it is worded."""
    with pytest.raises(kind) as found:
        yield found
    text = str(found.value)
    assert not [value for value in values if str(value) not in text], text
    assert code in (None, getattr(found.value, "code", None)), text
