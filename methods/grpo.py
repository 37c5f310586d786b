"""The base, GRPO, and GRPO with gradient regularisation, uniform and depth-scaled.

All are Dr. GRPO (Liu et al. 2025, arXiv:2503.20783: no division by the standard deviation or by the length), without
KL penalty. They differ only in `SecondPass`, the gradient regulariser.
"""

from dataclasses import dataclass
from typing import Literal

from harness import METHODS, Method
from harness.models import prepare_libraries
from harness.types import TrainingJob


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPass:
    """What is done with a second gradient at shifted weights (Karakida et al. 2022, arXiv:2210.02720, F-GR).

    With g1 the gradient at the weights, and g2 the gradient at the weights plus `ascent_step` * g1, taken on the same
    rollouts with the same old log-probabilities, a parameter of layer l is updated with

        g1 + penalty * lambda(l) * (g2 - g1) / ascent_step

    `depth` chooses lambda: 'uniform' is 1 in every block, 'scaled' grows with depth (see `second_pass.schedule`).
    `noise` also shifts the attention weights of the early, unregularised blocks: directional noise that only the second
    pass sees. `ascent_step` and `penalty` default to the testbed's. `difference` 'central' takes the gradients at both
    plus and minus the step. `forced` runs the second pass even where penalty is 0.
    """

    depth: Literal["uniform", "scaled"] = "uniform"
    noise: bool = False
    ascent_step: float | None = None
    penalty: float | None = None
    difference: Literal["forward", "central"] = "forward"
    forced: bool = False

    def __post_init__(self) -> None:
        if self.ascent_step is not None and not self.ascent_step > 0:
            raise ValueError(f"ascent_step must be positive, got {self.ascent_step}")
        if self.penalty is not None and not self.penalty >= 0:
            raise ValueError(f"penalty must not be negative, got {self.penalty}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GRPOSettings:
    """What a GRPO method can change; everything of size stands in the testbed's `TrainingScale`.

    A negative `reward_weight` pays for wrong answers, and `gated` False keeps an unhealthy checkpoint: for controls.
    """

    second_pass: SecondPass | None = None
    temperature: float = 1.0
    reward_weight: float = 1.0
    steps: int | None = None
    accumulation: int = 1
    iterations: int = 1
    gated: bool = True


def train(job: TrainingJob) -> None:
    """Train with TRL. Imported here, not above: listing the methods must not load torch."""
    prepare_libraries(job.testbed.threads)  # before TRL is imported, which reads the environment then
    from methods.second_pass.run import train_grpo

    train_grpo(job)


BASE = METHODS.register(Method(name="base", summary="the testbed's base model, not trained"))
GRPO = METHODS.register(Method(name="grpo", summary="Dr. GRPO", settings=GRPOSettings(), train=train))
GRADREG = METHODS.register(
    GRPO.evolve(
        name="gradreg",
        summary="GRPO with uniform gradient regularisation",
        second_pass=SecondPass(),
    )
)
DEPTHSCALED = METHODS.register(
    GRADREG.evolve(
        name="depthscaled",
        summary="gradient regularisation scaled by depth, with directional noise in early attention",
        second_pass=SecondPass(depth="scaled", noise=True),
    )
)
DEPTHSCALED_NONOISE = METHODS.register(
    DEPTHSCALED.evolve(
        name="depthscaled_nonoise",
        summary="depth-scaled gradient regularisation without the noise",
        second_pass=SecondPass(depth="scaled"),
    )
)
