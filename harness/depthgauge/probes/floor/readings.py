"""What claims ask of `floor`: a divergence in multiples of what changes nothing."""

from dataclasses import replace

import numpy as np

from depthgauge.core.estimate import Scores
from depthgauge.core.testbed import Text
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.floor.probe import Floor

TEXTS = 16
CAUSES = ("batch", "kernel", "precision")
SAID = {"batch": "another batch", "kernel": "another kernel", "precision": "half a step of bfloat16"}


def in_floors(divergence: Scores, baseline: CheckpointSet) -> tuple[Scores, str]:
    """A divergence by text over the largest of the three floors of that text, and what that is in words.

    Only texts that floors are measured on are kept: some of the testbed's, evenly drawn.
    """
    texts = baseline.inputs(Text)
    chosen = texts[:: max(1, len(texts) // TEXTS)][:TEXTS]
    (floor,) = baseline.one_seed().measure(Floor(texts=chosen))
    floors = np.stack([floor.arrays[cause].astype(float) for cause in CAUSES])
    places = [divergence.ids.index(text.text) for text in chosen]
    largest = CAUSES[int(floors.mean(axis=1).argmax())]
    values = divergence.values[:, places] / np.maximum(floors.max(axis=0), np.finfo(np.float64).tiny)
    said = f"{floors.mean(axis=1).max():.2g} nats ({SAID[largest]})"
    sizes = replace(
        divergence, ids=tuple(text.text for text in chosen), values=values, unit="times the floor",
        clusters=tuple(divergence.clusters[place] for place in places) if divergence.clusters else (),
    )  # fmt: skip
    return sizes, said
