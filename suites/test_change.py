"""What has changed from an old checkpoint to a new one.

`--expect equal`: it was re-saved, converted or quantised. `--expect trained`: it is a successor, which moved, has lost
nothing, and has no layer out of line. Some claims belong to both. Of what should be equal, every claim says that it has
not changed by more than a margin, on most of the texts that both were given. The margins lie between what harmless
rewriting does to a real model of 135 M parameters (a round trip through bfloat16, weights rounded to int8, one per cent
of noise) and what one broken part of it does (an MLP or an attention zeroed, two layers swapped): figures in
docs/change.md. Every control is the old checkpoint, broken on purpose. Layers are 0-based.
"""

from collections.abc import Iterator

from depthgauge import Claim, Estimate, Expectation, Region, Tier, above, at_least, at_most, claim, exams
from depthgauge.probes import (
    activations,
    attention,
    behaviour,
    circuits,
    divergence,
    files,
    greedy_trace,
    sinks,
    weights,
)
from depthgauge.stats import (
    counted,
    greatest_exactly,
    paired_difference,
    sequential_difference,
    share,
    share_beyond,
    share_beyond_anywhere,
    share_changed,
)

MOST = at_most(0.1)  # of the texts: one in ten may be an odd one
# Of a matrix's norm. Rounding to bfloat16 moves 0.002 of it, int8 by row 0.01; a matrix that was zeroed moves 1.
MOVED = 0.05
# KL(old || new) in nats at the median token of a text: int8 0.004, an attention's output zeroed 0.047, an MLP 0.09.
DIVERGED_NATS = 0.015
# Of a text's tokens: int8 changes 0.05 of the likeliest next ones, an attention's output zeroed 0.15, an MLP 0.22.
CHANGED_WORDS = 0.12
# Of the residual stream's length: noise of 1 % and int8 move 0.03, an attention's output zeroed 0.16, an MLP 0.22.
STREAM_MOVED = 0.08
# Over the projection's mean layer. The highest published of a healthy training is 5.3 times the median layer (Dangi
# 2026a, down_proj of layer 6); down, v and k of the trainings here give 1.03 to 1.24 times it (docs/findings.md).
OUT_OF_LINE = 6
# Between attention rows of one head, averaged over a text.
HEADS_MOVED_BITS = 0.05
# Of the mean over 80 greedy tokens: two texts that part at one word differ by some tenths.
ENTROPY_NATS = 1.0
SCORE_MOVED = 0.1
DEFAULT_MARGIN_POINTS = 5


def change_claim(
    name: str,
    statement: str,
    region: Region,
    unit: str,
    rationale: str,
    *,
    control: str = "zero_mlp",
    tier: Tier = Tier.INTERNALS,
    expect: Expectation | None = Expectation.EQUAL,
) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        source="our claim: what one checkpoint owes the one it came from",
        published="not published",
        region=region,
        unit=unit,
        control=control,
        rationale=rationale,
        tier=tier,
        expect=expect,
    )


# -- what the files say -----------------------------------------------------------------------------------------------


def files_claim(name: str, statement: str, rationale: str) -> Claim:
    return change_claim(
        name, statement, at_most(0), "differences", rationale, control="corrupt_files", tier=Tier.FILES, expect=None
    )


@claim(
    files_claim(
        "same-tensors",
        "holds the same tensors, of the same shapes",
        "a tensor that is left out is drawn at random without a word; shards and dtypes may differ",
    )
)
def test_it_holds_the_same_tensors(subject, old) -> Estimate:
    return counted(*files.differences(subject, old, "tensors"), estimand="tensors of other names or shapes")


@claim(
    files_claim(
        "same-configuration",
        "computes by the same configuration",
        "every field as transformers reads it, defaults included: rope, norms, heads, windows, ties",
    )
)
def test_its_configuration_computes_the_same(subject, old) -> Estimate:
    return counted(*files.differences(subject, old, "config"), estimand="fields of the configuration")


@claim(
    files_claim(
        "same-tokenizer",
        "cuts texts into the same tokens, with the same special ones",
        "words and their numbers, merges, normalisation, added and special tokens",
    )
)
def test_its_tokenizer_is_the_same(subject, old) -> Estimate:
    return counted(*files.differences(subject, old, "tokenizer"), estimand="parts of the tokenizer")


