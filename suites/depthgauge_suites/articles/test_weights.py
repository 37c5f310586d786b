"""Which weights moved, and where: Frobenius norms of the change from the base.

Dangi 2026a: "the largest Frobenius norms of the deltas were for the q_proj and o_proj", keys and values peak at one
layer (index 9 in its figure), down_proj has "an enormous peak" (index 6), and plain GRPO shows "essentially the same
graph". What weights are is known exactly: with one seed, an interval has no width. Layers are 0-based.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, claim
from depthgauge.probes import weights
from depthgauge.stats import lead_ratio, peak_ratio, peaks_apart

SOURCE = "Dangi 2026a, figures of the norms of weight deltas"
# The published peak of down_proj is 5.3 times its median layer, that of v_proj 2.2 times, that of k_proj 1.4 times.
DOWN_PEAK, VALUE_PEAK, KEY_PEAK = 4, 2, 1.3


def moved_most_claim(name: str, statement: str, published: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=above(1),
        unit="ratio",
        control="random_keys_and_values",
        rationale=rationale,
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
        rationale="'the exact same structural rewrite occurs' without a regulariser; weights moved alike have 1",
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
        rationale="the peak must be that of the task and not of the regulariser",
        about=("gradreg",),
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
