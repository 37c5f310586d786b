"""The methods that tell apart what the articles' method does: each changes one thing of its parent.

None is in `--method=all`. What each is for is in docs/methods.md, whose picture is drawn from the registry.
"""

from dataclasses import replace
from typing import Any

from depthgauge import METHODS, Method
from depthgauge_methods.grpo import DEPTHSCALED, DEPTHSCALED_NONOISE, GRADREG, GRPO
from depthgauge_methods.settings import PUBLISHED, SecondPass

KL_WEIGHT, RESET_EVERY = 0.1, 25
NEFTUNE_ALPHA = 5.0  # of 5, 10 and 15 in Jain et al. 2023
SAM_STEP = 0.05  # Foret et al. 2021, arXiv:2010.01412


def ablation(parent: Method, name: str, summary: str, **settings: Any) -> Method:
    """A child of `parent`, registered and trained only when it is asked for."""
    return METHODS.register(replace(parent.evolve(name=name, summary=summary, **settings), optional=True))


# -- the regulariser: its arithmetic, its amount, its neighbours; the last two are no derivative to be compared with ---

ablation(
    GRADREG,
    "gradreg_published",
    "uniform regularisation as published: in bfloat16, a step of 4e-6 of the weights, the mean of two gradients",
    second_pass=SecondPass(**PUBLISHED, precision="bfloat16"),
    gated=False,
)
ablation(
    GRADREG,
    "gradreg_matched",
    "uniform regularisation with a penalty as long as the depth-scaled one's",
    second_pass=SecondPass(depth="matched"),
)
ablation(
    GRADREG,
    "usam",
    "the gradient at the shifted weights alone, embeddings shifted too",
    second_pass=SecondPass(shifted="all", penalty=1.0, penalty_form="mix", fidelity_every=0),
)
ablation(
    GRADREG,
    "sam",
    "the gradient at weights shifted by a step of length .05: sharpness-aware minimisation",
    second_pass=SecondPass(
        shifted="all", ascent_step=SAM_STEP, step_form="unit", penalty=1.0, penalty_form="mix", fidelity_every=0
    ),
)

# -- noise: with and without regularisation, its direction and its place ---

NOISE_ONLY = ablation(
    GRPO,
    "noise_only",
    "GRPO whose early attention is shifted by the step before while a gradient is taken",
    second_pass=SecondPass(noise="stale", penalty=0.0),
)
ablation(
    NOISE_ONLY,
    "noise_only_late",
    "the same noise in the last sixth of the layers",
    second_pass=SecondPass(noise="stale", penalty=0.0, noise_blocks="late"),
)
ablation(
    GRADREG,
    "gradreg_noise",
    "uniform regularisation, with noise from the step before in early attention",
    second_pass=SecondPass(noise="stale"),
)
ablation(
    DEPTHSCALED,
    "depthscaled_random",
    "depth-scaled regularisation with noise of the same length in a random direction",
    second_pass=SecondPass(depth="scaled", noise="random"),
)

# -- the schedule: its direction, its shape, what it scales ---

ablation(
    DEPTHSCALED,
    "depthscaled_stepped",
    "full strength from layer 22 of 36 on, none before, with the noise",
    second_pass=SecondPass(depth="stepped", noise="shared"),
)
ablation(
    DEPTHSCALED_NONOISE,
    "depthscaled_reversed",
    "regularisation that falls with depth, without noise",
    second_pass=SecondPass(depth="reversed"),
)
ablation(
    DEPTHSCALED_NONOISE,
    "depthscaled_columns",
    "the shift scaled by depth, and not the penalty: the gradient of a sum of squared norms",
    second_pass=SecondPass(depth="scaled", weighted="columns"),
)
ablation(
    DEPTHSCALED_NONOISE,
    "depthscaled_both",
    "shift and penalty scaled by depth",
    second_pass=SecondPass(depth="scaled", weighted="both"),
)
ablation(
    DEPTHSCALED_NONOISE,
    "measured_decay",
    "each layer regularised as it is sensitive to the step: activation-informed decay",
    second_pass=SecondPass(depth="measured"),
)

# -- GRPO: other ways to keep it in bounds, and what gain is worth nothing ---

ablation(GRPO, "grpo_neftune", "GRPO with noisy embeddings in its loss", neftune_alpha=NEFTUNE_ALPHA)
GRPO_KL = ablation(GRPO, "grpo_kl", "GRPO with a penalty on the divergence from the base", kl_weight=KL_WEIGHT)
ablation(
    GRPO_KL,
    "grpo_resets",
    "the same, from a reference that is set to the policy every 25 steps",
    reference_reset_every=RESET_EVERY,
)
ablation(GRPO, "grpo_standardised", "GRPO that divides by the group's standard deviation", advantages="standardised")
ablation(
    GRPO,
    "grpo_equal_compute",
    "GRPO with two steps on the same rollouts: as many gradients as a second pass",
    iterations=2,
)
ablation(GRPO, "grpo_random_rewards", "GRPO paid by the toss of a coin", random_rewards=True)
