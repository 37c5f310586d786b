"""Progress on the command line: one live line on a terminal, and elsewhere, as in CI's log, one line a minute."""

import sys
import time
from collections.abc import Callable
from typing import Any

from depthgauge.page.escape import one_line

EVERY_S = 60.0
STEPS = ("measuring ", "training ")  # what a line of progress begins with; anything else is a notice, and stays


class Log:
    """Prints notices as they come, the first step, and then a step a minute with how far the run is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.last: float | None = None
        self.done = self.total = 0

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None: ...

    def tell(self, line: str) -> None:
        now = self.clock()
        is_step = line.startswith(STEPS)
        if is_step and self.last is not None and now - self.last < EVERY_S:
            return
        if is_step:
            self.last = now
            line = f"{self.done} of {self.total} claims after {now - self.began:.0f} s: {line}"
        print(one_line(line), flush=True)

    def advance(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class Bar(Log):
    """A live line: what is done now, how many claims are judged, the time so far, and about how much is left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        step = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        fixed = Column(no_wrap=True, min_width=7)
        left = TimeRemainingColumn(table_column=fixed)
        columns: list[Any] = [BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"), left, step]
        self.live = Progress(*columns, console=Console(file=sys.stdout), transient=True, speed_estimate_period=600)
        self.task = self.live.add_task("reading both checkpoints", total=None)

    def __enter__(self) -> "Bar":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def tell(self, line: str) -> None:
        if line.startswith(STEPS):
            self.live.update(self.task, description=one_line(line))
        else:
            self.live.console.print(one_line(line), markup=False, highlight=False)

    def advance(self, done: int, total: int) -> None:
        self.live.update(self.task, completed=done, total=total)


class Silent(Log):
    """Prints nothing."""

    def tell(self, line: str) -> None: ...


def shown(*, quiet: bool) -> Log:
    """What suits where the output goes."""
    if quiet:
        return Silent()
    return Bar() if sys.stdout.isatty() else Log()
