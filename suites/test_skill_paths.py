"""Whether what repeats is learnt along the paths that arXiv:2410.01334 names: through induction heads."""

from depthgauge import Claim, Estimate, at_least, claim
from depthgauge.probes import skill_paths
from depthgauge.stats import mean

SOURCE = "arXiv:2410.01334, skill paths; Elhage et al. 2021, the terms of two-layer transformers"


def paths_claim(name: str, control: str, testbed: str | None = None, about: tuple[str, ...] = ()) -> Claim:
    return Claim(
        id=name,
        statement="owes half of what a repeated token gains, or more, to what its induction heads add to the logits",
        source=SOURCE,
        published="in diagrams of paths, without shares",
        region=at_least(0.5),
        unit="share",
        control=control,
        rationale="of the logits gained beyond background, or of 1; heads with half of the best induction score",
        gates=False,
        testbed=testbed,
        about=about,
    )


def carried(subject) -> Estimate:
    return mean(skill_paths.carried_by_induction_heads(subject), estimand="share carried by induction heads")


@claim(paths_claim("induction-heads-carry-the-repeat", "rekeyed"))
def test_induction_heads_carry_what_a_repeated_token_gains(subject) -> Estimate:
    return carried(subject)


@claim(paths_claim("two-layers-carry-the-repeat", "induction_one_layer", "repeated_tokens", ("induction",)))
def test_induction_heads_of_two_layers_carry_what_a_repeated_token_gains(subject) -> Estimate:
    return carried(subject)
