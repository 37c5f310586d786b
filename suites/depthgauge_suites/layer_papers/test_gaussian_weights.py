"""Whether weights are as Gaussian as arXiv:2501.10661 says: zero mean, a Gaussian core, changes that grow with depth.

It gives no thresholds. Of millions of weights any test of a law rejects it, so claims are about sizes of effects, and
of every matrix: the one that is furthest counts. They are informational: how near a model comes is a finding about it.
"""

from depthgauge import Claim, Estimate, Region, above, at_most, claim
from depthgauge.probes import weights
from depthgauge.stats import greatest_exactly, rank_correlation
from depthgauge_suites.layer_papers import gaussian_weights

SOURCE = "arXiv:2501.10661, weights of transformers follow Gaussian distributions"


def gaussian_claim(
    name: str, statement: str, region: Region, unit: str, rationale: str, control: str = "exponential_weights"
) -> Claim:
    return Claim(
        id=name, statement=statement, citation=SOURCE, published="in figures, without thresholds", region=region,
        unit=unit, control=control, rationale=rationale, required=False,
    )  # fmt: skip


@claim(gaussian_claim(
    "weights-are-gaussian", "has no matrix whose weights are further than .02 from a Gaussian",
    at_most(0.02), "ks", "the largest distance of the distribution functions; a Laplace law has .065",
))  # fmt: skip
def test_every_matrix_is_nearly_gaussian(candidate) -> Estimate:
    return greatest_exactly(gaussian_weights.departures(candidate, "ks"), estimand="distance from a Gaussian")


@claim(gaussian_claim(
    "weights-have-no-heavy-tails", "has no matrix with an excess kurtosis above 1",
    at_most(1), "kurtosis", "a Gaussian has 0, a Laplace law 3",
))  # fmt: skip
def test_no_matrix_has_heavy_tails(candidate) -> Estimate:
    return greatest_exactly(gaussian_weights.departures(candidate, "kurtosis"), estimand="excess kurtosis")


@claim(gaussian_claim(
    "weights-have-zero-mean", "has no matrix whose mean is further from 0 than a tenth of its spread",
    at_most(0.1), "mean", "in standard deviations of the matrix",
))  # fmt: skip
def test_every_matrix_has_zero_mean(candidate) -> Estimate:
    return greatest_exactly(gaussian_weights.departures(candidate, "mean"), estimand="mean over spread")


def growth_claim(projection: str) -> Claim:
    return gaussian_claim(
        f"{projection}-change-grows-with-depth", f"moved its {projection} weights further, the later the layer",
        above(0), "correlation", "Spearman's, of layer and root mean square of the change; in the source's own figure "
        "o falls", "nudge_early_layers_more",
    )  # fmt: skip


def growth(candidate, base_model, projection: str) -> Estimate:
    moved = weights.movement(candidate, base_model, projection, per_weight=True)
    return rank_correlation(moved, estimand=f"change of {projection} against depth")


@claim(growth_claim("q"))
def test_the_change_of_queries_grows_with_depth(candidate, base_model) -> Estimate:
    return growth(candidate, base_model, "q")


@claim(growth_claim("o"))
def test_the_change_of_outputs_grows_with_depth(candidate, base_model) -> Estimate:
    return growth(candidate, base_model, "o")
