"""What a run is asked, and the session that this makes: one path for the command line, pytest's options and Python.

Every option is a field of `Options`, None where it was not given. Sentences about them name the option of the command
line; the field is the same word.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from depthgauge.core.claim import Expectation, Margin, Stage
from depthgauge.core.errors import NothingNamed, UsageError
from depthgauge.core.method import Launch
from depthgauge.core.numbers import whole
from depthgauge.core.registry import METHODS, TESTBEDS, suites_for
from depthgauge.core.testbed import ItemTask, LmEvalTask, Testbed
from depthgauge.formats.tensors import quantization
from depthgauge.history.accepted import AcceptedBaseline, checkpoint_of, home, read
from depthgauge.history.recorded import of_another_base, recorded_outcomes_of
from depthgauge.measure.context import FEWEST_TWINS, TWINS, RunContext
from depthgauge.models.files import read_config
from depthgauge.models.load import Placement, check_dtype, choose_device
from depthgauge.runs.comparison import PINNED, ComparisonSession, joined
from depthgauge.runs.session import MethodSession, Session, adopted_candidate, asked_names, chosen_methods
from depthgauge.runs.session import home as home_of
from depthgauge.runs.settings import project_settings
from depthgauge.sources.content import FIELDS_OF
from depthgauge.sources.find import Source, find, folder_named, with_base
from depthgauge.store.folders import Store
from depthgauge.store.remote import copy_of, is_address, store_at

DEFAULT_FOLDERS = {"store": ".depthgauge", "report_dir": "reports"}
WITH_A_VALUE = (
    "device",
    "dtype",
    "device_map",
    "testbed",
    "suites",
    "base_model",
    "expect",
    "allow",
    "margin",
    "inconclusive",
    "last_stage",
    "executor",
    "launcher",
)
ABOUT_CHANGE = ("tasks", "include_path", "margin", "expect", "allow", "twins", "all_stages", "last_stage", "as_run")
ABOUT_METHODS = ("method", "suites", "seeds", "first_seed", "base_model")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked. Relative names are looked up from `start`; the default store and reports lie in `project`.

    `margins` are those of the project, by the id of the claim; `settings` says what its pyproject.toml sets, and
    `called` has the names of fields that were not given by their option, for errors.
    """

    method: str | None = None
    testbed: str | None = None
    suites: str | None = None
    base_model: str | None = None
    adapter_base: str | None = None
    seeds: int | None = None
    first_seed: int | None = None
    checkpoint: str | None = None
    baseline: str | None = None
    expect: str | None = None
    allow: str | None = None
    tasks: str | None = None
    include_path: str | None = None
    trust_task_code: bool | None = None
    margin: str | None = None
    twins: int | None = None
    last_stage: str | None = None
    all_stages: bool | None = None
    inconclusive: str | None = None
    device: str | None = None
    dtype: str | None = None
    device_map: str | None = None
    as_run: bool | None = None
    launcher: str | None = None
    processes: int | None = None
    executor: str | None = None
    workers: int | None = None
    dry_run: bool | None = None
    store: str | None = None
    report_dir: str | None = None
    no_text: bool | None = None
    start: Path = field(default_factory=Path.cwd)
    project: Path = field(default_factory=Path.cwd)
    margins: Mapping[str, Margin] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""

    @property
    def any(self) -> bool:
        """Whether any option was given."""
        return any(getattr(self, option.name) is not None for option in OPTIONS)

    @property
    def judged_folder(self) -> Path | None:
        """The folder that is judged, as it is named; None where it has yet to be trained or fetched."""
        return folder_named(self.checkpoint or "", self.start)

    def folder(self, option: str) -> Path:
        """A folder option, relative to `start`; the default is relative to the project. Of a store at an address, that
        of its copies.

        Raises: UsageError for an empty name.
        """
        value = getattr(self, option)
        if value == "":
            raise UsageError(f"{flag(option)}= names no folder: give one, or leave the option out.", code="no-name")
        if option == "store" and is_address(value):
            return copy_of(value)
        if value:
            return Path(self.start, value).resolve()
        return self.project / DEFAULT_FOLDERS[option]

    def opened_store(self, run: str) -> Store:
        """Raises: as `store_at`; UsageError for an empty name."""
        return store_at(self.store if is_address(self.store) else self.folder("store"), run=run)  # type: ignore[arg-type]


