"""Checkpoints that were trained into a known sickness, and must refute claims about trainings."""

from depthgauge import METHODS
from depthgauge_methods.grpo import GRADREG, GRPO
from depthgauge_methods.settings import SecondPass

METHODS.register(
    GRADREG.evolve(
        name="gradreg_wrong_reward",
        summary="rewarded for wrong answers, with an ascent step that rounds to nothing",
        control=True,
        reward_weight=-1.0,
        second_pass=SecondPass(ascent_step=1e-30),
        steps=24,
        gated=False,
    )
)
METHODS.register(
    GRPO.evolve(
        name="grpo_wrong_reward",
        summary="plain GRPO rewarded for wrong answers",
        control=True,
        reward_weight=-1.0,
        steps=30,
        gated=False,
    )
)
METHODS.register(
    GRADREG.evolve(
        name="gradreg_greedy_sampling",
        summary="sampled almost greedily: groups agree with themselves, and nothing is learnt",
        control=True,
        temperature=0.01,
        steps=12,
        gated=False,
    )
)
