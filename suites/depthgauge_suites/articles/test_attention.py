"""Where attention heads look, against the base.

Dangi 2026a ranks heads by the Jensen-Shannon divergence of their attention from the base's on one prompt, and sees two
heads of one layer move attention away from the first token, the sink. One prompt has no floor: here each head is seen
on many texts, and against the base moved at random by as little as bfloat16 rounds. Layers and heads are 0-based.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, claim
from depthgauge.probes import attention, sinks
from depthgauge.stats import difference, least, mean, paired_difference

SOURCE = "Dangi 2026a, attention heatmaps"
# A band of blue that one would see in a heatmap: a hundredth of all attention. The published ones reach 0.015.
SINK_CHANGE = -0.01
SINK = 0.3  # the threshold of Gu et al. 2025


@claim(
    Claim(
        id="heads-changed-beyond-rounding",
        statement="changed where its heads look more than weights moved at random by as little as rounding does",
        citation=SOURCE,
        published="heatmaps of the 20 most changed of 1,152 heads, differences up to .015 and .04",
        region=above(0),
        unit="bits",
        control="round_to_bfloat16",
        rationale="minus twice the divergence of weights moved within half a step of bfloat16: an A/A floor",
    )
)
def test_heads_changed_beyond_rounding(candidate, base_model, bfloat16_noise) -> Estimate:
    floor = attention.mean_divergence(bfloat16_noise, base_model).times(2)
    return paired_difference(
        attention.mean_divergence(candidate, base_model),
        floor,
        estimand="mean divergence of heads from the base, minus twice the floor",
    )


@claim(
    Claim(
        id="sink-weakens-in-some-head",
        statement="gives the first token at least 0.01 less attention than the base in at least one head",
        citation=SOURCE,
        published="layer 10, heads 1 and 14: 'a distinct blue band in the first column'",
        region=at_most(SINK_CHANGE),
        unit="attention",
        control="round_to_bfloat16",
        rationale="alpha_1 of Gu et al. 2025 on 64 tokens of 100 passages; the interval holds for all heads together",
    )
)
def test_the_sink_weakens_in_some_head(candidate, base_model) -> Estimate:
    change = difference(sinks.strength(candidate), sinks.strength(base_model))
    return least(change, estimand="attention to the first token, candidate - base model")


@claim(
    Claim(
        id="base-has-sinks",
        statement="gives the first token at least 0.3 of the attention of its heads on average",
        citation="Gu et al. 2025, arXiv:2410.10781",
        published="sinks emerge in every language model that was trained enough on enough data",
        region=at_least(SINK),
        unit="attention",
        control="random_weights",
        rationale="alpha_1 of 64 tokens with a threshold of 0.3, as there; even attention gives the first token 0.07",
        about=("base_model",),
    )
)
def test_a_base_has_sinks(candidate) -> Estimate:
    return mean(sinks.mean_of_heads(candidate), estimand="attention to the first token, mean of heads")