def options_from(given: Mapping[str, Any]) -> Options:
    """Options by the names of their fields; a path may be given for a name.

    Raises: UsageError for a name that is no option.
    """
    for name in given:
        if name not in Options.__dataclass_fields__:
            near = get_close_matches(name, Options.__dataclass_fields__, n=1)
            raise UsageError(f"{name!r} is no option.{f' Did you mean {near[0]!r}?' if near else ''}")
    plain: dict[str, Any] = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return with_settings(Options(**plain | {name: Path(given[name]) for name in ("start", "project") if name in given}))


def with_settings(options: Options) -> Options:
    """The options, and where one was not given what the pyproject.toml of the working directory says of it.

    Settings about two checkpoints count where there is a baseline, and those about methods where there is none.

    Raises: as `project_settings`.
    """
    settings = settings_of(options.start)
    of_project = settings.pop("margins", {})
    margins = {**of_project, **options.margins}
    others = ABOUT_METHODS if options.baseline is not None else ABOUT_CHANGE
    missing = {name: value for name, value in settings.items() if getattr(options, name) is None and name not in others}
    used = [*missing, *(["margins"] if of_project else [])]
    said = f"settings of {options.start / 'pyproject.toml'}: {', '.join(used)}" if used else ""
    return replace(options, **missing, margins=margins, settings=said)


def settings_of(folder: Path) -> dict[str, Any]:
    """As `project_settings`, of all options."""
    kinds = {option.name: bool if option.flag else int if option.kind else str for option in OPTIONS}
    return project_settings(folder, kinds)


def flag(option: str) -> str:
    """The option of the command line that sets a field."""
    return f"--{option.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of the command line, by the field of `Options` that it sets."""

    name: str
    help: str
    metavar: str | None = None
    kind: Callable[[str], Any] | None = None
    flag: bool = False

    @property
    def spelled(self) -> str:
        return flag(self.name)

    @property
    def attributes(self) -> dict[str, Any]:
        """What argparse and pytest want to know of it."""
        if self.flag:
            return {"action": "store_true", "default": None, "help": self.help}
        return {"metavar": self.metavar, "type": self.kind or str, "default": None, "help": self.help}


