"""Where heads look, against another checkpoint, and how much of what changed lies on pieces of formulae.

Layers and heads are 0-based. Shapes: P texts, L layers, H heads, T tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import NotTestable
from depthgauge.models.tokenizer import check_same_tokenizer
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model, unlike_is_not_testable
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Profiles, Scores, by_head, digest

MAPPED_HEADS = 4  # the most changed heads, whose maps are kept for a picture


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedText:
    """A text, and the formulae or isotopes in it, as they are written there; none where nobody asks for them."""

    text: str
    terms: tuple[str, ...] = ()


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class HeadChange:
    """Arrays of `compute.HeadDivergence`, and more.

    `fragment_share` (P, 2), where every text has terms: changed attention on fragments, and if spread evenly.
    `mapped_heads` (k, 2), the most changed ones, with `maps` and `other_maps` (k, T, T) on the first text, and its
    `tokens`.
    """

    texts: tuple[MarkedText, ...]
    name: ClassVar[str] = "attention"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "where heads look"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, list(text.terms)] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.attention.measures import head_change

        with unlike_is_not_testable():
            check_same_tokenizer(one.folder, other.folder)
            return head_change(one, other, self.texts)


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
