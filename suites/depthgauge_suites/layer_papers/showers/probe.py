"""Showers of a toy calorimeter, drawn by normalising flows: how like simulated ones, and how fast (arXiv:2305.11934).

Shapes: N showers, D cells, R repeats of a timing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Profiles
from depthgauge.core.method import Checkpoint
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle
from depthgauge.sources.folder import model_type
from depthgauge_suites.layer_papers.showers.settings import MODEL_TYPE
from depthgauge_suites.layer_papers.showers.simulation import energies, observables, simulate

SHOWERS, REPEATS = 500, 12
IDS = tuple(map(str, range(SHOWERS)))


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnShowers:
    """Arrays: `cells` (N, D), a shower of each of the energies; `seconds` (R,), what drawing all of them took."""

    name: ClassVar[str] = "showers"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "drawn showers"
    requires: ClassVar[tuple[str, ...]] = ("torch", "zuko")

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"showers": SHOWERS, "repeats": REPEATS}

    def check(self, checkpoint: Checkpoint) -> None:
        kind = model_type(checkpoint.folder)
        if kind != MODEL_TYPE:
            raise NotTestable(f"{checkpoint.folder} is a {kind} checkpoint, and draws no showers", code="no-showers")

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.showers.compute import cells, timed
        from depthgauge_suites.layer_papers.showers.flow import load

        flow = load(checkpoint.folder)
        return {"cells": cells(flow, asked_energies()), "seconds": timed(flow, asked_energies(), REPEATS)}


def asked_energies() -> NDArray[np.float64]:
    """The energies in GeV, (N,), that every generator is asked for."""
    return energies(SHOWERS, np.random.default_rng(0))


def simulated_cells() -> NDArray[np.float64]:
    """A simulated shower of each energy, (N, D), none of which was trained on."""
    return simulate(asked_energies(), np.random.default_rng(1))


def seen(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The observables of showers, in units of what simulated ones spread: (N, 24)."""
    held, reference = (np.stack(list(observables(each).values()), axis=1) for each in (cells, simulated_cells()))
    return np.asarray((held - reference.mean(0)) / reference.std(0))


def beside(values: NDArray[np.float64]) -> Profiles:
    columns = tuple(observables(simulated_cells()))
    return Profiles(ids=IDS, columns=columns, values=values, unit="spread", population="showers")
