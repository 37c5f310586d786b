"""What a quantised copy owes what it was made of: weights that are rounded and not damaged, and at most the loss that
so few bits cost.

Bounds by bits lie some way above what was measured on a model of 135 M parameters, which loses more than a large one:
figures in docs/formats.md. They are absolute: what a quantisation of fewer bits may lose, one of more may not.
"""

from depthgauge import Estimate, Expectation, Stage, at_least, at_most, claim
from depthgauge.checks.claims import change_claim
from depthgauge.probes import divergence, weights
from depthgauge.stats import greatest_exactly, mean

# Of a matrix's norm: int8 0.007, fp8 0.026, 4 bits 0.08 to 0.2, 3 bits 0.2 to 0.3, 2 bits 0.5.
MOVED = ((2, 0.9), (3, 0.5), (4, 0.35), (5, 0.15), (6, 0.08), (8, 0.05))
# Steps of the group's own grid: figures in docs/decisions/040-twins.md. A zero that is off by 1 is a step.
SHIFTED = 0.65
# Of the squared error of a matrix, beyond what rounding leaves: rounding 0, scales of another layer 0.70 and more.
EXPLAINED = 0.4
# Of a row's norm, the worst of an embedding of 49,152 rows that is rounded: int8 0.018, 6 bits 0.043, 5 bits 0.086, 4
# bits 0.17 to 0.30 by the size of groups, 3 bits 0.34 to 0.43, 2 bits 0.51. Two that are swapped move more than 1.
ROW_MOVED = ((2, 0.7), (3, 0.55), (4, 0.4), (5, 0.2))
PLAIN_MOVED = 0.01  # of a norm, what is not quantised is stored in bfloat16 at least, which moves 0.002
# Nats a token, of a model of 135 M parameters off its grid: int8 0.004, fp8 0.022, 6 bits 0.016, 5 bits 0.09, 4 bits
# 0.2 to 1; 3 bits by round-to-nearest 2.3 and more. Fewer bits than 4 are held to what
# 4 may cost: docs/decisions/040-twins.md.
KL_NATS = ((4, 1.5), (5, 0.2), (6, 0.05), (8, 0.05))
# Of tokens: fp8 0.93, 6 bits 0.94, 5 bits 0.85, 4 bits 0.45 at least; 3 bits by round-to-nearest 0.25. A model whose
# likeliest tokens are nearly tied changes more of them: a random one 0.79 for fp8.
SAME_TOP = ((4, 0.4), (5, 0.7), (6, 0.75), (8, 0.75))


def by_bits(bounds: tuple[tuple[int, float], ...]) -> str:
    return "by bits " + ", ".join(f"{bits}: {bound:g}" for bits, bound in bounds)


@claim(
    change_claim(
        "quantized-weights-within-bits",
        "moved no quantised matrix further than its bits account for",
        at_most(0.05),
        "share",
        f"norm of the change over the norm of the weights, known exactly; {by_bits(MOVED)}",
        control="noise_in_one_layer@2m",
        stage=Stage.WEIGHTS,
        expect=Expectation.QUANTIZED,
        by_bits=MOVED,
    )
)
def test_no_quantised_matrix_moved_further_than_its_bits(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.quantized_change(candidate, baseline), estimand="change of a quantised matrix over its norm"
    )


@claim(
    change_claim(
        "quantized-groups-within-margin",
        f"shifted no group of weights by more than {SHIFTED} steps of its own grid",
        at_most(SHIFTED),
        "steps",
        "of a group's error, the part that another scale or zero explains: little of rounding, all of a wrong scale",
        control="scale_one_group",
        stage=Stage.WEIGHTS,
        expect=Expectation.QUANTIZED,
    )
)
def test_no_group_has_a_wrong_scale_or_zero(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.quantized_shift(candidate, baseline), estimand="shift of a group in steps of its grid"
    )


@claim(
    change_claim(
        "quantized-scales-belong",
        "has scales that are those of its weights",
        at_most(EXPLAINED),
        "share",
        "of a matrix's squared error, what other scales and zeros of its groups would take away",
        control="scales_of_another_layer",
        stage=Stage.WEIGHTS,
        expect=Expectation.QUANTIZED,
    )
)
def test_the_scales_are_those_of_the_weights(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.quantized_explained(candidate, baseline), estimand="error that other scales would take away"
    )


@claim(
    change_claim(
        "unquantized-weights-within-margin",
        "moved nothing that is not quantised by more than 1 % of its norm",
        at_most(PLAIN_MOVED),
        "share",
        "norms, biases, embeddings and what was left out; scales that AWQ folds into them are taken out",
        control="sharpen_logits@2m",
        stage=Stage.WEIGHTS,
        expect=Expectation.QUANTIZED,
    )
)
def test_what_is_not_quantised_has_not_moved(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.unquantized_change(candidate, baseline), estimand="change of what is not quantised over its norm"
    )


@claim(
    change_claim(
        "rows-within-bits",
        "moved no single row of the embeddings or the head further than its bits account for",
        at_most(0.2),
        "share",
        f"a row is a token: one that is lost, or another's, is no change of the whole; {by_bits(ROW_MOVED)}",
        control="shrink_stop_row@2m",
        stage=Stage.WEIGHTS,
        expect=Expectation.QUANTIZED,
        by_bits=ROW_MOVED,
    )
)
def test_no_row_moved_further_than_its_bits(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.quantized_change_of_rows(candidate, baseline), estimand="change of a token's row over its norm"
    )


@claim(
    change_claim(
        "divergence-within-bits",
        "diverges from the baseline by no more than its bits account for, in the mean over tokens",
        at_most(0.05),
        "nats",
        f"mean KL(baseline || candidate) of a text; {by_bits(KL_NATS)}",
        control="swap_nibbles",
        expect=Expectation.QUANTIZED,
        by_bits=KL_NATS,
        absolute=True,
    )
)
def test_it_diverges_no_more_than_its_bits(candidate, baseline) -> Estimate:
    return mean(divergence.mean_kl(candidate, baseline), estimand="mean KL(baseline || candidate)")


@claim(
    change_claim(
        "top-token-within-bits",
        "finds the same token the likeliest as often as its bits allow",
        at_least(0.75),
        "share",
        f"mean over texts of the share of their tokens; {by_bits(SAME_TOP)}",
        control="swap_nibbles",
        expect=Expectation.QUANTIZED,
        by_bits=SAME_TOP,
        absolute=True,
    )
)
def test_the_likeliest_token_is_the_same_as_often_as_its_bits_allow(candidate, baseline) -> Estimate:
    return mean(divergence.same_share(candidate, baseline), estimand="tokens after which the likeliest is the same")
