"""The options, and the session that they ask for."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from depthgauge.change import ANCHOR, ChangeSession, joined
from depthgauge.context import RunContext
from depthgauge.errors import UsageError
from depthgauge.ledger import ledger_of
from depthgauge.models.load import Placement, check_dtype, choose_device
from depthgauge.plugin import hooks
from depthgauge.references import Reference, checkpoint_of, home, read
from depthgauge.registry import METHODS, TESTBEDS
from depthgauge.session import MethodSession, Session, adopted_subject, asked_names, chosen_methods
from depthgauge.session import home as home_of
from depthgauge.sources import Source, find, with_base
from depthgauge.store.folders import Store
from depthgauge.store.remote import copy_of, is_address, store_at
from depthgauge.types import Exam, Expectation, Launch, Margin, Task, Testbed, Tier

if TYPE_CHECKING:
    from depthgauge.jobs.engines import Engine

DEFAULT_METHOD, DEFAULT_TESTBED, COMMON = "depthscaled", "pocket", "common"
DEFAULT_FOLDERS = {"store": ".depthgauge", "report-dir": "reports"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of the command line; it has a default where it is not given."""

    name: str
    help: str
    metavar: str | None = None
    kind: Callable[[str], Any] | None = None
    flag: bool = False

    @property
    def attributes(self) -> dict[str, Any]:
        if self.flag:
            return {"action": "store_true", "default": None}
        if self.kind is not None:
            return {"metavar": self.metavar, "type": self.kind, "default": None}
        # Options are read a first time before a conftest has declared a flag of the same name, which has no value.
        return {"metavar": self.metavar, "nargs": "?", "const": "", "default": None}


OPTIONS = (
    Option(
        name="method", metavar="NAMES",
        help="methods to judge: one, several with commas, or 'all' (default: depthscaled). Missing ones are trained.",
    ),
    Option(name="testbed", metavar="NAME", help="base model, exams and materials (default: the method's, or pocket)."),
    Option(
        name="base", metavar="NAME",
        help="the base to train and to compare with, in place of the testbed's: a folder or a name on the hub.",
    ),
    Option(
        name="seeds", metavar="N", kind=int,
        help="training seeds of each method (default: 1, about this checkpoint; several, about the method).",
    ),
    Option(name="first-seed", metavar="K", kind=int, help="the first of these seeds (default: 0)."),
    Option(
        name="checkpoint", metavar="NAME",
        help="judge this checkpoint: a folder, an adapter beside its base, a name on the hub, or a method. Alone, with "
        "the claims about --method, which is then not trained; with --against, with the claims about change.",
    ),
    Option(
        name="against", metavar="NAME",
        help="the old checkpoint, named likewise, or a reference that was accepted: judge what changed from it.",
    ),
    Option(
        name="expect", metavar="equal|trained",
        help="what is expected of a change: equal within margins (the default against a folder or a name on the hub), "
        "or a trained successor (against a method or a reference): moved, nothing lost, no layer out of line.",
    ),
    Option(
        name="exam", metavar="NAMES",
        help="with --against, exams or lm-eval tasks that the new one must not be worse in (default: common).",
    ),
    Option(name="exam-path", metavar="DIR", help="a folder of lm-eval tasks, beside those that are installed."),
    Option(name="trust-exam-code", flag=True, help="run the functions that tasks of --exam-path bring along."),
    Option(
        name="margin", metavar="EXAM=POINTS",
        help="how much worse an exam may be, in points; several with commas (default: 5 each).",
    ),
    Option(
        name="last-tier", metavar="NAME",
        help="with --against, stop after this tier of checks: files, weights, internals, generation or exams.",
    ),
    Option(name="every-tier", flag=True, help="with --against, go on to the end where a tier of checks has blocked."),
    Option(
        name="inconclusive", metavar="fail|warn",
        help="what is left open ends in exit 20 (fail, the default), or is accepted, exit 0 (warn).",
    ),
    Option(name="device", metavar="NAME", help="auto, cpu or cuda (default: auto, the GPU where there is one)."),
    Option(name="dtype", metavar="NAME", help="float32 (the default), bfloat16, or auto: each checkpoint's own."),
    Option(name="device-map", metavar="auto", help="spread models over devices, as transformers' device_map does."),
    Option(
        name="launcher", metavar="accelerate|FILE",
        help="train by several processes: --processes=N of this machine, or as a file of accelerate's says.",
    ),
    Option(name="processes", metavar="N", kind=int, help="with --launcher=accelerate, how many train one model."),
    Option(
        name="executor", metavar="local|slurm|ray",
        help="have what is missing trained and measured by other processes: of this machine, of SLURM, or of Ray.",
    ),
    Option(
        name="workers", metavar="N", kind=int,
        help="with --executor, how many at once (default: this machine's cores with local, else 8).",
    ),
    Option(name="plan", flag=True, help="show what would be trained and measured, and how long it took; run nothing."),
    Option(
        name="store",
        metavar="PLACE",
        help="where checkpoints and measurements are kept: a folder, or s3://bucket/store (default: .depthgauge).",
    ),
    Option(name="report-dir", metavar="DIR", help="where reports are written (default: reports)."),
    Option(name="no-text", flag=True, help="keep what models read and said, items and answers, out of reports."),
)  # fmt: skip


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("depthgauge", "white-box regression tests for model checkpoints")
    taken = yield_to_others(parser)
    for option in OPTIONS:
        names = [name for name in (f"--{option.name}", f"--depthgauge-{option.name}") if name not in taken]
        group.addoption(*names, **option.attributes, dest=destination(option.name), help=option.help)


