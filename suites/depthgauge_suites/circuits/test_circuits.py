"""What attention heads compute: induction on tokens that repeat, and what training leaves of a base's circuits.

Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022, "In-context Learning and
Induction Heads", arXiv:2209.11895. Sequences are 20 random tokens said twice. A head's score is its mean attention to
one place: the token before (previous), or what came after the same token before (induction). Layers are 0-based.
"""

from depthgauge import Claim, Estimate, Region, above, at_least, at_most, claim, within
from depthgauge.probes import circuits
from depthgauge.stats import exactly, greatest, mean, paired_difference

OLSSON, ELHAGE = "Olsson et al. 2022", "Elhage et al. 2021"


def repeated_claim(
    name: str, statement: str, source: str, published: str, region: Region, unit: str, rationale: str,
    *, control: str = "induction_untrained", about: str = "induction",
) -> Claim:  # fmt: skip
    return Claim(
        id=name, statement=statement, citation=source, published=published, region=region, unit=unit, control=control,
        rationale=rationale, about=(about,), testbed="repeated_tokens",
    )  # fmt: skip


# -- two layers of attention on tokens that repeat ---


@claim(
    repeated_claim(
        "induction-head-forms",
        "has a head with an induction score of at least 0.5",
        OLSSON,
        "induction heads form in every attention-only model of two layers or more",
        at_least(0.5),
        "attention",
        "the greatest of all heads, with intervals that hold for all together; attention spread evenly scores 0.034",
        control="induction_one_layer",
    )
)
def test_an_induction_head_forms(candidate) -> Estimate:
    return greatest(circuits.head_scores(candidate, "induction"), estimand="induction score")


@claim(
    repeated_claim(
        "previous-token-head-below",
        "has a head with a previous-token score of at least 0.5 in a layer below the best induction head",
        ELHAGE,
        "the induction head's keys read what a previous-token head wrote",
        at_least(0.5),
        "attention",
        "an induction head must know what came before each token, and cannot in the first layer",
        control="induction_no_repeats",
    )
)
def test_a_previous_token_head_is_below(candidate) -> Estimate:
    return greatest(circuits.previous_below_induction(candidate), estimand="previous-token score")


@claim(
    repeated_claim(
        "induction-needs-previous-token-head",
        "loses at least half of the best induction score when that previous-token head is ablated",
        OLSSON,
        "ablating previous-token heads removes induction",
        at_most(0.5),
        "share of the score",
        "the head's output is set to 0; ablating a head of an untrained model changes nothing",
    )
)
def test_induction_needs_the_previous_token_head(candidate) -> Estimate:
    return mean(circuits.induction_left(candidate), estimand="induction score left")


@claim(
    repeated_claim(
        "learns-in-context",
        "has a loss at least 2 nats lower on the second saying than on the first",
        OLSSON,
        "in-context learning appears when induction heads form",
        at_least(2),
        "nats",
        "guessing among 64 tokens costs 4.2 nats both times",
    )
)
def test_it_learns_in_context(candidate) -> Estimate:
    return mean(circuits.learning_in_context(candidate), estimand="loss on the first saying minus the second")


@claim(
    repeated_claim(
        "learning-needs-induction-heads",
        "loses at least 1 nat of what it learns in context when its induction heads are ablated",
        OLSSON,
        "ablating induction heads removes most of in-context learning",
        at_least(1),
        "nats",
        "all heads with at least half of the best induction score are set to 0",
    )
)
def test_learning_in_context_needs_induction_heads(candidate) -> Estimate:
    return mean(
        circuits.learning_lost(candidate), estimand="learning in context, with the induction heads minus without"
    )


@claim(
    repeated_claim(
        "induction-head-copies",
        "has a copying score of at least 0.5 in its best induction head",
        ELHAGE,
        "all induction heads of the two-layer model have positive OV eigenvalues",
        at_least(0.5),
        "ratio",
        "sum of real parts over sum of sizes of the OV circuit's eigenvalues, from -1 to 1",
    )
)
def test_the_induction_head_copies(candidate) -> Estimate:
    return exactly(circuits.induction_copying(candidate), estimand="copying score", unit="ratio")


@claim(
    repeated_claim(
        "induction-composes-with-previous-token-head",
        "reads with its induction head's keys what the previous-token head wrote, by 0.05 above chance",
        ELHAGE,
        "K-composition of induction heads with previous-token heads stands out",
        above(0.05),
        "ratio",
        "||W_OV W_QK|| over the product of norms, less that of random factors, which is 1/8",
        control="induction_no_repeats",
    )
)
def test_the_induction_head_composes_with_the_previous_token_head(candidate) -> Estimate:
    return exactly(circuits.composition_with_previous(candidate), estimand="K-composition above chance", unit="ratio")


@claim(
    repeated_claim(
        "one-layer-forms-no-induction-head",
        "has no head with an induction score above 0.2",
        ELHAGE,
        "one-layer models have skip-trigrams, and no induction",
        at_most(0.2),
        "attention",
        "the greatest of all heads",
        control="induction",
        about="induction_one_layer",
    )
)
def test_one_layer_forms_no_induction_head(candidate) -> Estimate:
    return greatest(circuits.head_scores(candidate, "induction"), estimand="induction score")


# -- what is known of real models: the probe must see it in a base ---


@claim(
    Claim(
        id="base-has-an-induction-head",
        statement="has a head with an induction score of at least 0.5",
        citation=OLSSON,
        published="every language model of two layers or more has induction heads",
        region=at_least(0.5),
        unit="attention",
        control="no_attention",
        rationale="random tokens said twice: without attention before it, no head knows what came before a token",
        about=("base_model",),
    )
)
def test_a_base_has_an_induction_head(candidate) -> Estimate:
    return greatest(circuits.scores_alone(candidate, "induction"), estimand="induction score")


# -- what post-training leaves of a base's circuits ---


@claim(
    Claim(
        id="keeps-previous-token-head",
        statement="leaves the score of the base's best previous-token head within 0.05",
        citation="our claim; measure of Olsson et al. 2022",
        published="not published",
        region=within(0.05),
        unit="attention",
        control="no_previous_token_head",
        rationale="post-training is held to use circuits that are there, and not to make or break them",
    )
)
def test_it_keeps_the_previous_token_head(candidate, base_model) -> Estimate:
    return paired_difference(
        circuits.best_of(candidate, base_model, "previous"),
        circuits.best_of(base_model, base_model, "previous"),
        estimand="change of the previous-token score",
    )


@claim(
    Claim(
        id="keeps-copying-scores",
        statement="changes no head's copying score by more than 0.1",
        citation="our claim; measure of Elhage et al. 2021",
        published="not published",
        region=at_most(0.1),
        unit="ratio",
        control="random_keys_and_values",
        rationale="eigenvalues of the OV circuits: what each head does with what it reads, the largest change",
    )
)
def test_it_keeps_copying_scores(candidate, base_model) -> Estimate:
    return exactly(
        circuits.copying_changed(candidate, base_model), estimand="largest change of a copying score", unit="ratio"
    )
