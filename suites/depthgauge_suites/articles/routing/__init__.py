"""Which tokens look at the pieces of a formula or an isotope, against another checkpoint, head by head."""

from depthgauge_suites.articles.routing.probe import Routing
from depthgauge_suites.articles.routing.readings import (
    apart_in_rankings,
    depth_of_change,
    gain_of_last,
    gain_within,
    share_between,
)
from depthgauge_suites.articles.routing.settings import RoutingText

__all__ = [
    "Routing",
    "RoutingText",
    "apart_in_rankings",
    "depth_of_change",
    "gain_of_last",
    "gain_within",
    "share_between",
]