OPTIONS = (
    Option(
        name="method",
        metavar="NAMES",
        help="methods to judge: one, several with commas, or 'all'. Missing ones are trained.",
    ),
    Option(
        name="testbed",
        metavar="NAME",
        help="base model, evaluation tasks and probe inputs (default: the method's).",
    ),
    Option(
        name="suites",
        metavar="NAMES",
        help="suites whose claims judge methods: one, several with commas, or 'all' (default: those that the methods "
        "and their testbed name, and the files given).",
    ),
    Option(
        name="base_model",
        metavar="NAME",
        help="the base to train and to compare with, in place of the testbed's: a folder or a name on the hub.",
    ),
    Option(
        name="adapter_base",
        metavar="FOLDER",
        help="the base of adapters, where it does not lie where they say.",
    ),
    Option(
        name="seeds",
        metavar="N",
        kind=whole(1),
        help="training seeds of each method (default: 1, about this checkpoint; several, about the method).",
    ),
    Option(name="first_seed", metavar="K", kind=whole(0), help="the first of these seeds (default: 0)."),
    Option(
        name="checkpoint",
        metavar="NAME",
        help="judge this checkpoint: a folder, an adapter beside its base, a name on the hub, or a method. Alone, with "
        "the claims about --method, which is then not trained; with --baseline, with the claims about change.",
    ),
    Option(
        name="baseline",
        metavar="NAME",
        help="the baseline, named likewise, or an accepted baseline: judge what changed from it.",
    ),
    Option(
        name="expect",
        metavar="equal|trained|quantized",
        help="what is expected of a change: equal within margins (the default against a folder or a name on the hub), "
        "a trained successor (against a method or an accepted baseline): moved, nothing lost, no layer out of line, or "
        "a quantised copy (of a candidate whose configuration says so): rounded, not damaged, and no worse than its "
        "bits.",
    ),
    Option(
        name="allow",
        metavar="FIELDS",
        help="with --baseline, fields of files that may differ, with commas, such as generation_config.eos_token_id or "
        "chat_template: what differs in them is reported, and blocks nothing.",
    ),
    Option(
        name="tasks",
        metavar="NAMES",
        help="with --baseline, evaluation tasks, the testbed's or lm-eval's, that the candidate must not be "
        "worse in (default: common).",
    ),
    Option(name="include_path", metavar="DIR", help="a folder of lm-eval tasks, beside those that are installed."),
    Option(name="trust_task_code", flag=True, help="run the functions that tasks of --include-path bring along."),
    Option(
        name="margin",
        metavar="TASK=POINTS",
        help="how much worse a task may be, in points; several with commas (default: 5 each).",
    ),
    Option(
        name="twins",
        metavar="N",
        kind=whole(FEWEST_TWINS),
        help="with --expect=quantized, how many copies of the baseline are rounded as the candidate is (default: 10; "
        "fewer than 5 do not say how much they differ).",
    ),
    Option(
        name="last_stage",
        metavar="NAME",
        help="with --baseline, stop after this stage of checks: files, weights, internals, generation or tasks.",
    ),
    Option(name="all_stages", flag=True, help="with --baseline, go on to the end where a stage of checks has blocked."),
    Option(
        name="inconclusive",
        metavar="fail|warn",
        help="what is inconclusive ends in exit 20 (fail, the default), or is accepted, exit 0 (warn).",
    ),
    Option(name="device", metavar="NAME", help="auto, cpu or cuda (default: auto, the GPU where there is one)."),
    Option(name="dtype", metavar="NAME", help="float32 (the default), bfloat16, or auto: each checkpoint's own."),
    Option(
        name="device_map",
        metavar="auto|layerwise",
        help="spread models over devices, as transformers' device_map does; or read them layer by layer, as is done by "
        "itself where a pair does not fit into memory.",
    ),
    Option(
        name="as_run",
        flag=True,
        help="with --baseline, run a quantised checkpoint as transformers runs it, activations quantised where it says "
        "so, in place of its dequantised weights.",
    ),
    Option(
        name="launcher",
        metavar="accelerate|FILE",
        help="train by several processes: --processes=N of this machine, or as a file of accelerate's says.",
    ),
    Option(name="processes", metavar="N", kind=whole(1), help="with --launcher=accelerate, how many train one model."),
    Option(
        name="executor",
        metavar="local|slurm|ray",
        help="have what is missing trained and measured by other processes: of this machine, of SLURM, or of Ray.",
    ),
    Option(
        name="workers",
        metavar="N",
        kind=whole(1),
        help="with --executor, how many at once (default: this machine's cores with local, else 8).",
    ),
    Option(
        name="dry_run", flag=True, help="show what would be trained and measured, and how long it took; run nothing."
    ),
    Option(
        name="store",
        metavar="PLACE",
        help="where checkpoints and measurements are kept: a folder, or s3://bucket/store (default: .depthgauge).",
    ),
    Option(name="report_dir", metavar="DIR", help="where reports are written (default: reports)."),
    Option(name="no_text", flag=True, help="keep what models read and said, items and answers, out of reports."),
)


def session_of(
    options: Options, run: str, tell: Callable[[str], None], *, look: bool = True, warn: bool = True
) -> Session:
    """The session that is asked for; `look` says whether to look for a device, `warn` whether to tell what is slow.

    Raises: UsageError for what cannot be carried out as given.
    """
    for option in WITH_A_VALUE:
        if getattr(options, option) == "":
            raise UsageError(f"{flag(option)} has no value: give one, or leave the option out.")
    device = device_of(options, look=look)
    dtype = options.dtype or "float32"
    slow = check_dtype(dtype, device)
    if slow and warn:
        tell(f"--dtype={dtype}: {slow}")
    placement = Placement(device=device, dtype=dtype, device_map=options.device_map, as_run=bool(options.as_run))
    about_change = options.baseline is not None
    if not about_change:
        for option in ABOUT_CHANGE:
            if getattr(options, option) is not None:
                raise UsageError(f"{flag(option)} is about two checkpoints: give the baseline with --baseline.")
    store, reports = options.opened_store(run), options.folder("report_dir")
    make = comparison_session if about_change else method_session
    session = make(options, store, reports, placement, tell)
    if warn and not about_change and (said := of_another_base(session.context.testbed)):
        tell(said)
    return replace(session, settings=options.settings)


