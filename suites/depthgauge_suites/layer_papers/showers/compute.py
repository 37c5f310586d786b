"""Drawing showers, and how long it takes."""

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from depthgauge.models.inputs import check_finite

if TYPE_CHECKING:
    from depthgauge_suites.layer_papers.showers.flow import ShowerFlow


def cells(flow: "ShowerFlow", energies_gev: NDArray[np.float64], seed: int = 0) -> NDArray[np.float32]:
    """A shower of each energy, (N, D). Raises: InvalidCheckpoint if a cell is not finite."""
    drawn: NDArray[np.float32] = flow.draw(torch.tensor(energies_gev, dtype=torch.float32), seed).numpy()
    check_finite(drawn)
    return drawn


def timed(flow: "ShowerFlow", energies_gev: NDArray[np.float64], repeats: int) -> NDArray[np.float64]:
    """Seconds that drawing all of them takes, (R,), after one that is not counted."""
    asked, seconds = torch.tensor(energies_gev, dtype=torch.float32), []
    for repeat in range(repeats + 1):
        began = time.perf_counter()
        flow.draw(asked, repeat)
        seconds.append(time.perf_counter() - began)
    return np.array(seconds[1:])
