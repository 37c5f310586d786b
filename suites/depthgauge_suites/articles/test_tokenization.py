"""Formulae fall apart in the tokenizer: does the model look at the pieces, and put them together again?

Dangi 2026a: the tokenizer is "chopping up the chemical compounds", attention is "aggressively redistributed ... amongst
the chemical subtokens", and the MLP that changed most should fuse the pieces. Layers are 0-based.
"""

from depthgauge import Claim, Estimate, above, at_least, claim
from depthgauge.probes import attention, weights
from depthgauge.stats import independent_difference, paired_difference, peak_layer
from depthgauge_suites.articles import tokenization

# A hundredth of all that changed. Spread evenly over keys, as chance was first taken, it is no null: weights moved at
# random change attention to late tokens less than that, and fragments are no more seen than others.
FRAGMENT_SHARE = 0.01


@claim(
    Claim(
        id="formulas-tokenized-into-more-pieces",
        statement="cuts formulae into shorter pieces than ordinary words",
        citation="Dangi 2026a: 'disjointed, uninformative sub-tokens'",
        published="H2SO4, of five characters, is H, 2, SO, 4",
        region=above(0),
        unit="tokens per character",
        control="character_tokenizer",
        rationale="by character, the blank before it among them; where words are spelt, formulae are not cut "
        "shorter; informational, as it speaks of the tokenizer and of no weight",
        required=False,
    )
)
def test_formulae_fall_into_more_pieces_than_words(candidate) -> Estimate:
    return independent_difference(
        tokenization.fragments(candidate, "formula"),
        tokenization.fragments(candidate, "ordinary"),
        estimand="tokens per character, formulae - words",
    )


@claim(
    Claim(
        id="attention-change-on-formula-tokens",
        statement="puts at least 0.01 more of its changed attention on pieces of formulae than an unlearnt change does",
        citation="Dangi 2026a: 'attention is aggressively redistributed ... namely, the chemical subtokens'",
        published="'varying shades of red' between H, 2, SO and 4 in two heads, on one prompt",
        region=at_least(FRAGMENT_SHARE),
        unit="share",
        control="round_to_bfloat16",
        rationale="of all that changed beyond the first token; unlearnt: the base's weights moved at random",
    )
)
def test_changed_attention_falls_on_fragments(candidate, base_model, bfloat16_noise) -> Estimate:
    return paired_difference(
        attention.changed_on_fragments(candidate, base_model),
        attention.changed_on_fragments(bfloat16_noise, base_model),
        estimand="share of changed attention on fragments, minus that of weights moved at random",
    )


@claim(
    Claim(
        id="changed-mlp-detokenizes-formulas",
        statement="reads a compound out of its last piece better than the base, after the block whose MLP changed most",
        citation="Dangi 2026a: 'early layer MLPs function akin to detokenizers'",
        published="not measured",
        region=above(0),
        unit="share",
        control="no_attention",
        rationale="a linear read-out, trained on other compounds; without attention, the last piece is all there is",
    )
)
def test_the_most_changed_mlp_reassembles_compounds(candidate, base_model) -> Estimate:
    block = peak_layer(weights.movement(candidate, base_model, "down"))
    return paired_difference(
        tokenization.reads_out(candidate, block),
        tokenization.reads_out(base_model, block),
        estimand=f"read-out after block {block}, candidate - base model",
    )


@claim(
    Claim(
        id="base-detokenizes-formulas-early",
        statement="tells at least a tenth more compounds apart after a sixth of its layers than by the embedding",
        citation="Dangi 2026a: 'early layer MLPs function akin to detokenizers'; Kaplan et al. 2024, arXiv:2410.05864",
        published="words of several tokens are put together in the first layers",
        region=at_least(0.1),
        unit="share",
        control="no_attention",
        rationale="a linear read-out of their last piece, trained on other compounds; alone, that piece cannot tell",
        about=("base_model",),
    )
)
def test_a_base_reassembles_compounds_early(candidate) -> Estimate:
    early = tokenization.depth(candidate) // 6
    return paired_difference(
        tokenization.reads_out(candidate, early - 1),
        tokenization.reads_out(candidate, tokenization.EMBEDDING),
        estimand=f"read-out after {early} blocks, minus that of the embedding",
    )
