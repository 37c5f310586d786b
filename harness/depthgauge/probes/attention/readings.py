"""What claims ask of `attention`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import HeadOrder, Measurement, Profiles, Scores, by_head
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.attention.probe import HeadChange
from depthgauge.probes.attention.settings import MarkedText


def change(
    candidate: CheckpointSet, other: CheckpointSet, *, order: HeadOrder | None = None
) -> tuple[Measurement, ...]:
    """Each seed's attention beside the other's, in whose `order` its heads are taken where one is given.

    Raises: NotTestable if the testbed has no marked texts.
    """
    return candidate.compare(HeadChange(texts=candidate.inputs(MarkedText), order=order), other)


def divergence(candidate: CheckpointSet, other: CheckpointSet) -> Profiles:
    """Per marked text and head, the Jensen-Shannon divergence in bits of its attention from the other's."""
    values = np.stack([measurement.arrays["jsd_bits"] for measurement in change(candidate, other)]).astype(float)
    return by_head(values, texts(candidate), "bits")


def mean_divergence(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """Per marked text, `divergence` averaged over all heads."""
    heads = divergence(candidate, other)
    return Scores(ids=heads.ids, values=heads.values.mean(axis=2), unit=heads.unit, population=heads.population)


def changed_on_fragments(candidate: CheckpointSet, base_model: CheckpointSet) -> Scores:
    """Per marked text, the share of changed attention that falls on pieces of its terms.

    Raises: NotTestable if a text of the testbed marks none.
    """
    taken = change(candidate, base_model)
    if any("fragment_share" not in measurement.arrays for measurement in taken):
        raise NotTestable(f"testbed {candidate.testbed.name!r} marks no terms in some of its texts")
    shares = np.stack([measurement.arrays["fragment_share"][:, 0] for measurement in taken])
    return Scores(ids=texts(candidate), values=shares, unit="share", population="prompts")


def texts(candidate: CheckpointSet) -> tuple[str, ...]:
    return tuple(text.text for text in candidate.inputs(MarkedText))


def divergence_by_layer(candidate: CheckpointSet, other: CheckpointSet, *, order: HeadOrder | None = None) -> Profiles:
    """Per marked text and layer, the largest divergence of a head's attention from the other's, in bits."""
    taken = change(candidate, other, order=order)
    values = np.stack([measurement.arrays["jsd_bits"].max(axis=2) for measurement in taken]).astype(float)
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=texts(candidate), columns=columns, values=values, unit="bits", population="texts")
