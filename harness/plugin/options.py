"""The options, and how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from depthgauge.errors import UsageError
from depthgauge.numbers import whole
from depthgauge.plugin import hooks
from depthgauge.sources import folder_named
from depthgauge.store.folders import Store
from depthgauge.store.remote import copy_of, is_address, store_at

NAME_CHECKPOINTS = ("checkpoint", "against", "base")
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
        name="seeds", metavar="N", kind=whole(1),
        help="training seeds of each method (default: 1, about this checkpoint; several, about the method).",
    ),
    Option(name="first-seed", metavar="K", kind=whole(0), help="the first of these seeds (default: 0)."),
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
    Option(name="processes", metavar="N", kind=whole(1), help="with --launcher=accelerate, how many train one model."),
    Option(
        name="executor", metavar="local|slurm|ray",
        help="have what is missing trained and measured by other processes: of this machine, of SLURM, or of Ray.",
    ),
    Option(
        name="workers", metavar="N", kind=whole(1),
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
    def start(self) -> Path:
        """Where pytest was started."""
        return self.config.invocation_params.dir

    @property
    def checkpoint(self) -> Path | None:
        """The folder that is judged; None where it is none, or has yet to be trained or fetched."""
        return folder_named(self["checkpoint"] or "", self.start)

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
            return Path(self.start, given).resolve()
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
        return self.config.rootpath if self.config.inipath else self.start
