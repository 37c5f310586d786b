"""What was measured, and how its packages show it."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from depthgauge.core.registry import METHODS
from depthgauge.core.result import ClaimResult
from depthgauge.core.testbed import Testbed
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Section, Setting
from depthgauge.store.folders import Store
from depthgauge.store.measurements import read

Show = Callable[[Sequence[Measured], Setting], Iterator[Section]]
STRICT = "DEPTHGAUGE_STRICT_REPORTS"  # set in tests of ours: what cannot be shown is an error there
FIRST, LAST = "depthgauge.tasks", "depthgauge.probes.training"  # answers come before what is inside, and logs after


def collect(
    rows: Iterable[ClaimResult], store: Store, testbed: Testbed, baseline_sets: Sequence[str]
) -> list[Measured]:
    """Every measurement that the rows rest on, once: those of `baseline_sets` first, as differences are taken to the
    first, and then in the order of the methods, seeds and tasks.
    """
    methods, tasks = list(METHODS), [task.name for task in testbed.tasks]
    evidence = dict.fromkeys(entry for row in rows for entry in row.evidence)

    def place(entry: Measured) -> tuple[bool, int, int, int]:
        method, task = entry.evidence.method, entry.measurement.parameters.get("item_task")
        return (
            method not in baseline_sets,
            methods.index(method) if method in methods else len(methods),
            entry.evidence.seed,
            tasks.index(task) if task in tasks else len(tasks),
        )

    return sorted((Measured(entry, read(store, entry.key)) for entry in evidence), key=place)


def sections_of(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The sections of every package that something was measured with."""
    packages = list(dict.fromkeys(package_of(entry.evidence.probe.partition(":")[0]) for entry in measured))
    for package in sorted(packages, key=lambda package: (package != FIRST, package == LAST, package)):
        yield from shown_by(
            package,
            [entry for entry in measured if package_of(entry.evidence.probe.partition(":")[0]) == package],
            setting,
        )


def package_of(module: str) -> str:
    """The package that a probe lies in: its module, or the folder of it."""
    return importlib.import_module(module).__package__ or module


def shown_by(package: str, measured: Sequence[Measured], setting: Setting) -> list[Section]:
    """A package's sections that have something in them; one that cannot show itself says so in its place, and the
    verdicts stand.
    """
    try:
        show = show_of(package)
        return [] if show is None else [section for section in show(measured, setting) if section.parts]
    except Exception as error:  # whatever a third party's show raises
        if os.environ.get(STRICT):
            raise
        why = escape(f"{package} cannot show what it measured: {type(error).__name__}: {error}")
        return [Section(escape(package), [why])]


def show_of(package: str) -> Show | None:
    """The function `show` of report.py in a probe's package; None where it has none, or the probe is a lone module."""
    if not hasattr(importlib.import_module(package), "__path__") or not importlib.util.find_spec(f"{package}.report"):
        return None
    show: Show = importlib.import_module(f"{package}.report").show
    return show
