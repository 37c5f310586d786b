"""What claims ask of `behaviour`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Scores
from depthgauge.measure.subject import Subject
from depthgauge.probes.behaviour.probe import Behaviour, Request


def requests_met(subject: Subject) -> Scores:
    """Per request, 1 if it is met, else 0. Raises: NotTestable for a checkpoint without a chat template."""
    requests = subject.material(Request)
    taken = subject.measure(Behaviour(requests=requests))
    values = np.stack([one.arrays["met"].astype(float) for one in taken])
    ids = tuple(f"{request.kind}/{request.prompt}" for request in requests)
    return Scores(ids=ids, values=values, unit="share", population="prompts", right=1.0)


def requests_met_beside(subject: Subject, old: Subject) -> tuple[Scores, Scores]:
    """`requests_met` here and in the old checkpoint."""
    return requests_met(subject), requests_met(old)