def method_session(
    options: Options, store: Store, reports: Path, placement: Placement, tell: Callable[[str], None]
) -> MethodSession:
    check_named(options)
    testbed = ready(TESTBEDS[options.testbed or home_of(options.method or "")], options, store)
    launch = launch_of(options, testbed, device=placement.device)
    context = RunContext(testbed=testbed, placement=placement, store=store, tell=tell, launch=launch)
    methods = () if options.method is None else chosen_methods(options.method, testbed)
    seeds = seeds_asked(options)
    adopted = None
    if options.checkpoint is not None:
        source = named(options, "checkpoint", store)
        if source.method is not None:
            raise UsageError(f"--checkpoint={source.name} is a method: judge it with --method={source.name}.")
        adopted = adopted_candidate(source, context)
    return MethodSession(
        context=context,
        methods=methods,
        training_seeds=seeds,
        suites=suites_for(methods, testbed, asked_names(options.suites or "")),
        reports=reports,
        adopted=adopted,
        recorded_outcomes=recorded_outcomes_of(testbed),
        inconclusive_fails=inconclusive_fails(options),
        quotes=not options.no_text,
    )


def check_named(options: Options) -> None:
    """Raises: UsageError unless there is a method, or a checkpoint with a testbed."""
    if options.testbed is not None:
        TESTBEDS[options.testbed]  # an unknown one is said before anything else
    if options.method is not None:
        return
    trained = [name for name in METHODS if METHODS[name].train is not None and not METHODS[name].control]
    methods, testbeds = ", ".join(trained), ", ".join(TESTBEDS)
    if options.checkpoint is None:
        raise NothingNamed(
            f"name what to judge: a method, --method=NAME of {methods}; or a finished checkpoint, --checkpoint=NAME, "
            f"with --testbed=NAME of {testbeds}, or with --baseline=NAME."
        )
    if options.testbed is None:
        raise UsageError(
            f"--checkpoint={options.checkpoint} is judged by the tasks of a testbed, or beside another checkpoint: add "
            f"--testbed=NAME of {testbeds}, or --baseline=NAME."
        )


def comparison_session(
    options: Options, store: Store, reports: Path, placement: Placement, tell: Callable[[str], None]
) -> ComparisonSession:
    for option in ABOUT_METHODS:
        if getattr(options, option) is not None:
            raise UsageError(
                f"{flag(option)} is about methods, and --baseline about two checkpoints: leave one of them out."
            )
    from depthgauge.checks.inputs import COMMON  # and the probes that read them

    if options.checkpoint is None:
        raise UsageError("--baseline names the baseline: name the candidate with --checkpoint.")
    accepted = read_accepted(options)
    candidate = named(options, "checkpoint", store)
    baseline, pinned = compared_with(accepted, options, store)
    sources = [candidate, baseline]
    chosen = ready(TESTBEDS[options.testbed], options, store) if options.testbed else None
    common = joined(COMMON, chosen)
    tasks = tasks_asked(options, common)
    testbed = replace(common, tasks=tuple({task.title: task for task in (*common.tasks, *tasks)}.values()))
    launch = launch_of(options, testbed, device=placement.device)
    expect = expected(
        options,
        trained=baseline.method is not None or accepted is not None,
        quantized=is_quantized_anew(candidate, baseline),
    )
    context = RunContext(
        testbed=testbed, placement=placement, store=store, tell=tell, launch=launch, allowed=allowed(options),
        additions=expect is Expectation.TRAINED,
        twins=options.twins or TWINS,
    )  # fmt: skip
    home_of_methods = chosen or trained_on(sources)
    session = ComparisonSession(
        context=context, reports=reports, candidate_source=candidate, baseline_source=baseline, pinned_source=pinned,
        training=replace(context, testbed=home_of_methods or testbed), tasks=tuple(task.title for task in tasks),
        margins={**checked_margins(options.margins), **margins_asked(options, [task.title for task in tasks])},
        all_stages=bool(options.all_stages),
        last_stage=last_stage(options),
        expect=expect,
        inconclusive_fails=inconclusive_fails(options), quotes=not options.no_text,
    )  # fmt: skip
    if session.expect is Expectation.QUANTIZED and options.expect is None:
        tell(f"{session.about}, as its configuration says; --expect=equal holds it to no change")
    if session.quantized_as and placement.dtype != "float32":
        tell(
            f"--dtype={placement.dtype}: what is computed in bfloat16 diverges by some 0.002 nats for that alone, as "
            "much as 8 bits cost: float32 tells them apart"
        )
    return session


