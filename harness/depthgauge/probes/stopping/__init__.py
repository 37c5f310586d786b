"""Whether answers still end by themselves: a model that never says its stop token talks on until it is cut off."""

from depthgauge.probes.stopping.readings import ended_beside
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion

__all__ = ["TOKENS", "ShortQuestion", "ended_beside"]