def yield_to_others(parser: Any) -> frozenset[str]:
    """Let a plugin or conftest that declares an option of the same name have it, where argparse would end the run.

    Ours is then to be had by its long name, such as --depthgauge-device. Returns the names that are taken already.
    """
    options = getattr(parser, "optparser", None)
    for each in (options, *getattr(options, "_action_groups", ())):
        if each is not None:
            each.conflict_handler = "resolve"
    return frozenset(getattr(options, "_option_string_actions", ()))


def destination(option: str) -> str:
    return f"depthgauge_{option.replace('-', '_')}"


class Given:
    """The options as they were given; None where they were not."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def __getitem__(self, option: str) -> Any:
        return self.config.getoption(destination(option), default=None)

    @property
    def any(self) -> bool:
        return any(self[option.name] is not None for option in OPTIONS)

    def folder(self, option: str) -> Path:
        """A folder option, relative to where pytest was started; the default is relative to the project. Of a store at
        an address, that of its copies.

        Raises: UsageError for an empty name.
        """
        given = self[option]
        if given == "":
            raise UsageError(f"--{option}= names no folder: give one, or leave the option out.")
        if option == "store" and is_address(given):
            return copy_of(given)
        if given:
            return Path(self.config.invocation_params.dir, given).resolve()
        return self.project / DEFAULT_FOLDERS[option]

    def store(self, run: str) -> Store:
        """Raises: as `store_at`; UsageError for an empty name."""
        return store_at(self["store"] if is_address(self["store"]) else self.folder("store"), run=run)

    @property
    def project(self) -> Path:
        """The folder of pytest's settings, or else where it was started.

        Without settings pytest's own root is what the tests and the folders given to our options have in common, and
        may be far above both.
        """
        return self.config.rootpath if self.config.inipath else self.config.invocation_params.dir


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


def device_of(given: Given, *, look: bool) -> str:
    """Where models run; on a cluster that is another machine's, and is taken at its word."""
    asked = given["device"] or "auto"
    elsewhere = given["executor"] in ("slurm", "ray")
    return "cuda" if elsewhere and asked == "cuda" else choose_device(asked, look=look and not elsewhere)


def launch_of(given: Given, testbed: Testbed, *, device: str) -> Launch | None:
    """What trains one model together; None where this process does.

    Raises: UsageError for more processes than there are devices, or cores; for a file that is not there.
    """
    launcher, processes = given["launcher"], given["processes"]
    if launcher is None:
        if processes is not None:
            raise UsageError("--processes are those of a launcher: add --launcher=accelerate.")
        return None
    if launcher != "accelerate":
        config = Path(given.config.invocation_params.dir, launcher)
        if not config.is_file():
            raise UsageError(f"--launcher={launcher} is neither 'accelerate' nor a file of accelerate's configuration.")
        if processes is not None:
            raise UsageError(f"--processes={processes} and {launcher} both say how many: leave one of them out.")
        return Launch(config=config)
    if processes is None or processes < 2:
        raise UsageError(f"--launcher=accelerate needs --processes=N, 2 at least, got {processes}.")
    if given["executor"] is not None:
        there, whose = (testbed.needs.gpus if device == "cuda" else testbed.needs.cpus), "a worker's Needs"
    else:
        there, whose = devices(device), "this machine"
    if processes > there:
        what = "GPUs" if device == "cuda" else "cores"
        raise UsageError(f"--processes={processes} is more than the {there} {what} of {whose}: lower it.")
    return Launch(processes=processes)


def devices(device: str) -> int:
    """How many processes this machine has room for."""
    if device == "cpu":
        return os.cpu_count() or 1
    import torch

    return int(torch.cuda.device_count())


def engine_of(config: pytest.Config) -> "Engine | None":
    """What makes what is missing; None where this process and its siblings of xdist do.

    Raises: UsageError for one that is not known or cannot be had, or beside xdist.
    """
    given = Given(config)
    asked, workers = given["executor"], given["workers"]
    for option in ("executor", "plan"):
        if given[option] is not None and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
            raise UsageError(f"--{option} and xdist's -n both say who works: leave -n out, and use --workers.")
    if asked is None:
        if workers is not None:
            raise UsageError("--workers are those of --executor: name one, or use xdist's -n.")
        return None
    from depthgauge.jobs.engines import engine_named

    return engine_named(asked, workers)


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
    if count < 1:
        raise UsageError(f"--seeds must be at least 1, got {count}: a method without a seed trains nothing.")
    if first < 0:
        raise UsageError(f"--first-seed must be 0 or more, got {first}.")
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
