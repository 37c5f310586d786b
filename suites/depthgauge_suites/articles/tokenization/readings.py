"""What claims ask of `tokenization`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.testbed import Word
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.articles.tokenization.probe import Compound, Tokenization


def fragments(candidate: CheckpointSet, kind: str) -> Scores:
    """Per word of a kind, into how many tokens it falls, over its characters and the blank before it, cut with it.

    Raises: NotTestable if the testbed has no such words.
    """
    words = [word.text for word in candidate.inputs(Word) if word.kind == kind]
    if not words:
        raise NotTestable(f"testbed {candidate.testbed.name!r} has no words of the kind {kind!r}")
    values = np.stack([measurement.arrays[kind] for measurement in taken_apart(candidate)]) / [
        len(f" {word}") for word in words
    ]
    return Scores(ids=tuple(words), values=values, unit="tokens per character", population="words")


def reads_out(candidate: CheckpointSet, block: int) -> Scores:
    """Per compound, 1 if a linear read-out of its last token after that block names its label, else 0."""
    values = np.stack([measurement.arrays["read_out"][:, block + 1] for measurement in taken_apart(candidate)])
    ids = tuple(compound.name for compound in candidate.inputs(Compound))
    return Scores(ids=ids, values=values.astype(float), unit="share", population="items", right=1.0)


def depth(candidate: CheckpointSet) -> int:
    """How many blocks were read."""
    return int(taken_apart(candidate)[0].arrays["read_out"].shape[1]) - 1


def taken_apart(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    """Raises: NotTestable if the testbed has no words or no compounds."""
    return candidate.measure(Tokenization(words=candidate.inputs(Word), compounds=candidate.inputs(Compound)))
