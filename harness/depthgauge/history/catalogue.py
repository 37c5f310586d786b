"""Every claim of some packages of suites as one page: where it comes from, what it says, and what was found of it."""

import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from depthgauge.core.claim import Claim
from depthgauge.core.errors import UsageError
from depthgauge.core.registry import TESTBEDS, modules_of
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import Testbed
from depthgauge.history.recorded import RecordedOutcomes, read_recorded_outcomes
from depthgauge.page.tables import markdown

HEAD = """# Claims

Made by `depthgauge claims`: every claim of every suite, where it comes from, the region that an interval must lie in,
and what the seeds in each testbed's recorded outcomes gave, by method. A claim without a record is of a testbed whose
models are trained in each run, is about change, or is informational.
"""
WORDS = {outcome: outcome.replace("_", " ").lower() for outcome in Outcome}


def catalogue(suites: Sequence[str]) -> str:
    """The page, as markdown. The package above a suite may say in `UNTESTABLE`, by source, why claims are not there.

    Raises: UsageError if there is no such suite.
    """
    packages = modules_of(suites)
    modules = list(dict.fromkeys(module for package in packages for module in suites_in(package)))
    by_testbed = {name: recorded for name in TESTBEDS if (recorded := on_record(TESTBEDS[name])).claims}
    parts = [HEAD, *(part for module in modules for part in suite(module, by_testbed))]
    untestable: dict[str, str] = {}
    for package in packages:
        untestable |= getattr(sys.modules.get(package.rpartition(".")[0]), "UNTESTABLE", {})
    if untestable:
        parts += ["## Without a claim\n", markdown(("citation", "why"), list(untestable.items())) + "\n"]
    return "\n".join(parts)


def suites_in(package: str) -> list[ModuleType]:
    """The files test_*.py of a package and of the folders in it, by name; a suite alone is one.

    Raises: UsageError if there is no such package.
    """
    try:
        imported = importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"{package} is no package of suites that can be imported: {error}.") from None
    folders = getattr(imported, "__path__", None)
    if folders is None and not claims_of(imported):
        raise UsageError(f"{package} is no package of suites, and has no claim itself.")
    if folders is None:
        return [imported]
    names = [module.name for module in pkgutil.walk_packages(folders, f"{package}.")]
    suites = [name for name in names if name.rpartition(".")[2].startswith("test_")]
    return [importlib.import_module(name) for name in sorted(suites, key=lambda name: name.rpartition(".")[2])]


def claims_of(module: ModuleType) -> list[Any]:
    """Its tests that are claims."""
    return [test for test in vars(module).values() if hasattr(test, "__claim__")]


def on_record(testbed: Testbed) -> RecordedOutcomes:
    """Whatever base is at hand: the page says what was found, and not what may be compared with."""
    return (
        read_recorded_outcomes(testbed.recorded_outcomes)
        if testbed.recorded_outcomes is not None and testbed.recorded_outcomes.is_file()
        else RecordedOutcomes()
    )


def suite(module: ModuleType, by_testbed: Mapping[str, RecordedOutcomes]) -> Iterator[str]:
    claims = [test.__claim__ for test in claims_of(module)]
    if claims:
        yield f"## {module.__name__.rpartition('.')[2]}\n"
        yield f"{(module.__doc__ or '').partition(chr(10))[0]}\n"
        headers = ("claim", "what is claimed", "of", "citation", *(f"found on {name}" for name in by_testbed))
        yield markdown(headers, [row(claim, by_testbed.values()) for claim in claims]) + "\n"


def row(claim: Claim, records: Iterable[RecordedOutcomes]) -> list[str]:
    required = "" if claim.required else " (informational)"
    cells = [f"**{claim.id}**{required}", claim.statement, f"{claim.region} {claim.unit}", claim.citation]
    return [
        *(cell.replace("|", "&#124;") for cell in cells),
        *(record(claim, recorded) for recorded in records),
    ]


def record(claim: Claim, recorded: RecordedOutcomes) -> str:
    """'METHOD: 3 refuted, 2 inconclusive', over the recorded seeds."""
    methods = recorded.claims.get(claim.id, {})
    counts = {method: Counter(recorded.outcomes(claim.id, method)) for method in methods}
    return (
        "; ".join(
            f"{method}: " + ", ".join(f"{count} {WORDS[outcome]}" for outcome, count in outcomes.most_common())
            for method, outcomes in counts.items()
        )
        or "-"
    )
