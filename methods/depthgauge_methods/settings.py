"""What methods differ in, a type for each kind of training: settings stand below the code that reads them."""

from dataclasses import dataclass
from typing import Literal

from depthgauge.core.testbed import LoRA

PUBLISHED = {"ascent_step": 0.01, "penalty": 0.005}  # the code of Dangi 2026


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPass:
    """What is done with a second gradient at shifted weights (Karakida et al. 2022, arXiv:2210.02720, F-GR).

    With g1 the gradient at the weights, and g2 the gradient at the weights plus `ascent_step` * g1, taken on the same
    rollouts with the same old log-probabilities, a parameter of layer l is updated with

        g1 + penalty * lambda(l) * (g2 - g1) / ascent_step

    `depth` chooses lambda: 'uniform' is 1 in every block, 'scaled' grows with depth (see `second_pass.schedule`).
    `noise` also shifts the attention weights of the early, unregularised blocks: directional noise that only the second
    pass sees. `ascent_step` (epsilon) and `penalty` (gamma) default to the testbed's `method_settings`, as the scale of
    the gradient belongs to it, and else to `PUBLISHED`. `difference` 'central' takes the gradients at both
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
    iterations: int = 1
    gated: bool = True


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
