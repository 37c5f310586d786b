"""Whether there is one layer that learns a task best when it alone is trained, and whether it is a late one
(arXiv:2306.12198, where layer 10 of 12 is best at ListOps and at tic-tac-toe).

With one seed the layer is chosen by half of the items and judged by the other half; with several, chosen by the other
seeds. None of it is required: it is a question about layers, and no checkpoint is worse for its answer.
"""

from depthgauge import Claim, Estimate, Region, at_least, claim, tasks
from depthgauge.stats import best_lead, lead, least, mean
from depthgauge_suites.layer_papers import unfreezing

SOURCE = "arXiv:2306.12198"
ALONE = ("unfreeze_layer",)


def layers_claim(
    name: str, statement: str, published: str, region: Region, rationale: str, *,
    control: str = "unfreeze_random_answers", about: tuple[str, ...] = ALONE,
) -> Claim:  # fmt: skip
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=region,
        unit="points",
        control=control,
        rationale=rationale,
        about=about,
        required=False,
        testbed="listops",
    )


def one_best(task: str) -> Claim:
    return layers_claim(
        f"one-layer-learns-best[{task}]",
        f"has one layer that, trained alone, answers 10 points more of {task} than each other",
        "layer 10 of 12 best",
        at_least(10),
        "a lead that would decide which layer to train",
    )


def late_best(task: str) -> Claim:
    return layers_claim(
        f"late-layer-learns-best[{task}]",
        f"answers 5 points more of {task} with layer 4 of 6 trained alone than with each other",
        "layer 10 of 12 best",
        at_least(5),
        "layer 10 of 12, counted from 1, at the same fraction of the depth",
    )


@claim(one_best("listops"))
def test_one_layer_learns_listops_best(candidate) -> Estimate:
    return best_lead(unfreezing.accuracies(candidate, "listops"), estimand="lead of the best layer")


@claim(one_best("winner"))
def test_one_layer_learns_the_winner_best(candidate) -> Estimate:
    return best_lead(unfreezing.accuracies(candidate, "winner"), estimand="lead of the best layer")


@claim(late_best("listops"))
def test_a_late_layer_learns_listops_best(candidate) -> Estimate:
    return least(lead(unfreezing.accuracies(candidate, "listops"), "4"), estimand="lead of layer 4")


@claim(late_best("winner"))
def test_a_late_layer_learns_the_winner_best(candidate) -> Estimate:
    return least(lead(unfreezing.accuracies(candidate, "winner"), "4"), estimand="lead of layer 4")


@claim(
    layers_claim(
        "whole-base-learns-listops",
        "answers nine of ten expressions when the whole base is trained",
        "not found in the source",
        at_least(90),
        "so that there is something to lose by training one layer",
        about=("unfreeze_all",),
    )
)
def test_the_whole_base_learns_listops(candidate) -> Estimate:
    return mean(tasks.scores(candidate, "listops"), estimand="listops")
