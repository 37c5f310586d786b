"""Whether what repeats is learnt along the paths that arXiv:2410.01334 names: through induction heads, which lie above
the previous-token heads that they are made of.
"""

from depthgauge import Claim, Estimate, at_least, claim
from depthgauge.probes import skill_paths
from depthgauge.stats import chance_below, mean

SOURCE = "arXiv:2410.01334, skill paths; Elhage et al. 2021, the terms of two-layer transformers"


CARRIED = {
    "statement": "owes half of what a repeated token gains, or more, to what its induction heads add to the logits",
    "published": "in diagrams of paths, without shares",
    "region": at_least(0.5),
    "unit": "share",
    "rationale": "of the logits gained beyond background, or of 1; heads with half of the best induction score",
}
IN_ORDER = {
    "statement": "has its previous-token heads below its induction heads, in four of five pairs or more",
    "published": "in diagrams: previous token, then induction, then learning in context",
    "region": at_least(0.8),
    "unit": "chance",
    "rationale": "0.5 where depth decides nothing; heads with half of the best score of their skill",
}


def paths_claim(name: str, says: dict, control: str, testbed: str | None = None, about: tuple[str, ...] = ()) -> Claim:
    return Claim(id=name, source=SOURCE, control=control, gates=False, testbed=testbed, about=about, **says)


def carried(subject) -> Estimate:
    return mean(skill_paths.carried_by_induction_heads(subject), estimand="share carried by induction heads")


@claim(paths_claim("induction-heads-carry-the-repeat", CARRIED, "rekeyed"))
def test_induction_heads_carry_what_a_repeated_token_gains(subject) -> Estimate:
    return carried(subject)


@claim(paths_claim("two-layers-carry-the-repeat", CARRIED, "induction_one_layer", "repeated_tokens", ("induction",)))
def test_induction_heads_of_two_layers_carry_what_a_repeated_token_gains(subject) -> Estimate:
    return carried(subject)


def in_order(subject) -> Estimate:
    previous, induction = skill_paths.layers_of_skills(subject)
    return chance_below(
        previous, induction, estimand="previous-token heads below induction heads", generalises_over="heads"
    )


@claim(paths_claim("skills-in-order-of-depth", IN_ORDER, "rekeyed"))
def test_previous_token_heads_lie_below_induction_heads(subject) -> Estimate:
    return in_order(subject)


@claim(paths_claim("two-layers-in-order-of-depth", IN_ORDER, "induction_untrained", "repeated_tokens", ("induction",)))
def test_previous_token_heads_of_two_layers_lie_below_induction_heads(subject) -> Estimate:
    return in_order(subject)
