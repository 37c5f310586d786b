"""Attention sinks: heads that park their attention on the first token (Gu et al. 2025, arXiv:2410.10781)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import InvalidComparison, NotTestable
from depthgauge.models.load import vocabulary_size
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Profiles, Scores, by_head, digest

TOKENS = 64  # of Gu et al. (2025): alpha_1 of even attention falls with the length


class Passage(str):
    """A text of at least 64 tokens."""

    __slots__ = ()


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Sinks:
    """alpha_1 of every head, (P, L, H), on the three inputs of Gu et al. (2025): `natural`, `random`, `repeated`."""

    passages: tuple[Passage, ...]
    name: ClassVar[str] = "sinks"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "attention sinks"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"passages": digest(list(self.passages)), "tokens": TOKENS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.models.attention import eager_flag
        from depthgauge.probes.sinks.compute import sink_strength

        natural = [one.tokenizer(text)["input_ids"][:TOKENS] for text in self.passages]
        if min(map(len, natural)) < TOKENS:
            raise NotTestable(f"a passage of the testbed has fewer than the {TOKENS} tokens that sinks are measured on")
        random = np.random.default_rng(0).integers(vocabulary_size(one.model), size=(len(natural), TOKENS))
        inputs = {"natural": natural, "random": random.tolist()}
        inputs["repeated"] = [[int(row[0])] * TOKENS for row in random]
        return {name: sink_strength(one.model, ids) for name, ids in inputs.items()} | eager_flag(one.model)


def strength(subject: Subject) -> Profiles:
    """Per passage, the attention of every head to the first token, alpha_1.

    Raises: NotTestable if the testbed has no passages, or one is too short.
    """
    taken = subject.measure(Sinks(passages=subject.material(Passage)))
    values = np.stack([one.arrays["natural"] for one in taken]).astype(float)
    return by_head(values, tuple(map(str, range(values.shape[1]))), "attention")


def mean_of_heads(subject: Subject) -> Scores:
    """Per passage, the attention to the first token, on average over all heads."""
    heads = strength(subject)
    return Scores(ids=heads.ids, values=heads.values.mean(axis=2), unit=heads.unit, population="prompts")


def strongest_beside(subject: Subject, old: Subject) -> tuple[Scores, Scores]:
    """Per passage, alpha_1 of the head that is the old checkpoint's strongest sink, here and there.

    Raises: InvalidComparison if they do not have the same tokens, layers and heads.
    """
    subject.check_same_tokens(old)
    mine, its = strength(subject), strength(old)
    if mine.columns != its.columns:
        raise InvalidComparison("the two do not have the same layers and heads, and cannot be compared by head.")
    place = int(its.values.mean((0, 1)).argmax())
    new, before = (
        Scores(ids=one.ids, values=one.values[:, :, place], unit=one.unit, population="texts") for one in (mine, its)
    )
    return new, before
