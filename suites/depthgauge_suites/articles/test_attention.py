"""Where attention heads look, against the base.

Dangi 2026a ranks heads by the Jensen-Shannon divergence of their attention from the base's on one prompt, and sees two
heads of one layer move attention away from the first token, the sink. One prompt has no floor: here each head is seen
on many texts, and against the base moved at random by as little as bfloat16 rounds. Layers and heads are 0-based.

What the article reads off its heatmaps of the twenty most changed heads is asked of the twenty heads here, on sentences
of chemistry and of physics.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, claim
from depthgauge.probes import attention, sinks
from depthgauge.stats import difference, independent_difference, least, mean, paired_difference
from depthgauge_suites.articles import routing

SOURCE = "Dangi 2026a, attention heatmaps"
# A band of blue that one would see in a heatmap: a hundredth of all attention. The published ones reach 0.015.
SINK_CHANGE = -0.01
SINK = 0.3  # the threshold of Gu et al. 2025
# The least change that shows in the published heatmaps, whose scales end at .015 and .04.
SEEN_IN_A_HEATMAP = 0.001


@claim(
    Claim(
        id="heads-changed-beyond-rounding",
        statement="changed where its heads look more than weights moved at random by as little as rounding does",
        citation=SOURCE,
        published="heatmaps of the 20 most changed of 1,152 heads, differences up to .015 and .04",
        region=above(0),
        unit="bits",
        control="round_to_bfloat16",
        rationale="minus twice the divergence of weights moved within half a step of bfloat16: an A/A floor; "
        "informational, as whatever trains at all is beyond it",
        required=False,
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
        rationale="alpha_1 of 64 tokens with a threshold of 0.3, as there; even attention gives the first token 0.07; "
        "informational, as models and controls fail it alike",
        required=False,
        about=("base_model",),
    )
)
def test_a_base_has_sinks(candidate) -> Estimate:
    return mean(sinks.mean_of_heads(candidate), estimand="attention to the first token, mean of heads")


# -- the twenty most changed heads ---


def routing_claim(name: str, statement: str, quoted: str, published: str, **more) -> Claim:
    return Claim(
        id=name, statement=statement, citation=f"Dangi 2026a: {quoted}", published=published, required=False, **more
    )  # fmt: skip


@claim(
    routing_claim(
        "fragments-attend-to-fragments",
        "attends more from piece to piece of a formula than the base, beyond what pieces and words do",
        "'varying shades of red between the individual chemical terms'",
        "two heads of one layer, on one prompt",
        region=at_least(SEEN_IN_A_HEATMAP),
        unit="attention",
        control="round_to_bfloat16",
        rationale="the mean change over cells between two pieces, minus that between a piece and a word",
    )
)
def test_fragments_attend_to_fragments(candidate, base_model) -> Estimate:
    return mean(
        routing.gain_within(candidate, base_model), estimand="attention among pieces gained, beyond pieces and words"
    )


@claim(
    routing_claim(
        "attention-between-fragments-and-words-kept",
        "changed less of its attention between pieces and words, by .03 of all change, than an unlearnt change does",
        "'stark bands of white between chemical terms and regular English tokens'",
        "two heads of one layer, on one prompt",
        region=at_most(-0.03),
        unit="share",
        control="round_to_bfloat16",
        rationale="of the change of a mean cell among pieces and one between; unlearnt: weights moved at random",
    )
)
def test_attention_between_fragments_and_words_is_kept(candidate, base_model, bfloat16_noise) -> Estimate:
    return paired_difference(
        routing.share_between(candidate, base_model),
        routing.share_between(bfloat16_noise, base_model),
        estimand="share of change between pieces and words, minus that of weights moved at random",
    )


@claim(
    routing_claim(
        "last-fragment-stands-for-all",
        "attends more to the last piece of an isotope from later words than the base, beyond the other pieces",
        "the last '1' of an isotope stands for all of it, and a later word attends to it",
        "two heads of layers 19 and 20, on one prompt of physics",
        region=at_least(SEEN_IN_A_HEATMAP),
        unit="attention",
        control="round_to_bfloat16",
        rationale="what the last piece gained from later queries, minus what the mean other piece did",
    )
)
def test_the_last_fragment_stands_for_all(candidate, base_model) -> Estimate:
    return mean(
        routing.gain_of_last(candidate, base_model, "physics"),
        estimand="attention to the last piece gained, beyond other pieces",
    )


@claim(
    routing_claim(
        "absolute-difference-ranks-other-heads",
        "has half of the twenty heads of largest divergence, or fewer, among the twenty of largest absolute difference",
        "the mean absolute error 'wouldn't be very revealing', and the Jensen-Shannon divergence 'was perfect'",
        "neither ranking is shown",
        region=at_least(0.5),
        unit="share",
        control="round_to_bfloat16",
        rationale="two measures that choose the same heads reveal the same",
    )
)
def test_absolute_difference_ranks_other_heads(candidate, base_model) -> Estimate:
    return mean(routing.apart_in_rankings(candidate, base_model), estimand="share of the top 20 in one ranking alone")


@claim(
    routing_claim(
        "physics-changes-later-layers",
        "changed attention half a layer later or more on sentences of physics than on sentences of chemistry",
        "a tokenization 'even more brutal' left 'the later layers (Layer 19 and 20)' to finish the routing",
        "layer 10 on a prompt of chemistry, 19 and 20 on one of physics, of 36",
        region=at_least(0.5),
        unit="layers",
        control="no_attention",
        rationale="the mean layer of the twenty most changed heads of each sentence",
    )
)
def test_physics_changes_later_layers(candidate, base_model) -> Estimate:
    return independent_difference(
        routing.depth_of_change(candidate, base_model, "physics"),
        routing.depth_of_change(candidate, base_model, "chemistry"),
        estimand="mean layer of the most changed heads, physics - chemistry",
    )
