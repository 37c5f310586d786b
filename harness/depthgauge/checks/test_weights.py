"""How far the weights moved, known exactly. Layers are 0-based."""

from depthgauge import Estimate, Expectation, Stage, above, at_most, claim
from depthgauge.checks.claims import OUT_OF_LINE, change_claim
from depthgauge.probes import weights
from depthgauge.stats import greatest_exactly

# Of a matrix's norm. Rounding to bfloat16 moves 0.002 of it, int8 by row 0.01; a matrix that was zeroed moves 1.
MOVED = 0.05


@claim(
    change_claim(
        "weights-within-margin",
        "moved no matrix of a layer by more than a twentieth of its norm",
        at_most(MOVED),
        "share",
        "the largest of all matrices of all layers, known exactly",
        stage=Stage.WEIGHTS,
    )
)
def test_no_matrix_moved_far(candidate, baseline) -> Estimate:
    return greatest_exactly(weights.relative_change(candidate, baseline), estimand="change of a matrix over its norm")


@claim(
    change_claim(
        "norms-and-embeddings-within-margin",
        "moved no norm, bias or embedding by more than a twentieth of its size",
        at_most(MOVED),
        "share",
        "what is no matrix of a layer, and scales all that passes; known exactly",
        control="flatten_logits",
        stage=Stage.WEIGHTS,
    )
)
def test_no_norm_or_embedding_moved_far(candidate, baseline) -> Estimate:
    sizes = weights.relative_change_of_others(candidate, baseline)
    return greatest_exactly(sizes, estimand="change of a norm or an embedding over its size")


@claim(
    change_claim(
        "weights-changed",
        "is not the baseline again: a weight has moved by more than rounding to the coarser of both stored precisions",
        above(0),
        "share",
        "a training that ran on another folder, a merge that was not saved, leave a stale checkpoint, perhaps rounded",
        control="unchanged_copy",
        stage=Stage.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_its_weights_have_moved(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.beyond_rounding(candidate, baseline), estimand="weights of the first tensor that moved"
    )


@claim(
    change_claim(
        "no-outlier-layer",
        f"moved no matrix of a layer more than {OUT_OF_LINE} times as far as that projection moved in the mean layer",
        at_most(OUT_OF_LINE),
        "times the mean layer",
        "root mean square of the change; where one layer alone moved, it is as many times as there are layers",
        stage=Stage.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_no_layer_is_out_of_line(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.out_of_line(candidate, baseline), estimand="change of a matrix over its mean layer's"
    )
