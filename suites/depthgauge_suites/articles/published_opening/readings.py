"""What claims ask of `published_opening`: numbers by seed, as one opening has no interval of its own."""

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import loop
from depthgauge_suites.articles.published_opening.probe import PublishedOpening, PublishedTrace


def traces(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    """Raises: NotTestable if the testbed does not have the opening."""
    (opening,) = candidate.inputs(PublishedOpening)
    return candidate.measure(PublishedTrace(opening=opening))


def loops(candidate: CheckpointSet) -> NDArray[np.float64]:
    """By seed, 1 if what is said ends in a loop, else 0."""
    return np.array([float(loop(entry.arrays["token_ids"]) is not None) for entry in traces(candidate)])


def repeats(candidate: CheckpointSet, n: int) -> NDArray[np.float64]:
    """By seed, the n-gram diversity of what is said."""
    return np.array([ngram_diversity(entry.arrays["token_ids"], n) for entry in traces(candidate)])
