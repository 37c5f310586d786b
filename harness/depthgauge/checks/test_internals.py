"""What is computed inside: next tokens, the residual stream, attention, sinks and induction.

The margins lie between what harmless rewriting does to a real model of 135 M parameters (a round trip through bfloat16,
weights rounded to int8, one per cent of noise) and what one broken part of it does (an MLP or an attention zeroed, two
layers swapped): figures in docs/compare.md. Layers are 0-based.
"""

from depthgauge import Estimate, claim
from depthgauge.checks.claims import MOST, MOVED, change_claim
from depthgauge.probes import activations, attention, circuits, divergence, sinks, weights
from depthgauge.stats import share_beyond, share_beyond_anywhere, share_changed

# KL(baseline || candidate) in nats at the median token of a text: int8 0.004, an attention's output zeroed 0.047, an
# MLP 0.09.
DIVERGED_NATS = 0.015
# In the mean of a text: int8 0.004, fp8 0.022; the row of a frequent token times 1.5 gives 0.09. After a single token
# of it: int8 some tenths, that row 3.
MEAN_DIVERGED_NATS, LARGEST_NATS = 0.03, 1.0
# Of a text's tokens: int8 changes 0.05 of the likeliest next ones, an attention's output zeroed 0.15, an MLP 0.22.
CHANGED_WORDS = 0.12
# Of the residual stream's length: noise of 1 % and int8 move 0.03, an attention's output zeroed 0.16, an MLP 0.22.
STREAM_MOVED = 0.08
# Between attention rows of one head, averaged over a text.
HEADS_MOVED_BITS = 0.05
SCORE_MOVED = 0.1


@claim(
    change_claim(
        "next-token-within-margin",
        "says nearly the same next, at the median token, in all but 10 % of the texts",
        MOST,
        "share",
        "texts with a median KL(baseline || candidate) above 0.015 nats; the median, as few tokens make most of a mean",
    )
)
def test_what_comes_next_has_not_changed(candidate, baseline) -> Estimate:
    sizes = divergence.median_kl(candidate, baseline)
    return share_beyond(sizes, DIVERGED_NATS, estimand="texts whose next tokens diverge")


@claim(
    change_claim(
        "mean-divergence-within-margin",
        "says nearly the same next in the mean over a text's tokens, in all but 10 % of the texts",
        MOST,
        "share",
        "texts with a mean KL(baseline || candidate) above 0.03 nats: a token's row that is off changes few tokens",
    )
)
def test_what_comes_next_has_not_changed_in_the_mean(candidate, baseline) -> Estimate:
    sizes = divergence.mean_kl(candidate, baseline)
    return share_beyond(sizes, MEAN_DIVERGED_NATS, estimand="texts whose next tokens diverge in the mean")


@claim(
    change_claim(
        "worst-token-within-margin",
        "says nearly the same next after every single token, in all but 10 % of the texts",
        MOST,
        "share",
        "texts with a token after which KL(baseline || candidate) is above 1 nat: what is concentrated, no mean sees",
        control="no_attention",
    )
)
def test_what_comes_next_has_not_changed_after_any_token(candidate, baseline) -> Estimate:
    sizes = divergence.greatest_kl(candidate, baseline)
    return share_beyond(sizes, LARGEST_NATS, estimand="texts with a token after which all is other")


@claim(
    change_claim(
        "top-token-within-margin",
        "finds another token the likeliest after at most 12 % of tokens, in all but 10 % of the texts",
        MOST,
        "share",
        "what greedy decoding would say",
    )
)
def test_the_likeliest_token_has_not_changed(candidate, baseline) -> Estimate:
    sizes = divergence.changed_share(candidate, baseline)
    return share_beyond(sizes, CHANGED_WORDS, estimand="texts with other likeliest tokens")


@claim(
    change_claim(
        "residual-stream-within-margin",
        "moved the residual stream by at most 8 % of its length after every layer, in all but 10 % of the texts",
        MOST,
        "share",
        "relative norm of the difference, a mean over tokens; the first layer beyond it names the fault",
    )
)
def test_the_residual_stream_has_not_changed(candidate, baseline) -> Estimate:
    sizes = activations.relative(candidate, baseline)
    return share_beyond_anywhere(sizes, STREAM_MOVED, estimand="texts whose residual stream moved")


@claim(
    change_claim(
        "attention-within-margin",
        "changed where no head looks by more than 0.05 bits, in all but 10 % of the texts",
        MOST,
        "share",
        "Jensen-Shannon divergence of a head's attention from its own in the baseline, the largest of a layer",
    )
)
def test_heads_look_where_they_did(candidate, baseline) -> Estimate:
    order = weights.head_order(candidate, baseline, beyond=MOVED)
    sizes = attention.divergence_by_layer(candidate, baseline, order=order)
    return share_beyond_anywhere(sizes, HEADS_MOVED_BITS, estimand="texts in which a head looks elsewhere")


@claim(
    change_claim(
        "attention-sinks-within-margin",
        "gives the first token as much attention as before, within 0.1, in the head that gave it most, in all but 10 % "
        "of the passages",
        MOST,
        "share",
        "alpha_1 of Gu et al. 2025 on 64 tokens",
        control="no_attention",
    )
)
def test_sinks_are_still_there(candidate, baseline) -> Estimate:
    after, before = sinks.strongest_beside(
        candidate, baseline, order=weights.head_order(candidate, baseline, beyond=MOVED)
    )
    return share_changed(after, before, SCORE_MOVED, estimand="passages on which the strongest sink changed")


@claim(
    change_claim(
        "induction-head-within-margin",
        "keeps the induction score of the baseline's best head, within 0.1, in all but 10 % of the sequences",
        MOST,
        "share",
        "mean attention to what came after the same token before (Olsson et al. 2022), on random tokens said twice",
        control="no_attention",
    )
)
def test_the_induction_head_is_still_there(candidate, baseline) -> Estimate:
    after, before = circuits.score_beside(
        candidate, baseline, "induction", order=weights.head_order(candidate, baseline, beyond=MOVED)
    )
    return share_changed(after, before, SCORE_MOVED, estimand="sequences on which the induction head changed")
