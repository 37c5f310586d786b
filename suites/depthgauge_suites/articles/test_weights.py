"""Which weights moved, and where: Frobenius norms of the change from the base.

Dangi 2026a: "the largest Frobenius norms of the deltas were for the q_proj and o_proj", keys and values peak at one
layer (index 9 in its figure), down_proj has "an enormous peak" (index 6), and plain GRPO shows "essentially the same
graph". What weights are is known exactly: with one seed, an interval has no width. Layers are 0-based.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, claim
from depthgauge.probes import weights
from depthgauge.stats import exactly, lead_ratio, peak_ratio, peaks_apart
from depthgauge_suites.articles import movement

SOURCE = "Dangi 2026a, figures of the norms of weight deltas"
# The published peak of down_proj is 5.3 times its median layer, that of v_proj 2.2 times, that of k_proj 1.4 times.
DOWN_PEAK, VALUE_PEAK, KEY_PEAK = 4, 2, 1.3
ATTENTION, MLP = ("q", "k", "v", "o"), ("gate", "up", "down")
# 'Nearly an order of magnitude' is more than half of one.
ORDER_OF_MAGNITUDE = 5
# What one would see in a figure: a twentieth above the layers beside it, or above the median.
RAISED = 1.05


def moved_most_claim(name: str, statement: str, published: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=above(1),
        unit="ratio",
        control="random_keys_and_values",
        rationale=f"{rationale}; informational, as a fact of the matrices' sizes",
        required=False,
    )


def queries_and_outputs_over_keys_and_values(candidate, base_model, *, per_weight: bool) -> Estimate:
    q, k, v, o = (weights.movement(candidate, base_model, projection, per_weight=per_weight) for projection in "qkvo")
    return lead_ratio([q, o], [k, v], estimand="the lesser of q and o over the greater of k and v, median layer")


@claim(
    moved_most_claim(
        "q-and-o-moved-most",
        "moved its q and o matrices further than its k and v matrices",
        "gradreg at the median layer: q .11, o .107; k .058, v .053",
        "as published: norms of whole matrices, of which q and o have more elements",
    )
)
def test_q_and_o_moved_most(candidate, base_model) -> Estimate:
    return queries_and_outputs_over_keys_and_values(candidate, base_model, per_weight=False)


@claim(
    moved_most_claim(
        "q-and-o-moved-most-per-weight",
        "moved each weight of q and o further than each of k and v",
        "root mean square: q 3.46e-5, k 3.58e-5, o 3.27e-5, v 3.27e-5",
        "the same after the size of the matrices is removed; published norms over it are equal to 10 %",
    )
)
def test_q_and_o_moved_most_per_weight(candidate, base_model) -> Estimate:
    return queries_and_outputs_over_keys_and_values(candidate, base_model, per_weight=True)


def peak_claim(projection: str, least: float, published: str) -> Claim:
    return Claim(
        id=f"{projection}-peak",
        statement=f"moved its {projection} weights at one layer at least {least} times as far as at the median layer",
        citation=SOURCE,
        published=published,
        region=at_least(least),
        unit="ratio",
        control="nudge_weights",
        rationale="'the exact same structural rewrite occurs' without a regulariser; weights moved alike have 1, so "
        "that the control refutes it by construction, and an untrained model supports it: informational",
        required=False,
    )


@claim(peak_claim("down", DOWN_PEAK, "gradreg 1.05 at layer 6, median .20; grpo 1.085 at layer 6"))
def test_down_projections_peak_at_one_layer(candidate, base_model) -> Estimate:
    return peak_ratio(
        weights.movement(candidate, base_model, "down"), estimand="largest layer of down_proj over its median layer"
    )


@claim(peak_claim("value", VALUE_PEAK, "gradreg .119 at layer 9, median .053; grpo .100 at layer 9"))
def test_values_peak_at_one_layer(candidate, base_model) -> Estimate:
    return peak_ratio(
        weights.movement(candidate, base_model, "v"), estimand="largest layer of v_proj over its median layer"
    )


@claim(peak_claim("key", KEY_PEAK, "gradreg .080 at layer 9, median .058; grpo .079 at layer 10"))
def test_keys_peak_at_one_layer(candidate, base_model) -> Estimate:
    return peak_ratio(
        weights.movement(candidate, base_model, "k"), estimand="largest layer of k_proj over its median layer"
    )


def same_layer_claim(projection: str, published: str) -> Claim:
    return Claim(
        id=f"{projection}-peak-layer-as-grpo",
        statement=f"moved its {projection} weights most at the layer where plain GRPO did",
        citation=SOURCE,
        published=published,
        region=at_most(0),
        unit="layers",
        control="gradreg_wrong_reward",
        rationale="the peak must be that of the task and not of the regulariser; informational, as the largest of a "
        "flat profile lies anywhere",
        about=("gradreg",),
        required=False,
    )


@claim(same_layer_claim("down", "layer 6 in both figures"))
def test_down_projections_peak_where_grpo_does(candidate, base_model, grpo) -> Estimate:
    return peaks_apart(
        weights.movement(candidate, base_model, "down"),
        weights.movement(grpo, base_model, "down"),
        estimand="layers between the peaks",
    )


@claim(same_layer_claim("value", "layer 9 in both figures"))
def test_values_peak_where_grpo_does(candidate, base_model, grpo) -> Estimate:
    return peaks_apart(
        weights.movement(candidate, base_model, "v"),
        weights.movement(grpo, base_model, "v"),
        estimand="layers between the peaks",
    )


@claim(same_layer_claim("key", "layer 9 in one figure, 10 in the other"))
def test_keys_peak_where_grpo_does(candidate, base_model, grpo) -> Estimate:
    return peaks_apart(
        weights.movement(candidate, base_model, "k"),
        weights.movement(grpo, base_model, "k"),
        estimand="layers between the peaks",
    )


# -- what the figures are read to say of the MLP, of early layers and of the peak ---


def mlp_over_attention(candidate, base_model, *, per_weight: bool) -> Estimate:
    mlp, attention = (
        [weights.movement(candidate, base_model, projection, per_weight=per_weight) for projection in names]
        for names in (MLP, ATTENTION)
    )
    return lead_ratio(mlp, attention, estimand="the least of the MLP over the greatest of attention, median layer")


def mlp_claim(name: str, statement: str, published: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=at_least(ORDER_OF_MAGNITUDE),
        unit="ratio",
        control="nudge_weights",
        rationale=rationale,
        required=False,
    )


@claim(
    mlp_claim(
        "mlp-moved-more-than-attention",
        "moved its MLP matrices at least 5 times as far as those of its attention",
        "'nearly an order of magnitude'; in the figures gradreg's MLP .20 at the median layer, its q .11",
        "as published: whole matrices, of which those of the MLP have more elements; the figures give 1.8",
    )
)
def test_the_mlp_moved_more_than_attention(candidate, base_model) -> Estimate:
    return mlp_over_attention(candidate, base_model, per_weight=False)


@claim(
    mlp_claim(
        "mlp-moved-more-than-attention-per-weight",
        "moved each weight of its MLP at least 5 times as far as each of its attention",
        "root mean square: gate, up and down 3.3e-5, q 3.46e-5, k 3.58e-5",
        "the same after the size of the matrices is removed",
    )
)
def test_the_mlp_moved_more_than_attention_per_weight(candidate, base_model) -> Estimate:
    return mlp_over_attention(candidate, base_model, per_weight=True)


@claim(
    Claim(
        id="keys-and-values-moved-early",
        statement="moved both keys and values further in the first sixth of its layers than at the median of the rest",
        citation="Dangi 2026a: keys and values 'remained comparatively conservative - save for the early layers'",
        published="gradreg's k and v in layers 0 to 5 above their medians of .058 and .053",
        region=at_least(RAISED),
        unit="ratio",
        control="nudge_weights",
        rationale="the lesser of both ratios; weights moved alike everywhere have 1",
        required=False,
    )
)
def test_keys_and_values_moved_early(candidate, base_model) -> Estimate:
    both = [movement.early_over_later(weights.movement(candidate, base_model, name)) for name in "kv"]
    return exactly(movement.least(both), estimand="mean early layer over the median of the rest", unit="ratio")


@claim(
    Claim(
        id="every-projection-rises-at-the-peak",
        statement="moved every attention projection further at the layer where its values peak than next to it",
        citation="Dangi 2026a: 'every single projection saw a local increase' at one layer",
        published="q, k, v and o of gradreg at layer 9 above layers 8 and 10",
        region=at_least(RAISED),
        unit="ratio",
        control="nudge_weights",
        rationale="the least of four ratios to the mean of both neighbours; weights moved alike have 1",
        required=False,
    )
)
def test_every_projection_rises_at_the_peak(candidate, base_model) -> Estimate:
    moved = [weights.movement(candidate, base_model, name) for name in ATTENTION]
    peaks = movement.peak_layers(moved[ATTENTION.index("v")])
    rises = [movement.rise_at(delta, peaks) for delta in moved]
    return exactly(movement.least(rises), estimand="least rise of a projection at the values' peak", unit="ratio")


@claim(
    Claim(
        id="mlp-peak-before-attention-peak",
        statement="moved its down weights most in an earlier layer than its values",
        citation="Dangi 2026a: 'the updated information flow from Layer 7' led 'to the spike at Layer 10'",
        published="down at layer 6, values at layer 9",
        region=above(0),
        unit="layers",
        control="nudge_early_layers_more",
        rationale="what was rewritten comes before what reads it; both peak at layer 0 where early layers move more",
        required=False,
    )
)
def test_the_mlp_peaks_before_attention(candidate, base_model) -> Estimate:
    down, value = (movement.peak_layers(weights.movement(candidate, base_model, name)) for name in ("down", "v"))
    return exactly((value - down).astype(float), estimand="layers from the peak of down to that of v", unit="layers")


@claim(
    Claim(
        id="early-layers-move-more-than-gradreg",
        statement="moved its early layers further than uniform gradient regularisation did",
        citation="Dangi 2026b: 'needlessly restricting the flow of gradients into the initial set of layers'",
        published="not published",
        region=above(0),
        unit="log ratio",
        control="round_to_bfloat16",
        rationale="the premise of depth scaling: the norm of all that changed in layers 0 to 5 of 36, over gradreg's",
        about=("depthscaled", "depthscaled_nonoise"),
        required=False,
    )
)
def test_early_layers_move_more_than_with_gradreg(candidate, base_model, gradreg) -> Estimate:
    moved, theirs = (
        movement.early_norm([weights.movement(checkpoints, base_model, name) for name in (*ATTENTION, *MLP)])
        for checkpoints in (candidate, gradreg)
    )
    return movement.log_ratio(moved, theirs, estimand="norm of the change of early layers, candidate over gradreg")
