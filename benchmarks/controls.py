"""Which claims each planted control trips, into docs/controls.md: `python -m benchmarks.controls [--store=DIR]`.

Every claim of the pocket testbed is judged on every checkpoint that was broken on purpose, and on its own base. What a
claim is compared with is trained where the store has none.
"""

import argparse
import inspect
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from depthgauge import METHODS
from depthgauge.core.claim import Claim
from depthgauge.core.registry import CORRUPTIONS, TESTBEDS, load_entry_points, methods_on
from depthgauge.core.result import Outcome
from depthgauge.corruptions.corrupted import AT
from depthgauge.executors.engines import engine_named
from depthgauge.executors.hand_out import hand_out
from depthgauge.history.catalogue import claims_of, suites_in
from depthgauge.measure.context import RunContext
from depthgauge.models.load import prepare_libraries
from depthgauge.page.tables import markdown
from depthgauge.runs.progress import Follower
from depthgauge.runs.session import MethodSession, Session, Test
from depthgauge.store.folders import Store

PAGE = Path(__file__).parents[1] / "docs" / "controls.md"
SUITES, CHECKS, TESTBED = "depthgauge_suites", "depthgauge.checks", "pocket"
LETTERS = {Outcome.SUPPORTED: "S", Outcome.REFUTED: "R", Outcome.INCONCLUSIVE: "I", Outcome.NOT_TESTABLE: ""}
HEAD = """# What each control trips

Every claim of the pocket testbed, judged on its base and on every checkpoint that was broken on purpose, by
`python -m benchmarks.controls`. S supported, R refuted, I inconclusive, nothing where not testable; a claim's own
control is **bold**. Three have a training of their own: another reward, or another temperature.
"""
SHARP = """A control is sharp where it refutes the claims that it is there for, and few others that the base does not
refute as well.
"""


def claims() -> Iterator[tuple[Claim, Test]]:
    """The shipped claims on any language model, but those about change, which have two folders to compare."""
    return ((declared, test) for declared, test in claims_in(SUITES) if declared.testbed is None)


def claims_in(package: str) -> Iterator[tuple[Claim, Test]]:
    return ((test.__claim__, test) for module in suites_in(package) for test in claims_of(module))


def controls() -> list[str]:
    """Every corruption that a claim names, at whatever dose, and every trained control of the testbed."""
    named = {declared.control.partition(AT)[0] for package in (SUITES, CHECKS) for declared, _ in claims_in(package)}
    trained = [name for name in methods_on(TESTBED) if METHODS[name].control]
    return [*(name for name in CORRUPTIONS if name in named), *trained]


def arguments(test: Test) -> tuple[str, ...]:
    return tuple(inspect.signature(test).parameters)


def outcomes(claim: Claim, test: Test, judged: Sequence[str], session: Session) -> list[Outcome]:
    """Of the claim on each."""
    others = {name: session.checkpoint_set(name) for name in arguments(test) if name != "candidate"}
    return [session.verdict(claim, test, session.checkpoint_set(name), others).outcome for name in judged]


def row(session: Session, claim: Claim, test: Test, judged: Sequence[str]) -> list[str]:
    """The claim's outcomes, as letters."""
    letters = zip(judged, (LETTERS[one] for one in outcomes(claim, test, judged, session)), strict=True)
    return [claim.id, *(f"**{letter}**" if letter and name == claim.control else letter for name, letter in letters)]


def page(rows: Sequence[Sequence[str]], judged: Sequence[str]) -> str:
    headers = ["control", "claims that it is there for, testable here", "of which it refutes", "others that it refutes"]
    sharpness = [sharpness_of(place, name, rows) for place, name in enumerate(judged[1:], start=2)]
    return f"{HEAD}\n{SHARP}\n{markdown(headers, sharpness)}\n\n{markdown(['claim', *judged], rows)}\n"


def sharpness_of(place: int, control: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A control by its column; the base's is the first one after the claims."""
    own = [row for row in rows if row[place].startswith("**")]
    others = [row for row in rows if row[place] == LETTERS[Outcome.REFUTED] != row[1]]
    refuted = [row for row in own if row[place] == f"**{LETTERS[Outcome.REFUTED]}**"]
    return [control, str(len(own)), str(len(refuted)), str(len(others))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path(".depthgauge"))
    store = Store(parser.parse_args().store.resolve(), run=uuid.uuid4().hex[:8])
    load_entry_points()
    prepare_libraries(1)
    context = RunContext(testbed=TESTBEDS[TESTBED], store=store, tell=lambda line: print(line, flush=True))
    session = MethodSession(context=context, reports=Path("reports"), methods=(), training_seeds=(0,))
    judged = ["base_model", *controls()]
    told = store.root / "progress" / "controls.log"
    follower = Follower(told, context.tell)
    hand_out(session, [partial(outcomes, *each, judged) for each in claims()], engine_named("local", None), told)
    follower.stop()
    PAGE.write_text(page([row(session, *each, judged) for each in claims()], judged))


if __name__ == "__main__":
    main()