@claim(files_claim("same-chat-template", "speaks by the same chat template", "line by line"))
def test_its_chat_template_is_the_same(subject, old) -> Estimate:
    return counted(*files.differences(subject, old, "chat template"), estimand="lines of the chat template")


@claim(
    files_claim(
        "same-generation",
        "generates by the same settings where it is told none",
        "repetition penalty, temperature, where it stops; as transformers derives them where no file says",
    )
)
def test_it_generates_by_the_same_settings(subject, old) -> Estimate:
    return counted(*files.differences(subject, old, "generation"), estimand="settings of generation")


# -- what it computes -------------------------------------------------------------------------------------------------


@claim(
    change_claim(
        "weights-unmoved",
        "moved no matrix of a layer by more than a twentieth of its norm",
        at_most(MOVED),
        "share",
        "the largest of all matrices of all layers, known exactly",
        tier=Tier.WEIGHTS,
    )
)
def test_no_matrix_moved_far(subject, old) -> Estimate:
    return greatest_exactly(weights.relative_change(subject, old), estimand="change of a matrix over its norm")


@claim(
    change_claim(
        "norms-and-embeddings-unmoved",
        "moved no norm, bias or embedding by more than a twentieth of its size",
        at_most(MOVED),
        "share",
        "what is no matrix of a layer, and scales all that passes; known exactly",
        control="flatten_logits",
        tier=Tier.WEIGHTS,
    )
)
def test_no_norm_or_embedding_moved_far(subject, old) -> Estimate:
    sizes = weights.relative_change_of_others(subject, old)
    return greatest_exactly(sizes, estimand="change of a norm or an embedding over its size")


