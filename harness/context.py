"""What all of a run shares."""

from collections.abc import Callable
from dataclasses import dataclass, field

from depthgauge.models.load import Placement
from depthgauge.store.folders import Store
from depthgauge.types import Evidence, Testbed


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """The testbed, where models run, what is kept, who is told, and the evidence for the claim that is being judged."""

    testbed: Testbed
    store: Store
    tell: Callable[[str], None]
    placement: Placement = field(default_factory=Placement)
    evidence: list[Evidence] = field(default_factory=list)
