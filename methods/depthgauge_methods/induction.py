"""A two-layer attention-only transformer on sequences that repeat: where induction heads must form.

The setting of Olsson et al. (2022, arXiv:2209.11895) and Elhage et al. (2021), as small as it goes: random tokens, said
again and again with a period that varies, so that only what came after the same token before can tell what comes next.
"""

from depthgauge import METHODS, Method
from depthgauge.core.method import TrainingJob
from depthgauge_methods.settings import InductionSettings


def train(job: TrainingJob) -> None:
    """Train; imported here, not above: listing the methods must not load torch."""
    from depthgauge_methods.next_token import train_on_repeats

    train_on_repeats(job)


INDUCTION = METHODS.register(
    Method(
        name="induction",
        summary="two layers of attention, trained on random tokens that repeat",
        settings=InductionSettings(),
        train=train,
        testbed="repeated_tokens",
    )
)
METHODS.register(
    INDUCTION.evolve(
        name="induction_one_layer", summary="the same with a single layer, which can form no induction head", layers=1
    )
)
METHODS.register(
    INDUCTION.evolve(name="induction_untrained", summary="the same before its first step", control=True, steps=0)
)
METHODS.register(
    INDUCTION.evolve(
        name="induction_no_repeats",
        summary="the same trained on random tokens that never repeat",
        control=True,
        steps=300,
        repeats=False,
    )
)
