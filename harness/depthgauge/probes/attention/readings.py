"""What claims ask of `attention`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Profiles, Scores, by_head
from depthgauge.measure.subject import Subject
from depthgauge.probes.attention.probe import HeadChange, MarkedText


def change(subject: Subject, other: Subject) -> tuple[Measurement, ...]:
    """Each seed's attention beside the other's. Raises: NotTestable if the testbed has no marked texts."""
    return subject.compare(HeadChange(texts=subject.material(MarkedText)), other)


def divergence(subject: Subject, other: Subject) -> Profiles:
    """Per marked text and head, the Jensen-Shannon divergence in bits of its attention from the other's."""
    values = np.stack([one.arrays["jsd_bits"] for one in change(subject, other)]).astype(float)
    return by_head(values, texts(subject), "bits")


def mean_divergence(subject: Subject, other: Subject) -> Scores:
    """Per marked text, `divergence` averaged over all heads."""
    heads = divergence(subject, other)
    return Scores(ids=heads.ids, values=heads.values.mean(axis=2), unit=heads.unit, population=heads.population)


def changed_on_fragments(subject: Subject, base: Subject) -> Scores:
    """Per marked text, the share of changed attention that falls on pieces of its terms.

    Raises: NotTestable if a text of the testbed marks none.
    """
    taken = change(subject, base)
    if any("fragment_share" not in one.arrays for one in taken):
        raise NotTestable(f"testbed {subject.testbed.name!r} marks no terms in some of its texts")
    shares = np.stack([one.arrays["fragment_share"][:, 0] for one in taken])
    return Scores(ids=texts(subject), values=shares, unit="share", population="prompts")


def texts(subject: Subject) -> tuple[str, ...]:
    return tuple(text.text for text in subject.material(MarkedText))


def divergence_by_layer(subject: Subject, other: Subject) -> Profiles:
    """Per marked text and layer, the largest divergence of a head's attention from the other's, in bits."""
    values = np.stack([one.arrays["jsd_bits"].max(axis=2) for one in change(subject, other)]).astype(float)
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=texts(subject), columns=columns, values=values, unit="bits", population="texts")
