"""Methods, testbeds and probes by name, and the packages that bring some."""

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import Any, Generic, Protocol, TypeVar

from depthgauge.core.claim import Suite
from depthgauge.core.errors import UsageError
from depthgauge.core.method import Method
from depthgauge.core.testbed import Testbed

ENTRY_POINTS = "depthgauge"  # the group of packages that register something when they are imported


class Named(Protocol):
    """What a registry holds; of a class the name is an attribute."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)
Registered = TypeVar("Registered")


def listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, dict.fromkeys(names)))


class Registry(Generic[T]):
    """Named things of one type: refuses duplicates, and answers an unknown name with the nearest known ones."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}

    def register(self, item: Registered) -> Registered:
        """Add `item` under its name and return it: on a class, it is a decorator.

        Raises: UsageError if the name is taken by something else; registering the same item twice is harmless.
        """
        named: Any = item
        known = self._items.get(named.name)
        if known is not None and known != item:
            raise UsageError(
                f"{self.noun} {named.name!r} is registered twice: {known} and {item}; rename one of them.", code="twice"
            )
        self._items[named.name] = named
        return item

    def __getitem__(self, name: str) -> T:
        self.check((name,))
        return self._items[name]

    def check(self, names: Iterable[str]) -> None:
        """Raises: UsageError that says every unknown name, the nearest known ones, and what there is but controls."""
        unknown = [name for name in names if name not in self._items]
        if unknown:
            near = [match for name in unknown for match in difflib.get_close_matches(name, self._items, n=1)]
            hint = f" Did you mean {listed(near)}?" if near else ""
            offered = [name for name, item in self._items.items() if not getattr(item, "control", False)]
            known = ", ".join(offered) or "none; import the packages that register some in the top conftest.py"
            broken = "".join(f" Entry point {entry!r} is broken: {why}." for entry, why in BROKEN.items())
            raise UsageError(f"unknown {self.noun} {listed(unknown)}.{hint} Registered: {known}.{broken}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items


METHODS: Registry[Method] = Registry("method")
TESTBEDS: Registry[Testbed] = Registry("testbed")
CORRUPTIONS: Registry[Any] = Registry("corruption")  # as `depthgauge.corruptions` describes them
EXECUTORS: Registry[Any] = Registry("executor")  # classes, as `depthgauge.executors.engines` describes them
EXPORTERS: Registry[Any] = Registry("exporter")  # as `depthgauge.report.exporter` describes them
FORMATS: Registry[Any] = Registry("format")  # as `depthgauge.formats.format` describes them
PROBES: Registry[Any] = Registry("probe")  # classes, as `depthgauge.measure.base_probe` describes them
SUITES: Registry[Suite] = Registry("suite")
BASE = Method(name="base_model", summary="the testbed's base model, not trained")  # that of the tool's own claims
OWED_TO_THE_BASE = Suite(
    name="method",
    summary="what any training owes its base: gains and no losses in tasks, entropy, weights that moved together",
    modules=("depthgauge.checks.method",),
)
BROKEN: dict[str, str] = {}  # entry points that could not be imported, and why
FILES: dict[str, str] = {}  # of a project's own modules that register something, by name: other processes load them


def load_entry_points() -> None:
    """Register what is the tool's own, and import every package of the entry point group 'depthgauge', ours too: each
    registers what it brings.

    One that raises is noted in `BROKEN`, and the others work.
    """
    METHODS.register(BASE)
    SUITES.register(OWED_TO_THE_BASE)
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            entry.load()
        except Exception as error:  # whatever a third party's import raises
            BROKEN[entry.name] = f"{entry.value} raises {type(error).__name__}: {error}"


def makes_a_checkpoint(name: str) -> bool:
    """Whether a method or a corruption has this name, by which claims may ask for its checkpoint."""
    return name in METHODS or name in CORRUPTIONS


def load_files(files: Mapping[str, str]) -> None:
    """Load modules of a project's own, each under its name: imported where that finds this very file, else by its path.

    Raises: UsageError, naming the file, for one that raises.
    """
    for name, file in files.items():
        FILES[name] = file
        if origin_of(name) != file:
            sys.modules.pop(name, None)
        try:
            import_module(name) if origin_of(name) == file else load_by_path(name, file)
        except Exception as error:  # whatever a project's own module raises
            raise UsageError(
                f"{file} cannot be loaded by another process: it raises {type(error).__name__}: {error}.",
                code="not-loadable",
            ) from error


def origin_of(name: str) -> str | None:
    """The file that an import of the name would load, or has."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return None if spec is None else spec.origin


def load_by_path(name: str, file: str) -> None:
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module of Python")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def methods_on(testbed: str) -> list[str]:
    """The names of the methods of a testbed: its own, or, where it has none, those that name no testbed."""
    own = [name for name in METHODS if METHODS[name].testbed == testbed]
    return own or [name for name in METHODS if METHODS[name].testbed is None]


def suites_for(methods: Iterable[str], testbed: Testbed, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The suites that judge these methods: those asked for, 'all' being every registered one, or else those that the
    testbed and the methods name.

    Raises: UsageError for one that is not registered, and no module either.
    """
    names = asked or [*testbed.suites, *(suite for name in methods for suite in METHODS[name].suites)]
    if list(names) == ["all"]:
        names = list(SUITES)
    modules_of(names)
    return tuple(dict.fromkeys(names))


def modules_of(suites: Iterable[str]) -> tuple[str, ...]:
    """The modules and packages of suites; one that is not registered is named by its module.

    Raises: UsageError if there is no such module.
    """
    modules: dict[str, None] = {}
    for name in suites:
        if name not in SUITES and not is_module(name):
            near = difflib.get_close_matches(name, SUITES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown suite {name!r}.{hint} Choose of {', '.join(SUITES)}, all, or name a module.")
        modules |= dict.fromkeys(SUITES[name].modules if name in SUITES else (name,))
    return tuple(modules)


def is_module(name: str) -> bool:
    """Whether a module has this name; what is in it is not imported, only the packages above it."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # no package above it; no name that a module can have
        return False
