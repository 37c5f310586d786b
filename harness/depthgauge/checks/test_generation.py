"""What is said: how sure the checkpoint is of its own words, whether it loops, and whether it does what it is asked."""

from depthgauge import Estimate, Expectation, Stage, at_least, at_most, claim
from depthgauge.checks.claims import MOST, change_claim
from depthgauge.probes import behaviour, greedy_entropy, stopping
from depthgauge.stats import paired_difference, share, share_changed

# Of the mean over 80 greedy tokens: two texts that part at one word differ by some tenths.
ENTROPY_NATS = 1.0


@claim(
    change_claim(
        "entropy-within-margin",
        "is as sure of its own words as before, within 1 nat, after all but 15 % of the openings",
        at_most(0.15),
        "share",
        "mean entropy of 80 greedy tokens",
        control="no_attention",
        stage=Stage.GENERATION,
    )
)
def test_entropy_has_not_changed(candidate, baseline) -> Estimate:
    after, before = greedy_entropy.entropy_beside(candidate, baseline)
    return share_changed(after, before, ENTROPY_NATS, estimand="openings after which it is more or less sure")


@claim(
    change_claim(
        "repetition-not-increased",
        "ends in a loop after at most 20 % more of the openings than before",
        at_most(0.2),
        "share",
        "80 greedy tokens that end in a repeated period",
        control="no_attention",
        stage=Stage.GENERATION,
        expect=None,
    )
)
def test_it_loops_no_more_than_before(candidate, baseline) -> Estimate:
    return paired_difference(
        *greedy_entropy.loops_beside(candidate, baseline), estimand="openings that end in a loop, candidate - baseline"
    )


@claim(
    change_claim(
        "answers-still-end",
        "ends no fewer of its answers by itself than before, by 10 % of them at most",
        at_least(-0.1),
        "share",
        f"short questions, answered within {stopping.TOKENS} tokens; a model that does not stop is no use to anybody",
        control="mute_stop_token",
        stage=Stage.GENERATION,
        expect=None,
    )
)
def test_its_answers_still_end(candidate, baseline) -> Estimate:
    return paired_difference(
        *stopping.ended_beside(candidate, baseline), estimand="answers that end by themselves, candidate - baseline"
    )


@claim(
    change_claim(
        "instruction-following-not-worse",
        "meets no fewer plain requests than before, by 10 % of them at most",
        at_least(-0.1),
        "share",
        "harmless ones not refused, JSON, the language of the request, numbered lists, answers as short as asked",
        control="no_attention",
        stage=Stage.GENERATION,
        expect=Expectation.TRAINED,
    )
)
def test_it_does_what_it_is_asked(candidate, baseline) -> Estimate:
    return paired_difference(
        *behaviour.requests_met_beside(candidate, baseline), estimand="requests that are met, candidate - baseline"
    )


@claim(
    change_claim(
        "entropy-not-collapsed",
        "is sure of ten words in a row, where it was not before, after at most 10 % of the openings",
        MOST,
        "share",
        "entropy below 0.05 nats for ten greedy tokens running, as the published collapse is for thirteen",
        control="sharpen_logits",
        stage=Stage.GENERATION,
        expect=Expectation.TRAINED,
    )
)
def test_entropy_has_not_collapsed(candidate, baseline) -> Estimate:
    return share(greedy_entropy.new_collapses(candidate, baseline), estimand="openings after which it collapses")
