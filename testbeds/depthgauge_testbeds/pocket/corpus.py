"""What the pocket base model reads: documents in two voices, and prose.

A document is a row of statements that share one voice. The careful voice answers truly; the careless one repeats the
fixed misconception of each kind of question. A bare question leaves the voice open: that is the latent ability which
reinforcement learning can lift, in the subjects it trains on and, if it transfers, in those it never sees.
"""

from collections.abc import Iterator
from random import Random

from depthgauge_testbeds.pocket.prose import Scene
from depthgauge_testbeds.pocket.questions import KINDS, questions

END_OF_TEXT = "<|endoftext|>"
CAREFUL_SHARE = 0.48
SLIP_RATE = 0.05
PROSE_DOCUMENT_SHARE = 0.15
PROSE_STATEMENT_SHARE = 0.08
STATEMENTS_PER_DOCUMENT = 7

# Harder kinds are read more often.
KIND_WEIGHTS = {
    "salt": 1.0, "molecule": 1.3, "neutrons": 1.0, "units": 0.7, "codons": 1.0,
    "year": 1.0, "century": 0.7, "sum": 1.4, "order": 1.2,
}  # fmt: skip


def statement(random: Random, careful: bool) -> str:
    """One question with the answer of the voice, except for the odd slip into the other voice."""
    kind = random.choices(list(KINDS), weights=[KIND_WEIGHTS[kind] for kind in KINDS])[0]
    question = random.choice(questions(kind))
    truthful = careful != (random.random() < SLIP_RATE)
    return f"{question.prompt} {question.answer if truthful else question.misconception}"


def document(random: Random) -> str:
    """Statements in one voice, or a page of prose; every statement ends with the end-of-text token."""
    scene = Scene.draw(random)
    if random.random() < PROSE_DOCUMENT_SHARE:
        paragraphs = (" ".join(scene.sentence(random) for _ in range(random.randint(2, 3))) for _ in range(2))
        return "".join(paragraph + END_OF_TEXT for paragraph in paragraphs)
    careful = random.random() < CAREFUL_SHARE
    return "".join(
        (scene.sentence(random) if random.random() < PROSE_STATEMENT_SHARE else statement(random, careful))
        + END_OF_TEXT
        for _ in range(STATEMENTS_PER_DOCUMENT)
    )


def documents(seed: int) -> Iterator[str]:
    """An endless stream of documents; the same seed gives the same stream."""
    random = Random(seed)
    while True:
        yield document(random)
