"""What a checkpoint would say next, beside another one: the divergence of the two at every token of every text.

The divergence is KL(old || new), in nats: what the old model would miss in the new one. A training moves what it
trains, and a fault moves all there is, so that the median over a text's tokens, and not the mean, tells them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Scores, Text, digest


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class NextToken:
    """Arrays of all tokens in the order of the texts, and of the K most changed ones, the most changed first.

    `kl` KL(old || new) of what follows the token, in nats; `changed` whether another token is the likeliest; `text_of`
    its text. `kinds` of the texts, (texts,).
    `top_text`, `top_position` where a changed one stands; `top_token`, `top_context` what is written there and up to
    it; `top_old`, `top_new` what either model would say next; `top_old_probability`, `top_new_probability` what each
    gives to the old one's word.
    """

    texts: tuple[Text, ...]
    name: ClassVar[str] = "divergence"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "next-token divergence"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, text.kind, [list(turn) for turn in text.turns]] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened, other: Opened) -> Arrays:
        from depthgauge.probes.divergence.measures import next_token

        return next_token(one, other, self.texts)


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


def medians(one: Measurement) -> NDArray[np.float64]:
    """The median divergence of each text."""
    kl, text_of = one.arrays["kl"].astype(float), one.arrays["text_of"]
    return np.array([np.median(kl[text_of == text]) for text in range(text_of[-1] + 1)])


def means(one: Measurement, name: str) -> NDArray[np.float64]:
    """The mean over each text's tokens of an array (tokens,)."""
    values, text_of = one.arrays[name].astype(float), one.arrays["text_of"]
    found: NDArray[np.float64] = np.bincount(text_of, values) / np.bincount(text_of)
    return found
