"""What is answered: no fewer items of each evaluation task than before."""

from collections.abc import Iterator

from depthgauge import Estimate, Stage, at_least, claim, tasks
from depthgauge.checks.claims import DEFAULT_MARGIN_POINTS, change_claim
from depthgauge.stats import sequential_difference


@claim(
    change_claim(
        "task-not-worse",
        "answers no fewer items of the task than before, within the margin",
        at_least(-DEFAULT_MARGIN_POINTS),
        "points",
        "the same items, paired, in blocks until they decide; 300 of them show some 5 points",
        control="no_attention",
        stage=Stage.TASKS,
        expect=None,
    )
)
def test_it_is_not_worse_in_the_task(candidate, baseline, task) -> Iterator[Estimate]:
    return sequential_difference(
        tasks.blocks_beside(candidate, baseline, task), estimand=f"{task}, candidate - baseline"
    )
