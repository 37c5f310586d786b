"""What a probe is: a question put to one checkpoint, or to a pair of them.

A probe is a frozen dataclass whose fields are all that it reads. It has no base class; it fits `Probe`, or `PairProbe`
where it compares two checkpoints. One package holds all there is of it:

    NAME/probe.py      the dataclass: what is asked, and what determines the answer
    NAME/readings.py   what claims call, from a candidate to `Scores` or `Profiles`
    NAME/compute.py    the tensor code, usable alone; opened when something is measured
    NAME/report.py     `show(measured, setting)`, its sections of a report; opened when one is written
    NAME/__init__.py   the names that claims, testbeds and other packages use
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core.errors import InvalidComparison, NotTestable
from depthgauge.core.installed import MODEL_LIBRARIES
from depthgauge.core.method import Checkpoint
from depthgauge.core.registry import PROBES
from depthgauge.sources.folder import check_language_model
from depthgauge.store.measurements import Arrays


class BaseProbe(Protocol):
    """What probes of one checkpoint and of a pair have in common.

    `name`, `version` and `parameters` are the key under which a measurement is stored: raise the version when the same
    question gets another answer. `what` names it in lines of progress. `requires`, which may be left out, names the
    distributions whose versions determine the answer, and are part of that key: torch and transformers where nothing
    else is said. A probe without torch among them is spared the seconds that it takes to import.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def description(self) -> str: ...

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """All that determines the answer, as plain values: the fields, long ones by their digest, and what is read of
        the checkpoint's folder that its fingerprint does not cover, such as a training log.
        """
        ...

    def check(self, checkpoint: Checkpoint) -> None:
        """From the files alone, before any model is loaded. Raises: NotTestable, in the probe's own words."""
        ...


class Probe(BaseProbe, Protocol):
    """A question put to one checkpoint."""

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        """The answer, arrays by name. Raises: NotTestable where the checkpoint turns out to have none."""
        ...


class PairProbe(BaseProbe, Protocol):
    """A question put to a checkpoint and another one beside it."""

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        """How `one` differs from `other`, arrays by name. Raises: as `Probe.run`."""
        ...


def requires_of(probe: BaseProbe) -> tuple[str, ...]:
    """The distributions whose versions determine the answer."""
    return getattr(probe, "requires", MODEL_LIBRARIES)


def address(probe: BaseProbe) -> str:
    """Where a probe lives, 'package.module:Class': how a process that never imported its suite finds it."""
    return f"{type(probe).__module__}:{type(probe).__qualname__}"


@contextmanager
def unlike_is_not_testable() -> Iterator[None]:
    """Two checkpoints of other shapes, heads or tokenizers have no answer, which is no fault of the command."""
    try:
        yield
    except InvalidComparison as error:
        raise NotTestable(str(error)) from error


__all__ = [
    "PROBES",
    "Arrays",
    "BaseProbe",
    "CheckpointHandle",
    "PairProbe",
    "Probe",
    "address",
    "check_language_model",
    "requires_of",
    "unlike_is_not_testable",
]
