"""Whether a student flow draws showers as its teacher does, and as they are simulated, only faster (arXiv:2305.11934,
inductive CaloFlow, where students are told from their teachers by classifiers, and are the faster ones).

A toy of a calorimeter stands for the published ones; it is informational.
"""

from depthgauge import Claim, Estimate, Region, at_least, at_most, claim
from depthgauge.stats import classifier_auc, mean
from depthgauge_suites.layer_papers import showers

SOURCE = "arXiv:2305.11934, inductive CaloFlow"
STUDENT = ("shower_student",)


def shower_claim(
    name: str, statement: str, region: Region, unit: str, rationale: str, about: tuple[str, ...] = STUDENT
) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published="of other calorimeters",
        region=region,
        unit=unit,
        control="shower_untrained",
        rationale=rationale,
        about=about,
        required=False,
        testbed="showers",
    )


@claim(
    shower_claim(
        "showers-match-simulation",
        "draws showers that a linear classifier hardly tells from simulated ones",
        at_most(0.6),
        "area",
        "0.5 where nothing differs; a flow that was not trained has above 0.7",
        about=("shower_teacher", "shower_student"),
    )
)
def test_its_showers_are_like_simulated_ones(candidate) -> Estimate:
    return classifier_auc(
        showers.drawn(candidate), showers.simulated(candidate), estimand="area against simulated showers"
    )


@claim(
    shower_claim(
        "student-matches-teacher",
        "draws showers that a linear classifier hardly tells from its teacher's",
        at_most(0.6),
        "area",
        "0.5 where nothing differs; a flow that was not trained has above 0.7",
    )
)
def test_the_student_draws_as_its_teacher_does(candidate, shower_teacher) -> Estimate:
    return classifier_auc(
        showers.drawn(candidate), showers.drawn(shower_teacher), estimand="area against the teacher's"
    )


@claim(
    shower_claim(
        "student-samples-faster",
        "draws showers at twice the speed of its teacher, or more",
        at_least(2),
        "times",
        "one pass in place of one for each of 18 cells; a flow of the teacher's kind has 1",
    )
)
def test_the_student_draws_faster_than_its_teacher(candidate, shower_teacher) -> Estimate:
    return mean(showers.speed_over(candidate, shower_teacher), estimand="speed over the teacher's")
