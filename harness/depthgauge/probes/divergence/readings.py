"""What claims ask of `divergence`: readings, from a subject's measurements to numbers by unit."""

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.testbed import Text
from depthgauge.measure.subject import Subject
from depthgauge.probes.divergence.probe import NextToken, means, medians


def change(subject: Subject, old: Subject) -> tuple[Measurement, ...]:
    """What each seed says next beside the old checkpoint. Raises: NotTestable if the testbed has no texts."""
    return subject.compare(NextToken(texts=subject.material(Text)), old)


def median_kl(subject: Subject, old: Subject) -> Scores:
    """Per text, the median over its tokens of KL(old || new): what a training on something else leaves small."""
    return by_text(subject, [medians(one) for one in change(subject, old)], "nats")


def mean_kl(subject: Subject, old: Subject) -> Scores:
    """Per text, the mean over its tokens of KL(old || new): a few tokens that were trained can make all of it."""
    return by_text(subject, [means(one, "kl") for one in change(subject, old)], "nats")


def changed_share(subject: Subject, old: Subject) -> Scores:
    """Per text, the share of its tokens after which another token is the likeliest."""
    return by_text(subject, [means(one, "changed") for one in change(subject, old)], "share")


def by_text(subject: Subject, values: list[NDArray[np.float64]], unit: str) -> Scores:
    ids = tuple(text.text for text in subject.material(Text))
    return Scores(ids=ids, values=np.stack(values), unit=unit, population="texts")
