"""The executor that the options of a run name."""

from typing import TYPE_CHECKING

from depthgauge.core.errors import UsageError

if TYPE_CHECKING:
    from depthgauge.executors.engines import Engine
from depthgauge.runs.config import Options


def engine_of(options: Options) -> "Engine | None":
    """What makes what is missing; None where this process does.

    Raises: UsageError for an executor that is not known, or not installed.
    """
    if options.executor is None:
        if options.workers is not None:
            raise UsageError("--workers are those of --executor: name one.")
        return None
    from depthgauge.executors.engines import engine_named

    return engine_named(options.executor, options.workers)
