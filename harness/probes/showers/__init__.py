"""Showers of a toy calorimeter, drawn by normalising flows: how like simulated ones, and how fast (arXiv:2305.11934).

Shapes: N showers, D cells, R repeats of a timing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.models.folder import model_type
from depthgauge.probes.probe import PROBES, Arrays, Opened
from depthgauge.probes.showers.simulation import energies, observables, simulate
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Profiles, Scores

MODEL_TYPE = "shower_flow"
SHOWERS, REPEATS = 500, 12
IDS = tuple(map(str, range(SHOWERS)))


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnShowers:
    """Arrays: `cells` (N, D), a shower of each of the energies; `seconds` (R,), what drawing all of them took."""

    name: ClassVar[str] = "showers"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "drawn showers"
    requires: ClassVar[tuple[str, ...]] = ("torch", "zuko")

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"showers": SHOWERS, "repeats": REPEATS}

    def check(self, checkpoint: Checkpoint) -> None:
        kind = model_type(checkpoint.folder)
        if kind != MODEL_TYPE:
            raise NotTestable(f"{checkpoint.folder} is a {kind} checkpoint, and draws no showers")

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.showers.compute import cells, timed
        from depthgauge.probes.showers.flow import load

        flow = load(one.folder)
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


def drawn(subject: Subject) -> Profiles:
    """What is seen of the showers that a generator draws."""
    return beside(np.stack([seen(one.arrays["cells"].astype(float)) for one in subject.measure(DrawnShowers())]))


def simulated(subject: Subject) -> Profiles:
    """What is seen of simulated showers of the same energies, once for each of the subject's seeds."""
    return beside(np.stack([seen(simulated_cells())] * len(subject.measure(DrawnShowers()))))


def speed_over(subject: Subject, other: Subject) -> Scores:
    """How many times as fast as the other's the subject's showers are drawn, by repeat."""
    pairs = zip(subject.measure(DrawnShowers()), other.measure(DrawnShowers()), strict=True)
    values = np.stack([its.arrays["seconds"] / mine.arrays["seconds"] for mine, its in pairs])
    return Scores(ids=tuple(map(str, range(REPEATS))), values=values, unit="times", population="repeats")
