"""The hooks that a project's conftest.py may answer."""

from depthgauge.core.claim import Margin


def pytest_depthgauge_margins() -> dict[str, Margin] | None:
    """Margins of the project's own for claims about change, by the id of the claim: see docs/compare.md."""
