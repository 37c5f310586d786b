"""A project's conftest.py without pytest: what it registers, and the margins that it gives."""

import sys
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError, raised_by_user_code
from depthgauge.core.outside import checkpoint_around
from depthgauge.core.registry import FILES, load_by_path, load_entry_points

MARGINS = "pytest_depthgauge_margins"


def load_conftest(path: Path) -> dict[str, Any]:
    """Run a conftest.py, so that it registers what it has; the margins that it gives, by claim.

    Raises: UsageError if it is not there, lies in a checkpoint's folder, or raises.
    """
    load_entry_points()  # so that it can build on what ships
    if not path.is_file():
        raise UsageError(f"--conftest={path} is no file: name your project's conftest.py.")
    around = checkpoint_around(path)
    if around is not None:
        raise UsageError(
            f"--conftest={path} lies in the checkpoint {around}, of which no file is run.", code="in-checkpoint"
        )
    name = f"depthgauge_project_{path.stem}"
    FILES[name] = str(path.resolve())  # workers of --executor load it, too
    sys.path.insert(0, str(path.resolve().parent))  # it may import what lies beside it, as under pytest
    try:
        load_by_path(name, FILES[name])
        margins: dict[str, Any] | None = getattr(sys.modules[name], MARGINS, dict)()
        return dict(margins or {})
    except Exception as error:  # whatever a project's file raises
        raise raised_by_user_code(
            UsageError(f"--conftest={path} raises {type(error).__name__}: {error}"), error
        ) from error
