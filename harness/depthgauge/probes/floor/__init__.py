"""What changes the next token although nothing changed: another batch, another kernel, another rounding."""

from depthgauge.probes.floor.probe import Floor
from depthgauge.probes.floor.readings import in_floors

__all__ = ["Floor", "in_floors"]