def allowed(options: Options) -> tuple[str, ...]:
    """Raises: UsageError for a name without a file that fields are allowed of."""
    names = asked_names(options.allow or "")
    for name in names:
        if name.partition(".")[0] not in FIELDS_OF:
            known = ", ".join(FIELDS_OF)
            raise UsageError(f"--allow={name}: write FILE.FIELD, of {known}, as in generation_config.eos_token_id.")
    return tuple(names)


def read_accepted(options: Options) -> AcceptedBaseline | None:
    """That of --baseline. Raises: UsageError where a folder or a method has its name, too."""
    name = str(options.baseline)
    accepted, given = read(home(options.start, name), name), f"{called(options, 'baseline')}{name}"
    if accepted is not None and name in METHODS:
        raise UsageError(
            f"{given} could be the method or the accepted baseline {name!r}: rename the accepted baseline."
        )
    if accepted is not None and Path(options.start, name).is_dir():
        raise UsageError(
            f"{given} could be the folder or the accepted baseline {name!r}: write ./{name} for the folder."
        )
    return accepted


def compared_with(accepted: AcceptedBaseline | None, options: Options, store: Store) -> tuple[Source, Source | None]:
    """What a candidate is compared with: the baseline, and the pinned baseline where an accepted baseline has another
    one.
    """
    if accepted is None:
        return named(options, "baseline", store), None
    name = str(options.baseline)
    project = home(options.start, name)
    baseline = checkpoint_of(accepted.accepted, name, store=store, project=project)
    if accepted.pinned.fingerprint == accepted.accepted.fingerprint:
        return baseline, None
    return baseline, checkpoint_of(accepted.pinned, f"{name}-{PINNED}", store=store, project=project)


def expected(options: Options, *, trained: bool, quantized: bool) -> Expectation:
    """Raises: UsageError for what cannot be expected."""
    default = Expectation.QUANTIZED if quantized else Expectation.TRAINED if trained else Expectation.EQUAL
    asked = options.expect or default
    if asked not in list(Expectation):
        raise UsageError(f"--expect={asked} is not known: equal, trained, or quantized.")
    return Expectation(asked)


def is_quantized_anew(candidate: Source, baseline: Source) -> bool:
    """Whether the candidate is stored quantised, and the baseline is not, or in another way."""
    if candidate.folder is None:
        return False
    settings = quantization(read_config(candidate.folder))
    return settings is not None and (baseline.folder is None or quantization(read_config(baseline.folder)) != settings)


def last_stage(options: Options) -> Stage:
    """Raises: UsageError for another word."""
    asked = str(options.last_stage or Stage.TASKS.name)
    if asked.upper() not in Stage.__members__:
        raise UsageError(f"--last-stage={asked} is not known: choose {', '.join(Stage.__members__).lower()}.")
    return Stage[asked.upper()]


def inconclusive_fails(options: Options) -> bool:
    """Whether what is inconclusive ends the run in an exit of its own. Raises: UsageError for another word."""
    asked = options.inconclusive or "fail"
    if asked not in ("fail", "warn"):
        raise UsageError(f"--inconclusive={asked} is not known: fail (exit 20) or warn (exit 0).")
    return asked == "fail"


def trained_on(sources: Iterable[Source]) -> Testbed | None:
    """The testbed of a method among the sources; None where there is none."""
    methods = [source.method for source in sources if source.method is not None]
    return TESTBEDS[home_of(methods[0].name)] if methods else None


def called(options: Options, option: str) -> str:
    """What an error says before the name of a checkpoint."""
    return options.called.get(option, f"{flag(option)}=")


def named(options: Options, option: str, store: Store) -> Source:
    return find(
        getattr(options, option),
        called(options, option),
        store=store,
        start=options.start,
        adapter_base=adapter_base(options),
    )


def adapter_base(options: Options) -> Path | None:
    """Raises: UsageError for what is no folder."""
    if options.adapter_base is None:
        return None
    folder = Path(options.start, options.adapter_base).resolve()
    if not folder.is_dir():
        raise UsageError(f"--adapter-base={options.adapter_base} is no folder: give that of the adapter's base model.")
    return folder


def ready(testbed: Testbed, options: Options, store: Store) -> Testbed:
    """The testbed with its base as a folder: found on the hub, or merged, where it is named."""
    if options.base_model is not None:
        source = named(options, "base_model", store)
        if source.method is not None:
            raise UsageError(f"--base-model={options.base_model} is a method: name a folder or a model on the hub.")
        return replace(testbed, base=source.folder)
    return with_base(testbed, store=store, start=options.project)


