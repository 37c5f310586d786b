"""What was measured, and how its rooms show it."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence

from depthgauge.core.registry import METHODS
from depthgauge.core.result import Row
from depthgauge.core.testbed import Testbed
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting
from depthgauge.store.folders import Store
from depthgauge.store.measurements import read

Show = Callable[[Sequence[Measured], Setting], Iterator[Section]]
FIRST, LAST = "depthgauge.tasks", "depthgauge.probes.training"  # answers come before what is inside, and logs after


def collect(rows: Iterable[Row], store: Store, testbed: Testbed, olds: Sequence[str]) -> list[Measured]:
    """Every measurement that the rows rest on, once: those of `olds` first, as differences are taken to the first, and
    then in the order of the methods, seeds and exams.
    """
    methods, exams = list(METHODS), [exam.name for exam in testbed.exams]
    found = dict.fromkeys(entry for row in rows for entry in row.evidence)

    def place(one: Measured) -> tuple[bool, int, int, int]:
        method, exam = one.evidence.method, one.measurement.parameters.get("exam")
        return (
            method not in olds,
            methods.index(method) if method in methods else len(methods),
            one.evidence.seed,
            exams.index(exam) if exam in exams else len(exams),
        )

    return sorted((Measured(entry, read(store, entry.key)) for entry in found), key=place)


def sections_of(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The sections of every room that something was measured with."""
    rooms = list(dict.fromkeys(room_of(one) for one in measured))
    for room in sorted(rooms, key=lambda room: (room != FIRST, room == LAST, room)):
        yield from shown_by(room, [one for one in measured if room_of(one) == room], setting)


def room_of(one: Measured) -> str:
    return package_of(one.evidence.probe.partition(":")[0])


def package_of(module: str) -> str:
    """The package that a probe lies in: its module, or the folder of it."""
    return importlib.import_module(module).__package__ or module


def shown_by(room: str, measured: Sequence[Measured], setting: Setting) -> list[Section]:
    """A room's sections; one that cannot show itself says so in its place, and the verdicts stand."""
    try:
        show = show_of(room)
        return [] if show is None else list(show(measured, setting))
    except Exception as error:  # whatever a third party's show raises
        why = escape(f"{room} cannot show what it measured: {type(error).__name__}: {error}")
        return [Section(escape(room), [why])]


def show_of(room: str) -> Show | None:
    """The function `show` of report.py in a probe's package; None where it has none."""
    if importlib.util.find_spec(f"{room}.report") is None:
        return None
    found: Show = importlib.import_module(f"{room}.report").show
    return found
