"""How far the weights moved, known exactly. Layers are 0-based."""

from depthgauge import Estimate, Expectation, Stage, above, at_most, claim
from depthgauge.checks.claims import MOVED, OUT_OF_LINE, change_claim
from depthgauge.probes import weights
from depthgauge.stats import greatest_exactly

# Of a single row's norm, four times as much: rounded to int8 the worst row moves 0.018, to bfloat16 0.002 (135 M),
# which is up to 3.5 times what the whole embedding moves. Two rows that are swapped move more than 1.
ROW_MOVED = 0.2
# In healthy trainings here no row's norm changes by a twentieth beside the others. Shrunk by 0.875 is 8 times.
ROW_OUT_OF_LINE = 4


@claim(
    change_claim(
        "weights-within-margin",
        "moved no matrix of a layer by more than 5 % of its norm",
        at_most(MOVED),
        "share",
        "the largest of all matrices of all layers, known exactly",
        control="zero_mlp@2m",
        stage=Stage.WEIGHTS,
    )
)
def test_no_matrix_moved_far(candidate, baseline) -> Estimate:
    sizes = weights.but_for_rewrites(weights.relative_change(candidate, baseline), candidate, baseline, beyond=MOVED)
    return greatest_exactly(sizes, estimand="change of a matrix over its norm")


@claim(
    change_claim(
        "norms-and-embeddings-within-margin",
        "moved no norm, bias or embedding by more than 5 % of its size",
        at_most(MOVED),
        "share",
        "what is no matrix of a layer, and scales all that passes; known exactly",
        control="sharpen_logits@2m",
        stage=Stage.WEIGHTS,
    )
)
def test_no_norm_or_embedding_moved_far(candidate, baseline) -> Estimate:
    sizes = weights.but_for_rewrites(
        weights.relative_change_of_others(candidate, baseline), candidate, baseline, beyond=MOVED
    )
    return greatest_exactly(sizes, estimand="change of a norm or an embedding over its size")


@claim(
    change_claim(
        "rows-within-margin",
        "moved no single row of the embeddings or the head by more than 20 % of its norm",
        at_most(ROW_MOVED),
        "share",
        "a row is a token: one that is lost, as that of the stop token, is no change of the whole; known exactly",
        control="shrink_stop_row@2m",
        stage=Stage.WEIGHTS,
    )
)
def test_no_row_moved_far(candidate, baseline) -> Estimate:
    sizes = weights.but_for_rewrites(
        weights.relative_change_of_rows(candidate, baseline), candidate, baseline, beyond=ROW_MOVED
    )
    return greatest_exactly(sizes, estimand="change of a token's row over its norm")


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


@claim(
    change_claim(
        "no-outlier-row",
        f"grew or shrank no row of the embeddings or the head more than {ROW_OUT_OF_LINE} times beside the rest",
        at_most(ROW_OUT_OF_LINE),
        "times",
        "a token whose row is lost is never said again, and one whose row has exploded is said always; known exactly",
        control="shrink_stop_row@0.875",
        stage=Stage.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_no_row_grew_or_shrank_alone(candidate, baseline) -> Estimate:
    return greatest_exactly(
        weights.norm_factor_of_rows(candidate, baseline), estimand="factor of a token's row beside the others"
    )


@claim(
    change_claim(
        "rows-not-exchanged",
        "holds in no row of the embeddings or the head what another token's row was",
        at_most(0),
        "rows",
        "nearer to another row of the baseline than half the way to its own, of rows that moved by half their norm",
        control="swap_rows",
        stage=Stage.WEIGHTS,
        expect=Expectation.TRAINED,
    )
)
def test_no_row_is_another_tokens(candidate, baseline) -> Estimate:
    return greatest_exactly(weights.exchanged_rows(candidate, baseline), estimand="a token's row that is another's")