def seeds_asked(options: Options) -> tuple[int, ...]:
    count, first = (1 if options.seeds is None else options.seeds), options.first_seed or 0
    if count < 1:
        raise UsageError(f"--seeds must be at least 1, got {count}: a method without a seed trains nothing.")
    if first < 0:
        raise UsageError(f"--first-seed must be 0 or more, got {first}.")
    if options.checkpoint is not None and count > 1:
        raise UsageError(
            f"--checkpoint is one training, and --seeds={count} asks about several: leave one of them out."
        )
    return tuple(range(first, first + count))


def tasks_asked(options: Options, testbed: Testbed) -> tuple[ItemTask | LmEvalTask, ...]:
    """Tasks of the testbed by name, and every other name as a task of lm-eval."""
    known = {task.title: task for task in testbed.tasks}
    names = asked_names(options.tasks) if options.tasks is not None else [testbed.tasks[0].title]
    if not names:
        raise UsageError(f"--tasks={options.tasks!r} names no task: choose {', '.join(known)}, or a task of lm-eval.")
    path = None if options.include_path is None else options.folder("include_path")
    trust = bool(options.trust_task_code)
    return tuple(known.get(name) or LmEvalTask(name=name, path=path, trust_code=trust) for name in dict.fromkeys(names))


def checked_margins(margins: Mapping[str, Any]) -> dict[str, Margin]:
    """The project's own, by claim. Raises: UsageError for what is no margin."""
    for claim, margin in margins.items():
        if not isinstance(margin, Margin):
            raise UsageError(f"the margin of claim {claim!r} is {margin!r}, which is no Margin(value, unit, reason).")
    return dict(margins)


def margins_asked(options: Options, tasks: list[str]) -> dict[str, Margin]:
    """By claim. Raises: UsageError for a task that is not asked, or what is no positive number of points."""
    margins = {}
    for given in asked_names(options.margin or ""):
        task, _, points = given.rpartition("=")
        if task not in tasks:
            raise UsageError(f"--margin={given}: write TASK=POINTS, of the tasks asked, {', '.join(tasks)}.")
        try:
            value = float(points)
        except ValueError:
            raise UsageError(f"--margin={given}: {points!r} is no number of points.") from None
        if not 0 < value <= 100:
            raise UsageError(f"--margin={given}: a margin lies above 0 and is at most 100 points.")
        margins[f"[{task}]"] = Margin(value, "points", f"asked for by --margin={given}")
    return margins


def device_of(options: Options, *, look: bool) -> str:
    """Where models run; on a cluster that is another machine's, and is taken at its word."""
    asked = options.device or "auto"
    elsewhere = options.executor in ("slurm", "ray")
    return "cuda" if elsewhere and asked == "cuda" else choose_device(asked, look=look and not elsewhere)


def launch_of(options: Options, testbed: Testbed, *, device: str) -> Launch | None:
    """What trains one model together; None where this process does.

    Raises: UsageError for more processes than there are devices, or cores; for a file that is not there.
    """
    launcher, processes = options.launcher, options.processes
    if launcher is None:
        if processes is not None:
            raise UsageError("--processes are those of a launcher: add --launcher=accelerate.")
        return None
    if launcher != "accelerate":
        config = Path(options.start, launcher)
        if not config.is_file():
            raise UsageError(f"--launcher={launcher} is neither 'accelerate' nor a file of accelerate's configuration.")
        if processes is not None:
            raise UsageError(f"--processes={processes} and {launcher} both say how many: leave one of them out.")
        return Launch(config=config)
    if processes is None or processes < 2:
        raise UsageError(f"--launcher=accelerate needs --processes=N, 2 at least, got {processes}.")
    if options.executor is not None:
        there, holder = (testbed.resources.gpus if device == "cuda" else testbed.resources.cpus), "a worker's Resources"
    else:
        there, holder = devices(device), "this machine"
    if processes > there:
        what = "GPUs" if device == "cuda" else "cores"
        raise UsageError(f"--processes={processes} is more than the {there} {what} of {holder}: lower it.")
    return Launch(processes=processes)


def devices(device: str) -> int:
    """How many processes this machine has room for."""
    if device == "cpu":
        return os.cpu_count() or 1
    import torch

    return int(torch.cuda.device_count())
