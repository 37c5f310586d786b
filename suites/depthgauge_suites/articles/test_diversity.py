"""How little the checkpoint repeats itself, over 80 greedy tokens.

Dangi 2026a, table, on one prompt: bigrams base .304, grpo .519, gradreg .291; trigrams .333, .577, .308. The gap
between base and gradreg is one bigram of 79 and two trigrams of 78.
"""

from depthgauge import Claim, Estimate, above, at_least, below, claim
from depthgauge.probes import greedy_entropy
from depthgauge.stats import exactly, paired_difference
from depthgauge_suites.articles import published_opening

SOURCE = "Dangi 2026a, table of bigram and trigram diversity"


def diversity_claim(n: int, method: str) -> Claim:
    """GRPO repeats itself less than the base, gradient regularisation more."""
    gram = {2: "bigram", 3: "trigram"}[n]
    published = {2: "base .304, grpo .519, gradreg .291", 3: "base .333, grpo .577, gradreg .308"}[n]
    return Claim(
        id=f"{gram}-diversity-{'above' if method == 'grpo' else 'below'}-base",
        statement=f"repeats {gram}s {'less' if method == 'grpo' else 'more'} than the base",
        citation=SOURCE,
        published=published,
        region=above(0) if method == "grpo" else below(0),
        unit="ratio",
        control="no_attention" if method == "grpo" else "large_random_weights",
        rationale="the prompt is the unit: n-grams of one text are not independent",
        about=(method,),
    )


@claim(diversity_claim(2, "grpo"))
def test_bigrams_repeat_less_than_in_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.diversity(candidate, 2),
        greedy_entropy.diversity(base_model, 2),
        estimand="bigram diversity, candidate - base model",
    )


@claim(diversity_claim(3, "grpo"))
def test_trigrams_repeat_less_than_in_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.diversity(candidate, 3),
        greedy_entropy.diversity(base_model, 3),
        estimand="trigram diversity, candidate - base model",
    )


@claim(diversity_claim(2, "gradreg"))
def test_bigrams_repeat_more_than_in_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.diversity(candidate, 2),
        greedy_entropy.diversity(base_model, 2),
        estimand="bigram diversity, candidate - base model",
    )


@claim(diversity_claim(3, "gradreg"))
def test_trigrams_repeat_more_than_in_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.diversity(candidate, 3),
        greedy_entropy.diversity(base_model, 3),
        estimand="trigram diversity, candidate - base model",
    )


# -- the article's own opening: one text ---


@claim(
    Claim(
        id="published-opening-ends-in-a-loop",
        statement="ends in a loop after the article's opening",
        citation="Dangi 2026a: 'all the models actually fell into a repetitive loop'",
        published="base, grpo and gradreg, with periods of 20, 40 and 21 tokens",
        region=at_least(1),
        unit="share",
        control="large_random_weights",
        rationale="known exactly of one text, and of no other",
        required=False,
    )
)
def test_the_published_opening_ends_in_a_loop(candidate) -> Estimate:
    return exactly(published_opening.loops(candidate), estimand="loops after the article's opening", unit="share")


@claim(
    Claim(
        id="published-opening-repeats-less-than-base",
        statement="repeats trigrams less than the base after the article's opening",
        citation=SOURCE,
        published="trigrams base .333, grpo .577",
        region=above(0),
        unit="ratio",
        control="no_attention",
        rationale="known exactly of one text, and of no other: 20 of 78 trigrams in the article",
        about=("grpo",),
        required=False,
    )
)
def test_the_published_opening_repeats_less_than_in_the_base(candidate, base_model) -> Estimate:
    return exactly(
        published_opening.repeats(candidate, 3) - published_opening.repeats(base_model, 3),
        estimand="trigram diversity after the article's opening, candidate - base model",
        unit="ratio",
    )
