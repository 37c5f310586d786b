"""Showers of a toy calorimeter, drawn by normalising flows: how like simulated ones, and how fast
(arXiv:2305.11934).
"""

from depthgauge_suites.layer_papers.showers.probe import asked_energies, beside, seen, simulated_cells
from depthgauge_suites.layer_papers.showers.readings import drawn, simulated, speed_over

__all__ = [
    "asked_energies",
    "beside",
    "drawn",
    "seen",
    "simulated",
    "simulated_cells",
    "speed_over",
]
