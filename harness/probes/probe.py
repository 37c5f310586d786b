"""What a probe is: a question put to one checkpoint, or to a pair of them.

A probe is a frozen dataclass whose fields are all that it reads. It has no base class; it fits `Probe`, or `PairProbe`
where it compares two checkpoints. One room holds all there is of it:

    NAME/__init__.py   the dataclass, and its readings: what claims call, from a subject to `Scores` or `Profiles`
    NAME/compute.py    the tensor code, usable alone; opened when something is measured
    NAME/show.py       `show(measured, setting)`, its sections of a report; opened when one is written
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from depthgauge.errors import InvalidComparison, NotTestable
from depthgauge.models.folder import check_language_model
from depthgauge.models.load import Opened
from depthgauge.registry import PROBES
from depthgauge.store.measurements import Arrays
from depthgauge.types import MODEL_LIBRARIES, Checkpoint


class Question(Protocol):
    """What probes of one checkpoint and of a pair have in common.

    `name`, `version` and `parameters` are the key under which a measurement is stored: raise the version when the same
    question gets another answer. `what` names it in lines of progress. `requires`, which may be left out, names the
    distributions whose versions determine the answer, and are part of that key: torch and transformers where nothing
    else is said. A probe without torch among them is spared the seconds that it takes to import.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def what(self) -> str: ...

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        """All that determines the answer, as plain values: the fields, long ones by their digest, and what is read of
        the checkpoint's folder that its fingerprint does not cover, such as a training log.
        """
        ...

    def check(self, checkpoint: Checkpoint) -> None:
        """From the files alone, before any model is loaded. Raises: NotTestable, in the probe's own words."""
        ...


class Probe(Question, Protocol):
    """A question put to one checkpoint."""

    def take(self, one: Opened) -> Arrays:
        """The answer, arrays by name. Raises: NotTestable where the checkpoint turns out to have none."""
        ...


class PairProbe(Question, Protocol):
    """A question put to a checkpoint and another one beside it."""

    def take(self, one: Opened, other: Opened) -> Arrays:
        """How `one` differs from `other`, arrays by name. Raises: as `Probe.take`."""
        ...


def requires_of(probe: Question) -> tuple[str, ...]:
    """The distributions whose versions determine the answer."""
    return getattr(probe, "requires", MODEL_LIBRARIES)


def address(probe: Question) -> str:
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
    "Opened",
    "PairProbe",
    "Probe",
    "Question",
    "address",
    "check_language_model",
    "requires_of",
    "unlike_is_not_testable",
]
