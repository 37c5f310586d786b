"""What methods differ in, a type for each kind of training: settings stand below the code that reads them."""

from dataclasses import dataclass
from typing import Any, Literal

from depthgauge.core.testbed import LoRA

# Dangi 2026: both epsilon and gamma are .01, and gamma is halved, so that the update is the mean of two gradients. In
# the runs that are logged (Qwen3-4B, a gradient norm of .75) the step moves the weights by some 4e-6 of their norm.
PUBLISHED: dict[str, Any] = {
    "ascent_step": 4e-6, "step_form": "relative", "penalty": 0.5, "penalty_form": "mix",
}  # fmt: skip

FIDELITY_EVERY = 50  # steps

Depth = Literal["uniform", "scaled", "reversed", "stepped", "matched", "measured"]
Noise = Literal["none", "shared", "random", "stale"]
StepForm = Literal["raw", "relative", "unit"]
PenaltyForm = Literal["raw", "relative", "mix"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPass:
    """What is done with a second gradient at shifted weights (Karakida et al. 2022, arXiv:2210.02720, F-GR).

    With g1 the gradient at the weights, and g2 the gradient at the weights plus epsilon * g1, taken on the same
    rollouts with the same old log-probabilities, a parameter of layer l is updated with

        g1 + gamma * lambda(l) * (g2 - g1) / epsilon

    `depth` chooses lambda (see `second_pass.schedule`): 'uniform' is 1 in every block, 'scaled' grows with depth,
    'reversed' is 1 less that, 'stepped' is 1 where 'scaled' has reached 1, 'matched' is the same number in every block,
    such that the penalty is as long as with 'scaled', and 'measured' follows each layer's sensitivity. `weighted` says
    what lambda scales: the penalty ('rows'), the shift ('columns'), or both. `shifted` says what the step moves: the
    regularised blocks, all blocks, or all parameters, which are then all regularised.

    `noise` shifts the attention weights of `noise_blocks`, a sixth of the layers, too: 'shared' adds them to the step,
    so that only the second pass sees them shifted; 'random' does so in a random direction of the same length; 'stale'
    shifts them by the step of the gradient before while both gradients are taken, so that it needs no second pass.

    `ascent_step` and `penalty`, with their forms, default to the testbed's `method_settings`, as the scale of the
    gradient belongs to it, and else to `PUBLISHED`. Of a step, 'raw' is epsilon, for a loss that is summed over the
    tokens of a completion; 'relative' is the share of the norm of the shifted weights by which they move, and 'unit'
    the length of the move. Of a penalty, 'raw' is gamma, for the same loss; 'relative' is its share of the gradient's
    norm, and 'mix' is gamma / epsilon, the share of g2 in the update.

    `difference` 'central' takes the gradients at both plus and minus the step. `forced` runs the second pass even where
    the penalty is 0. `precision` is that of both gradients, whatever the rest of the training computes in. Every
    `fidelity_every` steps, 0 for never, the penalty is compared with that of a double backward pass in float64.
    """

    depth: Depth = "uniform"
    weighted: Literal["rows", "columns", "both"] = "rows"
    shifted: Literal["regularised", "blocks", "all"] = "regularised"
    noise: Noise = "none"
    noise_blocks: Literal["early", "late"] = "early"
    ascent_step: float | None = None
    step_form: StepForm = "raw"
    penalty: float | None = None
    penalty_form: PenaltyForm = "raw"
    difference: Literal["forward", "central"] = "forward"
    forced: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    fidelity_every: int | None = None

    def __post_init__(self) -> None:
        if self.ascent_step is not None and not self.ascent_step > 0:
            raise ValueError(f"ascent_step must be positive, got {self.ascent_step}")
        if self.penalty is not None and not self.penalty >= 0:
            raise ValueError(f"penalty must not be negative, got {self.penalty}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GRPOSettings:
    """What a GRPO method can change; everything of size stands in the testbed's `TrainingScale`.

    `iterations` are optimiser steps on the same rollouts, of which there are as many whatever it is. `kl_weight` is
    that of the divergence from a reference model: the base, or the policy as it was every `reference_reset_every`
    steps. `advantages` 'standardised' divides a group's by their standard deviation. `neftune_alpha` adds uniform
    noise to the embeddings (Jain et al. 2023, arXiv:2310.05914), in the forward pass of the loss alone.
    `random_rewards` pays by the toss of a coin. A negative `reward_weight` pays for wrong answers, and `gated` False
    keeps an unhealthy checkpoint: for controls, and for what is expected to be unhealthy.
    """

    second_pass: SecondPass | None = None
    temperature: float = 1.0
    reward_weight: float = 1.0
    steps: int | None = None
    iterations: int = 1
    kl_weight: float = 0.0
    reference_reset_every: int | None = None
    advantages: Literal["centred", "standardised"] = "centred"
    neftune_alpha: float | None = None
    random_rewards: bool = False
    gated: bool = True

    def __post_init__(self) -> None:
        if self.reference_reset_every is not None and not self.kl_weight:
            raise ValueError("reference_reset_every needs a kl_weight: without it there is no reference")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gift:
    """Weights generated from the weights: see `second_pass.adapters.GiftAdapter`."""

    rank: int = 32
    targets: tuple[str, ...] = ("q_proj", "v_proj")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterSettings(GRPOSettings):
    """GRPO that trains an adapter alone, at `learning_rate_factor` times the testbed's rate: adapters are smaller."""

    adapter: Gift | LoRA
    learning_rate_factor: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class InductionSettings:
    """What the trainings differ in. Without `repeats` every sequence is random to its end, with nothing to learn."""

    layers: int = 2
    steps: int = 1_000
    repeats: bool = True


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


@dataclass(frozen=True, kw_only=True, slots=True)
class UnfreezingSettings:
    """What the trainings differ in; no `tasks` are all of the testbed's, which take turns in `steps`.

    `all_layers` trains everything. With a `trained_layer` no attention writes anything, and training can change that
    in this layer alone: what must be gathered from several tokens can be learnt nowhere else. With answers `dealt` out
    at random there is nothing to learn.
    """

    tasks: tuple[str, ...] = ()
    steps: int = 600
    all_layers: bool = False
    trained_layer: int | None = None
    dealt: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowerSettings:
    """How long a flow is trained; `distilled` then trains its inverse for as long, by the flow."""

    steps: int = 1_500
    distilled: bool = False
