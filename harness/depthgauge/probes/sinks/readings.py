"""What claims ask of `sinks`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import InvalidComparison
from depthgauge.core.estimate import HeadOrder, Profiles, Scores, by_head, head_places
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.sinks.probe import Passage, Sinks


def strength(candidate: CheckpointSet) -> Profiles:
    """Per passage, the attention of every head to the first token, alpha_1.

    Raises: NotTestable if the testbed has no passages, or one is too short.
    """
    taken = candidate.measure(Sinks(passages=candidate.inputs(Passage)))
    values = np.stack([measurement.arrays["natural"] for measurement in taken]).astype(float)
    return by_head(values, tuple(map(str, range(values.shape[1]))), "attention")


def mean_of_heads(candidate: CheckpointSet) -> Scores:
    """Per passage, the attention to the first token, on average over all heads."""
    heads = strength(candidate)
    return Scores(ids=heads.ids, values=heads.values.mean(axis=2), unit=heads.unit, population="prompts")


def strongest_beside(
    candidate: CheckpointSet, baseline: CheckpointSet, *, order: HeadOrder | None = None
) -> tuple[Scores, Scores]:
    """Per passage, alpha_1 of the head that is the baseline's strongest sink, here and there.

    `order` says by layer which head of the candidate each of the baseline's is, where they were reordered.

    Raises: InvalidComparison if they do not have the same tokens, layers and heads.
    """
    candidate.check_same_tokens(baseline)
    of_candidate, of_baseline = strength(candidate), strength(baseline)
    if of_candidate.columns != of_baseline.columns:
        raise InvalidComparison(
            "the two do not have the same layers and heads, and cannot be compared by head.", code="other-layers"
        )
    place = int(of_baseline.values.mean((0, 1)).argmax())
    here = place if order is None else int(head_places(order)[place])
    after, before = (
        Scores(ids=strengths.ids, values=strengths.values[:, :, at], unit=strengths.unit, population="texts")
        for strengths, at in ((of_candidate, here), (of_baseline, place))
    )
    return after, before
