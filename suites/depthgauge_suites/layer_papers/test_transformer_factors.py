"""Whether hidden states are sums of factors with levels, as arXiv:2103.15949 says: words below, wider context above.

One dictionary is learnt for all layers. The source shows these by examples and by curves of importance, without
numbers. The claims are informational: they are about how a base works.
"""

from depthgauge import Claim, Estimate, Region, at_least, at_most, claim
from depthgauge.probes import sinks
from depthgauge.stats import mean, rank_correlation
from depthgauge_suites.layer_papers import transformer_factors

SOURCE = "arXiv:2103.15949, transformer factors"


def factor_claim(name: str, statement: str, region: Region, unit: str, control: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published="in curves and examples, without numbers",
        region=region,
        unit=unit,
        control=control,
        rationale=rationale,
        required=False,
    )


def texts_of(candidate) -> tuple[str, ...]:
    return tuple(map(str, candidate.inputs(sinks.Passage)))


@claim(
    factor_claim(
        "factors-have-layer-ranges",
        "has factors that matter in some of its layers and not in others",
        at_least(1.5),
        "ratio",
        "near_zero_blocks",
        "concentration of importance over layers: 1 if even, 1.5 if even over two thirds of them and 0 elsewhere",
    )
)
def test_factors_have_levels(candidate) -> Estimate:
    return mean(transformer_factors.concentration(candidate, texts_of(candidate)), estimand="concentration over layers")


@claim(factor_claim(
    "early-factors-are-word-level", "has factors that are less about the word itself, the later their layers",
    at_most(-0.2), "correlation", "near_zero_blocks",
    "Spearman's, of a factor's mean layer and the share of its variance within a layer that the token explains",
))  # fmt: skip
def test_early_factors_are_about_words(candidate) -> Estimate:
    return rank_correlation(
        transformer_factors.about_words_by_depth(candidate, texts_of(candidate)), estimand="word share against depth"
    )
