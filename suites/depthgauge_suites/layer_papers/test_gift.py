"""Whether a change generated from the weights is what arXiv:2312.00700 says: of bounded rank, elsewhere nothing, and
worth as much as LoRA of as many parameters.

`--method=gift,lora`; both are trained for as many steps.
"""

from depthgauge import Claim, Estimate, Region, at_least, at_most, claim, tasks
from depthgauge.probes import weights
from depthgauge.stats import exactly, greatest_exactly, paired_difference

SOURCE = "arXiv:2312.00700, GIFT, two linear maps"
GENERATED = ("q", "v")
RANK, POINTS = 32, -3.0


def gift_claim(
    name: str, statement: str, published: str, region: Region, unit: str, control: str, rationale: str
) -> Claim:
    return Claim(
        id=name, statement=statement, citation=SOURCE, published=published, region=region, unit=unit, control=control,
        rationale=rationale, about=("gift",), required=False,
    )  # fmt: skip


@claim(gift_claim(
    "change-has-generator-rank", "changes each layer's queries by a matrix of the generator's rank or less",
    "by construction", at_most(RANK), "rank", "nudge_weights", "singular values above what rounding makes",
))  # fmt: skip
def test_the_change_of_queries_has_the_generators_rank(candidate, base_model) -> Estimate:
    return exactly(weights.change_rank(candidate, base_model, "q"), estimand="rank of the change of q", unit="rank")


@claim(gift_claim(
    "other-matrices-unchanged", "leaves all but queries and values as they were", "by construction", at_most(0),
    "share", "nudge_weights", "norm of the change over that of the base's weights, in the matrix that moved most",
))  # fmt: skip
def test_nothing_but_queries_and_values_is_changed(candidate, base_model) -> Estimate:
    moved = weights.relative_change(candidate, base_model)
    others = moved.only(name for name in moved.columns if not name.endswith(GENERATED))
    return greatest_exactly(others, estimand="relative change elsewhere")


@claim(gift_claim(
    "gift-learns-as-much-as-lora", "answers no fewer science questions than LoRA with as many parameters",
    "better than LoRA on VTAB-1k and FGVC", at_least(POINTS), "points", "noise_in_late_layers",
    "three points are forgiven; as many steps at the same rate",
))  # fmt: skip
def test_it_learns_as_much_as_lora(candidate, lora) -> Estimate:
    scores = (tasks.scores(checkpoints, "science") for checkpoints in (candidate, lora))
    return paired_difference(*scores, estimand="science, gift - lora")
