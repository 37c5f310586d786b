"""Whether skills are learnt along the paths that arXiv:2410.01334 names: what repeats by induction heads, above the
previous-token heads that they are made of; labels in context by induction heads too, and most by heads above them.
"""

from depthgauge import Claim, Estimate, at_least, claim
from depthgauge.stats import chance_below, mean
from depthgauge_suites.layer_papers import skill_paths

SOURCE = "arXiv:2410.01334, skill paths; Elhage et al. 2021, the terms of two-layer transformers"


CARRIED = {
    "statement": "owes half of what a repeated token gains, or more, to what its induction heads add to the logits",
    "published": "in diagrams of paths, without shares",
    "region": at_least(0.5),
    "unit": "share",
    "rationale": "of the logits gained beyond background, or of 1; heads with half of the best induction score",
}
LEARNS = {
    "statement": "makes the right one of two labels twice as likely against the other where examples tell",
    "published": "a skill of its own, in diagrams",
    "region": at_least(0.69),
    "unit": "logits",
    "rationale": "ln 2, gained beyond a background whose labels tell nothing",
}
INCLUDES = {
    "statement": "owes more of what a label gains in context to its induction heads, a tenth or more, than to others",
    "published": "paths of simpler skills lie within those of richer ones, in diagrams",
    "region": at_least(0.1),
    "unit": "share",
    "rationale": "others are as many heads of their layers, over all choices; heads as for what repeats",
}
LEARNS_ABOVE = {
    "statement": "owes half of what a label gains in context, or more, to heads above its induction heads",
    "published": "in diagrams: previous token, then induction, then learning in context",
    "region": at_least(0.5),
    "unit": "share",
    "rationale": "less what heads below them add; 0 where depth decides nothing",
}
IN_ORDER = {
    "statement": "has its previous-token heads below its induction heads, in four of five pairs or more",
    "published": "in diagrams: previous token, then induction, then learning in context",
    "region": at_least(0.8),
    "unit": "chance",
    "rationale": "0.5 where depth decides nothing; heads with half of the best score of their skill",
}


def paths_claim(name: str, says: dict, control: str, testbed: str | None = None, about: tuple[str, ...] = ()) -> Claim:
    return Claim(id=name, citation=SOURCE, control=control, required=False, testbed=testbed, about=about, **says)


def carried(candidate) -> Estimate:
    return mean(skill_paths.carried_by_induction_heads(candidate), estimand="share carried by induction heads")


@claim(paths_claim("induction-heads-explain-repetition", CARRIED, "random_keys_and_values"))
def test_induction_heads_carry_what_a_repeated_token_gains(candidate) -> Estimate:
    return carried(candidate)


@claim(
    paths_claim(
        "two-layer-induction-heads-explain-repetition",
        CARRIED,
        "induction_one_layer",
        "repeated_tokens",
        ("induction",),
    )
)
def test_induction_heads_of_two_layers_carry_what_a_repeated_token_gains(candidate) -> Estimate:
    return carried(candidate)


def in_order(candidate) -> Estimate:
    previous, induction = skill_paths.layers_of_skills(candidate)
    return chance_below(
        previous, induction, estimand="previous-token heads below induction heads", generalises_over="heads"
    )


@claim(paths_claim("skills-ordered-by-depth", IN_ORDER, "random_keys_and_values"))
def test_previous_token_heads_lie_below_induction_heads(candidate) -> Estimate:
    return in_order(candidate)


@claim(
    paths_claim("two-layer-skills-ordered-by-depth", IN_ORDER, "induction_untrained", "repeated_tokens", ("induction",))
)
def test_previous_token_heads_of_two_layers_lie_below_induction_heads(candidate) -> Estimate:
    return in_order(candidate)


@claim(paths_claim("labels-are-learnt-in-context", LEARNS, "random_keys_and_values"))
def test_labels_are_learnt_in_context(candidate) -> Estimate:
    return mean(skill_paths.gained_in_context(candidate), estimand="gained by the right label")


@claim(paths_claim("learning-in-context-includes-induction", INCLUDES, "random_keys_and_values"))
def test_induction_heads_carry_more_of_what_is_learnt_in_context_than_others(candidate) -> Estimate:
    return mean(skill_paths.included_induction(candidate), estimand="induction heads - as many others")


@claim(paths_claim("learning-in-context-above-induction", LEARNS_ABOVE, "random_keys_and_values"))
def test_labels_are_learnt_by_heads_above_the_induction_heads(candidate) -> Estimate:
    return mean(skill_paths.learnt_above_induction(candidate), estimand="heads above induction heads - below")