@claim(
    change_claim(
        "weights-moved",
        "is not the old checkpoint again: a matrix of its layers has moved",
        above(0),
        "share",
        "a training that ran on another folder, or was saved before its first step, leaves a stale checkpoint",
        control="unchanged_copy",
        tier=Tier.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_its_weights_have_moved(subject, old) -> Estimate:
    return greatest_exactly(weights.relative_change(subject, old), estimand="change of a matrix over its norm")


@claim(
    change_claim(
        "no-layer-out-of-line",
        f"moved no matrix of a layer more than {OUT_OF_LINE} times as far as that projection moved in the mean layer",
        at_most(OUT_OF_LINE),
        "times the mean layer",
        "root mean square of the change; where one layer alone moved, it is as many times as there are layers",
        tier=Tier.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_no_layer_is_out_of_line(subject, old) -> Estimate:
    return greatest_exactly(weights.out_of_line(subject, old), estimand="change of a matrix over its mean layer's")


@claim(
    change_claim(
        "next-token-unchanged",
        "says nearly the same next, at the median token of nine texts in ten",
        MOST,
        "share",
        "texts with a median KL(old || new) above 0.015 nats; the median, as few tokens make most of a mean",
    )
)
def test_what_comes_next_has_not_changed(subject, old) -> Estimate:
    sizes = divergence.median_kl(subject, old)
    return share_beyond(sizes, DIVERGED_NATS, estimand="texts whose next tokens diverge")


@claim(
    change_claim(
        "likeliest-token-unchanged",
        "finds another token the likeliest after at most 12 % of tokens, in nine texts of ten",
        MOST,
        "share",
        "what greedy decoding would say",
    )
)
def test_the_likeliest_token_has_not_changed(subject, old) -> Estimate:
    sizes = divergence.changed_share(subject, old)
    return share_beyond(sizes, CHANGED_WORDS, estimand="texts with other likeliest tokens")


@claim(
    change_claim(
        "residual-stream-unchanged",
        "moved the residual stream by at most 8 % of its length after every layer, in nine texts of ten",
        MOST,
        "share",
        "relative norm of the difference, a mean over tokens; the first layer beyond it names the fault",
    )
)
def test_the_residual_stream_has_not_changed(subject, old) -> Estimate:
    sizes = activations.relative(subject, old)
    return share_beyond_anywhere(sizes, STREAM_MOVED, estimand="texts whose residual stream moved")


@claim(
    change_claim(
        "heads-look-where-they-did",
        "changed where no head looks by more than 0.05 bits, in nine texts of ten",
        MOST,
        "share",
        "Jensen-Shannon divergence of a head's attention from its own in the old checkpoint, the largest of a layer",
    )
)
def test_heads_look_where_they_did(subject, old) -> Estimate:
    sizes = attention.divergence_by_layer(subject, old)
    return share_beyond_anywhere(sizes, HEADS_MOVED_BITS, estimand="texts in which a head looks elsewhere")


@claim(
    change_claim(
        "entropy-unchanged",
        "is as sure of its own words as before, within 1 nat, after 85 % of the openings",
        at_most(0.15),
        "share",
        "mean entropy of 80 greedy tokens",
        control="no_attention",
        tier=Tier.GENERATION,
    )
)
def test_entropy_has_not_changed(subject, old) -> Estimate:
    new, before = greedy_trace.entropy_beside(subject, old)
    return share_changed(new, before, ENTROPY_NATS, estimand="openings after which it is more or less sure")


@claim(
    change_claim(
        "loops-no-more",
        "ends in a loop after at most 20 % more of the openings than before",
        at_most(0.2),
        "share",
        "80 greedy tokens that end in a repeated period",
        control="no_attention",
        tier=Tier.GENERATION,
        expect=None,
    )
)
def test_it_loops_no_more_than_before(subject, old) -> Estimate:
    return paired_difference(
        *greedy_trace.loops_beside(subject, old), estimand="openings that end in a loop, new - old"
    )


@claim(
    change_claim(
        "does-what-it-is-asked",
        "meets no fewer plain requests than before, by a tenth of them at most",
        at_least(-0.1),
        "share",
        "harmless ones not refused, JSON, the language of the request, numbered lists, answers as short as asked",
        control="no_attention",
        tier=Tier.GENERATION,
        expect=Expectation.TRAINED,
    )
)
def test_it_does_what_it_is_asked(subject, old) -> Estimate:
    return paired_difference(*behaviour.requests_met_beside(subject, old), estimand="requests that are met, new - old")


@claim(
    change_claim(
        "entropy-not-collapsed",
        "is sure of ten words in a row, where it was not before, after at most 10 % of the openings",
        MOST,
        "share",
        "entropy below 0.05 nats for ten greedy tokens running, as the published collapse is for thirteen",
        control="sharpen_logits",
        tier=Tier.GENERATION,
        expect=Expectation.TRAINED,
    )
)
def test_entropy_has_not_collapsed(subject, old) -> Estimate:
    return share(greedy_trace.new_collapses(subject, old), estimand="openings after which it collapses")


@claim(
    change_claim(
        "sinks-still-there",
        "gives the first token as much attention as before, within a tenth, in the head that gave it most",
        MOST,
        "share",
        "alpha_1 of Gu et al. 2025 on 64 tokens",
        control="no_attention",
    )
)
def test_sinks_are_still_there(subject, old) -> Estimate:
    new, before = sinks.strongest_beside(subject, old)
    return share_changed(new, before, SCORE_MOVED, estimand="passages on which the strongest sink changed")


@claim(
    change_claim(
        "induction-still-there",
        "keeps the induction score of the old checkpoint's best head, within a tenth",
        MOST,
        "share",
        "mean attention to what came after the same token before (Olsson et al. 2022), on random tokens said twice",
        control="no_attention",
    )
)
def test_the_induction_head_is_still_there(subject, old) -> Estimate:
    new, before = circuits.score_beside(subject, old, "induction")
    return share_changed(new, before, SCORE_MOVED, estimand="sequences on which the induction head changed")


@claim(
    change_claim(
        "not-worse",
        "answers no fewer items of the exam than before, within the margin",
        at_least(-DEFAULT_MARGIN_POINTS),
        "points",
        "the same items, paired, in blocks until they decide; 300 of them show some 5 points",
        control="no_attention",
        tier=Tier.EXAMS,
        expect=None,
    )
)
def test_it_is_not_worse_in_the_exam(subject, old, exam) -> Iterator[Estimate]:
    return sequential_difference(exams.blocks_beside(subject, old, exam), estimand=f"{exam}, new - old")
