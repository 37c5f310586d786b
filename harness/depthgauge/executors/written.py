"""Jobs as JSON: registered names, addresses of classes and plain parameters, of which any process builds them anew.

Nothing is pickled. What has no name or address is refused where it is written; what a worker does not know by its
name, or would build otherwise than it was asked for, is refused there, in a sentence.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import FunctionType
from typing import Any

from depthgauge.checks.inputs import COMMON
from depthgauge.core.errors import InvalidCheckpoint, UsageError
from depthgauge.core.method import Checkpoint, Method
from depthgauge.core.plain import canonical_json, digest
from depthgauge.core.registry import CORRUPTIONS, FILES, METHODS, TESTBEDS
from depthgauge.core.testbed import ItemTask, Testbed
from depthgauge.corruptions.corrupted import Corrupted
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import Job, RunContext, ToCorrupt, ToTrain
from depthgauge.measure.measuring import description_of, measure_cached
from depthgauge.runs.comparison import joined
from depthgauge.sources.folder import fingerprint, state_of

SHIPPED = "depthgauge."
WAY_OUT = "leave --executor and --launcher out, or define it at the top of a module, of a test file or of conftest.py"


# -- values ---


def to_json(value: Any) -> Any:
    """A value of builtins, paths, enumerations, dataclasses and named tuples of such. A dict always says what it is.

    Raises: UsageError for anything else.
    """
    if isinstance(value, Enum):
        return {"enum": address_of(type(value)), "value": value.value}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, tuple):
        if hasattr(value, "_asdict"):
            return {
                "a": address_of(type(value)),
                "with": {name: to_json(item) for name, item in value._asdict().items()},
            }
        return {"tuple": [to_json(item) for item in value]}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Mapping):
        return {"mapping": {str(name): to_json(item) for name, item in value.items()}}
    if isinstance(value, ItemTask) and (testbed := testbed_with(value)) is not None:
        return {"task": value.title, "of": testbed}
    if isinstance(value, FunctionType):
        return {"function": address_of(value)}
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: to_json(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"a": address_of(type(value)), "with": given}
    raise UsageError(
        f"{value!r} cannot be sent to other processes, as it is neither plain data nor named: {WAY_OUT}.",
        code="not-sendable",
    )


def from_json(data: Any) -> Any:
    """The inverse of `to_json`. Raises: UsageError for what is not known here."""
    match data:
        case list():
            return [from_json(item) for item in data]
        case {"tuple": items}:
            return tuple(map(from_json, items))
        case {"path": text}:
            return Path(text)
        case {"mapping": items}:
            return {name: from_json(item) for name, item in items.items()}
        case {"task": title, "of": testbed}:
            return (COMMON if testbed == COMMON.name else TESTBEDS[testbed]).task(title)
        case {"function": address}:
            return resolved(address)
        case {"enum": address, "value": value}:
            return resolved(address)(value)
        case {"a": address, "with": given}:
            return resolved(address)(**{name: from_json(item) for name, item in given.items()})
    return data


def testbed_with(task: ItemTask) -> str | None:
    """The name of the registered testbed that a task is of."""
    testbeds = {COMMON.name: COMMON, **{name: TESTBEDS[name] for name in TESTBEDS}}
    return next((name for name, testbed in testbeds.items() if any(each is task for each in testbed.tasks)), None)


def address_of(thing: Any) -> str:
    """'package.module:Name' of a class or a function; the file of a project's own module is noted for who loads it.

    Raises: UsageError for one that is not found there, as what is defined inside a function.
    """
    address = f"{thing.__module__}:{thing.__qualname__}"
    try:
        importable = thing.__module__ != "__main__" and resolved(address) is thing
    except UsageError:
        importable = False
    if not importable:
        raise UsageError(
            f"{address} cannot be sent to other processes, as none could import it: {WAY_OUT}.", code="not-sendable"
        )
    if not thing.__module__.startswith(SHIPPED) and (
        file := getattr(import_module(thing.__module__), "__file__", None)
    ):
        FILES.setdefault(thing.__module__, file)
    return address


def resolved(address: str) -> Any:
    """Raises: UsageError if there is nothing at the address."""
    module, _, name = address.partition(":")
    try:
        return attrgetter(name)(import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"there is no {address} here ({error}): {WAY_OUT}.") from error


# -- what is registered ---


def method_name(method: Method) -> str:
    """Raises: UsageError for a method that no other process knows by its name."""
    if method.name not in METHODS or METHODS[method.name] != method:
        raise UsageError(
            f"the method {method.name!r} cannot be sent to other processes: register it in METHODS.",
            code="not-sendable",
        )
    return method.name


def testbed_to_json(testbed: Testbed) -> dict[str, Any]:
    """The names of what it was made of, and what a run put in its place: the base, and whether methods train there.

    Raises: UsageError for a testbed that no other process knows by its name.
    """
    if testbed.name not in (COMMON.name, *TESTBEDS):
        raise UsageError(
            f"the testbed {testbed.name!r} cannot be sent to other processes: register it in TESTBEDS.",
            code="not-sendable",
        )
    base = None if testbed.base is None else str(testbed.base)
    trains = testbed.training is not None
    return {"name": testbed.name, "joined_with": testbed.joined_with, "base": base, "trains": trains}


def testbed_from_json(data: Mapping[str, Any]) -> Testbed:
    """Raises: UsageError for a name that is not registered here."""
    other = data["joined_with"]
    own = COMMON if data["name"] == COMMON.name else TESTBEDS[data["name"]]
    testbed = joined(own, None if other is None else TESTBEDS[other])
    base = None if data["base"] is None else Path(data["base"])
    return replace(testbed, base=base, training=testbed.training if data["trains"] else None)


# -- jobs ---


def job_to_json(job: Job, probes: dict[str, Any]) -> dict[str, Any]:
    """A job; the probe that it takes is put among the `probes`, once for all jobs that take it.

    Raises: as `to_json`, `method_name` and `testbed_to_json`.
    """
    todo = job.todo
    if isinstance(todo, ToTrain):
        asked = {"method": method_name(todo.method), "testbed": testbed_to_json(todo.testbed), "seed": todo.seed}
    elif isinstance(todo, ToCorrupt):
        asked = {"corruption": todo.corruption, "dose": todo.dose, "base": str(todo.base), "seed": todo.seed}
    else:
        probe = to_json(todo.probe)
        probes[digest(probe)] = probe
        asked = {
            "probe": digest(probe),
            "of": todo.name,
            "checkpoints": [to_json(checkpoint) for checkpoint in todo.checkpoints],
        }
    return {"kind": job.kind, "description": job.description, "asked": asked}


def job_from_json(data: Mapping[str, Any], probes: Mapping[str, Any], context: RunContext) -> Callable[[], object]:
    """What makes the entry that the job asks for. Raises: as `from_json` and `check_same`; HarnessError of any kind."""
    asked = data["asked"]
    if "method" in asked:
        testbed, seed = testbed_from_json(asked["testbed"]), asked["seed"]
        candidate = CheckpointSet.of(METHODS[asked["method"]], (seed,), replace(context, testbed=testbed))
        check_same(data["description"], asdict(candidate.recipe(seed)))
        return lambda: candidate.checkpoints
    if "corruption" in asked:
        copied = replace(context, testbed=Testbed(name="corrupted", base=Path(asked["base"])))
        corruption = CORRUPTIONS[asked["corruption"]]
        copy = Corrupted(name=corruption.name, corruption=corruption, dose=asked["dose"], context=copied)
        check_same(data["description"], asdict(copy.recipe(asked["seed"])))
        return lambda: copy.checkpoints
    probe = from_json(probes[asked["probe"]])
    sent: list[Checkpoint] = [from_json(checkpoint) for checkpoint in asked["checkpoints"]]
    checkpoints = [replace(checkpoint, state=state_of(checkpoint.folder)) for checkpoint in sent]
    for checkpoint in checkpoints:
        check_unchanged(checkpoint)
    check_same(data["description"], description_of(probe, context, *checkpoints))
    return partial(measure_cached, probe, asked["of"], context, *checkpoints)


def check_unchanged(checkpoint: Checkpoint) -> None:
    """Raises: InvalidCheckpoint if its folder holds another one by now."""
    if fingerprint(checkpoint.folder) != checkpoint.fingerprint:
        raise InvalidCheckpoint(f"{checkpoint.folder} has changed since the run began: run it again.")


def check_same(asked: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises: UsageError where a worker would make another entry than it was asked for, naming what differs."""
    wanted, actual = flat(asked), flat(here)
    differ = [name for name in {**wanted, **actual} if wanted.get(name) != actual.get(name)]
    if differ:
        raise UsageError(
            f"a worker on {platform.node()} would make another entry than the one asked for ({', '.join(differ)} "
            "differ): give it the same packages, files and environment."
        )


def flat(description: Mapping[str, Any]) -> dict[str, bytes]:
    """What is in a description, by name, parameters and versions each by its own."""
    leaves: dict[str, bytes] = {}
    for name, value in description.items():
        leaves |= flat(value) if isinstance(value, Mapping) else {name: canonical_json(value)}
    return leaves
