"""What changed inside a checkpoint, against another one: the residual stream after every block, on the same texts.

After Minder et al. (2025), arXiv:2510.13900. Layers are 0-based. Shapes: P texts, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Profiles, Text, digest


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationDifference:
    """How far the residual stream moved, in arrays of `compute.Difference`, and what its mean difference says.

    `mean_says` (3, K) the words that the logit lens finds likeliest in the mean difference over texts at the fourth
    token, with `mean_says_probability`, at the layers `mean_says_layers`; K is 0 where the family's final norm is not
    known, and probabilities are 0 where nothing differs there, or no text is long enough.
    """

    texts: tuple[Text, ...]
    name: ClassVar[str] = "activations"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "activation differences"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, [list(turn) for turn in text.turns]] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.activations.measures import activation_change

        return activation_change(one, other, self.texts)


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
