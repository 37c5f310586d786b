"""What claims ask of `stopping`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.stopping.probe import Stopping
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion

ENOUGH = 0.5  # of a baseline's answers must end: of one that hardly ever stops nothing can be lost


def ended(candidate: CheckpointSet) -> Scores:
    """Per question, 1 if the answer ends by itself, else 0."""
    questions = candidate.inputs(ShortQuestion)
    taken = candidate.measure(Stopping(questions=questions))
    values = np.stack([measurement.arrays["ended"].astype(float) for measurement in taken])
    ids = tuple(question.request for question in questions)
    return Scores(ids=ids, values=values, unit="share", population="prompts", right=1.0)


def ended_beside(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Scores, Scores]:
    """`ended` here and in the baseline. Raises: NotTestable where fewer than half of the baseline's answers end."""
    before = ended(baseline)
    if before.values.mean() < ENOUGH:
        raise NotTestable(
            f"{int(before.values.sum())} of {before.values.size} answers of {baseline.name!r} end by themselves within "
            f"{TOKENS} tokens, and of fewer than half nothing can be said"
        )
    return ended(candidate), before
