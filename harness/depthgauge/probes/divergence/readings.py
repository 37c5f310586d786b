"""What claims ask of `divergence`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.testbed import Text, kinds_of
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.divergence.probe import NextToken, greatest, means, medians


def change(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Measurement, ...]:
    """What each seed says next beside the baseline. Raises: NotTestable if the testbed has no texts."""
    return candidate.compare(NextToken(texts=candidate.inputs(Text)), baseline)


def median_kl(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per text, the median over its tokens of KL(baseline || candidate): what a training on something else leaves
    small.
    """
    return by_text(candidate, [medians(measurement) for measurement in change(candidate, baseline)], "nats")


def mean_kl(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per text, the mean over its tokens of KL(baseline || candidate): a few tokens that were trained can make all of
    it.
    """
    return by_text(candidate, [means(measurement, "kl") for measurement in change(candidate, baseline)], "nats")


def greatest_kl(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per text, the largest KL(baseline || candidate) of its tokens: what is concentrated, a median does not see."""
    return by_text(candidate, [greatest(measurement) for measurement in change(candidate, baseline)], "nats")


def changed_share(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per text, the share of its tokens after which another token is the likeliest."""
    return by_text(candidate, [means(measurement, "changed") for measurement in change(candidate, baseline)], "share")


def same_share(candidate: CheckpointSet, baseline: CheckpointSet) -> Scores:
    """Per text, the share of its tokens after which the same token is the likeliest."""
    return by_text(
        candidate, [1 - means(measurement, "changed") for measurement in change(candidate, baseline)], "share"
    )


def by_text(candidate: CheckpointSet, values: list[NDArray[np.float64]], unit: str) -> Scores:
    texts = candidate.inputs(Text)
    ids = tuple(text.text for text in texts)
    return Scores(ids=ids, values=np.stack(values), unit=unit, population="texts", clusters=kinds_of(texts))
