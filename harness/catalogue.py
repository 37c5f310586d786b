"""Every claim of some packages of suites as one page: where it comes from, what it says, and what was found of it."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from depthgauge.errors import UsageError
from depthgauge.ledger import Ledger, read_ledger
from depthgauge.page.tables import markdown
from depthgauge.registry import TESTBEDS
from depthgauge.types import Claim, Outcome, Testbed

HEAD = """# Claims

Made by `depthgauge claims`: every claim of every suite, where it comes from, the region that an interval must lie in,
and what the seeds in each testbed's ledger gave, by method. A claim without a record is of a testbed whose models are
trained in each run, is about change, or gates nothing.
"""
WORDS = {outcome: outcome.replace("_", " ").lower() for outcome in Outcome}


def catalogue(packages: Sequence[str]) -> str:
    """The page, as markdown. A package may say in `UNTESTABLE`, by source, why claims of it are not there.

    Raises: UsageError if there is no such package.
    """
    modules = [module for package in packages for module in suites_in(package)]
    ledgers = {name: ledger for name in TESTBEDS if (ledger := on_record(TESTBEDS[name])).claims}
    parts = [HEAD, *(part for module in modules for part in suite(module, ledgers))]
    untestable: dict[str, str] = {}
    for package in packages:
        untestable |= getattr(importlib.import_module(package), "UNTESTABLE", {})
    if untestable:
        parts += ["## Without a claim\n", markdown(("source", "why"), list(untestable.items())) + "\n"]
    return "\n".join(parts)


def suites_in(package: str) -> list[ModuleType]:
    """Its modules; a suite alone is one. Raises: UsageError if there is no such package."""
    try:
        found = importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"{package} is no package of suites that can be imported: {error}.") from None
    folders = getattr(found, "__path__", None)
    if folders is None and not claims_of(found):
        raise UsageError(f"{package} is no package of suites, and has no claim itself.")
    if folders is None:
        return [found]
    return [importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(folders)]


def claims_of(module: ModuleType) -> list[Any]:
    """Its tests that are claims."""
    return [test for test in vars(module).values() if hasattr(test, "__claim__")]


def on_record(testbed: Testbed) -> Ledger:
    """Whatever base is at hand: the page says what was found, and not what may be compared with."""
    return read_ledger(testbed.ledger) if testbed.ledger is not None and testbed.ledger.is_file() else Ledger()


def suite(module: ModuleType, ledgers: Mapping[str, Ledger]) -> Iterator[str]:
    claims = [test.__claim__ for test in claims_of(module)]
    if claims:
        yield f"## {module.__name__.rpartition('.')[2]}\n"
        yield f"{(module.__doc__ or '').partition(chr(10))[0]}\n"
        headers = ("claim", "what is claimed", "of", "source", *(f"found on {name}" for name in ledgers))
        yield markdown(headers, [row(claim, ledgers.values()) for claim in claims]) + "\n"


def row(claim: Claim, ledgers: Iterable[Ledger]) -> list[str]:
    gates = "" if claim.gates else " (gates nothing)"
    cells = [f"**{claim.id}**{gates}", claim.statement, f"{claim.region} {claim.unit}", claim.source]
    return [*(cell.replace("|", "&#124;") for cell in cells), *(record(claim, ledger) for ledger in ledgers)]


def record(claim: Claim, ledger: Ledger) -> str:
    """'METHOD: 3 refuted, 2 inconclusive', over the recorded seeds."""
    methods = ledger.claims.get(claim.id, {})
    counts = {method: Counter(ledger.outcomes(claim.id, method)) for method in methods}
    return (
        "; ".join(
            f"{method}: " + ", ".join(f"{count} {WORDS[outcome]}" for outcome, count in found.most_common())
            for method, found in counts.items()
        )
        or "-"
    )
