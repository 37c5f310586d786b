"""What the tokenizer makes of formulae, and whether the model puts the pieces together again.

Layers are 0-based. Shapes: N compounds, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Scores, Word, by_kind, digest

SHUFFLE_SEED = 0
EMBEDDING = -1  # the block before the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """A text that ends with a compound's formula, for a read-out of `label` that is trained on other folds."""

    text: str
    name: str
    label: str
    fold: str


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenization:
    """Fragments of each kind of words, an array a kind; `read_out` and `shuffled` (N, L + 1) of `compute.read_out`."""

    words: tuple[Word, ...]
    compounds: tuple[Compound, ...]
    name: ClassVar[str] = "tokenization"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "what the tokenizer takes apart"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        compounds = digest([[one.text, one.label, one.fold] for one in self.compounds])
        return {"words": digest(by_kind(self.words)), "compounds": compounds}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.tokenization.compute import fragments, last_token_states, read_out

        model, tokenizer = one.model, one.tokenizer
        states = last_token_states(model, [tokenizer(each.text)["input_ids"] for each in self.compounds])
        labels, folds = [each.label for each in self.compounds], [each.fold for each in self.compounds]
        counts = {kind: fragments(tokenizer, words) for kind, words in by_kind(self.words).items()}
        shuffled = read_out(states, labels, folds, shuffle_seed=SHUFFLE_SEED)
        return counts | {"read_out": read_out(states, labels, folds), "shuffled": shuffled}


def fragments(subject: Subject, kind: str) -> Scores:
    """Per word of a kind, into how many tokens it falls, over its characters and the blank before it, cut with it.

    Raises: NotTestable if the testbed has no such words.
    """
    words = [word.text for word in subject.material(Word) if word.kind == kind]
    if not words:
        raise NotTestable(f"testbed {subject.testbed.name!r} has no words of the kind {kind!r}")
    values = np.stack([one.arrays[kind] for one in taken_apart(subject)]) / [len(f" {word}") for word in words]
    return Scores(ids=tuple(words), values=values, unit="tokens per character", population="words")


def reads_out(subject: Subject, block: int) -> Scores:
    """Per compound, 1 if a linear read-out of its last token after that block names its label, else 0."""
    values = np.stack([one.arrays["read_out"][:, block + 1] for one in taken_apart(subject)])
    ids = tuple(compound.name for compound in subject.material(Compound))
    return Scores(ids=ids, values=values.astype(float), unit="share", population="items", right=1.0)


def depth(subject: Subject) -> int:
    """How many blocks were read."""
    return int(taken_apart(subject)[0].arrays["read_out"].shape[1]) - 1


def taken_apart(subject: Subject) -> tuple[Measurement, ...]:
    """Raises: NotTestable if the testbed has no words or no compounds."""
    return subject.measure(Tokenization(words=subject.material(Word), compounds=subject.material(Compound)))
