"""Whether the training did anything, and did not break: read from its log.

Dangi (2026, training notes) lost a night to a run with a gradient norm near 0 and 90 % of groups without reward
variance, and saw it only by training again with plain GRPO. These claims see it at once.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, claim
from depthgauge.probes import training
from depthgauge.stats import rise, share

SILENT_SHARE = 0.9
MOVED_FRACTION = 0.5
FELT_PENALTY_RATIO = 0.05
SECOND_PASS_METHODS = ("depthscaled", "depthscaled_nonoise", "gradreg")


@claim(
    Claim(
        id="reward-rises",
        statement="earns more reward at the end of training than at its start",
        citation="the purpose of reinforcement learning",
        published="not published as numbers",
        region=above(0),
        unit="reward",
        control="grpo_wrong_reward",
        rationale="last quarter of the steps against the first",
    )
)
def test_reward_rises(candidate) -> Estimate:
    return rise(training.by_step(candidate, "reward", unit="reward"), estimand="reward, last - first quarter")


@claim(
    Claim(
        id="groups-have-reward-variance",
        statement="learns from most groups in most steps",
        citation="Dangi 2026, training notes: frac_reward_zero_std 0.9 for a night",
        published="a sick run had 90 % of groups without variance",
        region=at_most(0.1),
        unit="share",
        control="gradreg_greedy_sampling",
        rationale="a group whose answers are all right or all wrong has no gradient",
    )
)
def test_groups_have_reward_variance(candidate) -> Estimate:
    silent = training.by_step(
        candidate, "frac_reward_zero_std", lambda value: float(value >= SILENT_SHARE), unit="share"
    )
    return share(silent, estimand="share of steps with 90 % or more groups without variance")


@claim(
    Claim(
        id="perturbation-survives-rounding",
        statement="shifts most of the weights it means to shift",
        citation="Karakida et al. 2022: the second gradient is taken at shifted weights",
        published="not published; in bf16 the published settings would move about 0.1 % of the weights",
        region=at_least(0.9),
        unit="share",
        control="gradreg_wrong_reward",
        rationale="a step below the rounding of a weight leaves the second gradient equal to the first",
        about=SECOND_PASS_METHODS,
    )
)
def test_the_perturbation_is_numerically_there(candidate) -> Estimate:
    moved = training.by_step(candidate, "moved_frac", lambda value: float(value >= MOVED_FRACTION), unit="share")
    return share(moved, estimand="share of steps that move at least half of the weights")


@claim(
    Claim(
        id="penalty-is-effective",
        statement="is regularised by a twentieth to twenty times of its gradient, in nine steps of ten",
        citation="ours: with less, the method is GRPO by another name",
        published="not published",
        region=at_least(0.9),
        unit="share",
        control="gradreg_wrong_reward",
        rationale="|gamma lambda (g2 - g1) / epsilon| over |g1|; a step lost in rounding leaves noise over nothing",
        about=SECOND_PASS_METHODS,
    )
)
def test_the_penalty_is_felt(candidate) -> Estimate:
    felt = training.by_step(candidate, "penalty_ratio", in_proportion, unit="share")
    return share(felt, estimand="share of steps whose penalty is in proportion to the gradient")


def in_proportion(penalty_ratio: float) -> float:
    return float(FELT_PENALTY_RATIO <= penalty_ratio <= 1 / FELT_PENALTY_RATIO)
