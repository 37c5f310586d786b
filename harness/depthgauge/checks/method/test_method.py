"""What a trained checkpoint owes its base: gains and no losses in every task, entropy, weights that moved together."""

from depthgauge import Claim, Estimate, Region, above, at_least, at_most, claim, tasks
from depthgauge.checks.claims import DEFAULT_MARGIN_POINTS, MOST, OUT_OF_LINE
from depthgauge.probes import greedy_entropy, weights
from depthgauge.stats import greatest_exactly, paired_difference, share


def method_claim(name: str, statement: str, region: Region, unit: str, rationale: str, *, control: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation="our claim: what a training owes its base",
        published="not published",
        region=region,
        unit=unit,
        control=control,
        rationale=rationale,
    )


@claim(
    method_claim(
        "gain-over-base",
        "answers more items of the task than the base",
        above(0),
        "points",
        "the same items, paired",
        control="noise_in_late_layers",
    )
)
def test_it_gains_over_the_base(candidate, base_model, task) -> Estimate:
    return gain(candidate, base_model, task)


@claim(
    method_claim(
        "not-worse-than-base",
        "answers no fewer items of the task than the base, within the margin",
        at_least(-DEFAULT_MARGIN_POINTS),
        "points",
        "the same items, paired; the margin is that between two checkpoints",
        control="noise_in_late_layers",
    )
)
def test_it_is_not_worse_than_the_base(candidate, base_model, task) -> Estimate:
    return gain(candidate, base_model, task)


def gain(candidate, base_model, task: str) -> Estimate:
    return paired_difference(
        tasks.scores(candidate, task), tasks.scores(base_model, task), estimand=f"{task}, {candidate.name} - base model"
    )


@claim(
    method_claim(
        "entropy-not-collapsed-from-base",
        "is sure of ten words in a row, where the base was not, after at most 10 % of the openings",
        MOST,
        "share",
        "entropy below 0.05 nats for ten greedy tokens running, as the published collapse is for thirteen",
        control="sharpen_logits",
    )
)
def test_entropy_has_not_collapsed_from_the_base(candidate, base_model) -> Estimate:
    return share(greedy_entropy.new_collapses(candidate, base_model), estimand="openings after which it collapses")


@claim(
    method_claim(
        "weights-moved-from-base",
        "is not the base again: a weight has moved by more than rounding to the coarser of both stored precisions",
        above(0),
        "share",
        "a training that ran on another folder, or was saved before its first step, leaves the base, perhaps rounded",
        control="unchanged_copy",
    )
)
def test_its_weights_have_moved_from_the_base(candidate, base_model) -> Estimate:
    return greatest_exactly(
        weights.beyond_rounding(candidate, base_model), estimand="weights of the first tensor that moved"
    )


@claim(
    method_claim(
        "no-layer-out-of-line-from-base",
        f"moved no matrix of a layer more than {OUT_OF_LINE} times as far as that projection moved in the mean layer",
        at_most(OUT_OF_LINE),
        "times the mean layer",
        "root mean square of the change; where one layer alone moved, it is as many times as there are layers",
        control="zero_mlp",
    )
)
def test_no_layer_is_out_of_line_with_the_base(candidate, base_model) -> Estimate:
    return greatest_exactly(
        weights.out_of_line(candidate, base_model), estimand="change of a matrix over its mean layer's"
    )
