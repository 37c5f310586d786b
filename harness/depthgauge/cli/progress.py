"""Progress on the command line: one live line on a terminal, and elsewhere, as in CI's log, one line a minute."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from depthgauge.core.steps import heard_by
from depthgauge.page.escape import one_line

EVERY_S = 60.0
STEPS = ("measuring ", "training ")  # what a line of progress begins with; anything else is a notice, and stays


class Log:
    """Prints notices as they come, the first step, and then once a minute how far the run and its step are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.last: float | None = None
        self.done = self.total = 0
        self.step = ""
        self.listening = ExitStack()

    def __enter__(self) -> Self:
        self.listening.enter_context(heard_by(self.within))
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.close()

    def tell(self, line: str) -> None:
        if line.startswith(STEPS):
            self.step = one_line(line)
            self.show_step(self.step)
        else:
            print(one_line(line), flush=True)

    def within(self, done: int, total: int) -> None:
        """How far the step itself is, of a loop in it."""
        if self.step:
            self.show_step(f"{self.step}: {done} of {total}")

    def show_step(self, line: str) -> None:
        now = self.clock()
        if self.last is None or now - self.last >= EVERY_S:
            self.last = now
            print(f"{self.done} of {self.total} claims after {now - self.began:.0f} s: {line}", flush=True)

    def advance(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class Bar(Log):
    """A live line: what is done now, how many claims are judged, the time so far, and about how much is left."""

    def __init__(self) -> None:
        super().__init__()
        self.part = 0.0  # of the claim that is judged
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

    def __enter__(self) -> Self:
        self.live.start()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.live.stop()

    def tell(self, line: str) -> None:
        if line.startswith(STEPS):
            self.step = one_line(line)
            self.live.update(self.task, description=self.step)
        else:
            self.live.console.print(one_line(line), markup=False, highlight=False)

    def within(self, done: int, total: int) -> None:
        """The bar is a part of a claim further; it does not go back where a measurement has several loops."""
        if self.step:
            self.part = max(self.part, done / total)
            description = f"{self.step}: {done} of {total}"
            self.live.update(self.task, description=description, completed=self.done + self.part)

    def advance(self, done: int, total: int) -> None:
        super().advance(done, total)
        self.part = 0.0
        self.live.update(self.task, completed=done, total=total)


class Silent(Log):
    """Prints nothing."""

    def tell(self, line: str) -> None: ...

    def show_step(self, line: str) -> None: ...


def shown(*, quiet: bool) -> Log:
    """What suits where the output goes."""
    if quiet:
        return Silent()
    return Bar() if sys.stdout.isatty() else Log()
