"""What claims ask of `behaviour`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.behaviour.probe import Behaviour
from depthgauge.probes.behaviour.settings import Request


def requests_met(candidate: CheckpointSet) -> Scores:
    """Per request, 1 if it is met, else 0. Raises: NotTestable for a checkpoint without a chat template."""
    requests = candidate.inputs(Request)
    taken = candidate.measure(Behaviour(requests=requests))
    values = np.stack([measurement.arrays["met"].astype(float) for measurement in taken])
    ids = tuple(f"{request.kind}/{request.prompt}" for request in requests)
    return Scores(ids=ids, values=values, unit="share", population="prompts", right=1.0)


def requests_met_beside(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Scores, Scores]:
    """`requests_met` here and in the baseline."""
    return requests_met(candidate), requests_met(baseline)
