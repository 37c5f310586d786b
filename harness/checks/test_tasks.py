"""What is answered: no fewer items of each evaluation task than before."""

from collections.abc import Iterator

from depthgauge import Estimate, Tier, at_least, claim, exams
from depthgauge.checks.claims import change_claim
from depthgauge.stats import sequential_difference

DEFAULT_MARGIN_POINTS = 5


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
