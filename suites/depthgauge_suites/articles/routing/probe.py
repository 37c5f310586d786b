"""Which tokens look at the pieces of a formula or an isotope, against another checkpoint (Dangi 2026a).

Layers and heads are 0-based. Shapes: P texts, L layers, H heads, T tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model, unlike_is_not_testable
from depthgauge.sources.tokenizer import check_same_tokenizer
from depthgauge_suites.articles.routing.settings import RoutingText


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """Arrays of `compute.Routes`, each (P, L, H), and of the first text of each domain its most changed heads.

    `chemistry_heads` (20, 2), those of largest divergence on that text, `chemistry_change` (20, T, T), how their maps
    changed, and `chemistry_tokens` (T,); the same for physics.
    """

    texts: tuple[RoutingText, ...]
    name: ClassVar[str] = "routing"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "who looks at the pieces of terms"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[each.text, each.term, each.domain] for each in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge_suites.articles.routing.measures import change_of_routes

        with unlike_is_not_testable():
            check_same_tokenizer(candidate.folder, baseline.folder)
            return change_of_routes(candidate, baseline, self.texts)
