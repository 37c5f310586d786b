"""Modular addition, trained until it groks, and the same where it must not.

The setting of Nanda et al. (2023, arXiv:2301.05217): full batch, 30 % of the pairs, AdamW with weight decay 1, and a
loss in float64.
"""

from dataclasses import dataclass
from typing import Literal

from harness import METHODS, Method
from harness.types import TrainingJob


@dataclass(frozen=True, kw_only=True, slots=True)
class GrokkingSettings:
    """What the trainings differ in.

    A training ends at `steps`, or `clean_up_steps` after every test sum was first right with a mean test loss below
    `until_test_loss` (nats): what was memorised decays only then.
    `precision` is that of the softmax in the loss: in float32 its smallest step, 1.2e-7, makes the loss jump.
    `shuffled` trains on answers dealt out at random, which can be memorised and not understood.
    """

    p: int = 113
    train_fraction: float = 0.3
    weight_decay: float = 1.0
    precision: Literal["float64", "float32"] = "float64"
    shuffled: bool = False
    steps: int = 40_000
    until_test_loss: float | None = 1e-5
    clean_up_steps: int = 6_000


def train(job: TrainingJob) -> None:
    """Train; imported here, not above: listing the methods must not load torch."""
    from methods.full_batch import train_modular

    train_modular(job)


GROKKING = METHODS.register(
    Method(
        name="grokking",
        summary="modular addition with weight decay, full batch, until it groks and has cleaned up",
        settings=GrokkingSettings(),
        train=train,
        testbed="modular_addition",
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
        name="grokking_shuffled",
        summary="the same with the answers dealt out at random, stopped when it knows them by heart",
        control=True,
        shuffled=True,
        steps=1_500,
    )
)
