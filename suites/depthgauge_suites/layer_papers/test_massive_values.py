"""Whether a few numbers of queries and keys dwarf all others, and whether they serve what the context says.

The source removes what they tell of a position, and finds that passkeys are lost and facts are kept. These claims are
informational: they are about how a base works, which a short training hardly moves.
"""

from depthgauge import Claim, Estimate, Region, above, at_least, claim
from depthgauge.probes import sinks
from depthgauge.stats import exactly, independent_difference, mean
from depthgauge_suites.layer_papers import massive_values

SOURCE = "arXiv:2502.01563, massive values in self-attention modules"


def massive_claim(
    name: str, statement: str, published: str, region: Region, unit: str, control: str, rationale: str
) -> Claim:
    return Claim(
        id=name, statement=statement, citation=SOURCE, published=published, region=region, unit=unit, control=control,
        rationale=rationale, required=False,
    )  # fmt: skip


def texts_of(candidate) -> tuple[str, ...]:
    return tuple(map(str, candidate.inputs(sinks.Passage)))


def beyond_values(candidate, side: massive_values.Side) -> Estimate:
    beyond = massive_values.share_beyond_values(candidate, texts_of(candidate), side)
    return exactly(beyond, estimand=f"massive share of {side}, less 5 times that of v", unit="share")


@claim(massive_claim(
    "queries-hold-massive-values", "has massive values in its queries, five times as often as in its values",
    "1,476 in queries and 174 in values (Llama-2-7B)", above(0), "share", "random_weights",
    "shares of all numbers, as values have fewer heads",
))  # fmt: skip
def test_queries_hold_massive_values(candidate) -> Estimate:
    return beyond_values(candidate, "q")


@claim(massive_claim(
    "keys-hold-massive-values", "has massive values in its keys, five times as often as in its values",
    "1,497 in keys and 174 in values (Llama-2-7B)", above(0), "share", "random_keys_and_values",
    "shares of all numbers",
))  # fmt: skip
def test_keys_hold_massive_values(candidate) -> Estimate:
    return beyond_values(candidate, "k")


@claim(massive_claim(
    "massive-values-share-dimensions", "has massive queries in the same numbers of several heads",
    "in figures", above(0.25), "share", "shuffle_head_dimensions",
    "how much oftener than by chance another head of the layer is massive there too; 1 if always",
))  # fmt: skip
def test_heads_share_the_dimensions_of_massive_queries(candidate) -> Estimate:
    shared = massive_values.shared_dimensions(candidate, texts_of(candidate))
    return mean(shared, estimand="shared by another head, above chance")


@claim(massive_claim(
    "massive-values-rotate-slowly", "has massive keys in numbers that rotary positions turn slowly",
    "in figures: low frequencies", above(0.6), "rank", "shuffle_head_dimensions",
    "rank among the numbers of a head, from 0 for the fastest to 1 for the slowest; 0.5 by chance",
))  # fmt: skip
def test_massive_keys_rotate_slowly(candidate) -> Estimate:
    return mean(massive_values.slowness(candidate, texts_of(candidate)), estimand="rank of slowness")


@claim(
    massive_claim(
        "massive-values-needed-for-context",
        "needs its massive values for what the context says more than for what it knows",
        "94 % of context is lost without them, 25 % of knowledge (Llama-2-7B)",
        at_least(1),
        "nats",
        "unchanged_copy",
        "log-probability lost, less that without as many others, of context less of facts; a nat is a factor of 2.7; "
        "the base of smollm2 does not show it",
    )
)
def test_massive_values_serve_the_context(candidate) -> Estimate:
    asked = texts_of(candidate), candidate.inputs(massive_values.Recall)
    context, memory = (massive_values.lost_beyond_random(candidate, *asked, source) for source in ("context", "memory"))
    return independent_difference(context, memory, estimand="nats lost beyond random, context - memory")
