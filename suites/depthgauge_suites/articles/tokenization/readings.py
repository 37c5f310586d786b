"""What claims ask of `tokenization`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.testbed import Word
from depthgauge.measure.subject import Subject
from depthgauge_suites.articles.tokenization.probe import Compound, Tokenization


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
