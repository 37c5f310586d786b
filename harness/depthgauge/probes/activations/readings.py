"""What claims ask of `activations`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Measurement, Profiles
from depthgauge.core.testbed import Text
from depthgauge.measure.subject import Subject
from depthgauge.probes.activations.probe import ActivationDifference


def change(subject: Subject, old: Subject) -> tuple[Measurement, ...]:
    """Each seed's residual stream beside the old one. Raises: NotTestable if the testbed has no texts."""
    return subject.compare(ActivationDifference(texts=subject.material(Text)), old)


def relative(subject: Subject, old: Subject) -> Profiles:
    """Per text and layer, the length of the difference over that of the old activation, averaged over tokens."""
    return by_layer(subject, old, "relative", "share")


def cosine(subject: Subject, old: Subject) -> Profiles:
    """Per text and layer, the cosine of the new and the old activation, averaged over tokens."""
    return by_layer(subject, old, "cosine", "cosine")


def by_layer(subject: Subject, old: Subject, name: str, unit: str) -> Profiles:
    values = np.stack([one.arrays[name] for one in change(subject, old)]).astype(float)
    ids = tuple(text.text for text in subject.material(Text))
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=ids, columns=columns, values=values, unit=unit, population="texts")
