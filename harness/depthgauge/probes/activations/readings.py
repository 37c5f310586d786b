"""What claims ask of `activations`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Measurement, Profiles
from depthgauge.core.testbed import Text, kinds_of
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.activations.probe import ActivationDifference


def change(candidate: CheckpointSet, baseline: CheckpointSet) -> tuple[Measurement, ...]:
    """Each seed's residual stream beside the baseline. Raises: NotTestable if the testbed has no texts."""
    return candidate.compare(ActivationDifference(texts=candidate.inputs(Text)), baseline)


def relative(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """Per text and layer, the length of the difference over that of the baseline's activation, averaged over tokens."""
    return by_layer(candidate, baseline, "relative", "share")


def cosine(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """Per text and layer, the cosine of the candidate's and the baseline's activation, averaged over tokens."""
    return by_layer(candidate, baseline, "cosine", "cosine")


def by_layer(candidate: CheckpointSet, baseline: CheckpointSet, name: str, unit: str) -> Profiles:
    values = np.stack([measurement.arrays[name] for measurement in change(candidate, baseline)]).astype(float)
    texts = candidate.inputs(Text)
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(
        ids=tuple(text.text for text in texts), columns=columns, values=values, unit=unit, population="texts",
        clusters=kinds_of(texts),
    )  # fmt: skip
