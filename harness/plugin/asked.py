"""The session that the options ask for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from depthgauge.change import ANCHOR, ChangeSession, joined
from depthgauge.context import RunContext
from depthgauge.errors import UsageError
from depthgauge.ledger import ledger_of
from depthgauge.models.load import Placement, check_dtype
from depthgauge.plugin.machines import device_of, launch_of
from depthgauge.plugin.options import Given
from depthgauge.references import Reference, checkpoint_of, home, read
from depthgauge.registry import METHODS, TESTBEDS
from depthgauge.session import MethodSession, Session, adopted_subject, asked_names, chosen_methods
from depthgauge.session import home as home_of
from depthgauge.sources import Source, find, with_base
from depthgauge.store.folders import Store
from depthgauge.types import Exam, Expectation, Margin, Task, Testbed, Tier

DEFAULT_METHOD, DEFAULT_TESTBED, COMMON = "depthscaled", "pocket", "common"


def session_of(config: pytest.Config, run: str, tell: Callable[[str], None]) -> Session:
    """What the command line asks for. Raises: UsageError for what cannot be carried out as given."""
    given = Given(config)
    valued = ("device", "dtype", "device-map", "testbed", "base", "expect", "margin", "inconclusive", "last-tier")
    for option in (*valued, "executor", "launcher"):
        if given[option] == "":
            raise UsageError(f"--{option} has no value: give one, or leave the option out.")
    store, reports = given.store(run), given.folder("report-dir")
    device = device_of(given, look=not config.option.collectonly)
    dtype = given["dtype"] or "float32"
    slow = check_dtype(dtype, device)
    if slow and not hasattr(config, "workerinput"):
        tell(f"--dtype={dtype}: {slow}")
    placement = Placement(device=device, dtype=dtype, device_map=given["device-map"])
    if given["against"] is not None:
        return change_session(given, store, reports, placement, tell)
    for option in ("exam", "exam-path", "margin", "expect", "every-tier", "last-tier"):
        if given[option] is not None:
            raise UsageError(f"--{option} is about two checkpoints: give the old one with --against.")
    return method_session(given, store, reports, placement, tell)


def method_session(
    given: Given, store: Store, reports: Path, placement: Placement, tell: Callable[[str], None]
) -> MethodSession:
    asked = DEFAULT_METHOD if given["method"] is None else given["method"]
    testbed = ready(TESTBEDS[given["testbed"] or home_of(asked, DEFAULT_TESTBED)], given, store)
    launch = launch_of(given, testbed, device=placement.device)
    context = RunContext(testbed=testbed, placement=placement, store=store, tell=tell, launch=launch)
    methods = chosen_methods(asked, testbed)
    seeds = seeds_asked(given)
    adopted = None
    if given["checkpoint"] is not None:
        source = named(given, "checkpoint", store)
        if source.method is not None:
            raise UsageError(f"--checkpoint={source.name} is a method: judge it with --method={source.name}.")
        adopted = adopted_subject(source, context)
    return MethodSession(
        context=context, methods=methods, training_seeds=seeds, reports=reports, adopted=adopted,
        ledger=ledger_of(testbed), open_fails=open_fails(given), quotes=not given["no-text"],
    )  # fmt: skip


def change_session(
    given: Given, store: Store, reports: Path, placement: Placement, tell: Callable[[str], None]
) -> ChangeSession:
    for option in ("method", "seeds", "first-seed", "base"):
        if given[option] is not None:
            raise UsageError(
                f"--{option} is about methods, and --against about two checkpoints: leave one of them out."
            )
    if given["checkpoint"] is None:
        raise UsageError("--against names the old checkpoint: name the new one with --checkpoint.")
    reference = read_reference(given)
    new = named(given, "checkpoint", store)
    old, anchor = compared_with(reference, given, store)
    sources = [new, old]
    chosen = ready(TESTBEDS[given["testbed"]], given, store) if given["testbed"] else None
    common = joined(TESTBEDS[COMMON], chosen)
    exams = exams_asked(given, common)
    testbed = replace(common, exams=tuple({exam.title: exam for exam in (*common.exams, *exams)}.values()))
    launch = launch_of(given, testbed, device=placement.device)
    context = RunContext(testbed=testbed, placement=placement, store=store, tell=tell, launch=launch)
    home_of_methods = chosen or trained_on(sources)
    return ChangeSession(
        context=context, reports=reports, new_source=new, old_source=old, anchor_source=anchor,
        training=replace(context, testbed=home_of_methods or testbed), exams=tuple(exam.title for exam in exams),
        margins={**margins_of(given.config), **margins_asked(given, [exam.title for exam in exams])},
        every_tier=bool(given["every-tier"]),
        last_tier=last_tier(given),
        expect=expected(given, trained=old.method is not None or reference is not None),
        open_fails=open_fails(given), quotes=not given["no-text"],
    )  # fmt: skip


def read_reference(given: Given) -> Reference | None:
    """That of --against. Raises: UsageError where a folder or a method has its name, too."""
    name = given["against"]
    found = read(home(given.config.invocation_params.dir, name), name)
    if found is not None and name in METHODS:
        raise UsageError(f"--against={name} could be the method or the reference {name!r}: rename the reference.")
    if found is not None and Path(given.config.invocation_params.dir, name).is_dir():
        raise UsageError(
            f"--against={name} could be the folder or the reference {name!r}: write ./{name} for the folder."
        )
    return found


def compared_with(reference: Reference | None, given: Given, store: Store) -> tuple[Source, Source | None]:
    """What a new checkpoint is compared with: the old one, and the anchor where a reference has another one."""
    if reference is None:
        return named(given, "against", store), None
    name, project = given["against"], home(given.config.invocation_params.dir, given["against"])
    old = checkpoint_of(reference.last, name, store=store, project=project)
    if reference.anchor.fingerprint == reference.last.fingerprint:
        return old, None
    return old, checkpoint_of(reference.anchor, f"{name}-{ANCHOR}", store=store, project=project)


def expected(given: Given, *, trained: bool) -> Expectation:
    """Raises: UsageError for what cannot be expected."""
    asked = given["expect"] or (Expectation.TRAINED if trained else Expectation.EQUAL)
    if asked not in list(Expectation):
        raise UsageError(f"--expect={asked} is not known: equal, or trained.")
    return Expectation(asked)


def last_tier(given: Given) -> Tier:
    """Raises: UsageError for another word."""
    asked = str(given["last-tier"] or Tier.EXAMS.name)
    if asked.upper() not in Tier.__members__:
        raise UsageError(f"--last-tier={asked} is not known: choose {', '.join(Tier.__members__).lower()}.")
    return Tier[asked.upper()]


def open_fails(given: Given) -> bool:
    """Whether what is left open ends the run in an exit of its own. Raises: UsageError for another word."""
    asked = given["inconclusive"] or "fail"
    if asked not in ("fail", "warn"):
        raise UsageError(f"--inconclusive={asked} is not known: fail (exit 20) or warn (exit 0).")
    return bool(asked == "fail")


def trained_on(sources: list[Source]) -> Testbed | None:
    """The testbed of a method among the sources; None where there is none."""
    methods = [source.method for source in sources if source.method is not None]
    return TESTBEDS[methods[0].testbed or DEFAULT_TESTBED] if methods else None


def named(given: Given, option: str, store: Store) -> Source:
    return find(given[option], f"--{option}", store=store, start=given.config.invocation_params.dir)


def ready(testbed: Testbed, given: Given, store: Store) -> Testbed:
    """The testbed with its base as a folder: found on the hub, or merged, where it is named."""
    if given["base"] is not None:
        source = find(given["base"], "--base", store=store, start=given.config.invocation_params.dir)
        if source.method is not None:
            raise UsageError(f"--base={given['base']} is a method: name a folder or a model on the hub.")
        return replace(testbed, base=source.folder)
    return with_base(testbed, store=store, start=given.project)


def seeds_asked(given: Given) -> tuple[int, ...]:
    count, first = (1 if given["seeds"] is None else given["seeds"]), given["first-seed"] or 0
    if given["checkpoint"] is not None and count > 1:
        raise UsageError(
            f"--checkpoint is one training, and --seeds={count} asks about several: leave one of them out."
        )
    return tuple(range(first, first + count))


def exams_asked(given: Given, testbed: Testbed) -> tuple[Exam | Task, ...]:
    """Exams of the testbed by name, and every other name as a task of lm-eval."""
    known = {exam.title: exam for exam in testbed.exams}
    names = asked_names(given["exam"]) if given["exam"] is not None else [COMMON]
    if not names:
        raise UsageError(f"--exam={given['exam']!r} names no exam: choose {', '.join(known)}, or a task of lm-eval.")
    path = None if given["exam-path"] is None else given.folder("exam-path")
    trust = bool(given["trust-exam-code"])
    return tuple(known.get(name) or Task(name=name, path=path, trust_code=trust) for name in dict.fromkeys(names))


def margins_of(config: pytest.Config) -> dict[str, Margin]:
    """What conftest.py says by `pytest_depthgauge_margins`. Raises: UsageError for what is no margin."""
    try:
        said: list[dict[str, Margin]] = config.hook.pytest_depthgauge_margins()
    except (TypeError, ValueError) as error:
        raise UsageError(f"pytest_depthgauge_margins: {error}.") from None
    margins = {claim: margin for one in reversed(said) for claim, margin in dict(one).items()}
    for claim, margin in margins.items():
        if not isinstance(margin, Margin):
            raise UsageError(f"pytest_depthgauge_margins: {claim!r} is given {margin!r}, which is no Margin.")
    return margins


def margins_asked(given: Given, exams: list[str]) -> dict[str, Margin]:
    """By claim. Raises: UsageError for an exam that is not asked, or what is no positive number of points."""
    found = {}
    for one in asked_names(given["margin"] or ""):
        exam, _, points = one.rpartition("=")
        if exam not in exams:
            raise UsageError(f"--margin={one}: write EXAM=POINTS, of the exams asked, {', '.join(exams)}.")
        try:
            value = float(points)
        except ValueError:
            raise UsageError(f"--margin={one}: {points!r} is no number of points.") from None
        if not 0 < value <= 100:
            raise UsageError(f"--margin={one}: a margin lies above 0 and is at most 100 points.")
        found[f"[{exam}]"] = Margin(value, "points", f"asked for by --margin={one}")
    return found
