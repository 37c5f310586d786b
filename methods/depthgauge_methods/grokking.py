"""Modular addition, trained until it groks, and the same where it must not.

The setting of Nanda et al. (2023, arXiv:2301.05217): full batch, 30 % of the pairs, AdamW with weight decay 1, and a
loss in float64.
"""

from depthgauge import METHODS, Method
from depthgauge.core.method import TrainingJob
from depthgauge_methods.settings import GrokkingSettings


def train(job: TrainingJob) -> None:
    """Train; imported here, not above: listing the methods must not load torch."""
    from depthgauge_methods.full_batch import train_modular

    train_modular(job)


GROKKING = METHODS.register(
    Method(
        name="grokking",
        summary="modular addition with weight decay, full batch, until it groks and has cleaned up",
        settings=GrokkingSettings(),
        train=train,
        testbed="modular_addition",
        exclusive=True,
        requires=("torch",),
    )
)
METHODS.register(
    GROKKING.evolve(
        name="grokking_nodecay",
        summary="the same without weight decay, which must not grok",
        weight_decay=0.0,
        steps=12_000,
    )
)
METHODS.register(
    GROKKING.evolve(
        name="grokking_float32",
        summary="the same with its loss in float32, which jumps",
        precision="float32",
        steps=5_000,
    )
)
METHODS.register(
    GROKKING.evolve(name="grokking_untrained", summary="the same before its first step", control=True, steps=0)
)
METHODS.register(
    GROKKING.evolve(
        name="grokking_memorised",
        summary="the same stopped at 1,500 steps, when it knows its training sums by heart",
        control=True,
        steps=1_500,
    )
)
METHODS.register(
    GROKKING.evolve(
        name="grokking_random_answers",
        summary="the same with the answers dealt out at random, stopped when it knows them by heart",
        control=True,
        shuffled=True,
        steps=1_500,
    )
)
